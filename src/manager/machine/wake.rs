//! When the host wakes for timers. Each has a window, from its moment on for as long as its accuracy says: one wake-up
//! serves all whose windows it lies in, as sd_event_add_time(3) describes it.

use super::Machine;
use super::state::Stamp;
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a moment is measured by, clock_gettime(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// Since 1970.
    Realtime,
    /// Since 1970, and a suspended host wakes.
    RealtimeAlarm,
    /// Since boot.
    Boottime,
    /// Since boot, and a suspended host wakes.
    BoottimeAlarm,
}

impl Clock {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Realtime, Self::RealtimeAlarm, Self::Boottime, Self::BoottimeAlarm];

    /// What this clock shows.
    fn time(self, now: Stamp) -> Duration {
        match self {
            Self::Realtime | Self::RealtimeAlarm => now.realtime,
            Self::Boottime | Self::BoottimeAlarm => now.boottime,
        }
    }
}

/// The windows of one clock.
#[derive(Debug, Default, Clone)]
struct Windows {
    by_begin: BTreeSet<(Duration, UnitName)>,
    by_end: BTreeSet<(Duration, UnitName)>,
}

/// All windows.
#[derive(Debug, Default, Clone)]
pub(super) struct Wakes {
    windows: BTreeMap<Clock, Windows>,
    units: BTreeMap<UnitName, Vec<(Clock, Duration, Duration)>>,
}

impl Wakes {
    pub(super) fn insert(&mut self, clock: Clock, unit: &UnitName, begin: Duration, accuracy: Duration) {
        let end = begin.saturating_add(accuracy);
        let windows = self.windows.entry(clock).or_default();
        windows.by_begin.insert((begin, unit.clone()));
        windows.by_end.insert((end, unit.clone()));
        self.units.entry(unit.clone()).or_default().push((clock, begin, end));
    }

    pub(super) fn remove(&mut self, unit: &UnitName) {
        for (clock, begin, end) in self.units.remove(unit).unwrap_or_default() {
            let Some(windows) = self.windows.get_mut(&clock) else { continue };
            windows.by_begin.remove(&(begin, unit.clone()));
            windows.by_end.remove(&(end, unit.clone()));
        }
    }

    /// Units whose windows have begun.
    pub(super) fn due(&self, now: Stamp) -> Vec<UnitName> {
        let due = |(clock, windows): (&Clock, &Windows)| {
            let now = clock.time(now);
            let begun = windows.by_begin.iter().take_while(|(begin, _)| *begin <= now);
            begun.map(|(_, unit)| unit.clone()).collect::<Vec<_>>()
        };
        self.windows.iter().flat_map(due).collect()
    }
}

/// Preferred moments: one in each of these spans, the same for all windows of a host.
const STEPS: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(10), Duration::from_secs(1), Duration::from_millis(250)];

impl Machine {
    /// When a clock is to send [`super::Event::TimersDue`] next for timers of units.
    pub fn next_wake(&self, clock: Clock) -> Option<Duration> {
        let windows = self.wakes.windows.get(&clock)?;
        let (begin, _) = windows.by_begin.first()?;
        let (end, _) = windows.by_end.first()?;
        if *begin <= clock.time(self.now) {
            return Some(*begin);
        }
        Some(within(*begin, *end, self.clocks.seed))
    }
}

/// A moment between two others, the latter not included where there is a choice.
fn within(begin: Duration, end: Duration, seed: u64) -> Duration {
    let preferred = |step: &Duration| {
        let step = step.as_micros();
        let offset = u128::from(seed) % step;
        let last = end.as_micros().checked_sub(1 + offset)?;
        let moment = u64::try_from(last / step * step + offset).ok().map(Duration::from_micros)?;
        (moment >= begin).then_some(moment)
    };
    STEPS.iter().find_map(preferred).unwrap_or(begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wake_up_lies_in_its_window(begin in 0_u64..1 << 50, length in 1_u64..1 << 30, seed: u64) {
            let (begin, end) = (Duration::from_micros(begin), Duration::from_micros(begin + length));
            let wake = within(begin, end, seed);
            prop_assert!(begin <= wake && wake < end);
        }
    }

    #[test]
    fn windows_that_meet_share_a_wake_up() {
        let at = Duration::from_secs;
        // Each of these windows has second 70 of this host in it.
        for (begin, end) in [(at(11), at(71)), (at(30), at(90)), (at(69), at(129))] {
            assert_eq!(within(begin, end, 10_000_000), at(70));
        }
        assert_eq!(within(at(11), at(11) + Duration::from_micros(1), 0), at(11));
    }
}
