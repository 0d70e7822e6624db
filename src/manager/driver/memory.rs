//! What the kernel tells of the memory of containers: inotify(7) on the `memory.events` of their control groups.

use super::live::LiveRun;
use super::{Manager, cache};
use crate::manager::accounting::{self, Memory};
use crate::manager::machine::Event;
use crate::sys::readiness;
use crate::unit::model::{OomPolicy, Resources};
use crate::unit::name::UnitName;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

/// A run of a unit.
type Watched = (UnitName, u64);

/// The control groups that are watched.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    inotify: AsyncFd<OwnedFd>,
    runs: RefCell<BTreeMap<i32, Watched>>,
}

impl MemoryWatch {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { inotify: readiness::watch(inotify)?, runs: RefCell::default() })
    }

    fn add(&self, unit: &UnitName, run: u64, group: &Path) -> io::Result<i32> {
        let watch = add_watch(self.inotify.get_ref(), group.join("memory.events"), WatchFlags::MODIFY)?;
        self.runs.borrow_mut().insert(watch, (unit.clone(), run));
        Ok(watch)
    }

    /// The kernel keeps the watch of a file of a control group, and what it needs for that, when the group has gone.
    fn leave(&self, watch: i32) {
        if self.runs.borrow_mut().remove(&watch).is_some() {
            // One that the kernel does not keep any more is as good.
            let _ = remove_watch(self.inotify.get_ref(), watch);
        }
    }

    /// Waits until something has happened to the memory of runs.
    pub(super) async fn changed(&self) -> BTreeSet<Watched> {
        let mut changed = BTreeSet::new();
        let Ok(mut ready) = self.inotify.readable().await else { return std::future::pending().await };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.inotify.get_ref(), &mut buffer);
        // The end is EAGAIN.
        while let Ok(event) = reader.next() {
            let runs = self.runs.borrow();
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                changed.extend(runs.values().cloned());
            } else {
                changed.extend(runs.get(&event.wd()).cloned());
            }
        }
        ready.clear_ready();
        changed
    }
}

impl Manager {
    /// A container is in another control group.
    pub(super) fn follow_group(&mut self, unit: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        if let Some(watch) = live.memory_watch.take() {
            self.memory.leave(watch);
        }
        self.watch_memory(unit);
    }

    /// The payload of a run is there: what happens to its memory is told from now on.
    pub(super) fn watch_memory(&mut self, unit: &UnitName) {
        let Some(live) = self.runs.get(unit).cloned() else { return };
        let Some(group) = live.group() else { return };
        match self.memory.add(unit, live.number(), &group) {
            Ok(watch) => live.memory_watch.set(Some(watch)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(SAMPAN_UNIT = %unit, "{}: cannot watch memory.events: {error}", group.display());
            }
        }
        self.limits_changed(unit);
        // What has happened before is not told any more.
        self.memory_changed((unit.clone(), live.number()));
    }

    pub(super) fn memory_changed(&mut self, (unit, run): Watched) {
        let Some(live) = self.run_of(&unit, run) else { return };
        live.look_at_memory();
        live.pressure.notify_one();
        if self.tell_oom(&unit, &live) {
            self.event(Event::OomKilled { unit, run });
        }
    }

    /// Tells the journal of kills that it has not been told of. Whether there were any.
    pub(super) fn tell_oom(&mut self, unit: &UnitName, live: &LiveRun) -> bool {
        let kills = live.oom_kills.get().count;
        let Some(facts) = self.facts.get_mut(unit).filter(|facts| facts.oom_kills < kills) else {
            return false;
        };
        facts.oom_kills = kills;
        self.changed.insert(unit.clone());
        let id = self
            .machine
            .unit(unit)
            .and_then(|managed| managed.run.as_ref())
            .map(|run| run.invocation.as_str());
        let numbers = numbers(&[("limit", live.memory_max.get()), ("peak", live.memory_peak.get())]);
        tracing::warn!(
            SAMPAN_UNIT = %unit,
            INVOCATION_ID = id,
            "{unit}: A process of this unit has been killed by the OOM killer{numbers}."
        );
        true
    }

    /// A run is over: what was counted stays.
    pub(super) fn keep_last_usage(&mut self, unit: &UnitName, live: &LiveRun) {
        live.pressure.notify_one();
        if let Some(watch) = live.memory_watch.take() {
            self.memory.leave(watch);
        }
        self.tell_oom(unit, live);
        if let Some(facts) = self.facts.get_mut(unit) {
            facts.memory_peak = live.memory_peak.get();
        }
    }

    /// Limits of a run that systemd does not know of follow its unit, after systemd has written its own.
    pub fn limits_changed(&mut self, unit: &UnitName) {
        let container = self.machine.unit(unit).and_then(|managed| managed.container());
        let Some(resources) = container.map(|container| &container.resources) else { return };
        let Some(live) = self.runs.get(unit).filter(|live| live.executed.get()) else { return };
        live.memory_max.set(resources.memory_max.filter(|limit| *limit != u64::MAX));
        if let Some(group) = live.group() {
            set_group_kill(&group, resources);
            cache::keep_below(live, &group, resources);
        }
    }
}

/// Has the kernel kill all of a control group where it kills one, cgroup-v2 `memory.oom.group`, for
/// `oom_policy = "kill"`; systemd 252 cannot be asked for that in a scope.
pub(super) fn set_group_kill(group: &Path, resources: &Resources) {
    let file = group.join("memory.oom.group");
    let wanted = if resources.oom_policy == OomPolicy::Kill { "1" } else { "0" };
    let present = fs::read_to_string(&file);
    if present.is_ok_and(|present| present.trim() != wanted)
        && let Err(error) = fs::write(&file, wanted)
    {
        tracing::warn!("{}: cannot write {wanted}: {error}, continuing", file.display());
    }
}

/// ` (memory limit 64.0M, peak 64.0M)`, of what is known.
fn numbers(of: &[(&str, Option<u64>)]) -> String {
    let size = |bytes: u64| format!("{:.1}M", bytes as f64 / f64::from(1 << 20));
    let told = of.iter().filter_map(|(word, bytes)| Some(format!("{word} {}", size((*bytes)?))));
    let told: Vec<String> = told.collect();
    if told.is_empty() { String::new() } else { format!(" (memory {})", told.join(", ")) }
}

/// Kills for want of memory in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OomKills {
    /// How many are known of.
    pub(super) count: u64,
    /// When the last came to be known.
    pub(super) last: Option<Instant>,
    /// How many there were in the slice when they were counted last.
    pub(super) in_slice: Option<u64>,
}

/// How long after a kill for want of memory the end of the first process is put down to it.
const WINDOW: Duration = Duration::from_secs(2);

impl OomKills {
    /// Whether one has just come.
    pub(super) fn are_fresh(self) -> bool {
        self.last.is_some_and(|last| last.elapsed() < WINDOW)
    }
}

impl LiveRun {
    /// Reads what the control group counts, which goes away with it.
    pub(super) fn look_at_memory(&self) {
        let Some(group) = self.group() else { return };
        let known = self.oom_kills.get();
        let in_slice = group.parent().and_then(accounting::oom_kills);
        let counted = accounting::oom_kills(&group);
        // systemd removes a group as soon as it is empty, be it before we look. What was killed in it is counted in
        // the slice, too; and with the last process of a group, it was at its limit.
        let count = match counted {
            Some(count) => count,
            None if known.in_slice.is_some_and(|known| Some(known) < in_slice) => known.count + 1,
            None => known.count,
        };
        let last = if count > known.count { Some(Instant::now()) } else { known.last };
        self.oom_kills.set(OomKills { count, last, in_slice });
        // It may as well go between one file and the next.
        let at_limit = || self.memory_max.get().filter(|_| count > known.count && !group.exists());
        let peak = Memory::of_group(&group).peak.or_else(at_limit);
        self.memory_peak.set(self.memory_peak.get().max(peak));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::io::Write;
    use std::thread;

    #[test]
    fn a_kill_is_told_with_what_is_known() {
        assert_eq!(numbers(&[("limit", None), ("peak", None)]), "");
        let limit = Some(64 << 20);
        assert_eq!(numbers(&[("limit", limit), ("peak", limit)]), " (memory limit 64.0M, peak 64.0M)");
    }

    #[tokio::test]
    async fn what_is_watched_is_told_and_what_is_over_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let memory = MemoryWatch::new().unwrap();
        let groups = ["web", "db"].map(|stem| {
            let group = directory.path().join(stem);
            fs::create_dir(&group).unwrap();
            fs::write(group.join("memory.events"), "").unwrap();
            let unit = UnitName::parse(&format!("{stem}.container")).unwrap();
            let watch = memory.add(&unit, 1, &group).unwrap();
            (group, unit, watch)
        });
        let touch = |group: &Path| {
            let file = fs::File::options().write(true).open(group.join("memory.events")).unwrap();
            move || std::os::unix::fs::FileExt::write_all_at(&file, b"oom 1\n", 0).unwrap()
        };
        let [(web, web_unit, web_watch), (db, db_unit, _)] = &groups;
        let (touch_web, touch_db) = (touch(web), touch(db));
        touch_web();
        assert_eq!(memory.changed().await, BTreeSet::from([(web_unit.clone(), 1)]));
        // Events alike that follow each other are one to the kernel.
        let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        for _ in 0..=queue.trim().parse::<u32>().unwrap() {
            touch_web();
            touch_db();
        }
        let both = BTreeSet::from([(web_unit.clone(), 1), (db_unit.clone(), 1)]);
        assert_eq!(memory.changed().await, both);
        memory.leave(*web_watch);
        touch_web();
        touch_db();
        assert_eq!(memory.changed().await, BTreeSet::from([(db_unit.clone(), 1)]));
        assert_eq!(memory.runs.borrow().len(), 1);
    }

    #[test]
    fn a_kill_is_known_of_when_the_group_has_gone() {
        let slice = tempfile::tempdir().unwrap();
        let group = slice.path().join("sampan-web.scope");
        let write = |directory: &Path, kills: u64| {
            fs::write(directory.join("memory.events"), format!("oom 1\noom_kill {kills}\n")).unwrap();
        };
        fs::create_dir(&group).unwrap();
        write(&group, 0);
        write(slice.path(), 3);
        let live = LiveRun::new(1);
        live.set_group(group.clone());
        live.look_at_memory();
        assert_eq!((live.oom_kills.get().count, live.oom_kills.get().are_fresh()), (0, false));
        write(slice.path(), 4);
        fs::remove_dir_all(&group).unwrap();
        live.look_at_memory();
        assert_eq!((live.oom_kills.get().count, live.oom_kills.get().are_fresh()), (1, true));
        live.look_at_memory();
        assert_eq!(live.oom_kills.get().count, 1, "once");
    }

    #[test]
    fn a_group_that_goes_while_it_is_read_was_at_its_limit() {
        let slice = tempfile::tempdir().unwrap();
        let group = slice.path().join("sampan-web.scope");
        let events = group.join("memory.events");
        fs::create_dir(&group).unwrap();
        mkfifoat(CWD, &events, Mode::RUSR | Mode::WUSR).unwrap();
        let live = LiveRun::new(1);
        live.set_group(group.clone());
        live.memory_max.set(Some(24 << 20));
        thread::scope(|scope| {
            // Opened by a reader, and read once the group has gone.
            scope.spawn(|| {
                let mut events = fs::File::options().write(true).open(&events).unwrap();
                fs::remove_dir_all(&group).unwrap();
                events.write_all(b"oom 1\noom_kill 1\n").unwrap();
            });
            live.look_at_memory();
        });
        assert_eq!((live.oom_kills.get().count, live.memory_peak.get()), (1, Some(24 << 20)));
    }
}
