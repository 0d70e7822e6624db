//! What the payload and its processes inherit: limits, processors, how they are scheduled, the umask, and what the
//! kernel makes of their memory.

use super::execute::OUT_OF_THE_WAY;
use super::failure::During;
use super::protocol::StepError;
use super::scheduling;
use crate::sys::memory_merge;
use crate::unit::model::{CpuScheduling, Limit, LimitKind, ProcessSettings};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io;

/// What needs the host's privileges, done by the launcher for those that it makes. Soft limits stay: it needs them.
pub fn prepare(settings: &ProcessSettings) -> Result<(), StepError> {
    // What the manager is worth to the kernel's OOM killer is not what its containers are.
    let score = settings.oom_score_adjust.unwrap_or_default().to_string();
    std::fs::write("/proc/self/oom_score_adj", &score).during("set OOM score", &score)?;
    settings.limits.iter().try_for_each(|(kind, limit)| raise(*kind, *limit))?;
    merge_memory(settings)?;
    scheduling::prepare(settings)
}

/// Of what `prepare` does, that which needs nobody's leave.
pub fn merge_memory(settings: &ProcessSettings) -> Result<(), StepError> {
    if !settings.memory_merge {
        return Ok(());
    }
    match memory_merge::enable() {
        // As systemd does it: a kernel without KSM merges nothing.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result.during("merge memory", "PR_SET_MEMORY_MERGE"),
    }
}

/// Whether all that `prepare` needs the host's privileges for is as for settings that say nothing.
pub fn ask_nothing_of_the_host(settings: &ProcessSettings) -> bool {
    let ProcessSettings { oom_score_adjust, limits, cpu_scheduling, io_scheduling, .. } = settings;
    oom_score_adjust.is_none_or(|score| score == 0)
        && limits.is_empty()
        && *cpu_scheduling == CpuScheduling::default()
        && io_scheduling.is_none()
}

/// Descriptors of a launcher lie out of the way of those that it passes, however few its manager may have.
pub fn make_room() -> io::Result<()> {
    const LEAST: u64 = OUT_OF_THE_WAY.unsigned_abs() as u64 + 64;
    const ENOUGH: u64 = 2 * LEAST;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|soft| soft >= ENOUGH) {
        return Ok(());
    }
    let current = now.maximum.map_or(ENOUGH, |hard| hard.clamp(LEAST, ENOUGH));
    let maximum = now.maximum.map(|hard| hard.max(current));
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })?)
}

/// All else, just before the payload is executed.
pub fn apply(settings: &ProcessSettings) -> Result<(), StepError> {
    if !settings.limits.contains_key(&LimitKind::Nofile) {
        limit_descriptors()?;
    }
    settings.limits.iter().try_for_each(|(kind, limit)| set(*kind, *limit))?;
    run_on(&settings.cpu_affinity).during("set CPU affinity", numbers(&settings.cpu_affinity))?;
    rustix::process::umask(Mode::from_raw_mode(settings.umask()));
    scheduling::apply(settings)
}

fn raise(kind: LimitKind, limit: Limit) -> Result<(), StepError> {
    let (resource, name) = known(kind);
    let now = getrlimit(resource);
    match now.maximum {
        Some(maximum) if maximum < limit.hard => {
            let raised = Rlimit { current: now.current, maximum: finite(limit.hard) };
            setrlimit(resource, raised).during("set limits", name)
        }
        _ => Ok(()),
    }
}

fn set(kind: LimitKind, limit: Limit) -> Result<(), StepError> {
    let (resource, name) = known(kind);
    let limit = Rlimit { current: finite(limit.soft), maximum: finite(limit.hard) };
    setrlimit(resource, limit).during("set limits", name)
}

/// `None` is infinity, as everywhere in this library.
fn finite(number: u64) -> Option<u64> {
    (number != u64::MAX).then_some(number)
}

/// systemd's default, whatever the manager has for itself: above 1024 select(2) breaks.
fn limit_descriptors() -> Result<(), StepError> {
    const SOFT: u64 = 1024;
    const HARD: u64 = 524_288;
    let hard = getrlimit(Resource::Nofile).maximum.map_or(HARD, |maximum| maximum.min(HARD));
    set(LimitKind::Nofile, Limit { soft: SOFT.min(hard), hard })
}

/// sched_setaffinity(2): what of these the host has.
fn run_on(processors: &[u32]) -> io::Result<()> {
    if processors.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for number in processors {
        let number = usize::try_from(*number).unwrap_or(usize::MAX);
        if number >= CpuSet::MAX_CPU {
            return Err(Errno::INVAL.into());
        }
        set.set(number);
    }
    Ok(sched_setaffinity(None, &set)?)
}

fn numbers(processors: &[u32]) -> String {
    processors.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// What the kernel and its manual call a limit.
fn known(kind: LimitKind) -> (Resource, &'static str) {
    match kind {
        LimitKind::AddressSpace => (Resource::As, "RLIMIT_AS"),
        LimitKind::Core => (Resource::Core, "RLIMIT_CORE"),
        LimitKind::Cpu => (Resource::Cpu, "RLIMIT_CPU"),
        LimitKind::Data => (Resource::Data, "RLIMIT_DATA"),
        LimitKind::Fsize => (Resource::Fsize, "RLIMIT_FSIZE"),
        LimitKind::Locks => (Resource::Locks, "RLIMIT_LOCKS"),
        LimitKind::Memlock => (Resource::Memlock, "RLIMIT_MEMLOCK"),
        LimitKind::Msgqueue => (Resource::Msgqueue, "RLIMIT_MSGQUEUE"),
        LimitKind::Nice => (Resource::Nice, "RLIMIT_NICE"),
        LimitKind::Nofile => (Resource::Nofile, "RLIMIT_NOFILE"),
        LimitKind::Nproc => (Resource::Nproc, "RLIMIT_NPROC"),
        LimitKind::Rss => (Resource::Rss, "RLIMIT_RSS"),
        LimitKind::Rtprio => (Resource::Rtprio, "RLIMIT_RTPRIO"),
        LimitKind::Rttime => (Resource::Rttime, "RLIMIT_RTTIME"),
        LimitKind::Sigpending => (Resource::Sigpending, "RLIMIT_SIGPENDING"),
        LimitKind::Stack => (Resource::Stack, "RLIMIT_STACK"),
    }
}
