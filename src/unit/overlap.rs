//! `restart --overlap`: of which units two containers can run side by side for a while, and what the older one of the
//! two is then: a unit of its own, for which nothing is left to do but to end.

use super::few::Few;
use super::model::{
    Body, CollectMode, Commands, Container, Dependencies, Handling, Init, RestartPolicy, RootMode,
    ServiceType, StartLimit, StartOn, Unit,
};
use super::name::UnitName;
use super::sparse::Sparse;

/// Why two containers of a unit cannot run side by side, and the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exclusive {
    /// It does its work once.
    #[error("it is a oneshot, which is over when it has done its work; restart it without --overlap")]
    Oneshot,
    /// It was made for a connection.
    #[error("it was made for one connection, which no other container can take over")]
    Connection,
    /// Both would write the same root.
    #[error(
        "its root file system is kept, and two containers cannot write it; use root = \"ephemeral\" or \"read-only\" \
         with volumes for what is to last, or restart it without --overlap"
    )]
    PersistentRoot,
    /// The copies of its image's files are replaced at a start.
    #[error("its files are its own (share = false), and a start replaces them; restart it without --overlap")]
    OwnFiles,
    /// It boots a system, which has divided its control group.
    #[error("it boots a system, whose control groups cannot be moved; restart it without --overlap")]
    System,
    /// There is no name for the older one.
    #[error("its name is too long; restart it without --overlap")]
    Name,
}

/// Whether two containers of a unit can run side by side.
///
/// # Errors
/// Why not.
pub fn check(name: &UnitName, container: &Container) -> Result<(), Exclusive> {
    match container {
        Container { kind: ServiceType::Oneshot, .. } => Err(Exclusive::Oneshot),
        Container { accepted: Some(_), .. } => Err(Exclusive::Connection),
        Container { root: RootMode::Persistent, .. } => Err(Exclusive::PersistentRoot),
        Container { share: false, .. } => Err(Exclusive::OwnFiles),
        Container { init: Init::System, .. } => Err(Exclusive::System),
        _ if name.retired().is_none() => Err(Exclusive::Name),
        _ => Ok(()),
    }
}

/// What the older container of a unit is while the newer one starts, and until it has ended: nothing starts it again, it
/// has no sockets of its own, and is stopped with the unit, before the newer one. `None` where there cannot be one.
pub fn retired(unit: &Unit) -> Option<Unit> {
    let (own, name) = (unit.body.container()?.clone(), unit.name.retired()?);
    let container = Container {
        sockets: Few::default(),
        start: StartOn::Boot,
        idle: None,
        timer: None,
        health: None,
        restart: RestartPolicy::No,
        restart_force_exit_status: Default::default(),
        reload: None,
        start_limit: StartLimit { burst: 0, ..own.start_limit },
        // The unit goes on, so that nothing is to be cleared away.
        commands: Commands { stop: own.commands.stop.clone(), ..Commands::default() }.into(),
        ..own
    };
    Some(Unit {
        name,
        description: format!("{} (retired)", unit.description),
        dependencies: Dependencies {
            stop_propagated_from: [unit.name.clone()].into(),
            after: [unit.name.clone()].into(),
            ..Dependencies::default()
        }
        .into(),
        conditions: Vec::new(),
        handling: Handling {
            // Its time is over.
            refuse_manual_start: true,
            collect: CollectMode::InactiveOrFailed,
            stop_when_unneeded: false,
            allow_isolate: false,
            ..unit.handling
        },
        body: Body::Container(Box::new(container)),
        install: Sparse::default(),
        ..unit.clone()
    })
}
