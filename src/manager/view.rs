//! What the bus shows of a unit: names and words as `org.freedesktop.systemd1` has them.

use super::accounting::Usage;
use super::driver::Manager;
use super::machine::{HealthState, Managed, Stamp, Stamps};
use super::transfer::Transfer;
use crate::sys::process;
use crate::systemd::manager::DEFAULT_SLICE;
use crate::unit::model::{
    Body, Container, Dependencies, ImageSource, Listen, Otherwise, Pass, PullPolicy, RestartPolicy, Unit,
};
use crate::unit::name::UnitName;
use std::collections::BTreeSet;

/// The value of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `s`
    Text(String),
    /// `as`
    List(Vec<String>),
    /// `u`
    Unsigned(u32),
    /// `i`
    Signed(i32),
    /// `t`
    Large(u64),
    /// `b`
    Flag(bool),
}

/// Name and value of one property.
pub type Property = (&'static str, Value);

/// The properties that change with the life of a unit. Cheap: told at each change, also while it is launched.
pub fn changing(manager: &Manager, name: &UnitName) -> Option<Vec<Property>> {
    let managed = manager.machine().unit(name)?;
    let mut list = state(manager, managed);
    list.extend(health(manager, name, managed));
    list.extend(conditions(managed));
    list.extend(process(managed));
    list.extend(stamps(&managed.stamps));
    Some(list)
}

/// All properties of a unit, in a fixed order.
pub fn properties(manager: &Manager, name: &UnitName) -> Option<Vec<Property>> {
    let managed = manager.machine().unit(name)?;
    let mut list = identity(manager, name, managed);
    list.extend(state(manager, managed));
    list.extend(health(manager, name, managed));
    list.extend(conditions(managed));
    list.extend(dependencies(manager, name, managed));
    list.extend(process(managed));
    list.extend(stamps(&managed.stamps));
    list.extend(container(manager, name, managed));
    list.extend(usage(managed.main_pid().and_then(|pid| Usage::of(manager.paths(), pid))));
    Some(list)
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

fn identity(manager: &Manager, name: &UnitName, managed: &Managed) -> Vec<Property> {
    let unit = managed.unit();
    let fragment = unit.and_then(|unit| unit.fragment.as_ref());
    vec![
        ("Id", text(name.as_str())),
        ("Description", text(unit.map_or(name.as_str(), |unit| unit.description.as_str()))),
        ("Documentation", Value::List(unit.map(|unit| unit.documentation.clone()).unwrap_or_default())),
        ("LoadState", text(managed.loaded.state.as_str())),
        ("LoadError", text(load_error(managed))),
        ("UnitFileState", text(manager.unit_file_state(name))),
        ("FragmentPath", text(fragment.map(|path| path.display().to_string()).unwrap_or_default())),
        ("DropInPaths", Value::List(unit.map(|unit| drop_ins(unit)).unwrap_or_default())),
        ("NeedDaemonReload", Value::Flag(manager.needs_reload(name))),
    ]
}

fn load_error(managed: &Managed) -> String {
    match &managed.loaded.state {
        super::machine::LoadState::Bad(error) => error.clone(),
        _ => String::new(),
    }
}

fn drop_ins(unit: &Unit) -> Vec<String> {
    unit.drop_ins.iter().map(|path| path.display().to_string()).collect()
}

fn state(manager: &Manager, managed: &Managed) -> Vec<Property> {
    let job = managed.job.and_then(|id| manager.machine().jobs().get(&id));
    let failure = managed.failure.as_ref();
    vec![
        ("ActiveState", text(managed.active_state().as_str())),
        ("SubState", text(managed.phase.as_str())),
        ("Result", text(managed.result.as_str())),
        ("Job", Value::Unsigned(job.map_or(0, |job| job.id.0))),
        ("JobType", text(job.map_or("", |job| job.kind.as_str()))),
        ("NRestarts", Value::Unsigned(managed.restarts)),
        ("StatusText", text(managed.status_text.as_str())),
        ("StatusErrno", Value::Signed(failure.map_or(0, |failure| failure.errno))),
        ("LaunchError", text(failure.map_or("", |failure| failure.message.as_str()))),
    ]
}

/// `HealthState` is empty where nothing is checked. What each check says changes without a signal.
fn health(manager: &Manager, name: &UnitName, managed: &Managed) -> Vec<Property> {
    let checked = manager.health(name);
    let state = match (&managed.health, &checked) {
        (_, None) => "",
        (HealthState::Unknown, Some(_)) => "starting",
        (HealthState::Healthy, Some(_)) => "healthy",
        (HealthState::Unhealthy(_), Some(_)) => "unhealthy",
    };
    let checked = checked.unwrap_or_default();
    vec![
        ("HealthState", text(state)),
        ("HealthTimestamp", microseconds(checked.last)),
        ("HealthOutput", text(checked.output)),
        ("HealthFailingStreak", Value::Unsigned(checked.failures)),
    ]
}

/// Of the last start.
fn conditions(managed: &Managed) -> Vec<Property> {
    let unmet = managed.unmet.as_ref();
    let holds = |kind| Value::Flag(unmet.is_none_or(|unmet| unmet.otherwise != kind));
    vec![
        ("ConditionResult", holds(Otherwise::Skip)),
        ("AssertResult", holds(Otherwise::Fail)),
        ("ConditionTimestamp", microseconds(unmet.map(|unmet| unmet.at))),
        ("Conditions", Value::List(unmet.map(|unmet| unmet.text.clone()).into_iter().collect())),
    ]
}

fn dependencies(manager: &Manager, name: &UnitName, managed: &Managed) -> Vec<Property> {
    let none = Dependencies::default();
    let own = managed.unit().map_or(&none, |unit| &unit.dependencies);
    let names = |set: &BTreeSet<UnitName>| Value::List(set.iter().map(ToString::to_string).collect());
    let reverse = |pick: fn(&Dependencies) -> &BTreeSet<UnitName>| {
        let units = manager.machine().units().iter();
        let of = units
            .filter(|(_, other)| other.unit().is_some_and(|unit| pick(&unit.dependencies).contains(name)));
        Value::List(of.map(|(other, _)| other.to_string()).collect())
    };
    vec![
        ("Requires", names(&own.requires)),
        ("Wants", names(&own.wants)),
        ("BindsTo", names(&own.binds_to)),
        ("PartOf", names(&own.part_of)),
        ("Conflicts", names(&own.conflicts)),
        ("After", names(&own.after)),
        ("Before", names(&own.before)),
        ("WantedBy", reverse(|dependencies| &dependencies.wants)),
        ("RequiredBy", reverse(|dependencies| &dependencies.requires)),
    ]
}

fn process(managed: &Managed) -> Vec<Property> {
    let run = managed.run.as_ref();
    let (code, status) = run.and_then(|run| run.exit).map_or((0, 0), |exit| exit.code_and_status());
    vec![
        ("InvocationID", text(run.map_or("", |run| run.invocation.as_str()))),
        ("MainPID", Value::Unsigned(managed.main_pid().unwrap_or(0))),
        ("ExecMainPID", Value::Unsigned(run.map_or(0, |run| run.pid))),
        ("ExecMainCode", Value::Signed(code)),
        ("ExecMainStatus", Value::Signed(status)),
        ("ExecMainStartTimestamp", microseconds(run.map(|run| run.started))),
        ("ExecMainExitTimestamp", microseconds(run.and_then(|run| run.ended))),
    ]
}

fn stamps(stamps: &Stamps) -> Vec<Property> {
    vec![
        ("StateChangeTimestamp", microseconds(Some(stamps.changed))),
        ("ActiveEnterTimestamp", microseconds(Some(stamps.active_enter))),
        ("ActiveExitTimestamp", microseconds(Some(stamps.active_exit))),
        ("InactiveEnterTimestamp", microseconds(Some(stamps.inactive_enter))),
        ("InactiveExitTimestamp", microseconds(Some(stamps.inactive_exit))),
    ]
}

fn microseconds(stamp: Option<Stamp>) -> Value {
    let time = stamp.map(|stamp| stamp.realtime.as_micros()).unwrap_or_default();
    Value::Large(u64::try_from(time).unwrap_or(u64::MAX))
}

fn container(manager: &Manager, name: &UnitName, managed: &Managed) -> Vec<Property> {
    let facts = manager.run_facts(name);
    let up = managed.main_pid().is_some();
    let control_group = managed.main_pid().and_then(|pid| process::control_group(pid).ok());
    let mut list = vec![
        ("Scope", text(if up { name.scope() } else { String::new() })),
        ("ControlGroup", text(control_group.unwrap_or_default())),
        ("ImageID", text(facts.map_or("", |facts| facts.image_id.as_str()))),
        ("RootFS", text(facts.map_or("", |facts| facts.rootfs.as_str()))),
        ("Command", Value::List(facts.map(|facts| facts.command.clone()).unwrap_or_default())),
        ("UserNamespace", text(facts.map_or("", |facts| facts.user_namespace.as_str()))),
    ];
    list.extend(transfer(manager.transfers().of(name)));
    if let Some(Body::Container(container)) = managed.unit().map(|unit| &unit.body) {
        list.extend(configuration(container));
    }
    list
}

/// The pull that a unit waits for. Its signals tell how it goes on, not those of the unit.
fn transfer(transfer: Option<&Transfer>) -> Vec<Property> {
    let bytes = transfer.map(Transfer::bytes).unwrap_or_default();
    vec![
        ("Transfer", Value::Unsigned(transfer.map_or(0, |transfer| transfer.id))),
        ("TransferImage", text(transfer.map(|transfer| transfer.image.to_string()).unwrap_or_default())),
        ("TransferError", text(transfer.map_or("", |transfer| transfer.trouble.as_str()))),
        ("TransferBytesDone", Value::Large(bytes.done)),
        ("TransferBytesTotal", Value::Large(bytes.total)),
    ]
}

fn configuration(container: &Container) -> Vec<Property> {
    let limit = |value: Option<u64>| Value::Large(value.unwrap_or(u64::MAX));
    let resources = &container.resources;
    vec![
        ("Image", text(image(&container.image))),
        ("Pull", text(pull(container.pull))),
        ("Restart", text(restart(container.restart))),
        ("Slice", text(resources.slice.as_deref().unwrap_or(DEFAULT_SLICE))),
        ("MemoryMax", limit(resources.memory_max)),
        ("MemoryHigh", limit(resources.memory_high)),
        ("TasksMax", limit(resources.tasks_max)),
        ("Sockets", Value::List(sockets(container))),
    ]
}

fn sockets(container: &Container) -> Vec<String> {
    let line = |(name, socket): (&String, &crate::unit::model::Socket)| {
        format!("{name}: {} ({})", address(&socket.listen), pass(socket.pass))
    };
    container.sockets.iter().map(line).collect()
}

/// An address as units write it.
pub fn address(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
        Listen::Abstract(name) => format!("@{name}"),
    }
}

/// `socket.*.pass` as units write it.
pub fn pass(pass: Pass) -> &'static str {
    match pass {
        Pass::Fd => "fd",
        Pass::Swap => "swap",
    }
}

fn image(source: &ImageSource) -> String {
    match source {
        ImageSource::Reference(reference) => reference.clone(),
        ImageSource::Id(id) => format!("store:{id}"),
        ImageSource::Directory(path) => format!("dir:{}", path.display()),
    }
}

fn pull(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::Missing => "missing",
        PullPolicy::Always => "always",
        PullPolicy::Never => "never",
        PullPolicy::Newer => "newer",
    }
}

fn restart(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::No => "no",
        RestartPolicy::Always => "always",
        RestartPolicy::OnSuccess => "on-success",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::OnAbnormal => "on-abnormal",
        RestartPolicy::OnAbort => "on-abort",
        RestartPolicy::OnWatchdog => "on-watchdog",
    }
}

fn usage(usage: Option<Usage>) -> Vec<Property> {
    let of =
        |pick: fn(&Usage) -> Option<u64>| Value::Large(usage.as_ref().and_then(pick).unwrap_or(u64::MAX));
    vec![
        ("MemoryCurrent", of(|usage| usage.memory)),
        ("TasksCurrent", of(|usage| usage.tasks)),
        ("CPUUsageNSec", of(|usage| usage.cpu_nanoseconds)),
    ]
}
