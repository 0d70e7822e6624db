//! The clock by which a launcher tells how far it has got.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now, on `CLOCK_BOOTTIME`, which the manager goes by as well.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
