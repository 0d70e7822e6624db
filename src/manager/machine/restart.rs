//! When a unit starts again by itself, systemd.service(5) `Restart=`, and when that is too often.

use super::state::{Exit, UnitResult};
use crate::unit::model::{Container, ExitStatus, ExitStatuses, RestartPolicy, StartLimit};
use std::collections::VecDeque;
use std::time::Duration;

/// Starts of a unit that nobody asked for, but other units by their relations: systemd allows as many.
pub(super) const AUTOMATIC_LIMIT: StartLimit = StartLimit { burst: 16, interval: Duration::from_secs(10) };

/// Whether a unit starts again by itself after a result, and the exit that led to it.
pub(super) fn restarts_after(container: &Container, result: UnitResult, exit: Option<Exit>) -> bool {
    let is_in = |statuses: &ExitStatuses| exit.is_some_and(|exit| named(statuses, exit));
    if matches!(result, UnitResult::StartLimitHit | UnitResult::TriggerLimitHit | UnitResult::ExecCondition)
        || is_in(&container.restart_prevent_exit_status)
    {
        return false;
    }
    is_in(&container.restart_force_exit_status) || policy(container.restart, result)
}

fn policy(policy: RestartPolicy, result: UnitResult) -> bool {
    use UnitResult::{CoreDump, ExitCode, Signal, Success, Watchdog};
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::OnSuccess => result == Success,
        RestartPolicy::OnFailure => result != Success,
        RestartPolicy::OnAbnormal => !matches!(result, Success | ExitCode),
        RestartPolicy::OnAbort => matches!(result, Signal | CoreDump),
        RestartPolicy::OnWatchdog => result == Watchdog,
    }
}

/// Whether an exit is in a set.
pub(super) fn named(statuses: &ExitStatuses, exit: Exit) -> bool {
    match exit {
        Exit::Code(code) => statuses.contains(&ExitStatus::Code(code)),
        Exit::Signal(signal) | Exit::Core(signal) => statuses.contains(&ExitStatus::Signal(signal)),
        Exit::OomKill => statuses.contains(&ExitStatus::Signal(libc::SIGKILL)),
        Exit::Unknown => false,
    }
}

/// The pause before the next restart, systemd.service(5) `RestartSteps=`: it grows by the same factor with
/// each.
pub(super) fn restart_delay(container: &Container, restarts: u32) -> Duration {
    let (delay, steps) = (container.restart_delay, container.restart_steps);
    let Some(longest) = container.restart_delay_max.filter(|longest| steps > 0 && delay < *longest) else {
        return delay;
    };
    if restarts >= steps {
        return longest;
    }
    let first = delay.max(Duration::from_micros(1));
    let growth = longest.as_secs_f64() / first.as_secs_f64();
    let grown = first.as_secs_f64() * growth.powf(f64::from(restarts) / f64::from(steps));
    Duration::try_from_secs_f64(grown).map_or(longest, |pause| pause.min(longest))
}

/// Notes a start, and tells whether it is one too many. Times are on one monotonic clock.
pub(super) fn exceeds_limit(starts: &mut VecDeque<Duration>, limit: StartLimit, now: Duration) -> bool {
    if limit.burst == 0 || limit.interval.is_zero() {
        return false;
    }
    starts.retain(|start| now.saturating_sub(*start) < limit.interval);
    if starts.len() >= limit.burst as usize {
        return true;
    }
    starts.push_back(now);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_starts_in_its_interval() {
        let limit = StartLimit { burst: 2, interval: Duration::from_secs(10) };
        let mut starts = VecDeque::new();
        let at = Duration::from_secs;
        assert!(!exceeds_limit(&mut starts, limit, at(0)));
        assert!(!exceeds_limit(&mut starts, limit, at(1)));
        assert!(exceeds_limit(&mut starts, limit, at(2)));
        assert!(!exceeds_limit(&mut starts, limit, at(10)));
    }

    #[test]
    fn pauses_grow_in_steps_to_the_longest() {
        let mut container = super::super::simulation::container();
        container.restart_delay = Duration::from_millis(100);
        assert_eq!(restart_delay(&container, 7), Duration::from_millis(100));
        container.restart_steps = 3;
        container.restart_delay_max = Some(Duration::from_millis(2700));
        let pauses: Vec<u128> =
            (0..5).map(|restarts| restart_delay(&container, restarts).as_millis()).collect();
        assert_eq!(pauses, [100, 300, 900, 2700, 2700]);
    }
}
