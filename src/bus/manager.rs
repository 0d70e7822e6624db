//! The object `/org/sampan1`: interface `org.sampan1.Manager`. Its methods stand in the table here, and what they
//! do in the files beside.

use super::call::Call;
use super::error::BusError;
use super::interface::{Interface, Which};
use super::{exec, files, images, jobs, listing, process, resources, transfer, transient};
use crate::manager::driver::Manager;
use crate::manager::machine::{ActiveState, Job, JobKind, Verb};
use crate::manager::view::{Change, Shape, Value};
use crate::unit::name::DEFAULT_TARGET;
use zbus::OwnedObjectPath;

/// The interface's name.
pub(super) const NAME: &str = "org.sampan1.Manager";

/// Its table.
pub(super) fn interface() -> Interface<()> {
    let manager = Interface::new(NAME);
    signals(of_images(unit_files(others(units(verbs(manager))))))
        .properties(SHAPES.into_iter(), |(), call, which| properties(call, which))
}

fn verbs(manager: Interface<()>) -> Interface<()> {
    let (takes, gives) = (&["name", "mode"], &["job"]);
    manager
        .act("StartUnit", takes, gives, |(), call, asked| jobs::enqueue(call, asked, Verb::Start))
        .act("StopUnit", takes, gives, |(), call, asked| jobs::enqueue(call, asked, Verb::Stop))
        .act("RestartUnit", takes, gives, |(), call, asked| jobs::enqueue(call, asked, Verb::Restart))
        .act("ReloadUnit", takes, gives, |(), call, asked| jobs::enqueue(call, asked, Verb::Reload))
        .act("ReloadOrRestartUnit", takes, gives, |(), call, asked| {
            jobs::enqueue(call, asked, Verb::ReloadOrRestart)
        })
        .act("ReloadOrTryRestartUnit", takes, gives, |(), call, asked| {
            jobs::enqueue(call, asked, Verb::TryReloadOrRestart)
        })
        .act("TryRestartUnit", takes, gives, |(), call, asked| jobs::enqueue(call, asked, Verb::TryRestart))
        .act("StartTransientUnit", &["name", "mode", "definition", "stdio"], &["job"], |(), call, asked| {
            transient::start(call, asked)
        })
        .act("HoldUnit", &["name", "leash"], &[], |(), call, asked| transient::hold(call, asked))
        .act("KillUnit", &["name", "whom", "signal"], &[], |(), call, asked| process::kill(call, asked))
        .act("FreezeUnit", &["name"], &[], |(), call, (name,)| process::freeze(call, name))
        .act("ThawUnit", &["name"], &[], |(), call, (name,)| process::thaw(call, name))
        .act("ResetFailedUnit", &["name"], &[], |(), call, (name,)| jobs::reset_failed_unit(call, name))
        .act("ResetFailed", &[], &[], |(), call, ()| jobs::reset_failed(call))
        .act("SetUnitProperties", &["name", "runtime", "properties"], &[], |(), call, asked| {
            resources::set(call, asked)
        })
        .act("CancelJob", &["id"], &[], |(), call, (id,)| jobs::cancel(call, id))
        .act("ClearJobs", &[], &[], |(), call, ()| jobs::clear(call))
        .act("Reload", &[], &[], |(), call, ()| jobs::reload(call))
        .act(
            "Exec",
            &["name", "command", "environment", "user", "directory", "stdio"],
            &["code", "status"],
            |(), call, asked| exec::exec(call, asked),
        )
}

fn units(manager: Interface<()>) -> Interface<()> {
    manager
        .look("GetUnit", &["name"], &["unit"], |(), call, (name,)| listing::get(call, name))
        .look("GetUnitByPIDFD", &["pidfd"], &["unit", "unit_id", "invocation_id"], |(), call, (pidfd,)| {
            listing::by_pidfd(call, pidfd)
        })
        .look("GetUnitProcesses", &["name"], &["processes"], |(), call, (name,)| {
            listing::processes(call, name)
        })
        .look("GetUnitByPID", &["pid"], &["unit"], |(), call, (pid,)| listing::by_pid(call, pid))
        .look("GetUnitByInvocationID", &["invocation_id"], &["unit"], |(), call, (id,)| {
            listing::by_invocation(call, id)
        })
        .look("LoadUnit", &["name"], &["unit"], |(), call, (name,)| listing::load(call, name))
        .look("ListUnits", &[], &["units"], |(), call, ()| listing::units(call, Vec::new(), Vec::new()))
        .look("ListUnitsFiltered", &["states"], &["units"], |(), call, (states,)| {
            listing::units(call, states, Vec::new())
        })
        .look("ListUnitsByPatterns", &["states", "patterns"], &["units"], |(), call, (states, patterns)| {
            listing::units(call, states, patterns)
        })
        .look("ListUnitsByNames", &["names"], &["units"], |(), call, (names,)| listing::named(call, names))
}

fn others(manager: Interface<()>) -> Interface<()> {
    manager
        .look("GetJob", &["id"], &["job"], |(), call, (id,)| jobs::get(call, id))
        .look("ListJobs", &[], &["jobs"], |(), call, ()| jobs::list(call))
        .look("ListSockets", &[], &["sockets"], |(), call, ()| listing::sockets(call))
        .look("Subscribe", &[], &[], |(), call: Call, ()| async move {
            let user = call.shared.access.user(call.sender()).await?;
            call.shared.subscribers.add(call.sender(), user)
        })
        .look("Unsubscribe", &[], &[], |(), call: Call, ()| async move {
            call.shared.subscribers.remove(call.sender())
        })
        .act("GetUnitDefinitions", &[], &["definitions"], |(), call, ()| exec::definitions(call))
        .act("Plan", &["name"], &["plan"], |(), call, (name,)| exec::plan(call, name))
}

fn unit_files(manager: Interface<()>) -> Interface<()> {
    let (asked, installed, changes) =
        (&["files", "runtime", "force"], &["carries_install_info", "changes"], &["changes"]);
    manager
        .look("ListUnitFiles", &[], &["unit_files"], |(), call, ()| files::list(call, Vec::new(), Vec::new()))
        .look(
            "ListUnitFilesByPatterns",
            &["states", "patterns"],
            &["unit_files"],
            |(), call, (states, patterns)| files::list(call, states, patterns),
        )
        .look("GetUnitFileState", &["file"], &["state"], |(), call, (file,)| files::state(call, file))
        .act("EnableUnitFiles", asked, installed, |(), call, asked| files::enable(call, asked))
        .act("ReenableUnitFiles", asked, installed, |(), call, asked| files::reenable(call, asked))
        .act("PresetUnitFiles", asked, installed, |(), call, asked| files::preset(call, asked))
        .act("DisableUnitFiles", &["files", "runtime"], changes, |(), call, asked| {
            files::disable(call, asked)
        })
        .act("MaskUnitFiles", asked, changes, |(), call, asked| files::mask(call, asked))
        .act("UnmaskUnitFiles", &["files", "runtime"], changes, |(), call, asked| files::unmask(call, asked))
        .act("LinkUnitFiles", asked, changes, |(), call, asked| files::link(call, asked))
        .act("PresetAllUnitFiles", &["mode", "runtime", "force"], changes, |(), call, asked| {
            files::preset_all(call, asked)
        })
        .act("RevertUnitFiles", &["files"], changes, |(), call, (names,)| files::revert(call, names))
        .act(
            "AddDependencyUnitFiles",
            &["files", "target", "type", "runtime", "force"],
            changes,
            |(), call, asked| files::add_dependency(call, asked),
        )
        .look("GetDefaultTarget", &[], &["name"], |(), call, ()| files::default_target(call))
        .act("SetDefaultTarget", &["name", "force"], changes, |(), call, asked| {
            files::set_default_target(call, asked)
        })
}

fn of_images(manager: Interface<()>) -> Interface<()> {
    manager
        .act("PullImage", &["image", "options"], &["transfer"], |(), call, asked| images::pull(call, asked))
        .act("ImportImage", &["file", "name", "options"], &["transfer"], |(), call, asked| {
            images::import(call, asked)
        })
        .act("ListImages", &[], &["images"], |(), call, ()| images::list(call))
        .act("ListImagesByPatterns", &["patterns"], &["images"], |(), call, (patterns,)| {
            images::list_by_patterns(call, patterns)
        })
        .act("RemoveImage", &["image", "options"], &["removed"], |(), call, asked| {
            images::remove(call, asked)
        })
        .act("TagImage", &["image", "name"], &["image_id"], |(), call, asked| images::tag(call, asked))
        .look("ListTransfers", &[], &["transfers"], |(), call, ()| transfer::list(call))
        .act("CancelTransfer", &["id"], &[], |(), call, (id,)| transfer::cancel(call, id))
}

fn signals(manager: Interface<()>) -> Interface<()> {
    manager
        .signal::<(String, OwnedObjectPath)>("UnitNew", &["name", "unit"])
        .signal::<(String, OwnedObjectPath)>("UnitRemoved", &["name", "unit"])
        .signal::<(u32, OwnedObjectPath, String)>("JobNew", &["id", "job", "unit"])
        .signal::<(u32, OwnedObjectPath, String, String)>("JobRemoved", &["id", "job", "unit", "result"])
        .signal::<(bool,)>("Reloading", &["active"])
        .signal::<()>("UnitFilesChanged", &[])
}

const SHAPES: [Shape; 6] = [
    Shape { name: "Version", signature: "s", change: Change::Never },
    Shape { name: "UnitPath", signature: "as", change: Change::Never },
    Shape { name: "SystemState", signature: "s", change: Change::Untold },
    Shape { name: "NNames", signature: "u", change: Change::Untold },
    Shape { name: "NFailedUnits", signature: "u", change: Change::Untold },
    Shape { name: "NJobs", signature: "u", change: Change::Untold },
];

async fn properties(call: Call, which: Which) -> Result<Vec<(&'static str, Value)>, BusError> {
    let mut all = call.with(|manager| values(manager)).await?;
    all.retain(|(name, _)| which.wants(name));
    Ok(all)
}

/// As `is-system-running` of systemctl(1): what is enabled is starting as long as its target is.
fn state(manager: &Manager, failed: usize) -> &'static str {
    let starts = |job: &Job| job.kind == JobKind::Start && job.unit.as_str() == DEFAULT_TARGET;
    if manager.is_shutting_down() {
        "stopping"
    } else if manager.machine().jobs().values().any(starts) {
        "starting"
    } else if failed > 0 {
        "degraded"
    } else {
        "running"
    }
}

fn values(manager: &Manager) -> Vec<(&'static str, Value)> {
    let machine = manager.machine();
    let failed = machine.units().values().filter(|unit| unit.active_state() == ActiveState::Failed).count();
    let count = |count: usize| Value::Unsigned(u32::try_from(count).unwrap_or(u32::MAX));
    let path = manager.paths().unit_search_path();
    vec![
        ("Version", Value::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("UnitPath", Value::List(path.iter().map(|path| path.display().to_string()).collect())),
        ("SystemState", Value::Text(state(manager, failed).to_owned())),
        ("NNames", count(machine.units().len())),
        ("NFailedUnits", count(failed)),
        ("NJobs", count(machine.jobs().len())),
    ]
}
