//! When a container has been idle for long enough, told by looks at it. Between two looks at a container that is in use
//! there is a pause, whose visitors are told of at its end; one that nobody uses is left alone until its time is over or
//! somebody connects.

use crate::unit::model::Idle;
use std::time::Duration;

/// Pauses between looks at a container that is in use: a part of its time-out, and not more often or less often than
/// this. By so much a container may sleep too late.
const PAUSE_PART: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a look finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether somebody is connected, or does something in the container.
    pub occupied: bool,
    /// All CPU time of the container in microseconds; `None` where it is not counted.
    pub cpu_usec: Option<u64>,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is in use: another look after this time.
    Pause(Duration),
    /// It is not: another look after this time, or when somebody connects.
    Wait(Duration),
    /// It has been idle for long enough.
    Sleep,
}

/// The clock of one run. Times are on one clock that never goes back.
#[derive(Debug)]
pub struct IdleClock {
    idle: Idle,
    /// When it was in use last, as far as it was seen.
    used: Duration,
    /// When it was looked at last, and its CPU time then.
    looked: Option<(Duration, u64)>,
}

impl IdleClock {
    /// A container that is in use until now.
    pub fn new(idle: Idle, now: Duration) -> Self {
        Self { idle, used: now, looked: None }
    }

    /// When it was in use last.
    pub fn used(&self) -> Duration {
        self.used
    }

    /// Somebody has come, who may have left since. The next look is after this time: not each of many is looked at.
    pub fn visited(&mut self, now: Duration) -> Duration {
        self.used = now;
        self.pause()
    }

    fn pause(&self) -> Duration {
        (self.idle.timeout / PAUSE_PART).clamp(PAUSE_MIN, PAUSE_MAX)
    }

    /// The share of a processor since the last look, in microseconds per second.
    pub fn cpu_per_sec_usec(&self, cpu_usec: Option<u64>, now: Duration) -> Option<u64> {
        let (then, before) = self.looked?;
        let passed = now.checked_sub(then).filter(|passed| !passed.is_zero())?;
        let share = u128::from(cpu_usec?.saturating_sub(before)) * 1_000_000 / passed.as_micros().max(1);
        u64::try_from(share).ok()
    }

    /// Takes a look in.
    pub fn look(&mut self, seen: Seen, now: Duration) -> Next {
        let share = self.cpu_per_sec_usec(seen.cpu_usec, now);
        let works = self.idle.cpu_floor_per_sec_usec.zip(share).is_some_and(|(floor, share)| share >= floor);
        self.looked = seen.cpu_usec.map(|cpu| (now, cpu));
        if seen.occupied || works {
            self.used = now;
            return if seen.occupied { Next::Pause(self.pause()) } else { Next::Wait(self.pause()) };
        }
        let left = self.used.saturating_add(self.idle.timeout).saturating_sub(now);
        if left.is_zero() { Next::Sleep } else { Next::Wait(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::Sleep;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock(floor: Option<u64>) -> IdleClock {
        let idle = Idle { timeout: 60 * SECOND, sleep: Sleep::Stop, cpu_floor_per_sec_usec: floor };
        IdleClock::new(idle, Duration::ZERO)
    }

    fn seen(occupied: bool) -> Seen {
        Seen { occupied, cpu_usec: None }
    }

    #[test]
    fn it_sleeps_a_time_out_after_the_last_use() {
        let mut clock = clock(None);
        assert_eq!(clock.look(seen(false), Duration::ZERO), Next::Wait(60 * SECOND));
        assert_eq!(clock.visited(50 * SECOND), 15 * SECOND);
        assert_eq!(clock.look(seen(true), 50 * SECOND), Next::Pause(15 * SECOND));
        assert_eq!(clock.look(seen(true), 65 * SECOND), Next::Pause(15 * SECOND));
        assert_eq!(clock.look(seen(false), 80 * SECOND), Next::Wait(45 * SECOND));
        assert_eq!(clock.look(seen(false), 124 * SECOND), Next::Wait(SECOND));
        assert_eq!(clock.look(seen(false), 125 * SECOND), Next::Sleep);
    }

    #[test]
    fn work_beyond_the_floor_is_use() {
        let mut clock = clock(Some(10_000));
        let at = |cpu_usec| Seen { occupied: false, cpu_usec: Some(cpu_usec) };
        assert_eq!(clock.look(at(0), Duration::ZERO), Next::Wait(60 * SECOND));
        assert_eq!(clock.look(at(600_000), 60 * SECOND), Next::Wait(15 * SECOND), "1% of a processor");
        assert_eq!(clock.look(at(600_010), 75 * SECOND), Next::Wait(45 * SECOND));
        assert_eq!(clock.look(at(600_020), 120 * SECOND), Next::Sleep);
    }
}
