//! The object of one unit, `/org/sampan1/unit/NAME`: interface `org.sampan1.Unit`. Its properties are those of
//! [`crate::manager::view`]; its methods are the manager's, for this unit.

use super::call::Call;
use super::error::BusError;
use super::interface::{Found, Interface, Reader, Values};
use super::{jobs, process, resources};
use crate::manager::driver::Manager;
use crate::manager::machine::Verb;
use crate::manager::view::{self, Beside};
use crate::systemd::manager::{Systemd, Traffic};
use crate::unit::name::UnitName;
use rustix::fs::statvfs;
use std::path::PathBuf;
use std::time::Duration;

/// The interface's name.
pub(super) const NAME: &str = "org.sampan1.Unit";

/// What systemd counts, where a unit wants that.
const TRAFFIC: [&str; 2] = ["IPIngressBytes", "IPEgressBytes"];

/// How long systemd may take to tell it: a page without these figures is better than none.
const PATIENCE: Duration = Duration::from_secs(2);

/// Its table.
pub(super) fn interface() -> Interface<UnitName> {
    let make = |verb: Verb| {
        move |unit: UnitName, call: Call, (mode,): (String,)| {
            jobs::enqueue(call, (unit.to_string(), mode), verb)
        }
    };
    let (takes, gives) = (&["mode"], &["job"]);
    Interface::new(NAME)
        .act("Start", takes, gives, make(Verb::Start))
        .act("Stop", takes, gives, make(Verb::Stop))
        .act("Restart", takes, gives, make(Verb::Restart))
        .act("RestartOverlapping", takes, gives, make(Verb::RestartOverlapping))
        .act("TryRestart", takes, gives, make(Verb::TryRestart))
        .act("Reload", takes, gives, make(Verb::Reload))
        .act("ReloadOrRestart", takes, gives, make(Verb::ReloadOrRestart))
        .act("ReloadOrTryRestart", takes, gives, make(Verb::TryReloadOrRestart))
        .act("Kill", &["whom", "signal"], &[], |unit: UnitName, call, (whom, signal)| {
            process::kill(call, (unit.to_string(), whom, signal))
        })
        .act("Freeze", &[], &[], |unit: UnitName, call, ()| process::freeze(call, unit.to_string()))
        .act("Thaw", &[], &[], |unit: UnitName, call, ()| process::thaw(call, unit.to_string()))
        .act("ResetFailed", &[], &[], |unit: UnitName, call, ()| {
            jobs::reset_failed_unit(call, unit.to_string())
        })
        .act("SetProperties", &["runtime", "properties"], &[], |unit: UnitName, call, (runtime, values)| {
            resources::set(call, (unit.to_string(), runtime, values))
        })
        .properties(view::shapes(), properties)
}

fn properties(unit: UnitName, manager: &mut Manager, reader: Reader) -> Result<Found, BusError> {
    let name = manager.ensure_loaded(&unit);
    let wants_traffic = TRAFFIC.iter().any(|property| reader.which.wants(property));
    let systemd = counter(manager, &name).filter(|_| wants_traffic);
    let root = sized_root(manager, &name).filter(|_| reader.which.wants("RootUsed"));
    match (&systemd, &root) {
        (None, None) => Ok(Found::All(values(manager, &name, &reader, Traffic::default(), None))),
        _ => Ok(Found::Part(Box::new(|call| Box::pin(counted(call, name, reader, systemd, root))))),
    }
}

/// The root of a unit that runs, where that has a size.
fn sized_root(manager: &Manager, name: &UnitName) -> Option<PathBuf> {
    let managed = manager.machine().unit(name)?;
    managed.container()?.root_size?;
    Some(manager.paths().process_root(managed.main_pid()?))
}

/// What is written to it. The overlay answers for the file system that takes the changes, which may have to wait for its
/// disk: the manager does not.
async fn used(root: PathBuf) -> Option<u64> {
    let looked = tokio::task::spawn_blocking(move || statvfs(&root));
    let found = tokio::time::timeout(PATIENCE, looked).await.ok()?.ok()?.ok()?;
    Some((found.f_blocks - found.f_bfree) * found.f_frsize)
}

/// systemd, where it counts the traffic of a unit.
fn counter(manager: &Manager, name: &UnitName) -> Option<Systemd> {
    let managed = manager.machine().unit(name)?;
    managed.main_pid()?;
    managed.container()?.resources.ip_accounting.then(|| manager.systemd().clone())
}

/// All of them, once systemd and the kernel have said what they counted. A scope that has just ended has no figures.
async fn counted(
    call: Call,
    name: UnitName,
    reader: Reader,
    systemd: Option<Systemd>,
    root: Option<PathBuf>,
) -> Result<Values, BusError> {
    let traffic = async {
        let Some(systemd) = systemd else { return Traffic::default() };
        let told = tokio::time::timeout(PATIENCE, systemd.traffic(&name.scope())).await;
        told.ok().and_then(Result::ok).unwrap_or_default()
    };
    let root_used = async {
        match root {
            Some(root) => used(root).await,
            None => None,
        }
    };
    let (traffic, root_used) = tokio::join!(traffic, root_used);
    call.with(move |manager| values(manager, &name, &reader, traffic, root_used)).await
}

fn values(
    manager: &Manager,
    name: &UnitName,
    reader: &Reader,
    traffic: Traffic,
    root_used: Option<u64>,
) -> Values {
    let beside = Beside { viewer: reader.viewer, traffic, root_used };
    view::properties(manager, name, beside, |property| reader.which.wants(property))
}
