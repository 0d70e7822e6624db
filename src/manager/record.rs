//! The record of a unit that is up or has failed: what a successor of this process cannot learn from systemd and the
//! kernel. Records are hints: what they say is checked before it is believed ([`super::reconcile`]).

use super::machine::{
    Asked, Failure, HealthState, Job, JobKind, Managed, Phase, Run, Schedule, Stamps, UnitResult,
};
use crate::image::config::HealthCheck;
use crate::launch::protocol::Times;
use crate::unit::model::{Stage, Unit};
use crate::unit::name::UnitName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a run was launched with; for `status` and for `exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// The image's id.
    pub image_id: String,
    /// Its flat tree.
    pub rootfs: String,
    /// Those of the image, with the unit's.
    pub labels: BTreeMap<String, String>,
    /// The command line.
    pub command: Vec<String>,
    /// `FIRST:LENGTH` of the ids, empty for the host's.
    pub user_namespace: String,
    /// Start of the first process, /proc/PID/stat field 22: tells a process from a later one of that number.
    pub start_time: u64,
    /// What the root has on disk for this run alone, removed when it has ended.
    pub ephemeral: Option<PathBuf>,
    /// The slice of its scope; empty in records of versions that had one for all.
    pub slice: String,
    /// The stop signal.
    pub stop_signal: i32,
    /// Names of the volumes that it has mounted.
    pub volumes: Vec<String>,
    /// Ids of the images that it has mounted beside its own.
    pub images: Vec<String>,
    /// Whether the payload has been executed.
    pub executed: bool,
    /// How far the commands of a stage are.
    pub commands: Option<Progress>,
    /// When the launch got where.
    pub moments: Moments,
    /// Ports that the image exposes: `80/tcp`.
    pub ports: Vec<String>,
    /// What the image says of checking it.
    pub health_check: Option<HealthCheck>,
    /// What followed from the checks so far.
    pub health: HealthState,
    /// How often the kernel has killed in it for want of memory.
    pub oom_kills: u64,
    /// The most memory that it had, where it has ended.
    pub memory_peak: Option<u64>,
}

impl RunFacts {
    /// What is still told of a run that is over.
    fn past(&self) -> Self {
        Self {
            moments: self.moments,
            oom_kills: self.oom_kills,
            memory_peak: self.memory_peak,
            ..Self::default()
        }
    }
}

/// How far the commands of a stage are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The run that they belong to.
    pub run: u64,
    /// The stage.
    pub stage: Stage,
    /// How many of them are over.
    pub done: usize,
    /// The one that runs in the container: its process, and when that began, /proc/PID/stat field 22.
    #[serde(default)]
    pub process: Option<(u32, u64)>,
}

/// Moments of a launch, on CLOCK_BOOTTIME; zero: it has not got there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moments {
    /// Image and sockets are there.
    pub begun: Duration,
    /// Commands on the host that come first are over.
    pub commanded: Duration,
    /// The plan is made, and the launcher is at work on it.
    pub spawned: Duration,
    /// The root file system is there.
    pub rooted: Duration,
    /// So are all mounts that come from the host.
    pub mounted: Duration,
    /// systemd has made the control group of the scope.
    pub grouped: Duration,
    /// All of the container is there.
    pub whole: Duration,
    /// Commands join it.
    pub held: Duration,
    /// They are over.
    pub released: Duration,
    /// The payload has been executed.
    pub executed: Duration,
}

impl Moments {
    /// What the launcher tells with its first process.
    pub fn begin(&mut self, times: Times) {
        self.spawned = times.begun;
        self.grouped = times.grouped;
    }

    /// How long each phase took of a launch that began at a moment and was ready at another, in their order. One that
    /// has not ended is not there.
    pub fn phases(&self, begun: Duration, ready: Duration) -> Vec<(&'static str, Duration)> {
        let ends = [
            ("pull", self.begun),
            ("start-pre-host", self.commanded),
            ("prepare", self.spawned),
            ("tree", self.rooted),
            ("mounts", self.mounted),
            // Made while the mounts are; what of it is left when they are there.
            ("scope", if self.grouped.is_zero() { self.grouped } else { self.grouped.max(self.mounted) }),
            ("container", if self.released.is_zero() { self.whole } else { self.held }),
            ("start-pre", self.released),
            ("exec", self.executed),
            ("ready", ready),
        ];
        let mut begin = begun;
        let mut phases = Vec::new();
        for (name, end) in ends {
            // A unit that listened was active before its container ran.
            let Some(time) = end.checked_sub(begin).filter(|_| !end.is_zero()) else { continue };
            phases.push((name, time));
            begin = end;
        }
        phases
    }
}

/// What has become of the connections to a unit with `pass = "accept"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionCounts {
    /// Those that got an instance: the number of the next.
    pub accepted: u32,
    /// Those that were one too many.
    pub refused: u32,
}

/// The last time that a connection to a socket launched the container, or let it go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastActivation {
    /// When somebody connected, since 1970.
    pub at: Duration,
    /// From the connection to the payload's execution, of the last that got there; zero: none has yet.
    pub latency: Duration,
}

/// The format that this program writes. A successor of another version reads what it knows of it.
pub const FORMAT: u32 = 1;

/// The record of one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its format; 0 where it was written before formats had numbers.
    #[serde(default)]
    pub format: u32,
    /// The unit.
    pub unit: UnitName,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its run.
    pub run: Option<Run>,
    /// What the run was launched with.
    #[serde(default)]
    pub facts: RunFacts,
    /// Moments.
    #[serde(default)]
    pub stamps: Stamps,
    /// Why it is there.
    #[serde(default)]
    pub result: UnitResult,
    /// What could not be set up.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Restarts by the policy.
    #[serde(default)]
    pub restarts: u32,
    /// Starts in the interval of the start limit, on CLOCK_BOOTTIME.
    #[serde(default)]
    pub starts: VecDeque<Duration>,
    /// Its timer.
    #[serde(default)]
    pub schedule: Schedule,
    /// The job that is not over.
    #[serde(default)]
    pub job: Option<JobKind>,
    /// Whom it is for.
    #[serde(default)]
    pub asked: Asked,
    /// How often each socket has launched the container.
    #[serde(default)]
    pub activations: BTreeMap<String, u32>,
    /// The last of these times, by socket.
    #[serde(default)]
    pub last_activations: BTreeMap<String, LastActivation>,
    /// What has become of the connections to it, where each gets an instance.
    #[serde(default)]
    pub connections: ConnectionCounts,
    /// The version of its files that rules. The files may be broken or gone when a successor reads them.
    #[serde(default, deserialize_with = "definition")]
    pub definition: Option<Arc<Unit>>,
}

/// One that another version of this program has written, and that says nothing to this one, is none.
fn definition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Unit>>, D::Error> {
    Ok(known(Some(&Value::deserialize(deserializer)?)))
}

impl Record {
    /// A record without a past.
    pub fn new(unit: UnitName, phase: Phase) -> Self {
        Self {
            format: FORMAT,
            unit,
            phase,
            run: None,
            facts: RunFacts::default(),
            stamps: Stamps::default(),
            result: UnitResult::Success,
            failure: None,
            restarts: 0,
            starts: VecDeque::new(),
            schedule: Schedule::default(),
            job: None,
            asked: Asked::default(),
            activations: BTreeMap::new(),
            last_activations: BTreeMap::new(),
            connections: ConnectionCounts::default(),
            definition: None,
        }
    }

    /// What is worth keeping of a unit; `None` where it is down, without a failure, and to stay so.
    pub fn of(
        unit: &UnitName,
        managed: &Managed,
        job: Option<&Job>,
        facts: Option<&RunFacts>,
    ) -> Option<Self> {
        let worth = managed.phase != Phase::Dead || job.is_some();
        // What has failed holds no image and no volume, unless its process does not end.
        let lives = managed.run.as_ref().is_some_and(|run| run.ended.is_none());
        let facts = facts.map(|facts| if managed.is_idle() && !lives { facts.past() } else { facts.clone() });
        worth.then(|| Self {
            run: managed.run.as_deref().cloned(),
            facts: facts.unwrap_or_default(),
            stamps: managed.stamps,
            result: managed.result,
            failure: managed.failure.clone(),
            restarts: managed.restarts,
            starts: managed.starts().clone(),
            schedule: (*managed.schedule).clone(),
            job: job.map(|job| job.kind),
            asked: job.map_or_else(Asked::default, |job| job.asked),
            definition: managed.unit().cloned(),
            ..Self::new(unit.clone(), managed.phase)
        })
    }

    /// What can be read of a record that says things which this version does not know: each value that it does.
    pub fn salvage(bytes: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut written)) = serde_json::from_slice(bytes) else { return None };
        let run: Option<Run> = known(written.get("run"));
        let lives = run.is_some_and(|run| run.pid != 0 && run.exit.is_none());
        // A phase that is not known is one of a container that runs, or says nothing.
        let phase = known(written.remove("phase").as_ref()).or_else(|| lives.then_some(Phase::Running))?;
        let mut record = Self::new(known(written.get("unit"))?, phase);
        let Ok(Value::Object(mut fields)) = serde_json::to_value(&record) else { return None };
        for (name, value) in written {
            let mut more = fields.clone();
            more.insert(name, value);
            if let Some(read) = known(Some(&Value::Object(more.clone()))) {
                (fields, record) = (more, read);
            }
        }
        Some(record)
    }
}

fn known<T: DeserializeOwned>(written: Option<&Value>) -> Option<T> {
    serde_json::from_value(written?.clone()).ok()
}
