//! What follows from checks: no clock and no container in it.

use crate::manager::machine::HealthState;
use crate::unit::model::Startup;
use std::time::Duration;

/// When checks are made, and how many failures count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) start_period: Duration,
    pub(super) start_interval: Duration,
    pub(super) retries: u32,
    /// The start of the unit waits for the first good check; `start_timeout` bounds that, not failures.
    pub(super) start_waits: bool,
}

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With what it said.
    Good(String),
    /// With what it said, or why there is nothing.
    Bad(String),
}

impl Outcome {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Good(text) | Self::Bad(text) => text,
        }
    }
}

/// Which check it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The one that comes before the others.
    Startup,
    /// Those that go on.
    Running,
}

/// The checks of one run so far.
#[derive(Debug)]
pub(super) struct Verdict {
    rules: Rules,
    /// Until it has been good as often as it says.
    startup: Option<Startup>,
    successes: u32,
    state: HealthState,
    failures: u32,
    /// Since boot.
    started: Duration,
    checks: u64,
}

impl Verdict {
    /// `state` is what an earlier manager knew.
    pub(super) fn new(rules: Rules, startup: Option<Startup>, state: HealthState, started: Duration) -> Self {
        // Only after it can a container have been well.
        let startup = startup.filter(|_| state != HealthState::Healthy);
        let checks = u64::from(state != HealthState::Unknown);
        Self { rules, startup, successes: 0, state, failures: 0, started, checks }
    }

    /// Which check is the next.
    pub(super) fn stage(&self) -> Stage {
        if self.startup.is_some() { Stage::Startup } else { Stage::Running }
    }

    pub(super) fn state(&self) -> &HealthState {
        &self.state
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn timeout(&self) -> Duration {
        self.startup.as_ref().map_or(self.rules.timeout, |startup| startup.timeout)
    }

    /// How long to wait for the next check. A start that waits for the first one has it at once.
    pub(super) fn pause(&self, now: Duration) -> Duration {
        let first = self.rules.start_interval.min(self.rules.interval);
        if let Some(startup) = &self.startup {
            return if self.checks == 0 { first.min(startup.interval) } else { startup.interval };
        }
        match self.is_warming_up(now) {
            true if self.checks == 0 => Duration::ZERO,
            true => first,
            false if self.checks == 0 => first,
            false => self.rules.interval,
        }
    }

    /// Whether a pause is the one that there is between checks from now on.
    pub(super) fn is_settled(&self, pause: Duration) -> bool {
        self.checks > 0 && self.startup.is_none() && pause == self.rules.interval
    }

    /// Whether failures do not count yet.
    fn is_warming_up(&self, now: Duration) -> bool {
        let in_period = now.saturating_sub(self.started) < self.rules.start_period;
        self.state == HealthState::Unknown && (in_period || self.rules.start_waits)
    }

    /// Takes a check in, and tells whether the verdict is another one now.
    pub(super) fn take(&mut self, outcome: &Outcome, now: Duration) -> bool {
        self.checks += 1;
        if let Some(startup) = self.startup.take() {
            return self.take_startup(startup, outcome);
        }
        let was_healthy = self.state == HealthState::Healthy;
        let was_unhealthy = matches!(self.state, HealthState::Unhealthy(_));
        match outcome {
            Outcome::Good(_) => {
                self.failures = 0;
                self.state = HealthState::Healthy;
                !was_healthy
            }
            Outcome::Bad(_) if self.is_warming_up(now) => false,
            Outcome::Bad(text) => {
                self.failures = self.failures.saturating_add(1);
                if was_unhealthy || self.failures < self.rules.retries {
                    return false;
                }
                self.state = HealthState::Unhealthy(text.clone());
                true
            }
        }
    }

    /// The same of a check that comes before the others: a good one says nothing but that these begin.
    fn take_startup(&mut self, startup: Startup, outcome: &Outcome) -> bool {
        let is_known = self.state != HealthState::Unknown;
        let told = match outcome {
            Outcome::Good(_) => {
                (self.failures, self.successes) = (0, self.successes + 1);
                if self.successes >= startup.successes {
                    self.checks = 0;
                    return false;
                }
                false
            }
            Outcome::Bad(text) => {
                (self.failures, self.successes) = (self.failures.saturating_add(1), 0);
                let is_over = startup.retries.is_some_and(|retries| self.failures >= retries);
                let counts = is_over && !is_known && !self.rules.start_waits;
                if counts {
                    self.state = HealthState::Unhealthy(format!("has not started: {text}"));
                }
                counts
            }
        };
        self.startup = Some(startup);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::Check;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn verdict(start_period: u64, start_waits: bool) -> Verdict {
        let rules = Rules {
            interval: seconds(30),
            timeout: seconds(3),
            start_period: seconds(start_period),
            start_interval: seconds(1),
            retries: 3,
            start_waits,
        };
        Verdict::new(rules, None, HealthState::Unknown, seconds(100))
    }

    fn starting(retries: Option<u32>, successes: u32, state: HealthState) -> Verdict {
        let check = Check::Command(vec!["true".to_owned()]);
        let (interval, timeout) = (seconds(5), seconds(4));
        let startup = Startup { check, interval, timeout, retries, successes };
        Verdict::new(verdict(0, false).rules, Some(startup), state, seconds(100))
    }

    #[test]
    fn checks_begin_after_the_one_of_the_startup() {
        let mut verdict = starting(Some(3), 2, HealthState::Unknown);
        assert_eq!((verdict.stage(), verdict.pause(seconds(100))), (Stage::Startup, seconds(1)));
        let mut take = |outcome| verdict.take(&outcome, seconds(100));
        assert_eq!([bad(), bad(), good(), bad(), good()].map(&mut take), [false; 5]);
        assert_eq!((verdict.pause(seconds(100)), verdict.timeout()), (seconds(5), seconds(4)));
        assert!(!verdict.take(&good(), seconds(100)), "it has started, and nobody knows how it is");
        assert_eq!((verdict.stage(), verdict.state()), (Stage::Running, &HealthState::Unknown));
        assert_eq!((verdict.pause(seconds(100)), verdict.timeout()), (seconds(1), seconds(3)));
        assert!(verdict.take(&good(), seconds(100)));
    }

    #[test]
    fn a_startup_that_fails_too_often_is_told_once() {
        let mut verdict = starting(Some(2), 1, HealthState::Unknown);
        assert_eq!([0; 4].map(|_| verdict.take(&bad(), seconds(100))), [false, true, false, false]);
        assert_eq!(verdict.state(), &HealthState::Unhealthy("has not started: no".to_owned()));
        assert!(!verdict.take(&good(), seconds(100)) && verdict.take(&good(), seconds(100)), "it comes late");
        let mut patient = starting(None, 1, HealthState::Unknown);
        assert!((0..1000).all(|_| !patient.take(&bad(), seconds(100))));
        assert_eq!(starting(None, 1, HealthState::Healthy).stage(), Stage::Running);
    }

    fn bad() -> Outcome {
        Outcome::Bad("no".to_owned())
    }

    fn good() -> Outcome {
        Outcome::Good(String::new())
    }

    #[test]
    fn retries_in_a_row_make_a_container_unhealthy_and_one_success_healthy() {
        let mut verdict = verdict(0, false);
        assert_eq!(verdict.pause(seconds(100)), seconds(1), "soon after the start");
        let mut take = |outcome: Outcome| verdict.take(&outcome, seconds(200));
        assert_eq!([bad(), bad(), good()].map(&mut take), [false, false, true]);
        assert_eq!([bad(), bad(), good()].map(&mut take), [false, false, false]);
        assert_eq!([bad(), bad(), bad(), bad()].map(&mut take), [false, false, true, false]);
        assert!(take(good()));
        assert_eq!((verdict.failures(), verdict.pause(seconds(200))), (0, seconds(30)));
    }

    #[test]
    fn failures_do_not_count_in_the_start_period() {
        let mut verdict = verdict(10, false);
        assert_eq!(verdict.pause(seconds(100)), seconds(0));
        for second in 100..110 {
            assert!(!verdict.take(&bad(), seconds(second)));
            assert_eq!(verdict.pause(seconds(second)), seconds(1));
        }
        let told = [0; 3].map(|_| verdict.take(&bad(), seconds(110)));
        assert_eq!(told, [false, false, true]);
        assert_eq!(verdict.pause(seconds(110)), seconds(30));
    }

    #[test]
    fn a_start_waits_for_the_first_good_check_as_long_as_it_may() {
        let mut verdict = verdict(0, true);
        for second in 100..1000 {
            assert!(!verdict.take(&bad(), seconds(second)));
            assert_eq!(verdict.pause(seconds(second)), seconds(1));
        }
        assert!(verdict.take(&good(), seconds(1000)));
        assert_eq!(verdict.pause(seconds(1000)), seconds(30));
        let told = [0; 3].map(|_| verdict.take(&bad(), seconds(1001)));
        assert_eq!(told, [false, false, true]);
    }

    #[test]
    fn what_an_earlier_manager_knew_goes_on() {
        let rules = Rules { start_period: seconds(1000), ..verdict(0, true).rules };
        let mut verdict = Verdict::new(rules, None, HealthState::Unhealthy("no".to_owned()), seconds(100));
        assert_eq!(verdict.pause(seconds(101)), seconds(30));
        assert!(!verdict.take(&bad(), seconds(101)), "that is known");
        assert!(verdict.take(&good(), seconds(101)));
    }
}
