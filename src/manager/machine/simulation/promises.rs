//! What must hold after each step, told without the core's own indexes.

use super::super::*;
use super::world::World;
use crate::unit::model::{Container, Dependencies, Stage, StartLimit, Unit};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const LIMIT: StartLimit = StartLimit { burst: 5, interval: Duration::from_secs(10) };

impl World {
    /// A stop that is done has left nothing, unless another unit has it started again at once.
    pub fn check_stopped(&self, stopped: &BTreeSet<UnitName>) {
        for managed in stopped.iter().filter_map(|unit| self.machine.unit(unit)) {
            // A stop that comes with another unit's ends the run alone.
            let waits = managed.timer().is_some()
                && (managed.phase.is_waiting() || managed.phase == Phase::Listening);
            assert!(managed.phase.is_down() || waits, "{managed:?} after its stop");
        }
    }

    /// Restart limits are kept. A start counts when its image is sought, once.
    pub fn note_launch(&mut self, unit: &UnitName, run: u64) {
        if self.counted.insert(unit.clone(), run) == Some(run) {
            return;
        }
        // Whatever its files have said.
        let accepts = |unit: &Arc<Unit>| unit.body.container().is_some_and(Container::accepts);
        assert!(!self.versions[unit].iter().all(accepts), "{unit} has instances, and ran itself");
        let now = self.now;
        let launches = self.launches.entry(unit.clone()).or_default();
        launches.retain(|launch| now.saturating_sub(*launch) < LIMIT.interval);
        launches.push(now);
        assert!(launches.len() <= LIMIT.burst as usize, "{unit} was launched too often");
    }

    pub fn check(&self) {
        let of_machine: BTreeSet<JobId> = self.machine.jobs().keys().copied().collect();
        assert_eq!(of_machine, self.jobs, "a job was lost");
        for job in self.machine.jobs().values() {
            self.check_job(job);
        }
        for (name, managed) in self.machine.units().iter() {
            check_time_limit(name, managed, self.machine.jobs());
            self.check_rivals(name);
            let gone = managed.loaded.state == LoadState::NotFound && managed.phase == Phase::Dead;
            let rests = managed.job.is_none() && !self.alive.contains_key(name);
            assert!(!(gone && rests), "{name} is down, has no file, and is still in memory");
            assert_eq!(managed.unit(), self.units.get(name), "another version of {name} rules");
            self.check_farewell(name, managed);
            self.check_timer(name, managed);
            self.check_sleep(name, managed);
            self.check_overlap(name, managed);
            if let Some(job) = managed.job {
                assert_eq!(&self.machine.jobs()[&job].unit, name);
            }
        }
        for (name, native) in self.machine.natives() {
            let named = self.units.values().any(|unit| unit.dependencies.named().any(|other| other == name));
            assert!(named || native.job.is_some(), "nobody names {name} any more");
        }
        for (name, run) in self.alive.iter().filter(|(name, _)| !self.killed.contains(*name)) {
            let managed = self.machine.unit(name).unwrap();
            assert!(managed.phase.has_run(), "{name} is {:?} and run {run} lives", managed.phase);
        }
    }

    /// A timer that is armed is on the way to its next time, and one that is not is of a unit that is down.
    fn check_timer(&self, name: &UnitName, managed: &Managed) {
        let schedule = &managed.schedule;
        let armed = schedule.stage != TimerStage::Dead;
        assert!(!managed.phase.is_waiting() || armed, "{name} waits for nothing");
        let restarts = managed.job.is_some();
        assert!(!armed || !managed.phase.is_down() || restarts, "{name} is down, and its timer is armed");
        let next = schedule.next_boottime.into_iter().chain(schedule.next_realtime).min();
        let waits = schedule.stage == TimerStage::Waiting && !schedule.unread;
        assert!(!waits || next.is_some(), "{name} waits for no time");
        let wakes = Clock::ALL.iter().any(|clock| self.machine.next_wake(*clock).is_some());
        assert!(!waits || wakes || managed.job.is_some(), "nothing wakes the host for {name}");
        let rests = managed.phase.is_waiting() && managed.job.is_none();
        assert!(!rests || schedule.stage != TimerStage::Running, "{name} rests, and never elapses again");
    }

    /// Commands run in their phase, and nothing that was launched is over without its last ones.
    fn check_farewell(&self, name: &UnitName, managed: &Managed) {
        if let Some((run, stage)) = self.commands.get(name) {
            let phases: &[Phase] = match stage {
                Stage::StartPost => &[Phase::StartPost],
                Stage::Stop => &[Phase::Stop],
                _ => &[Phase::StopPost],
            };
            assert!(phases.contains(&managed.phase), "{name} is {:?} beside {stage:?}", managed.phase);
            assert_eq!(
                managed.run.as_ref().map(|run| run.number),
                Some(*run),
                "{name}: {stage:?} of another run"
            );
        }
        let over = managed.phase.is_down() || managed.phase.is_waiting();
        let over = over || matches!(managed.phase, Phase::AutoRestart | Phase::Listening);
        let seen = !managed.has_commands(Stage::StopPost) || !self.unseen.contains(name);
        assert!(!over || seen || self.killed.contains(name), "{name} was not seen off");
    }

    /// What has no valid file any more, and runs, can still be stopped.
    pub fn check_control(&self) {
        let lives = |name: &&UnitName| self.alive.contains_key(*name) && !self.killed.contains(*name);
        for name in
            self.files.iter().filter(|(_, file)| file.unit.is_none()).map(|(name, _)| name).filter(lives)
        {
            let stop = Request { unit: name.clone(), verb: Verb::Stop, mode: JobMode::Replace };
            let (answer, _) = self.machine.clone().request(self.stamp(), &stop);
            let refused = answer.err().filter(|error| !matches!(error, RequestError::Irreversible { .. }));
            assert!(refused.is_none(), "{name} has vanished and cannot be stopped: {refused:?}");
        }
    }

    fn of(&self, name: &UnitName) -> &Dependencies {
        static NONE: LazyLock<Dependencies> = LazyLock::new(Dependencies::default);
        self.units.get(name).map_or(&NONE, |unit| &unit.dependencies)
    }

    fn is_after(&self, unit: &UnitName, other: &UnitName) -> bool {
        self.of(unit).after.contains(other) || self.of(other).before.contains(unit)
    }

    /// A job that waits has something to wait for; one that runs has waited for those that were there before.
    fn check_job(&self, job: &Job) {
        let others = self.machine.jobs().values().filter(|other| other.id != job.id);
        let others: Vec<&Job> = others.filter(|other| other.order != Order::Ignored).collect();
        if job.phase == JobPhase::Waiting {
            let native = |name: &UnitName| {
                let state = self.machine.natives()[name].state.as_ref();
                state.is_none_or(|state| state.job.is_some() || state.active == ActiveState::Activating)
            };
            let named = self.of(&job.unit);
            let ends = |other: &UnitName| {
                let managed = self.machine.unit(other);
                managed.is_some_and(|managed| managed.active_state() == ActiveState::Deactivating)
            };
            let mut rivals = self.units.keys().filter(|other| self.are_rivals(&job.unit, other));
            let waits = rivals.any(ends)
                || others.iter().any(|other| self.touches(&job.unit, &other.unit))
                || named.after.iter().filter(|name| self.machine.natives().contains_key(*name)).any(native)
                || self.machine.natives().contains_key(&job.unit) && native(&job.unit);
            assert!(waits, "{} {:?} waits for nothing", job.unit, job.kind);
            return;
        }
        if job.order != Order::Kept || self.begun.contains(&job.id) {
            return;
        }
        let bound = |job: &Job| job.order == Order::Kept && !self.begun.contains(&job.id);
        for other in others.iter().filter(|other| other.id < job.id && bound(other)) {
            let same = matches!(
                (other.kind, job.kind),
                (JobKind::Start, JobKind::Start) | (JobKind::Stop, JobKind::Stop)
            );
            let (later, earlier) = if job.kind == JobKind::Start { (job, *other) } else { (*other, job) };
            assert!(
                !(same && self.is_after(&later.unit, &earlier.unit)),
                "{} {:?} runs before {} is over",
                job.unit,
                job.kind,
                other.unit
            );
        }
    }

    fn touches(&self, one: &UnitName, other: &UnitName) -> bool {
        self.is_after(one, other) || self.is_after(other, one) || self.are_rivals(one, other)
    }

    fn are_rivals(&self, one: &UnitName, other: &UnitName) -> bool {
        self.of(one).conflicts.contains(other) || self.of(other).conflicts.contains(one)
    }

    /// Conflicts are never up together.
    fn check_rivals(&self, name: &UnitName) {
        for rival in self.of(name).conflicts.iter().filter(|rival| self.alive.contains_key(*rival)) {
            let lawless = |name: &UnitName| self.lawless.contains(name) || self.killed.contains(name);
            let exempt = |name: &UnitName| lawless(name) || self.risen.contains(name);
            assert!(
                exempt(name) || exempt(rival) || !self.alive.contains_key(name),
                "{name} and {rival} are up together"
            );
        }
    }

    pub fn check_end(&self) {
        assert!(self.machine.jobs().is_empty(), "jobs are left: {:?}", self.machine.jobs());
        assert!(self.seeking.is_empty(), "images are sought for nobody: {:?}", self.seeking);
        assert!(self.alive.is_empty(), "containers are left: {:?}", self.alive);
        assert!(self.commands.is_empty(), "commands are left: {:?}", self.commands);
        assert!(self.open.is_empty(), "sockets are left: {:?}", self.open);
        for (name, managed) in self.machine.units().iter() {
            assert!(managed.phase.is_down(), "{name} is {:?}", managed.phase);
        }
    }
}

/// No state can last for ever that is not meant to.
fn check_time_limit(name: &UnitName, managed: &Managed, jobs: &std::collections::BTreeMap<JobId, Job>) {
    let container = managed.container();
    let needed = match managed.phase {
        Phase::Stop | Phase::StopWatchdog | Phase::StopSigterm | Phase::StopSigkill => true,
        Phase::StopPost | Phase::FinalSigkill | Phase::Freezing => true,
        phase if phase.is_starting() || phase == Phase::StartPost => {
            let pulls = managed.image != super::super::unit::ImageState::Settled;
            !pulls && container.is_some_and(|container| container.start_timeout.is_some())
        }
        Phase::AutoRestart => managed.job.is_none_or(|job| !jobs.contains_key(&job)),
        _ => false,
    };
    assert!(!needed || managed.timers.phase.is_some(), "{name} can be {:?} for ever", managed.phase);
    let watched = managed.phase == Phase::Running && managed.watchdog_time().is_some();
    assert!(!watched || managed.timers.watchdog.is_some(), "{name} is not watched");
}
