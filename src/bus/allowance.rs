//! How much of our time each user takes. Calls are answered one after the other: whoever makes more of them than its
//! part of our time can answer is refused quickly for a while, so that others do not wait behind.

use super::error::BusError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a user may take at once.
const BURST: Duration = Duration::from_secs(1);

/// A quarter of the time is each user's.
const PART: u32 = 4;

/// Users that are remembered at the same time; those that have taken nothing for a while are not.
const USERS_MAX: usize = 256;

/// What one user has taken.
#[derive(Debug, Clone, Copy)]
struct Account {
    taken: Duration,
    at: Instant,
}

impl Account {
    /// What is left of it now: with time it is forgiven.
    fn now(self, now: Instant) -> Duration {
        self.taken.saturating_sub(now.saturating_duration_since(self.at) / PART)
    }
}

/// The accounts of all users but root, by their ids.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    accounts: RefCell<BTreeMap<u32, Account>>,
}

impl Allowance {
    /// Goes on where a user has not taken too much.
    pub(super) fn check(&self, user: u32, now: Instant) -> Result<(), BusError> {
        let taken = self.accounts.borrow().get(&user).map(|account| account.now(now)).unwrap_or_default();
        if user == 0 || taken < BURST {
            return Ok(());
        }
        Err(BusError::LimitsExceeded(format!(
            "User {user} makes more calls than others leave time for: try again in a few seconds."
        )))
    }

    /// Notes what a call of a user took.
    pub(super) fn charge(&self, user: u32, began: Instant, now: Instant) {
        let mut accounts = self.accounts.borrow_mut();
        if accounts.len() >= USERS_MAX {
            accounts.retain(|_, account| !account.now(now).is_zero());
        }
        let before = accounts.get(&user).map(|account| account.now(now)).unwrap_or_default();
        let taken = before.saturating_add(now.saturating_duration_since(began));
        accounts.insert(user, Account { taken, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_took_too_much_waits_and_others_do_not() {
        let (allowance, begin) = (Allowance::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        allowance.charge(1000, begin, after(2));
        allowance.charge(0, begin, after(2));
        assert!(matches!(allowance.check(1000, after(2)), Err(BusError::LimitsExceeded(_))));
        assert_eq!(allowance.check(1001, after(2)), Ok(()));
        assert_eq!(allowance.check(0, after(2)), Ok(()));
        assert!(allowance.check(1000, after(5)).is_err(), "1.25 s are left");
        assert_eq!(allowance.check(1000, after(7)), Ok(()));
    }
}
