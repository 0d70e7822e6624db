//! The object of one unit, `/org/sampan1/unit/NAME`: interface `org.sampan1.Unit`. Its properties are those of
//! [`crate::manager::view`]; its methods are the manager's, for this unit.

use super::call::Call;
use super::error::BusError;
use super::interface::{Interface, Which};
use super::{jobs, process, resources};
use crate::manager::machine::Verb;
use crate::manager::view::{self, Beside, Value, Viewer};
use crate::systemd::manager::Traffic;
use crate::unit::name::UnitName;

/// The interface's name.
pub(super) const NAME: &str = "org.sampan1.Unit";

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

async fn properties(
    unit: UnitName,
    call: Call,
    which: Which,
) -> Result<Vec<(&'static str, Value)>, BusError> {
    let viewer = match call.shared.access.is_root(call.sender()).await {
        true => Viewer::Root,
        false => Viewer::Anybody,
    };
    let traffic = match which.wants("IPIngressBytes") || which.wants("IPEgressBytes") {
        true => traffic(&call, &unit).await?,
        false => Traffic::default(),
    };
    call.with(move |manager| {
        let name = manager.ensure_loaded(&unit);
        view::properties(manager, &name, Beside { viewer, traffic }, |property| which.wants(property))
    })
    .await
}

/// systemd counts it, where the unit wants that.
async fn traffic(call: &Call, unit: &UnitName) -> Result<Traffic, BusError> {
    let name = unit.clone();
    let counting = call.with(move |manager| {
        let managed = manager.machine().unit(&name)?;
        managed.main_pid()?;
        managed.container()?.resources.ip_accounting.then(|| manager.systemd().clone())
    });
    match counting.await? {
        // A scope that has just ended has no figures either.
        Some(systemd) => Ok(systemd.traffic(&unit.scope()).await.unwrap_or_default()),
        None => Ok(Traffic::default()),
    }
}
