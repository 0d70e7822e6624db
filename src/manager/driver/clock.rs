//! The clocks of the host: one timer on each that something waits for, whether somebody sets them, and the time zone.

use super::timer::Timer;
use super::{Manager, now};
use crate::manager::machine::{Clock, Clocks, Event, Machine, Stamp};
use crate::paths::Paths;
use crate::sys::readiness;
use crate::unit::name::UnitName;
use jiff::tz::TimeZone;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::time::TimerfdClockId;
use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio::io::unix::AsyncFd;

/// What the loop waits for.
#[derive(Debug)]
pub(super) struct Wakers {
    boottime: Timer,
    realtime: Timer,
    alarms: BTreeMap<Clock, Timer>,
    /// The host cannot be woken, which has been told.
    cannot_wake: bool,
    changes: Timer,
    zone: ZoneWatch,
}

impl Wakers {
    pub(super) fn new(paths: &Paths) -> io::Result<Self> {
        Ok(Self {
            boottime: Timer::new(TimerfdClockId::Boottime)?,
            realtime: Timer::new(TimerfdClockId::Realtime)?,
            alarms: BTreeMap::new(),
            cannot_wake: false,
            changes: Timer::of_changes()?,
            zone: ZoneWatch::new(paths)?,
        })
    }

    /// Sets the timers to what the core waits for.
    pub(super) fn set(&mut self, machine: &Machine, paths: &Paths) -> io::Result<()> {
        self.set_alarms(machine, paths)?;
        let wake = |clock: Clock, alarm: Clock| {
            let alarm = machine.next_wake(alarm).filter(|_| self.cannot_wake);
            machine.next_wake(clock).into_iter().chain(alarm).min()
        };
        let boottime = wake(Clock::Boottime, Clock::BoottimeAlarm);
        self.boottime.set(machine.next_deadline().into_iter().chain(boottime).min())?;
        self.realtime.set(wake(Clock::Realtime, Clock::RealtimeAlarm))
    }

    /// A clock that cannot wake the host does not stop the timers: they elapse when it is awake.
    fn set_alarms(&mut self, machine: &Machine, paths: &Paths) -> io::Result<()> {
        for (clock, id) in [
            (Clock::RealtimeAlarm, TimerfdClockId::RealtimeAlarm),
            (Clock::BoottimeAlarm, TimerfdClockId::BoottimeAlarm),
        ] {
            let next = machine.next_wake(clock);
            if next.is_some() && !self.alarms.contains_key(&clock) && !self.cannot_wake {
                match can_wake(paths).and_then(|()| Timer::new(id)) {
                    Ok(timer) => drop(self.alarms.insert(clock, timer)),
                    Err(error) => {
                        tracing::warn!(
                            "wake_system: {error}: timers do not wake this host when it is suspended"
                        );
                        self.cannot_wake = true;
                    }
                }
            }
            if let Some(timer) = self.alarms.get(&clock) {
                timer.set(next)?;
            }
        }
        Ok(())
    }

    /// Waits for the next that happens.
    pub(super) async fn next(&self) -> Event {
        let alarm = async |clock: Clock| match self.alarms.get(&clock) {
            Some(timer) => timer.due().await,
            None => std::future::pending().await,
        };
        tokio::select! {
            () = self.boottime.due() => Event::TimersDue,
            () = self.realtime.due() => Event::TimersDue,
            () = alarm(Clock::RealtimeAlarm) => Event::TimersDue,
            () = alarm(Clock::BoottimeAlarm) => Event::TimersDue,
            () = self.changes.due() => {
                if let Err(error) = self.changes.set(Some(Duration::MAX)) {
                    tracing::warn!("timerfd_settime(2): {error}, clocks that are set are not noticed any more");
                }
                Event::ClockSet
            }
            zone = self.zone.changed() => Event::ZoneChanged(zone),
        }
    }
}

/// Whether there is a real-time clock that may wake the host, rtc(4).
fn can_wake(paths: &Paths) -> io::Result<()> {
    let enabled = |clock: fs::DirEntry| {
        let setting = fs::read_to_string(clock.path().join("device/power/wakeup"));
        setting.is_ok_and(|setting| setting.trim() == "enabled")
    };
    let clocks = fs::read_dir(paths.real_time_clocks()).into_iter().flatten().flatten();
    let found = clocks.into_iter().any(enabled);
    if found { Ok(()) } else { Err(io::Error::other("no real-time clock of this host can wake it")) }
}

/// Tells when `/etc/localtime` is another file, inotify(7).
#[derive(Debug)]
struct ZoneWatch {
    descriptor: AsyncFd<OwnedFd>,
    file: PathBuf,
}

impl ZoneWatch {
    fn new(paths: &Paths) -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let watch = Self { descriptor: readiness::watch(descriptor)?, file: paths.local_time() };
        watch.watch();
        Ok(watch)
    }

    /// The link itself; where there is none, its directory until there is.
    fn watch(&self) {
        let of_file = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::CLOSE_WRITE;
        let of_file = of_file | WatchFlags::DELETE_SELF | WatchFlags::DONT_FOLLOW;
        let inotify = self.descriptor.get_ref();
        if inotify::add_watch(inotify, &self.file, of_file).is_err()
            && let Some(directory) = self.file.parent()
        {
            let of_directory = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONESHOT;
            if let Err(error) = inotify::add_watch(inotify, directory, of_directory) {
                tracing::warn!("{}: {error}, changes of the time zone are not noticed", directory.display());
            }
        }
    }

    async fn changed(&self) -> TimeZone {
        let Ok(mut guard) = self.descriptor.readable().await else { return std::future::pending().await };
        let mut events = [0; 4096];
        while rustix::io::read(self.descriptor.get_ref(), &mut events).is_ok_and(|length| length > 0) {}
        guard.clear_ready();
        self.watch();
        zone(&self.file)
    }
}

/// localtime(5): without the file it is UTC.
fn zone(file: &std::path::Path) -> TimeZone {
    let Ok(bytes) = fs::read(file) else { return TimeZone::UTC };
    TimeZone::tzif("localtime", &bytes).unwrap_or_else(|error| {
        tracing::warn!("{}: {error}, using UTC", file.display());
        TimeZone::UTC
    })
}

/// What there is to know before any timer is armed.
pub(super) fn clocks(paths: &Paths) -> Clocks {
    let mut hasher = DefaultHasher::new();
    fs::read(paths.machine_id()).unwrap_or_default().hash(&mut hasher);
    Clocks { zone: zone(&paths.local_time()), startup: startup(paths), seed: hasher.finish() }
}

/// When a manager was first started since boot.
fn startup(paths: &Paths) -> Stamp {
    let file = paths.startup();
    let known = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    known.unwrap_or_else(|| {
        let now = now();
        let written =
            serde_json::to_vec(&now).map_err(io::Error::from).and_then(|bytes| fs::write(&file, bytes));
        if let Err(error) = written {
            tracing::warn!("{}: {error}, continuing", file.display());
        }
        now
    })
}

impl Manager {
    /// Reads when a timer elapsed last: the time of its stamp file, which is made where there is none.
    pub(super) fn read_stamp(&self, unit: &UnitName) {
        let file = self.paths.timer_stamp(unit.as_str());
        let last = match fs::metadata(&file).and_then(|metadata| metadata.modified()) {
            Ok(time) => time.duration_since(SystemTime::UNIX_EPOCH).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.touch_stamp(unit, now().realtime);
                None
            }
            Err(error) => {
                tracing::warn!(SAMPAN_UNIT = %unit, "{}: {error}, what was missed is not known", file.display());
                None
            }
        };
        self.later(Event::StampRead { unit: unit.clone(), last });
    }

    /// Remembers when a timer elapsed.
    pub(super) fn touch_stamp(&self, unit: &UnitName, at: Duration) {
        let file = self.paths.timer_stamp(unit.as_str());
        let touch = || {
            fs::create_dir_all(self.paths.timers())?;
            let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + at);
            File::options().create(true).append(true).open(&file)?.set_times(times)
        };
        if let Err(error) = touch() {
            let file = file.display();
            tracing::warn!(SAMPAN_UNIT = %unit, "{file}: {error}, this start is not remembered over a reboot");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_time_zone_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let watch = ZoneWatch::new(&Paths::new(root.path())).unwrap();
        let link = |name: &str| {
            let (new, file) = (etc.join("new"), etc.join("localtime"));
            std::os::unix::fs::symlink(format!("/usr/share/zoneinfo/{name}"), &new).unwrap();
            fs::rename(new, file).unwrap();
        };
        let noon: jiff::civil::DateTime = "2026-11-22T12:00:00".parse().unwrap();
        for (name, offset) in [("Europe/Berlin", 1), ("Asia/Tokyo", 9), ("UTC", 0)] {
            link(name);
            let hours = |zone: TimeZone| {
                let moment = noon.to_zoned(zone).unwrap();
                moment.offset().seconds() / 3600
            };
            // The directory tells of a file that is not the link as well.
            while hours(watch.changed().await) != offset {}
        }
    }
}
