//! The object `/org/sampan1`: interface `org.sampan1.Manager`. Its methods stand in the table here, and what they
//! do in the files beside.

use super::call::Call;
use super::interface::{Found, Interface, Values};
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
        .properties(SHAPES.into_iter(), |(), manager, reader| Ok(Found::All(reader.pick(values(manager)))))
}

/// States and patterns.
type Filter = (Vec<String>, Vec<String>);

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
        .act("RestartUnitOverlapping", takes, gives, |(), call, asked| {
            jobs::enqueue(call, asked, Verb::RestartOverlapping)
        })
        .act("TryRestartUnit", takes, gives, |(), call, asked| jobs::enqueue(call, asked, Verb::TryRestart))
        .act("StartTransientUnit", &["name", "mode", "definition", "stdio"], &["job"], |(), call, asked| {
            transient::start(call, asked)
        })
        .act("HoldUnit", &["name", "leash"], &[], |(), call, asked| transient::hold(call, asked))
        .act("KillUnit", &["name", "whom", "signal"], &[], |(), call, asked| process::kill(call, asked))
        .act("FreezeUnit", &["name"], &[], |(), call, (name,)| process::freeze(call, name))
        .act("ThawUnit", &["name"], &[], |(), call, (name,)| process::thaw(call, name))
        .act("CleanUnit", &["name", "what"], &[], |(), call, asked| process::clean(call, asked))
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
        .look("GetUnit", &["name"], &["unit"], |(), manager, (name,): (String,)| listing::get(manager, &name))
        .look(
            "GetUnitByPIDFD",
            &["pidfd"],
            &["unit", "unit_id", "invocation_id"],
            |(), manager, (pidfd,): (zbus::OwnedFd,)| listing::by_pidfd(manager, &pidfd),
        )
        .look("GetUnitProcesses", &["name"], &["processes"], |(), manager, (name,): (String,)| {
            listing::processes(manager, &name)
        })
        .look("GetUnitByPID", &["pid"], &["unit"], |(), manager, (pid,)| listing::by_pid(manager, pid))
        .look("GetUnitByInvocationID", &["invocation_id"], &["unit"], |(), manager, (id,): (Vec<u8>,)| {
            listing::by_invocation(manager, &id)
        })
        .look("LoadUnit", &["name"], &["unit"], |(), manager, (name,): (String,)| {
            listing::load(manager, &name)
        })
        .look("ListUnits", &[], &["units"], |(), manager, ()| listing::units(manager, &[], &[]))
        .look("ListUnitsFiltered", &["states"], &["units"], |(), manager, (states,): (Vec<String>,)| {
            listing::units(manager, &states, &[])
        })
        .look("ListUnitsByPatterns", &["states", "patterns"], &["units"], |(), manager, asked: Filter| {
            listing::units(manager, &asked.0, &asked.1)
        })
        .look("ListUnitsByNames", &["names"], &["units"], |(), manager, (names,): (Vec<String>,)| {
            listing::named(manager, &names)
        })
}

fn others(manager: Interface<()>) -> Interface<()> {
    manager
        .look("GetJob", &["id"], &["job"], |(), manager, (id,)| jobs::get(manager, id))
        .look("ListJobs", &[], &["jobs"], |(), manager, ()| Ok(jobs::list(manager)))
        .look("ListSockets", &[], &["sockets"], |(), manager, ()| Ok(listing::sockets(manager)))
        .look("ListTimers", &[], &["timers"], |(), manager, ()| Ok(listing::timers(manager)))
        .note("Subscribe", Call::subscribe)
        .note("Unsubscribe", Call::unsubscribe)
        .act("GetUnitDefinitions", &[], &["definitions"], |(), call, ()| exec::definitions(call))
        .act("Plan", &["name"], &["plan"], |(), call, (name,)| exec::plan(call, name))
}

fn unit_files(manager: Interface<()>) -> Interface<()> {
    let (asked, installed, changes) =
        (&["files", "runtime", "force"], &["carries_install_info", "changes"], &["changes"]);
    manager
        .look("ListUnitFiles", &[], &["unit_files"], |(), manager, ()| files::list(manager, &[], &[]))
        .look(
            "ListUnitFilesByPatterns",
            &["states", "patterns"],
            &["unit_files"],
            |(), manager, asked: Filter| files::list(manager, &asked.0, &asked.1),
        )
        .look("GetUnitFileState", &["file"], &["state"], |(), manager, (file,): (String,)| {
            files::state(manager, &file)
        })
        .act("EnableUnitFiles", asked, installed, |(), call, asked| files::enable(call, asked))
        .act("ReenableUnitFiles", asked, installed, |(), call, asked| files::reenable(call, asked))
        .act("PresetUnitFiles", asked, installed, |(), call, asked| files::preset(call, asked))
        .act(
            "PresetUnitFilesWithMode",
            &["files", "mode", "runtime", "force"],
            installed,
            |(), call, asked| files::preset_with_mode(call, asked),
        )
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
        .look("GetDefaultTarget", &[], &["name"], |(), manager, ()| files::default_target(manager))
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
        .look("ListTransfers", &[], &["transfers"], |(), manager, ()| Ok(transfer::list(manager)))
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

fn values(manager: &Manager) -> Values {
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
