//! What an earlier manager left: units as they were, with the time limits that they still have, and the jobs
//! that were not over.

use super::Machine;
use super::event::{Action, Left};
use super::job::{Asked, JobKind, Order, Tenure};
use super::restart::restart_delay;
use super::state::{Phase, UnitResult};
use super::unit::{Intent, LoadState, Managed, SocketState, Stamps};
use crate::unit::model::Stage;
use crate::unit::name::UnitName;

impl Machine {
    pub(super) fn adopted(&mut self, name: &UnitName, left: Left) {
        let Left { phase, run, stamps, result, failure, restarts, starts, schedule, job } = left;
        let Some(managed) = self.units.get_mut(name) else { return };
        self.last_run = run.as_ref().map_or(0, |run| run.number).max(self.last_run);
        // A run that had no process yet has nothing to be waited for, but commands may see it off, and why it failed is
        // told of it.
        managed.run =
            run.filter(|run| run.pid != 0 || phase.is_final() || phase == Phase::Failed).map(Box::new);
        (managed.result, managed.failure) = (result, failure);
        (managed.restarts, managed.starts) = (restarts, starts);
        if managed.has_sockets() && (!phase.is_down() || job.is_some()) {
            managed.sockets = SocketState::Open;
        }
        managed.schedule = schedule.into();
        self.adopt_standby(name, phase);
        self.adopt_phase(name, phase, &stamps);
        if let Some(managed) = self.units.get_mut(name).filter(|managed| managed.phase == phase) {
            managed.stamps = stamps;
            // It was there before, and that it came there was told then.
            for action in &mut self.actions {
                if matches!(action, Action::Entered(entered) if entered == name) {
                    *action = Action::Changed(name.clone());
                }
            }
        }
        if self.units.get(name).is_some_and(|managed| managed.loaded.state == LoadState::NotFound) {
            self.vanished.insert(name.clone());
        }
        self.left.extend(job.map(|(kind, asked)| (name.clone(), kind, asked)));
        self.adopt_timer(name, phase);
        // What others are is not known yet.
        self.changes.clear();
    }

    fn adopt_phase(&mut self, name: &UnitName, phase: Phase, stamps: &Stamps) {
        let since = stamps.active_enter.boottime;
        let Some(managed) = self.units.get_mut(name) else { return };
        let managed_result = managed.result;
        let container = managed.container();
        let stop_timeout = container.and_then(|container| container.stop_timeout);
        let start_timeout = container.and_then(|container| container.start_timeout);
        let restart_delay = container.map(|container| restart_delay(container, managed.restarts));
        let lives = managed.run.is_some();
        match phase {
            Phase::Listening if managed.has_sockets() => self.listen(name),
            // It has none any more.
            Phase::Listening => self.left.push((name.clone(), JobKind::Start, Asked::ByName)),
            Phase::StopWatchdog | Phase::StopSigterm | Phase::StopSigkill
                if lives && !managed.has_ended() =>
            {
                managed.intent = Intent::Down;
                self.set_phase(name, Phase::Running);
                self.begin_terminate(name);
            }
            // Commands that a manager before did not see the end of are run again.
            Phase::Stop | Phase::StopSigkill if managed.run.is_some() => {
                managed.intent = Intent::Down;
                self.begin_stop_commands(name);
            }
            Phase::StopPost | Phase::FinalSigkill if managed.run.is_some() => {
                self.set_phase(name, Phase::StopPost);
                self.set_deadline(name, stop_timeout);
                self.run_commands(name, Stage::StopPost);
            }
            Phase::StartPost if lives => {
                self.set_phase(name, phase);
                self.set_deadline(name, start_timeout);
                self.run_commands(name, Stage::StartPost);
            }
            Phase::Stop | Phase::StopPost | Phase::FinalSigkill => self.end_whole(name, managed_result),
            Phase::StopWatchdog | Phase::StopSigterm | Phase::StopSigkill => {
                self.after_end(name, UnitResult::Success);
            }
            // There was no container yet: it is a start that has to be made anew.
            Phase::Condition | Phase::StartPre | Phase::Pull => {
                self.left.push((name.clone(), JobKind::Start, Asked::ByName));
            }
            // Nor is there one that anybody could find, whatever it has said of itself.
            phase if phase.has_run() && !lives => {
                self.left.push((name.clone(), JobKind::Start, Asked::ByName));
            }
            Phase::ExecCondition | Phase::ExecStartPre | Phase::Start => {
                self.set_phase(name, phase);
                self.set_deadline(name, start_timeout);
            }
            Phase::ReloadNotify => {
                self.set_phase(name, phase);
                self.watch_run_since(name, since);
                self.set_deadline(name, start_timeout);
            }
            Phase::Running | Phase::Reload => {
                self.set_phase(name, Phase::Running);
                self.watch_run_since(name, since);
            }
            Phase::Freezing | Phase::Frozen => {
                self.adopt_sleep(name, phase, stamps.changed.boottime, since);
            }
            Phase::AutoRestart => {
                self.set_phase(name, phase);
                self.set_deadline(name, restart_delay);
            }
            phase => self.set_phase(name, phase),
        }
    }

    /// All units are adopted: their jobs go on.
    pub(super) fn resume_jobs(&mut self) {
        self.release_adopted();
        for (unit, kind, asked) in std::mem::take(&mut self.left) {
            let stops = kind == JobKind::Stop && self.units.contains_key(&unit);
            if stops || self.check_usable(&unit).is_ok() {
                match asked {
                    Asked::ByName => drop(self.install_job(&unit, kind, Order::Kept, Tenure::Replaceable)),
                    Asked::Along => self.install_along(&unit, kind, Order::Kept, Tenure::Replaceable),
                }
            } else if self.units.get(&unit).is_some_and(Managed::is_idle) {
                self.close_sockets(&unit);
            }
        }
        self.resume_timers();
        self.follow_all();
    }
}
