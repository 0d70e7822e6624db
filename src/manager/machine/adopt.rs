//! What an earlier manager left: units as they were, with the time limits that they still have, and the jobs
//! that were not over.

use super::Machine;
use super::event::Left;
use super::job::{JobKind, Order, Tenure};
use super::state::Phase;
use super::unit::{Intent, SocketState};
use crate::unit::name::UnitName;

impl Machine {
    pub(super) fn adopted(&mut self, name: &UnitName, left: Left) {
        let Left { phase, run, stamps, restarts, result, failure, job } = left;
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.last_run = run.as_ref().map_or(managed.last_run, |run| run.number);
        // A start that had no process yet is made anew, not waited for.
        managed.run = run.filter(|run| run.pid != 0);
        managed.restarts = restarts;
        (managed.result, managed.failure) = (result, failure);
        if managed.has_sockets() && !phase.is_down() {
            managed.sockets = SocketState::Open;
        }
        let container = managed.container();
        let start_timeout = container.and_then(|container| container.start_timeout);
        let restart_delay = container.map(|container| container.restart_delay);
        match phase {
            Phase::Listening => self.listen(name),
            Phase::StopWatchdog | Phase::StopSigterm | Phase::StopSigkill => {
                self.set_phase(name, Phase::Running);
                self.begin_stop(name, Intent::Down);
            }
            Phase::Start | Phase::ReloadNotify => {
                self.set_phase(name, phase);
                self.set_deadline(name, start_timeout);
            }
            Phase::Running | Phase::Reload => {
                self.set_phase(name, Phase::Running);
                self.watch_adopted(name, stamps.active_enter.boottime);
            }
            Phase::AutoRestart => {
                self.set_phase(name, phase);
                self.set_deadline(name, restart_delay);
            }
            // There was no container yet: it is a start that has to be made anew.
            Phase::Condition | Phase::StartPre | Phase::Pull => {
                self.left.push((name.clone(), JobKind::Start))
            }
            // It failed before, and everybody has been told then.
            Phase::Failed => managed.phase = phase,
            phase => self.set_phase(name, phase),
        }
        if let Some(managed) = self.units.get_mut(name).filter(|managed| managed.phase == phase) {
            managed.stamps = stamps;
        }
        self.left.extend(job.map(|kind| (name.clone(), kind)));
        // What others are is not known yet.
        self.changes.clear();
    }

    /// The time that a container may run counts from its start, not from ours.
    fn watch_adopted(&mut self, name: &UnitName, since: std::time::Duration) {
        let now = self.now;
        self.now.boottime = since.min(now.boottime);
        self.watch_run(name);
        self.now = now;
        self.alive(name);
    }

    /// All units are adopted: their jobs go on.
    pub(super) fn resume_jobs(&mut self) {
        for (unit, kind) in std::mem::take(&mut self.left) {
            if kind == JobKind::Stop || self.check_usable(&unit).is_ok() {
                self.install_job(&unit, kind, Order::Kept, Tenure::Replaceable);
            }
        }
        self.follow_all();
    }
}
