//! Runs the jobs that nothing holds back, and writes phases.

use super::Machine;
use super::event::{Action, Request, Verb};
use super::job::{Job, JobId, JobKind, JobMode, JobPhase, JobResult};
use super::state::{ActiveState, Phase};
use super::unit::{Intent, LoadState, Loaded, Managed};
use crate::unit::name::UnitName;
use std::collections::BTreeMap;

impl Machine {
    /// Runs jobs until all that are left wait for an event.
    pub(super) fn settle(&mut self) {
        while let Some(job) = self.next_runnable() {
            if let Some(job) = self.jobs.get_mut(&job.id) {
                job.phase = JobPhase::Running;
            }
            match job.kind {
                JobKind::Start => self.run_start(&job),
                JobKind::Stop => self.run_stop(&job),
                JobKind::Restart => self.run_restart(&job),
            }
        }
    }

    fn next_runnable(&self) -> Option<Job> {
        self.jobs.values().find(|job| job.phase == JobPhase::Waiting && !self.is_blocked(job)).cloned()
    }

    fn run_start(&mut self, job: &Job) {
        let Some(managed) = self.units.get_mut(&job.unit) else { return };
        match managed.phase {
            Phase::Listening if !managed.starts_on_socket() => self.begin_start(&job.unit),
            Phase::Running | Phase::Active | Phase::Listening => self.finish_job(job.id, JobResult::Done),
            Phase::StartPre | Phase::Pull | Phase::Start => {}
            Phase::StopSigterm | Phase::StopSigkill => managed.intent = Intent::Again,
            Phase::Dead | Phase::Failed | Phase::AutoRestart => {
                managed.restarts = 0;
                self.begin_start(&job.unit);
            }
        }
    }

    fn run_stop(&mut self, job: &Job) {
        let Some(managed) = self.units.get_mut(&job.unit) else { return };
        match managed.phase {
            Phase::Dead | Phase::Failed => self.finish_job(job.id, JobResult::Done),
            Phase::Listening | Phase::StartPre | Phase::AutoRestart | Phase::Active => {
                self.close_sockets(&job.unit);
                self.set_phase(&job.unit, Phase::Dead);
                self.finish_job(job.id, JobResult::Done);
            }
            Phase::Pull | Phase::Start | Phase::Running => self.begin_stop(&job.unit, Intent::Down),
            Phase::StopSigterm | Phase::StopSigkill => managed.intent = Intent::Down,
        }
    }

    fn run_restart(&mut self, job: &Job) {
        let Some(managed) = self.units.get_mut(&job.unit) else { return };
        match managed.phase {
            Phase::Pull | Phase::Start | Phase::Running => self.begin_stop(&job.unit, Intent::Again),
            Phase::StopSigterm | Phase::StopSigkill => managed.intent = Intent::Again,
            Phase::Dead | Phase::Failed => self.restart_becomes_start(job.id),
            Phase::Listening | Phase::StartPre | Phase::AutoRestart | Phase::Active => {
                self.set_phase(&job.unit, Phase::Dead);
                self.restart_becomes_start(job.id);
            }
        }
    }

    /// The second half of a restart waits for others like any start.
    pub(super) fn restart_becomes_start(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.kind = JobKind::Start;
            job.phase = JobPhase::Waiting;
        }
    }

    /// Writes the phase of a unit. Nothing else does.
    pub(super) fn set_phase(&mut self, name: &UnitName, phase: Phase) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name) else { return };
        let (before, after) = (managed.phase.active_state(), phase.active_state());
        managed.phase = phase;
        managed.deadline = None;
        managed.stamps.changed = now;
        let is_down = |state| matches!(state, ActiveState::Inactive | ActiveState::Failed);
        match (before == ActiveState::Active, after == ActiveState::Active) {
            (false, true) => managed.stamps.active_enter = now,
            (true, false) => managed.stamps.active_exit = now,
            _ => {}
        }
        match (is_down(before), is_down(after)) {
            (false, true) => managed.stamps.inactive_enter = now,
            (true, false) => managed.stamps.inactive_exit = now,
            _ => {}
        }
        self.actions.push(Action::Changed(name.clone()));
        if !is_down(before) && is_down(after) {
            self.stop_bound_units(name);
        }
    }

    /// `binds_to`: what is bound to a unit goes down with it, for whatever reason it went.
    fn stop_bound_units(&mut self, gone: &UnitName) {
        if self.job_of(gone).is_some_and(|job| job.kind != JobKind::Stop) {
            return;
        }
        let bound: Vec<UnitName> = self
            .units
            .iter()
            .filter(|(_, unit)| !unit.phase.is_down())
            .filter(|(_, unit)| unit.unit().is_some_and(|unit| unit.dependencies.binds_to.contains(gone)))
            .map(|(name, _)| name.clone())
            .collect();
        for unit in bound {
            if self.job_of(&unit).is_some_and(|job| job.kind == JobKind::Stop) {
                continue;
            }
            let request = Request { unit, verb: Verb::Stop, mode: JobMode::Replace };
            if let Err(error) = self.enqueue(&request) {
                tracing::debug!(%error, "cannot stop what was bound to {gone}");
            }
        }
    }

    pub(super) fn replace_units(&mut self, mut loaded: BTreeMap<UnitName, Loaded>) {
        let known: Vec<UnitName> = self.units.keys().cloned().collect();
        for name in known {
            let new = loaded.remove(&name).unwrap_or_else(|| Loaded::unusable(LoadState::NotFound));
            self.insert_unit(name, new);
        }
        for (name, new) in loaded {
            self.insert_unit(name, new);
        }
    }

    /// Takes a unit's files in. While it is up, its last valid version rules on.
    pub(super) fn insert_unit(&mut self, name: UnitName, mut new: Loaded) {
        let Some(managed) = self.units.get_mut(&name) else {
            if new.state != LoadState::NotFound || new.unit.is_some() {
                self.actions.push(Action::Changed(name.clone()));
                self.units.insert(name, Managed::new(new));
            }
            return;
        };
        let idle = managed.phase.is_down() && managed.job.is_none();
        if new.state == LoadState::NotFound && new.unit.is_none() && idle {
            self.units.remove(&name);
            self.actions.push(Action::Removed(name));
            return;
        }
        if new.unit.is_none() && !idle {
            new.unit = managed.loaded.unit.take();
        }
        managed.loaded = new;
        self.actions.push(Action::Changed(name));
    }
}
