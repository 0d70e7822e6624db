//! One timer on CLOCK_BOOTTIME, timerfd_create(2): it also counts the time that the host sleeps.

use crate::sys::readiness;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// A timer that is due at one moment or never.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let descriptor =
            timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { descriptor: readiness::watch(descriptor)? })
    }

    /// Sets the moment, in time since boot.
    pub(super) fn set(&self, deadline: Option<Duration>) -> io::Result<()> {
        // A value of zero would disarm the timer.
        let value = deadline.map_or(Duration::ZERO, |deadline| deadline.max(Duration::from_nanos(1)));
        let specification = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(value.subsec_nanos()),
            },
        };
        timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::ABSTIME, &specification)?;
        Ok(())
    }

    /// Waits for the moment.
    pub(super) async fn due(&self) {
        let Ok(mut guard) = self.descriptor.readable().await else { return };
        let mut expirations = [0; 8];
        // An error means that it was set anew meanwhile; then the core finds nothing due.
        let _ = rustix::io::read(self.descriptor.get_ref(), &mut expirations);
        guard.clear_ready();
    }
}
