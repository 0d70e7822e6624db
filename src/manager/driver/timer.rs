//! One timer on one clock, timerfd_create(2).

use crate::sys::readiness;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// A timer that is due at one moment or never.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
    flags: TimerfdTimerFlags,
    set: Cell<Option<Duration>>,
}

impl Timer {
    /// One that is not set.
    pub(super) fn new(clock: TimerfdClockId) -> io::Result<Self> {
        let descriptor = timerfd_create(clock, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let descriptor = readiness::watch(descriptor)?;
        Ok(Self { descriptor, flags: TimerfdTimerFlags::ABSTIME, set: Cell::new(None) })
    }

    /// One that is due when somebody sets the clock of the host.
    pub(super) fn of_changes() -> io::Result<Self> {
        let mut timer = Self::new(TimerfdClockId::Realtime)?;
        timer.flags |= TimerfdTimerFlags::CANCEL_ON_SET;
        timer.set(Some(Duration::MAX))?;
        Ok(timer)
    }

    /// Sets the moment, in the time of its clock.
    pub(super) fn set(&self, deadline: Option<Duration>) -> io::Result<()> {
        if self.set.get() == deadline {
            return Ok(());
        }
        // A value of zero would disarm the timer.
        let value = deadline.map_or(Duration::ZERO, |deadline| deadline.max(Duration::from_nanos(1)));
        let specification = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(value.subsec_nanos()),
            },
        };
        timerfd_settime(self.descriptor.get_ref(), self.flags, &specification)?;
        self.set.set(deadline);
        Ok(())
    }

    /// Waits for the moment, after which the timer is not set.
    pub(super) async fn due(&self) {
        let Ok(mut guard) = self.descriptor.readable().await else { return };
        let mut expirations = [0; 8];
        // An error means that it was set anew meanwhile, where the core finds nothing due, or that the clock was.
        let _ = rustix::io::read(self.descriptor.get_ref(), &mut expirations);
        self.set.set(None);
        guard.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::time::{ClockId, clock_gettime};

    fn since(clock: ClockId) -> Duration {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_due_at_once_and_one_to_come_is_not() {
        for (clock, id) in
            [(TimerfdClockId::Realtime, ClockId::Realtime), (TimerfdClockId::Boottime, ClockId::Boottime)]
        {
            let timer = Timer::new(clock).unwrap();
            timer.set(Some(since(id) - Duration::from_secs(5))).unwrap();
            timer.due().await;
            timer.set(Some(since(id) + Duration::from_secs(3600))).unwrap();
            let early = tokio::time::timeout(Duration::from_millis(50), timer.due()).await;
            assert!(early.is_err(), "it is due an hour early");
            timer.set(Some(since(id) + Duration::from_millis(5))).unwrap();
            timer.due().await;
        }
    }

    #[tokio::test]
    async fn nothing_is_told_while_nobody_sets_the_clock() {
        let timer = Timer::of_changes().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), timer.due()).await.is_err());
    }
}
