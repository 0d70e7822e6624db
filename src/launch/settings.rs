//! What the payload and its processes inherit: limits, processors, the umask, and what the kernel makes of their
//! memory.

use super::failure::During;
use super::protocol::StepError;
use crate::sys::memory_merge;
use crate::unit::model::{Limit, LimitKind, ProcessSettings};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io;

/// The mask where the unit does not say.
const UMASK: u32 = 0o022;

/// What needs the host's privileges, done by the launcher for those that it makes. Soft limits stay: it needs them.
pub fn prepare(settings: &ProcessSettings) -> Result<(), StepError> {
    // What the manager is worth to the kernel's OOM killer is not what its containers are.
    let score = settings.oom_score_adjust.unwrap_or_default().to_string();
    std::fs::write("/proc/self/oom_score_adj", &score).during("set OOM score", &score)?;
    for (kind, limit) in &settings.limits {
        raise(*kind, *limit).during("set limits", name(*kind))?;
    }
    if settings.memory_merge {
        match memory_merge::enable() {
            // As systemd does it: a kernel without KSM merges nothing.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => result.during("merge memory", "PR_SET_MEMORY_MERGE")?,
        }
    }
    Ok(())
}

/// All else, just before the payload is executed.
pub fn apply(settings: &ProcessSettings) -> Result<(), StepError> {
    if !settings.limits.contains_key(&LimitKind::Nofile) {
        limit_descriptors().during("set limits", name(LimitKind::Nofile))?;
    }
    for (kind, limit) in &settings.limits {
        set(*kind, *limit).during("set limits", name(*kind))?;
    }
    run_on(&settings.cpu_affinity).during("set CPU affinity", numbers(&settings.cpu_affinity))?;
    rustix::process::umask(Mode::from_raw_mode(settings.umask.unwrap_or(UMASK)));
    Ok(())
}

fn raise(kind: LimitKind, limit: Limit) -> Result<(), Errno> {
    let now = getrlimit(resource(kind));
    let lower = now.maximum.is_some_and(|maximum| maximum < limit.hard);
    if !lower {
        return Ok(());
    }
    setrlimit(resource(kind), Rlimit { current: now.current, maximum: finite(limit.hard) })
}

fn set(kind: LimitKind, limit: Limit) -> Result<(), Errno> {
    setrlimit(resource(kind), Rlimit { current: finite(limit.soft), maximum: finite(limit.hard) })
}

/// `None` is infinity, as everywhere in this library.
fn finite(number: u64) -> Option<u64> {
    (number != u64::MAX).then_some(number)
}

/// systemd's default, whatever the manager has for itself: above 1024 select(2) breaks.
fn limit_descriptors() -> Result<(), Errno> {
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

fn resource(kind: LimitKind) -> Resource {
    match kind {
        LimitKind::AddressSpace => Resource::As,
        LimitKind::Core => Resource::Core,
        LimitKind::Cpu => Resource::Cpu,
        LimitKind::Data => Resource::Data,
        LimitKind::Fsize => Resource::Fsize,
        LimitKind::Locks => Resource::Locks,
        LimitKind::Memlock => Resource::Memlock,
        LimitKind::Msgqueue => Resource::Msgqueue,
        LimitKind::Nice => Resource::Nice,
        LimitKind::Nofile => Resource::Nofile,
        LimitKind::Nproc => Resource::Nproc,
        LimitKind::Rss => Resource::Rss,
        LimitKind::Rtprio => Resource::Rtprio,
        LimitKind::Rttime => Resource::Rttime,
        LimitKind::Sigpending => Resource::Sigpending,
        LimitKind::Stack => Resource::Stack,
    }
}

fn name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::AddressSpace => "RLIMIT_AS",
        LimitKind::Core => "RLIMIT_CORE",
        LimitKind::Cpu => "RLIMIT_CPU",
        LimitKind::Data => "RLIMIT_DATA",
        LimitKind::Fsize => "RLIMIT_FSIZE",
        LimitKind::Locks => "RLIMIT_LOCKS",
        LimitKind::Memlock => "RLIMIT_MEMLOCK",
        LimitKind::Msgqueue => "RLIMIT_MSGQUEUE",
        LimitKind::Nice => "RLIMIT_NICE",
        LimitKind::Nofile => "RLIMIT_NOFILE",
        LimitKind::Nproc => "RLIMIT_NPROC",
        LimitKind::Rss => "RLIMIT_RSS",
        LimitKind::Rtprio => "RLIMIT_RTPRIO",
        LimitKind::Rttime => "RLIMIT_RTTIME",
        LimitKind::Sigpending => "RLIMIT_SIGPENDING",
        LimitKind::Stack => "RLIMIT_STACK",
    }
}
