//! When a unit starts again by itself, systemd.service(5) `Restart=`, and when that is too often.

use super::state::UnitResult;
use crate::unit::model::{RestartPolicy, StartLimit};
use std::collections::VecDeque;
use std::time::Duration;

/// systemd.socket(5) `TriggerLimitIntervalSec=` and `TriggerLimitBurst=`: a payload that fails and never takes
/// its connection must not be launched in a loop, whatever its start limit is.
pub(super) const TRIGGER_LIMIT: StartLimit = StartLimit { burst: 20, interval: Duration::from_secs(2) };

/// Whether the policy restarts after a result.
pub(super) fn restarts_after(policy: RestartPolicy, result: UnitResult) -> bool {
    use UnitResult::{
        CoreDump, ExitCode, Protocol, Resources, Signal, StartLimitHit, Success, Timeout, TriggerLimitHit,
    };
    match (policy, result) {
        (_, StartLimitHit | TriggerLimitHit) | (RestartPolicy::No | RestartPolicy::OnWatchdog, _) => false,
        (RestartPolicy::Always, _) => true,
        (RestartPolicy::OnSuccess, result) => result == Success,
        (RestartPolicy::OnFailure, result) => result != Success,
        (RestartPolicy::OnAbnormal, Signal | CoreDump | Timeout | Resources | Protocol) => true,
        (RestartPolicy::OnAbort, Signal | CoreDump) => true,
        (RestartPolicy::OnAbnormal, Success | ExitCode) => false,
        (RestartPolicy::OnAbort, Success | ExitCode | Timeout | Resources | Protocol) => false,
    }
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
}
