//! What the change of one unit means for others: `binds_to`, `upholds`, `on_failure`, `on_success`,
//! `stop_when_unneeded`, and the relations to units that systemd starts and stops by itself.

use super::Machine;
use super::job::{JobKind, JobMode};
use super::native::{NativeJob, NativeState};
use super::request::{Request, Verb};
use super::restart::{AUTOMATIC_LIMIT, exceeds_limit};
use super::state::{ActiveState, UnitResult};
use crate::unit::name::UnitName;

/// What has become of a unit.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// It has got from one state to another.
    State { unit: UnitName, before: ActiveState, after: ActiveState },
    /// A run is over after which its timer has it at rest again; it would be down in this state without.
    Rest { unit: UnitName, after: ActiveState },
}

impl Machine {
    /// The state that dependencies look at; a name that stands for nothing is down.
    pub(super) fn active_state(&self, name: &UnitName) -> ActiveState {
        let ours = self.units.get(name).map(super::Managed::active_state);
        let native = || self.natives.get(name).map(super::Native::active_state);
        ours.or_else(native).unwrap_or(ActiveState::Inactive)
    }

    pub(super) fn changed_state(&mut self, unit: &UnitName, before: ActiveState, after: ActiveState) {
        if before != after {
            self.changes.push_back(Change::State { unit: unit.clone(), before, after });
        }
    }

    /// After an adoption everything is looked at as if it had just come about, but for what an end would start.
    pub(super) fn follow_all(&mut self) {
        let states = self.units.iter().map(|(name, managed)| (name.clone(), managed.active_state()));
        let changes = states.map(|(unit, state)| Change::State { unit, before: state, after: state });
        self.changes = changes.collect();
    }

    pub(super) fn follow(&mut self, change: &Change) {
        let (unit, before, after) = match change {
            Change::State { unit, before, after } => (unit, before, after),
            Change::Rest { unit, after } => {
                self.start_on_end(unit, *after);
                return self.stop_unneeded_by(unit);
            }
        };
        if !before.is_down() && after.is_down() {
            self.stop_bound(unit);
            self.start_on_end(unit, *after);
        }
        if after.is_down() {
            self.uphold(unit);
            self.stop_unneeded_by(unit);
        }
        if after.is_up() {
            self.uphold_by(unit);
            self.stop_if_unbound(unit);
            self.stop_if_unneeded(unit);
        }
    }

    /// Something that follows from the state of other units. Whoever it is about has no say in it.
    fn demand(&mut self, unit: &UnitName, verb: Verb, mode: JobMode) {
        if verb != Verb::Start && self.only_waits(unit) {
            return;
        }
        let present = self.job_of(unit).map(|job| (job.id, job.asked));
        let request = Request { unit: unit.clone(), verb, mode };
        match self.enqueue(&request) {
            Ok(id) if verb != Verb::Start => self.came_along(id, present),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!("{unit}: {verb:?} that follows from another unit: {error}");
            }
        }
    }

    /// A start that nobody asked for. Units that start each other by turns must not do so for ever.
    fn demand_start(&mut self, unit: &UnitName, mode: JobMode) {
        let now = self.now.boottime;
        if let Some(managed) = self.units.get_mut(unit)
            && exceeds_limit(&mut managed.automatic, AUTOMATIC_LIMIT, now)
        {
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: started too often by other units, leaving it alone");
            return;
        }
        self.demand(unit, Verb::Start, mode);
    }

    fn has_job(&self, unit: &UnitName, kinds: &[JobKind]) -> bool {
        self.job_of(unit).is_some_and(|job| kinds.contains(&job.kind))
    }

    /// What is bound to a unit goes down with it, for whatever reason it went.
    fn stop_bound(&mut self, gone: &UnitName) {
        if self.active_state(gone) != ActiveState::Inactive && self.active_state(gone) != ActiveState::Failed
        {
            return;
        }
        if self.has_job(gone, &[JobKind::Start, JobKind::Restart]) {
            return;
        }
        let (own, theirs) = (self.dependencies(gone), self.dependents(gone));
        let bound = theirs.binds_to.iter().chain(&own.propagates_stop_to).chain(&theirs.stop_propagated_from);
        let stops =
            |name: &&UnitName| !self.active_state(name).is_down() && !self.has_job(name, &[JobKind::Stop]);
        for unit in bound.filter(stops).cloned().collect::<Vec<_>>() {
            self.demand(&unit, Verb::Stop, JobMode::Replace);
        }
    }

    /// A run of a unit is over whose timer has it at rest again.
    pub(super) fn rested(&mut self, name: &UnitName, result: UnitResult) {
        let clean = matches!(result, UnitResult::Success | UnitResult::ExecCondition);
        let after = if clean { ActiveState::Inactive } else { ActiveState::Failed };
        self.changes.push_back(Change::Rest { unit: name.clone(), after });
    }

    fn start_on_end(&mut self, ended: &UnitName, after: ActiveState) {
        let Some(managed) = self.units.get(ended) else { return };
        let own = self.dependencies(ended);
        let next = match after {
            ActiveState::Failed => &own.on_failure,
            _ if managed.unmet.is_some() || self.has_job(ended, &[JobKind::Start]) => return,
            _ => &own.on_success,
        };
        for unit in next.iter().cloned().collect::<Vec<_>>() {
            self.demand_start(&unit, JobMode::Replace);
        }
    }

    /// A unit that another one upholds does not stay down.
    fn uphold(&mut self, down: &UnitName) {
        let given_up = self.units.get(down).is_some_and(|managed| {
            matches!(managed.result, UnitResult::StartLimitHit) || managed.unmet.is_some()
        });
        let upholds = |name: &&UnitName| {
            self.active_state(name).is_up() && !self.has_job(name, &[JobKind::Stop, JobKind::Restart])
        };
        let is_upheld = self.dependents(down).upholds.iter().any(|name| upholds(&name));
        if is_upheld && !given_up && self.active_state(down).is_down() && self.job_of(down).is_none() {
            self.demand_start(down, JobMode::Fail);
        }
    }

    fn uphold_by(&mut self, up: &UnitName) {
        for unit in self.dependencies(up).upholds.iter().cloned().collect::<Vec<_>>() {
            self.uphold(&unit);
        }
    }

    /// What went down while this unit was on its way up takes it along.
    fn stop_if_unbound(&mut self, up: &UnitName) {
        let lost = |bound: &&UnitName| self.active_state(bound).is_down() && self.job_of(bound).is_none();
        let own = self.dependencies(up);
        if own.binds_to.iter().any(|bound| lost(&bound)) && self.job_of(up).is_none() {
            self.demand(up, Verb::Stop, JobMode::Replace);
        }
    }

    fn stop_unneeded_by(&mut self, down: &UnitName) {
        let own = self.dependencies(down);
        let needed = own.requires.iter().chain(&own.requisite).chain(&own.wants);
        let needed = needed.chain(&own.binds_to).chain(&own.upholds);
        for unit in needed.cloned().collect::<Vec<_>>() {
            self.stop_if_unneeded(&unit);
        }
    }

    /// `stop_when_unneeded`: as soon as nothing that is up, or about to be, depends on it.
    fn stop_if_unneeded(&mut self, name: &UnitName) {
        let unit = self.units.get(name).and_then(|managed| managed.unit());
        let applies = unit.is_some_and(|unit| unit.handling.stop_when_unneeded)
            && self.active_state(name).is_up()
            && !self.is_waiting(name)
            && self.job_of(name).is_none();
        if !applies {
            return;
        }
        let theirs = self.dependents(name);
        let mut needing = theirs.requires.iter().chain(&theirs.requisite).chain(&theirs.wants);
        let needs = |name: &UnitName| {
            let runs = !self.active_state(name).is_down() && !self.is_waiting(name);
            runs || self.has_job(name, &[JobKind::Start, JobKind::Restart])
        };
        let is_needed = needing.any(needs) || theirs.binds_to.iter().chain(&theirs.upholds).any(needs);
        if !is_needed {
            self.demand(name, Verb::Stop, JobMode::Fail);
        }
    }

    /// What systemd does to a unit of its own is done to ours that depend on it.
    pub(super) fn follow_native(&mut self, name: &UnitName, old: Option<&NativeState>, new: &NativeState) {
        let ours = self.job_of(name).is_some();
        if new.job != old.and_then(|state| state.job) && !ours {
            match new.job {
                Some(NativeJob::Stop) => self.pass_on(name, Verb::Stop),
                Some(NativeJob::Restart) => self.pass_on(name, Verb::TryRestart),
                Some(NativeJob::Reload) => self.pass_on_reload(name),
                Some(NativeJob::Start) | None => {}
            }
        }
        let before = old.map_or(ActiveState::Activating, |state| state.active);
        let rose = before.is_down() || old.is_none();
        if rose && !new.active.is_down() {
            let up = |other: &&UnitName| !self.active_state(other).is_down();
            let rivals: Vec<UnitName> = self.in_conflict(name).filter(up).cloned().collect();
            for rival in rivals {
                self.demand(&rival, Verb::Stop, JobMode::Replace);
            }
        }
        self.changed_state(name, before, new.active);
    }

    fn pass_on(&mut self, stopped: &UnitName, verb: Verb) {
        let theirs = self.dependents(stopped);
        let both = theirs.requires.iter().chain(&theirs.requisite).chain(&theirs.binds_to);
        let both: Vec<UnitName> = both.chain(&theirs.part_of).cloned().collect();
        let only_stops: Vec<UnitName> = theirs.stop_propagated_from.iter().cloned().collect();
        for unit in both.into_iter().filter(|unit| !self.active_state(unit).is_down()).collect::<Vec<_>>() {
            self.demand(&unit, verb, JobMode::Replace);
        }
        for unit in only_stops {
            if !self.active_state(&unit).is_down() {
                self.demand(&unit, Verb::Stop, JobMode::Replace);
            }
        }
    }

    fn pass_on_reload(&mut self, reloaded: &UnitName) {
        for unit in self.dependents(reloaded).reload_propagated_from.iter().cloned().collect::<Vec<_>>() {
            if self.active_state(&unit).is_up() {
                self.demand(&unit, Verb::Reload, JobMode::Fail);
            }
        }
    }
}
