//! The properties of a unit's object, read once into types.

use super::text::{Dot, Tone};
use serde::Serialize;
use std::collections::BTreeMap;
use zbus::Variant;

/// One value as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `s`.
    Text(String),
    /// `as`.
    List(Vec<String>),
    /// `u` and `t`.
    Unsigned(u64),
    /// `i`.
    Signed(i64),
    /// `b`.
    Flag(bool),
    /// `a(st)`: names and numbers.
    Numbers(Vec<(String, u64)>),
    /// `a{ss}`.
    Words(BTreeMap<String, String>),
    /// `a(stt)`: names, spans, and moments since boot.
    Spans(Vec<(String, u64, u64)>),
    /// `a(sst)`: names, texts, and moments since 1970.
    Moments(Vec<(String, String, u64)>),
}

impl Value {
    /// The words, where it is that.
    pub fn words(self) -> Option<BTreeMap<String, String>> {
        match self {
            Self::Words(words) => Some(words),
            _ => None,
        }
    }
}

/// All properties by name.
pub type Values = BTreeMap<String, Value>;

/// A value of the bus; `None` for types that no property has.
pub fn value(variant: &Variant<'_>) -> Option<Value> {
    Some(match variant {
        Variant::Str(text) => Value::Text(text.to_string()),
        Variant::U32(number) => Value::Unsigned(u64::from(*number)),
        Variant::U64(number) => Value::Unsigned(*number),
        Variant::I32(number) => Value::Signed(i64::from(*number)),
        Variant::I64(number) => Value::Signed(*number),
        Variant::Bool(flag) => Value::Flag(*flag),
        Variant::Dict(words) => {
            let word = |(name, value): (&Variant<'_>, &Variant<'_>)| match (name, value) {
                (Variant::Str(name), Variant::Str(value)) => Some((name.to_string(), value.to_string())),
                _ => None,
            };
            Value::Words(words.iter().filter_map(word).collect())
        }
        Variant::Array(array) if array.element_signature().to_string() == "(stt)" => {
            Value::Spans(rows(array.inner(), |parts| match parts {
                [Variant::Str(name), Variant::U64(span), Variant::U64(next)] => {
                    Some((name.to_string(), *span, *next))
                }
                _ => None,
            }))
        }
        Variant::Array(array) if array.element_signature().to_string() == "(sst)" => {
            Value::Moments(rows(array.inner(), |parts| match parts {
                [Variant::Str(name), Variant::Str(text), Variant::U64(next)] => {
                    Some((name.to_string(), text.to_string(), *next))
                }
                _ => None,
            }))
        }
        Variant::Array(array) if array.element_signature().to_string() == "(st)" => {
            Value::Numbers(rows(array.inner(), |parts| match parts {
                [Variant::Str(name), Variant::U64(number)] => Some((name.to_string(), *number)),
                _ => None,
            }))
        }
        Variant::Array(array) => {
            let text = |item: &Variant<'_>| match item {
                Variant::Str(text) => Some(text.to_string()),
                _ => None,
            };
            Value::List(array.inner().iter().filter_map(text).collect())
        }
        _ => return None,
    })
}

/// What each structure of an array is; those of another form are left out.
fn rows<T>(items: &[Variant<'_>], row: impl Fn(&[Variant<'_>]) -> Option<T>) -> Vec<T> {
    let row = |item: &Variant<'_>| match item {
        Variant::Structure(parts) => row(parts.fields()),
        _ => None,
    };
    items.iter().filter_map(row).collect()
}

/// `ActiveState`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ActiveState {
    /// It runs, or its sockets listen.
    Active,
    /// It runs, and reads its configuration again.
    Reloading,
    /// It starts.
    Activating,
    /// It stops.
    Deactivating,
    /// It failed.
    Failed,
    /// None of it.
    #[default]
    Inactive,
}

impl ActiveState {
    /// Reads the word; one that is not known is as good as inactive.
    pub fn of_word(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "reloading" => Self::Reloading,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            "failed" => Self::Failed,
            _ => Self::Inactive,
        }
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::Failed => "failed",
            Self::Inactive => "inactive",
        }
    }

    /// Whether it runs: what `is-active` asks for.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Active | Self::Reloading)
    }

    /// Whether it neither runs nor is on its way.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Inactive | Self::Failed)
    }

    /// Its colour.
    pub fn tone(self) -> Tone {
        match self {
            Self::Active | Self::Reloading => Tone::Good,
            Self::Activating | Self::Deactivating => Tone::Moving,
            Self::Failed => Tone::Bad,
            Self::Inactive => Tone::Normal,
        }
    }

    /// The shape of its dot, as systemctl chooses it.
    pub fn dot(self) -> Dot {
        match self {
            Self::Active | Self::Activating | Self::Deactivating => Dot::Filled,
            Self::Reloading => Dot::Turning,
            Self::Inactive => Dot::Hollow,
            Self::Failed => Dot::Cross,
        }
    }
}

/// What has become of the connections to a unit that has an instance for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Instances that there are.
    pub now: u64,
    /// Those that there have been, too.
    pub accepted: u64,
    /// Connections that were closed, as there were too many.
    pub refused: u64,
}

/// Memory of a container in bytes, and its limits; `None` is not known, or no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is named as the property of org.sampan1.Unit that it holds")]
pub struct Memory {
    pub current: Option<u64>,
    pub peak: Option<u64>,
    pub high: Option<u64>,
    pub max: Option<u64>,
    pub swap: Option<u64>,
    pub swap_max: Option<u64>,
    pub anonymous: Option<u64>,
    pub page_cache: Option<u64>,
    pub mapped: Option<u64>,
    pub shared: Option<u64>,
    pub kernel: Option<u64>,
}

/// How the main process ended, waitid(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It called exit(3).
    Exited(i64),
    /// A signal killed it.
    Killed(i64),
    /// A signal killed it and left a core.
    Dumped(i64),
}

/// What `status` and the others read of a unit. Times are microseconds since 1970, 0 meaning never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is named as the property of org.sampan1.Unit that it holds")]
pub struct UnitProperties {
    pub id: String,
    pub description: String,
    pub documentation: Vec<String>,
    pub load_state: String,
    pub load_error: String,
    pub active_state: ActiveState,
    pub sub_state: String,
    pub result: String,
    pub unit_file_state: String,
    pub unit_file_preset: String,
    pub transient: bool,
    pub fragment_path: String,
    pub drop_in_paths: Vec<String>,
    pub need_daemon_reload: bool,
    pub job: u64,
    pub job_type: String,
    pub invocation_id: String,
    pub scope: String,
    pub control_group: String,
    pub main_pid: u64,
    pub exec_main_pid: u64,
    pub exec_main: Option<Ending>,
    pub exec_main_start: u64,
    pub exec_main_exit: u64,
    pub remain_after_exit: bool,
    pub active_enter: u64,
    pub active_exit: u64,
    pub inactive_enter: u64,
    pub inactive_exit: u64,
    pub restarts: u64,
    pub status_text: String,
    pub health_state: String,
    pub health_timestamp: u64,
    pub health_output: String,
    pub health_failing_streak: u64,
    pub assert_result: bool,
    pub status_errno: i64,
    pub launch_error: String,
    /// What its container of before is called, while there is one.
    pub retired: String,
    pub image: String,
    pub image_id: String,
    pub transfer_image: String,
    pub transfer_error: String,
    pub transfer_bytes_done: u64,
    pub transfer_bytes_total: u64,
    pub sockets: Vec<String>,
    pub connections: Option<Connections>,
    pub triggered_by: Vec<String>,
    pub timer_state: String,
    pub next_elapse_realtime: u64,
    pub next_elapse_monotonic: u64,
    pub conditions: Vec<String>,
    pub condition_result: bool,
    pub condition_timestamp: u64,
    pub freezer_state: String,
    pub idle_action: String,
    pub in_use_by: Vec<String>,
    pub idle_since: u64,
    pub next_sleep: u64,
    pub next_idle_stop: u64,
    pub oom_kills: u64,
    pub memory: Memory,
    pub root_size: Option<u64>,
    pub root_used: Option<u64>,
    pub tasks_current: Option<u64>,
    pub tasks_max: Option<u64>,
    pub cpu_usage_nsec: Option<u64>,
    pub io_read_bytes: Option<u64>,
    pub io_write_bytes: Option<u64>,
    pub ip_ingress_bytes: Option<u64>,
    pub ip_egress_bytes: Option<u64>,
}

impl UnitProperties {
    /// Takes what is known out of all values; what is missing is empty.
    pub fn new(values: &Values) -> Self {
        let read = Reader(values);
        Self {
            id: read.text("Id"),
            description: read.text("Description"),
            documentation: read.list("Documentation"),
            load_state: read.text("LoadState"),
            load_error: read.text("LoadError"),
            active_state: ActiveState::of_word(&read.text("ActiveState")),
            sub_state: read.text("SubState"),
            result: read.text("Result"),
            unit_file_state: read.text("UnitFileState"),
            unit_file_preset: read.text("UnitFilePreset"),
            transient: read.flag("Transient"),
            fragment_path: read.text("FragmentPath"),
            drop_in_paths: read.list("DropInPaths"),
            need_daemon_reload: read.flag("NeedDaemonReload"),
            job: read.number("Job"),
            job_type: read.text("JobType"),
            invocation_id: read.text("InvocationID"),
            scope: read.text("Scope"),
            control_group: read.text("ControlGroup"),
            main_pid: read.number("MainPID"),
            exec_main_pid: read.number("ExecMainPID"),
            exec_main: read.ending(),
            exec_main_start: read.number("ExecMainStartTimestamp"),
            exec_main_exit: read.number("ExecMainExitTimestamp"),
            remain_after_exit: read.flag("RemainAfterExit"),
            active_enter: read.number("ActiveEnterTimestamp"),
            active_exit: read.number("ActiveExitTimestamp"),
            inactive_enter: read.number("InactiveEnterTimestamp"),
            inactive_exit: read.number("InactiveExitTimestamp"),
            restarts: read.number("NRestarts"),
            status_text: read.text("StatusText"),
            health_state: read.text("HealthState"),
            health_timestamp: read.number("HealthTimestamp"),
            health_output: read.text("HealthOutput"),
            health_failing_streak: read.number("HealthFailingStreak"),
            assert_result: read.flag("AssertResult"),
            status_errno: read.signed("StatusErrno"),
            launch_error: read.text("LaunchError"),
            retired: read.text("Retired"),
            image: read.text("Image"),
            image_id: read.text("ImageID"),
            transfer_image: read.text("TransferImage"),
            transfer_error: read.text("TransferError"),
            transfer_bytes_done: read.number("TransferBytesDone"),
            transfer_bytes_total: read.number("TransferBytesTotal"),
            sockets: read.list("Sockets"),
            connections: read.flag("Accept").then(|| Connections {
                now: read.number("NConnections"),
                accepted: read.number("NAccepted"),
                refused: read.number("NRefused"),
            }),
            triggered_by: read.list("TriggeredBy"),
            timer_state: read.text("TimerState"),
            next_elapse_realtime: read.number("NextElapseUSecRealtime"),
            next_elapse_monotonic: read.number("NextElapseUSecMonotonic"),
            conditions: read.list("Conditions"),
            condition_result: read.flag("ConditionResult"),
            condition_timestamp: read.number("ConditionTimestamp"),
            freezer_state: read.text("FreezerState"),
            idle_action: read.text("IdleAction"),
            in_use_by: read.list("InUseBy"),
            idle_since: read.number("IdleSinceTimestamp"),
            next_sleep: read.number("NextSleepTimestamp"),
            next_idle_stop: read.number("NextIdleStopTimestamp"),
            oom_kills: read.number("OOMKills"),
            memory: Memory {
                current: read.finite("MemoryCurrent"),
                peak: read.finite("MemoryPeak"),
                high: read.finite("MemoryHigh"),
                max: read.finite("MemoryMax"),
                swap: read.finite("MemorySwapCurrent"),
                swap_max: read.finite("MemorySwapMax"),
                anonymous: read.finite("MemoryAnonymous"),
                page_cache: read.finite("MemoryPageCache"),
                mapped: read.finite("MemoryMapped"),
                shared: read.finite("MemoryShared"),
                kernel: read.finite("MemoryKernel"),
            },
            root_size: read.finite("RootSize"),
            root_used: read.finite("RootUsed"),
            tasks_current: read.finite("TasksCurrent"),
            tasks_max: read.finite("TasksMax"),
            cpu_usage_nsec: read.finite("CPUUsageNSec"),
            io_read_bytes: read.finite("IOReadBytes"),
            io_write_bytes: read.finite("IOWriteBytes"),
            ip_ingress_bytes: read.finite("IPIngressBytes"),
            ip_egress_bytes: read.finite("IPEgressBytes"),
        }
    }

    /// Whether there is such a unit.
    pub fn exists(&self) -> bool {
        self.load_state != "not-found" || self.active_state != ActiveState::Inactive
    }
}

/// A property that is text; empty where there is none.
pub fn text(values: &Values, name: &str) -> String {
    match values.get(name) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

/// A property that is a list; empty where there is none.
pub fn list(values: &Values, name: &str) -> Vec<String> {
    match values.get(name) {
        Some(Value::List(list)) => list.clone(),
        _ => Vec::new(),
    }
}

struct Reader<'a>(&'a Values);

impl Reader<'_> {
    fn text(&self, name: &str) -> String {
        text(self.0, name)
    }

    fn list(&self, name: &str) -> Vec<String> {
        list(self.0, name)
    }

    fn number(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(Value::Unsigned(number)) => *number,
            _ => 0,
        }
    }

    fn signed(&self, name: &str) -> i64 {
        match self.0.get(name) {
            Some(Value::Signed(number)) => *number,
            _ => 0,
        }
    }

    /// The largest number stands for "unknown" and for "no limit".
    fn finite(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Value::Unsigned(number)) => Some(*number).filter(|number| *number != u64::MAX),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Value::Flag(true))
    }

    fn ending(&self) -> Option<Ending> {
        let status = self.signed("ExecMainStatus");
        // CLD_EXITED, CLD_KILLED, CLD_DUMPED: sigaction(2).
        match self.signed("ExecMainCode") {
            1 => Some(Ending::Exited(status)),
            2 => Some(Ending::Killed(status)),
            3 => Some(Ending::Dumped(status)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_types() {
        let values = Values::from([
            ("ActiveState".to_owned(), Value::Text("failed".to_owned())),
            ("ExecMainCode".to_owned(), Value::Signed(2)),
            ("ExecMainStatus".to_owned(), Value::Signed(9)),
            ("MemoryMax".to_owned(), Value::Unsigned(u64::MAX)),
            ("TasksMax".to_owned(), Value::Unsigned(512)),
        ]);
        let unit = UnitProperties::new(&values);
        assert_eq!((unit.active_state, unit.exec_main), (ActiveState::Failed, Some(Ending::Killed(9))));
        assert_eq!((unit.memory.max, unit.tasks_max), (None, Some(512)));
    }
}
