//! Instances for connections, `pass = "accept"`: what a unit that listens makes of each.

use super::few::Few;
use super::model::{
    Accepted, Body, CollectMode, Container, Handling, RestartPolicy, StartLimit, StartOn, Unit,
};
use super::name::UnitName;
use super::sparse::Sparse;

/// The instance of a unit for one connection: the same container, which nothing but the connection starts, once, and
/// which is stopped with the unit. `None` for a unit that is no container.
pub fn instance(unit: &Unit, name: UnitName, accepted: Accepted) -> Option<Unit> {
    let own = unit.body.container()?.clone();
    let mut dependencies = unit.dependencies.clone();
    dependencies.part_of.insert(unit.name.clone());
    let description = format!("{} ({})", unit.description, accepted.peer);
    let container = Container {
        sockets: Few::default(),
        accepted: Some(Box::new(accepted)),
        start: StartOn::Boot,
        idle: None,
        timer: None,
        restart: RestartPolicy::No,
        restart_force_exit_status: Default::default(),
        remain_after_exit: false,
        // How often it may be started is said for all of them by the trigger limit.
        start_limit: StartLimit { burst: 0, ..own.start_limit },
        ..own
    };
    Some(Unit {
        name,
        description,
        dependencies,
        handling: Handling {
            // There would be no connection.
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
