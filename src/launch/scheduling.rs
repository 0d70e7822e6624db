//! How the payload and its processes are scheduled, and which machine they take theirs for.

use super::failure::During;
use super::protocol::StepError;
use crate::sys::scheduling::{OnFork, set_io, set_personality, set_policy};
use crate::unit::model::{CpuScheduling, IoScheduling, Personality, ProcessSettings};
use rustix::process::setpriority_process;

/// linux/personality.h
const PER_LINUX: u32 = 0;
const PER_LINUX32: u32 = 8;

/// What needs the host's privileges, by the launcher for those that it makes.
pub fn prepare(settings: &ProcessSettings) -> Result<(), StepError> {
    let CpuScheduling { nice, .. } = settings.cpu_scheduling;
    policy(settings.cpu_scheduling, OnFork::Inherit)?;
    setpriority_process(None, nice).during("set nice value", nice)?;
    match settings.io_scheduling {
        Some(IoScheduling { class, priority }) => {
            let priority = if class.has_priorities() { priority } else { 0 };
            set_io(class.number(), priority)
                .during("set I/O scheduling", format_args!("{} {priority}", class.word()))
        }
        None => Ok(()),
    }
}

/// What is for the payload alone. What comes from `prepare` was inherited, so that nobody's leave is needed.
pub fn apply(settings: &ProcessSettings) -> Result<(), StepError> {
    if settings.cpu_scheduling.reset_on_fork {
        policy(settings.cpu_scheduling, OnFork::Reset)?;
    }
    let Some(personality) = settings.personality else { return Ok(()) };
    let domain = match personality {
        Personality::Native => PER_LINUX,
        Personality::Narrow => PER_LINUX32,
    };
    set_personality(domain).during("set personality", personality.word())
}

fn policy(CpuScheduling { policy, priority, .. }: CpuScheduling, on_fork: OnFork) -> Result<(), StepError> {
    let said = format_args!("{} {priority}", policy.word());
    set_policy(policy.number(), priority, on_fork).during("set CPU scheduling", said)
}
