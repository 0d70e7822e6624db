//! What a scope is asked to be, and how that is said to systemd: systemd.scope(5), systemd.kill(5),
//! systemd.resource-control(5).

use crate::unit::model::{ManagedOom, OfDevices, Resources};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use zbus::{Fd, Variant};

/// The slice of containers whose unit names none.
pub const DEFAULT_SLICE: &str = "sampan.slice";

/// The control group of a slice, relative to the root of the hierarchy: `a-b.slice` is inside of `a.slice`,
/// systemd.slice(5).
pub fn slice_group(slice: &str) -> PathBuf {
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    let dashes = stem.match_indices('-').map(|(position, _)| &stem[..position]);
    let outer = dashes.filter(|name| !name.is_empty()).map(|name| format!("{name}.slice"));
    let own = (stem != "-").then(|| slice.to_owned());
    outer.chain(own).collect()
}

/// The service that this program runs in.
const CONTROLLER_SERVICE: &str = "sampand.service";

/// A scope to be started around a process that exists already.
#[derive(Debug)]
pub struct ScopeRequest {
    /// `sampan-web.scope`.
    pub name: String,
    /// What `systemctl status` shows.
    pub description: String,
    /// The slice; [`DEFAULT_SLICE`] where the unit names none.
    pub slice: String,
    /// The process to begin with.
    pub pid: u32,
    /// The same process, so that no other can be taken for it; systemd understands it since version 255.
    pub pidfd: OwnedFd,
    /// Limits.
    pub resources: Resources,
    /// Devices beside the standard ones that it may use, and how; none: nobody is asked, since it has no others.
    pub devices: Vec<(String, String)>,
    /// Who ends it.
    pub keeper: Keeper,
    /// Between systemd's stop request and its SIGKILL; `None`: infinity.
    pub stop_timeout: Option<Duration>,
    /// Units of systemd's that at shutdown stop after it.
    pub after: Vec<String>,
    /// Whether it comes when all others go.
    pub host: HostState,
    /// What systemd sends in place of the stop request when the manager is away.
    pub stop_signal: i32,
}

/// Who ends a scope that is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// This program, which systemd asks to.
    Manager,
    /// systemd, by signals to all processes.
    Systemd,
}

/// What becomes of the host while a unit starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// Nothing.
    Up,
    /// It goes down: what starts now must not be among what the shutdown stops.
    GoingDown,
}

/// A slice that is there for as long as the host is up.
pub(super) const LASTING_SLICE: &str = "system.slice";

/// How systemd is told about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessProperty {
    /// `PIDs=`, all versions.
    Number,
    /// `PIDFDs=`, since version 255.
    Descriptor,
}

impl ProcessProperty {
    /// What a systemd of this version understands: `252.39-1~deb12u2`, `v257.1`.
    pub(super) fn of_version(version: &str) -> Self {
        let digits: String =
            version.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
        match digits.parse::<u32>() {
            Ok(number) if number >= 255 => Self::Descriptor,
            _ => Self::Number,
        }
    }
}

/// The properties of a new scope whose controller is `controller`, a name on the bus.
pub(super) fn of_scope<'a>(
    request: &'a ScopeRequest,
    process: ProcessProperty,
    controller: &'a str,
) -> Vec<(&'static str, Variant<'a>)> {
    let stop_timeout = request.stop_timeout.map_or(u64::MAX, microseconds);
    let process = match process {
        ProcessProperty::Number => ("PIDs", Variant::from(vec![request.pid])),
        ProcessProperty::Descriptor => ("PIDFDs", Variant::from(vec![Fd::from(&request.pidfd)])),
    };
    let (slice, dependencies, before) = match request.host {
        HostState::Up => (request.slice.as_str(), true, vec![CONTROLLER_SERVICE]),
        // Whatever stops goes first, so that a start before the controller's stop would wait for it.
        HostState::GoingDown => (LASTING_SLICE, false, Vec::new()),
    };
    let mut properties = vec![
        process,
        ("Description", request.description.as_str().into()),
        ("DefaultDependencies", dependencies.into()),
        ("Slice", slice.into()),
        // At shutdown systemd stops the controller first, which then stops all containers in their order; what it
        // leaves, systemd stops itself. Before what it uses goes away: that is stopped after it.
        ("Before", before.into()),
        ("After", request.after.clone().into()),
        ("CollectMode", "inactive-or-failed".into()),
        ("TimeoutStopUSec", stop_timeout.into()),
        ("KillSignal", request.stop_signal.into()),
        ("SendSIGHUP", false.into()),
        ("CPUAccounting", true.into()),
        ("MemoryAccounting", true.into()),
        ("IOAccounting", true.into()),
        ("TasksAccounting", true.into()),
        ("IPAccounting", request.resources.ip_accounting.into()),
        // Groups below it are not systemd's.
        ("Delegate", true.into()),
    ];
    if request.keeper == Keeper::Manager {
        properties.push(("Controller", controller.into()));
    }
    if !request.devices.is_empty() {
        properties.push(("DevicePolicy", "closed".into()));
        properties.push(("DeviceAllow", request.devices.clone().into()));
    }
    properties.extend(of_resources(&request.resources));
    properties
}

/// The limits that a unit sets.
pub(super) fn of_resources(resources: &Resources) -> Vec<(&'static str, Variant<'static>)> {
    let mut properties = numbers(resources);
    properties.extend(of_devices(resources));
    properties.extend(managed_oom(&resources.managed_oom));
    if !resources.allowed_cpus.is_empty() {
        properties.push(("AllowedCPUs", bits(&resources.allowed_cpus).into()));
    }
    properties
}

/// What makes limits of others: those that are new, and for those that are gone what systemd has without them.
/// `TasksMax` does not go: without it there is systemd's `DefaultTasksMax=`.
pub(super) fn of_change(before: &Resources, after: &Resources) -> Vec<(&'static str, Variant<'static>)> {
    let (before, after) = (of_resources(before), of_resources(after));
    let mut properties: Vec<_> =
        before.iter().filter(|gone| !after.contains(gone)).map(|(name, _)| (*name, initial(name))).collect();
    properties.extend(after.into_iter().filter(|new| !before.contains(new)));
    properties
}

/// What a property is where nobody has set it. An empty list takes back all rows.
fn initial(name: &str) -> Variant<'static> {
    match name {
        "MemoryMin" | "MemoryLow" => 0_u64.into(),
        "ManagedOOMSwap" | "ManagedOOMMemoryPressure" => "auto".into(),
        "ManagedOOMMemoryPressureLimit" => 0_u32.into(),
        "ManagedOOMPreference" => "none".into(),
        "AllowedCPUs" => Vec::<u8>::new().into(),
        "IODeviceWeight"
        | "IOReadBandwidthMax"
        | "IOWriteBandwidthMax"
        | "IOReadIOPSMax"
        | "IOWriteIOPSMax" => Vec::<(String, u64)>::new().into(),
        _ => u64::MAX.into(),
    }
}

/// What systemd tells systemd-oomd.service(8).
fn managed_oom(managed: &ManagedOom) -> impl Iterator<Item = (&'static str, Variant<'static>)> {
    [
        ("ManagedOOMSwap", managed.swap.map(|mode| mode.word().into())),
        ("ManagedOOMMemoryPressure", managed.memory_pressure.map(|mode| mode.word().into())),
        ("ManagedOOMMemoryPressureLimit", managed.memory_pressure_limit.map(Variant::from)),
        ("ManagedOOMPreference", managed.preference.map(|preference| preference.word().into())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

/// Limits of single devices, which systemd finds by paths of files on them.
fn of_devices(resources: &Resources) -> impl Iterator<Item = (&'static str, Variant<'static>)> {
    let tables = [
        ("IODeviceWeight", &resources.io_device_weight),
        ("IOReadBandwidthMax", &resources.io_read_bandwidth_max),
        ("IOWriteBandwidthMax", &resources.io_write_bandwidth_max),
        ("IOReadIOPSMax", &resources.io_read_iops_max),
        ("IOWriteIOPSMax", &resources.io_write_iops_max),
    ];
    let rows = |table: &OfDevices| -> Vec<(String, u64)> {
        table.iter().map(|(path, number)| (path.to_string_lossy().into_owned(), *number)).collect()
    };
    tables
        .into_iter()
        .filter(|(_, table)| !table.is_empty())
        .map(move |(name, table)| (name, rows(table).into()))
}

/// A set of processors as org.freedesktop.systemd1(5) has it: bit N % 8 of byte N / 8.
fn bits(processors: &[u32]) -> Vec<u8> {
    let place = |number: u32| (usize::try_from(number / 8).unwrap_or(usize::MAX), 1_u8 << (number % 8));
    let length = processors.iter().map(|number| place(*number).0 + 1).max().unwrap_or_default();
    let mut bytes = vec![0; length];
    for (byte, bit) in processors.iter().map(|number| place(*number)) {
        bytes[byte] |= bit;
    }
    bytes
}

fn numbers(resources: &Resources) -> Vec<(&'static str, Variant<'static>)> {
    [
        ("MemoryMin", resources.memory_min),
        ("MemoryLow", resources.memory_low),
        ("MemoryMax", resources.memory_max),
        ("MemoryHigh", resources.memory_high),
        ("MemorySwapMax", resources.memory_swap_max),
        ("CPUQuotaPerSecUSec", resources.cpu_quota_per_sec_usec),
        ("CPUWeight", resources.cpu_weight),
        ("IOWeight", resources.io_weight),
        ("TasksMax", resources.tasks_max),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, Variant::from(value?))))
    .collect()
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pidfds_are_used_where_systemd_knows_them() {
        for (version, expected) in [
            ("252.39-1~deb12u2", ProcessProperty::Number),
            ("254", ProcessProperty::Number),
            ("255.4-1ubuntu8", ProcessProperty::Descriptor),
            ("v257.1", ProcessProperty::Descriptor),
            ("unknown", ProcessProperty::Number),
        ] {
            assert_eq!(ProcessProperty::of_version(version), expected, "{version}");
        }
    }

    #[test]
    fn slices_are_inside_each_other() {
        for (slice, group) in [
            ("sampan.slice", "sampan.slice"),
            ("sampan-a-b.slice", "sampan.slice/sampan-a.slice/sampan-a-b.slice"),
            ("-.slice", ""),
        ] {
            assert_eq!(slice_group(slice), PathBuf::from(group), "{slice}");
        }
    }

    #[test]
    fn processors_are_bits() {
        assert_eq!(bits(&[0, 2, 9]), [0b101, 0b10]);
        assert_eq!(bits(&[8]), [0, 1]);
    }

    #[test]
    fn only_limits_that_the_unit_sets_are_sent() {
        let resources =
            Resources { memory_max: Some(256 << 20), tasks_max: Some(u64::MAX), ..Resources::default() };
        assert_eq!(
            of_resources(&resources),
            [("MemoryMax", Variant::from(256_u64 << 20)), ("TasksMax", Variant::from(u64::MAX))]
        );
    }
}
