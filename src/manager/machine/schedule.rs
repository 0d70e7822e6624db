//! What is known of a unit's timer, and when it elapses next: systemd.timer(5).

use super::state::Stamp;
use crate::unit::model::{Timer, TimerBase};
use crate::unit::name::UnitName;
use crate::unit::sparse::standard;
use crate::unit::value::Calendar;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Where a timer is: systemd's states of timer units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimerStage {
    /// Not armed.
    #[default]
    Dead,
    /// Armed.
    Waiting,
    /// It has elapsed, and what follows from that is not over.
    Running,
    /// There is nothing left that it elapses on.
    Elapsed,
}

impl TimerStage {
    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Elapsed => "elapsed",
        }
    }
}

/// What is known of a unit's timer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Where it is.
    pub stage: TimerStage,
    /// When it was armed.
    pub armed: Stamp,
    /// When it elapsed last. On disk is the time since 1970 alone, and the others are 0.
    pub last_trigger: Option<Stamp>,
    /// When the container ended last.
    pub ended: Option<Stamp>,
    /// Places of the spans that have elapsed once and for all.
    pub spent: BTreeSet<usize>,
    /// Whether the time of the last start has still to be read from disk.
    pub unread: bool,
    /// The next moment on the calendar, since 1970, with its random delay.
    #[serde(skip)]
    pub next_realtime: Option<Duration>,
    /// The next moment since boot, with its random delay.
    #[serde(skip)]
    pub next_boottime: Option<Duration>,
}

standard!(Schedule);

/// A start that was refused at once is not tried again at once.
const PAUSE: Duration = Duration::from_secs(1);

impl Schedule {
    /// When it elapses next, since 1970; `None`: never, or not yet known.
    pub fn next(&self, now: Stamp) -> Option<Duration> {
        let since_boot = |next: Duration| (now.realtime + next).saturating_sub(now.boottime);
        self.next_realtime.into_iter().chain(self.next_boottime.map(since_boot)).min()
    }

    pub(super) fn pause(&mut self, now: Stamp) {
        self.next_realtime = self.next_realtime.map(|next| next.max(now.realtime.saturating_add(PAUSE)));
        self.next_boottime = self.next_boottime.map(|next| next.max(now.boottime.saturating_add(PAUSE)));
    }
}

/// What the core knows of the host's clocks beside the time.
#[derive(Debug, Clone)]
pub struct Clocks {
    /// The time zone of the host.
    pub zone: TimeZone,
    /// When a manager was first started since boot.
    pub startup: Stamp,
    /// Another number on each host, so that hosts do not all start the same at once.
    pub seed: u64,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, startup: Stamp::default(), seed: 0 }
    }
}

/// Why a timer is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// Something has become of the unit.
    Unit,
    /// The clock was set: what is in the past now has not elapsed.
    ClockSet,
}

/// When the parts of a timer elapse next, without its random delay, each at the place of its part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elapses {
    /// Since 1970.
    pub calendar: Vec<Option<Duration>>,
    /// Since boot.
    pub monotonic: Vec<Option<Duration>>,
}

/// What the next times follow from.
pub(super) struct Plan<'a> {
    pub(super) name: &'a UnitName,
    pub(super) timer: &'a Timer,
    pub(super) clocks: &'a Clocks,
    pub(super) now: Stamp,
    /// When the last run began.
    pub(super) began: Option<Stamp>,
}

impl Plan<'_> {
    /// When each part elapses next.
    pub(super) fn elapses(&self, schedule: &Schedule) -> Elapses {
        Elapses { calendar: self.calendar(schedule), monotonic: self.monotonic(schedule) }
    }

    pub(super) fn realtime(&self, schedule: &Schedule) -> Option<Duration> {
        self.calendar(schedule).into_iter().flatten().min()
    }

    fn calendar(&self, schedule: &Schedule) -> Vec<Option<Duration>> {
        let Stamp { realtime: now, boottime, .. } = self.now;
        let last = schedule.last_trigger;
        let ended = schedule.ended.filter(|_| self.timer.defer_reactivation);
        let base = match (ended, last) {
            (Some(ended), last) => ended.realtime.max(last.unwrap_or_default().realtime),
            (None, Some(last)) => last.realtime,
            (None, None) => schedule.armed.realtime,
        };
        let startup = self.clocks.startup;
        let since_startup = boottime.saturating_sub(startup.boottime);
        // What was missed before the host came up is due when it did, so that the random delay counts from there.
        let earlier = ended.is_none() && last.is_some_and(|last| last.boottime < startup.boottime);
        let earliest = if earlier { now.saturating_sub(since_startup) } else { Duration::ZERO };
        let next = |calendar: &Calendar| calendar.next(base.min(now), &self.clocks.zone);
        self.timer.on_calendar.iter().map(next).map(|next| next.map(|next| next.max(earliest))).collect()
    }

    pub(super) fn boottime(&self, schedule: &mut Schedule, because: Because) -> Option<Duration> {
        let now = self.now.boottime;
        let mut first: Option<Duration> = None;
        for (index, next) in self.monotonic(schedule).into_iter().enumerate() {
            let Some(next) = next else { continue };
            let is_single = self.timer.monotonic[index].0.is_single();
            if is_single && next < now && schedule.last_trigger.is_some() && because == Because::Unit {
                schedule.spent.insert(index);
                continue;
            }
            first = Some(first.map_or(next, |first| first.min(next)));
        }
        first
    }

    /// The next moment of each span that is not spent.
    fn monotonic(&self, schedule: &Schedule) -> Vec<Option<Duration>> {
        let last = schedule.last_trigger.map(|last| last.boottime);
        let next = |(index, (base, span)): (usize, &(TimerBase, Duration))| {
            if schedule.spent.contains(&index) {
                return None;
            }
            let since = match base {
                TimerBase::Active => Some(schedule.armed.boottime),
                TimerBase::Boot => Some(Duration::ZERO),
                TimerBase::Startup => Some(self.clocks.startup.boottime),
                TimerBase::UnitActive => self.began.map(|began| began.boottime).max(last),
                TimerBase::UnitInactive => schedule.ended.map(|ended| ended.boottime).max(last),
            };
            // Where the unit has not been there yet, there is nothing to count from.
            let since = since.filter(|since| base.is_single() || !since.is_zero())?;
            Some(since.saturating_add(*span))
        };
        self.timer.monotonic.iter().enumerate().map(next).collect()
    }

    /// The core has no dice: the name, the host and the time are as good, and are the same when they are asked again.
    pub(super) fn delayed(&self, next: Duration) -> Duration {
        let longest = u64::try_from(self.timer.randomized_delay.as_micros()).unwrap_or(u64::MAX);
        if longest == 0 {
            return next;
        }
        let mut hasher = DefaultHasher::new();
        (self.name, self.clocks.seed).hash(&mut hasher);
        if !self.timer.fixed_random_delay {
            next.hash(&mut hasher);
        }
        next.saturating_add(Duration::from_micros(hasher.finish() % longest))
    }
}
