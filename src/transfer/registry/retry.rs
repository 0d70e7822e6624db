//! Patience: how often and after which pauses something is tried again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use super::error::{Failure, RegistryError};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A server that wants a longer pause is not waited for.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Counts attempts in a row that brought nothing.
#[derive(Debug)]
pub(super) struct Patience {
    attempts: u32,
    failed: u32,
}

impl Patience {
    /// For so many attempts.
    pub(super) fn new(attempts: u32) -> Self {
        Self { attempts, failed: 0 }
    }

    /// There was progress: the count begins anew.
    pub(super) fn renew(&mut self) {
        self.failed = 0;
    }

    /// How long to wait before the next attempt.
    ///
    /// # Errors
    /// The failure, when there shall be no other attempt.
    pub(super) fn pause(&mut self, failure: Failure) -> Result<(Duration, RegistryError), RegistryError> {
        let Failure::Passing(error, wanted) = failure else { return Err(failure.into_error()) };
        self.failed += 1;
        if self.failed >= self.attempts || wanted.is_some_and(|wanted| wanted > WAIT_MAX) {
            return Err(error);
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << (self.failed - 1).min(16)).min(PAUSE_MAX);
        Ok((wanted.unwrap_or_else(|| scattered(doubled)), error))
    }

    /// Calls `attempt` until it succeeds, fails for good, or failed often enough. `tell` hears of each pause.
    ///
    /// # Errors
    /// The last failure.
    pub(super) fn run<T>(
        mut self,
        tell: impl Fn(&RegistryError),
        attempt: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, RegistryError> {
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(failure) => {
                    let (pause, error) = self.pause(failure)?;
                    tell(&error);
                    std::thread::sleep(pause);
                }
            }
        }
    }
}

/// Between half and all of a pause, so that clients that failed together do not return together.
fn scattered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(pause) % 512;
    pause / 2 + pause / 1024 * u32::try_from(random).unwrap_or_default()
}

/// What `Retry-After` says: seconds or a date, RFC 9110 section 10.2.3.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Some(SystemTime::from(date.timestamp()).duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(wait: Option<u64>) -> Failure {
        let error = RegistryError::Connection { server: "s".to_owned(), reason: "r".to_owned() };
        Failure::Passing(error, wait.map(Duration::from_secs))
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut patience = Patience::new(4);
        let pauses: Vec<_> = (0..3).map(|_| patience.pause(failure(None)).unwrap().0).collect();
        for (pause, full) in pauses.iter().zip([200, 400, 800]) {
            assert!((full / 2..=full).contains(&pause.as_millis()), "{pauses:?}");
        }
        assert!(patience.pause(failure(None)).is_err());
        patience.renew();
        assert_eq!(patience.pause(failure(Some(7))).unwrap().0, Duration::from_secs(7));
        assert!(patience.pause(failure(Some(3600))).is_err(), "an hour is not waited for");
    }

    #[test]
    fn servers_say_when_in_two_ways() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(retry_after("Fri, 21 Oct 2095 07:28:00 GMT").unwrap() > WAIT_MAX);
        assert_eq!(retry_after("soon"), None);
    }
}
