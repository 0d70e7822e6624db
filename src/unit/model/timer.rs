//! When a unit starts by itself on time, systemd.timer(5).

use crate::unit::value::Calendar;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[timer]`, with at least one thing that it elapses on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// `timer.on_calendar`.
    pub on_calendar: Vec<Calendar>,
    /// Spans of time after something.
    pub monotonic: Vec<(TimerBase, Duration)>,
    /// Whether it elapses when the host's clock is set.
    pub on_clock_change: bool,
    /// Whether it elapses when the host's time zone is changed.
    pub on_timezone_change: bool,
    /// How much later than it should it may elapse, so that fewer moments wake the host.
    pub accuracy: Duration,
    /// The longest delay of what is due by chance.
    pub randomized_delay: Duration,
    /// Whether that delay is the same each time.
    pub fixed_random_delay: bool,
    /// Whether the time of the last start survives on disk, so that what was missed is made up for.
    pub persistent: bool,
    /// Whether a suspended host wakes for it.
    pub wake_system: bool,
    /// Whether the unit stays active when there is nothing left that it elapses on.
    pub remain_after_elapse: bool,
    /// Whether times of the calendar that pass while the container runs are left out.
    pub defer_reactivation: bool,
}

impl Timer {
    /// Whether there is anything that it elapses on.
    pub fn elapses(&self) -> bool {
        let moments = !self.on_calendar.is_empty() || !self.monotonic.is_empty();
        moments || self.on_clock_change || self.on_timezone_change
    }
}

/// What a span of time is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimerBase {
    /// The timer was armed.
    Active,
    /// The host was booted.
    Boot,
    /// The manager was started first since.
    Startup,
    /// The container was started last.
    UnitActive,
    /// The container ended last.
    UnitInactive,
}

impl TimerBase {
    /// The word of systemd's bus interface.
    pub fn property(self) -> &'static str {
        match self {
            Self::Active => "OnActiveUSec",
            Self::Boot => "OnBootUSec",
            Self::Startup => "OnStartupUSec",
            Self::UnitActive => "OnUnitActiveUSec",
            Self::UnitInactive => "OnUnitInactiveUSec",
        }
    }

    /// Whether it is passed once and for all: such a time counts once.
    pub fn is_single(self) -> bool {
        matches!(self, Self::Active | Self::Boot | Self::Startup)
    }
}
