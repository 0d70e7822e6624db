//! Commands around a payload: `exec_condition` and `exec_start_pre` as part of its launch, `exec_start_post` once it is
//! ready, `exec_stop` before its stop signal, `exec_stop_post` when nothing of it is left.

use super::Machine;
use super::event::{Action, Unmet};
use super::job::{JobKind, JobResult};
use super::state::{Exit, Failure, Phase, UnitResult};
use super::unit::{Intent, Managed, Then};
use crate::unit::model::{Otherwise, ReadyOn, ServiceType, Stage};
use crate::unit::name::UnitName;
use std::time::Duration;

/// After SIGKILL only a command that the kernel cannot wake is left.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Machine {
    pub(super) fn run_commands(&mut self, name: &UnitName, stage: Stage) {
        if let Some(run) = self.units.get(name).and_then(|managed| managed.run.as_ref()) {
            let run = run.number;
            self.actions.push(Action::RunCommands { unit: name.clone(), run, stage });
        }
    }

    pub(super) fn end_commands(&mut self, name: &UnitName) {
        if let Some(run) = self.units.get(name).and_then(|managed| managed.run.as_ref()) {
            let run = run.number;
            self.actions.push(Action::EndCommands { unit: name.clone(), run });
        }
    }

    /// Goes on in a start, whose time limit goes on, too.
    fn advance(&mut self, name: &UnitName, phase: Phase) {
        let deadline = self.units.get(name).and_then(|managed| managed.timers.phase);
        self.set_phase(name, phase);
        if let Some(managed) = self.units.get_mut(name) {
            managed.timers.phase = deadline;
            self.arm(name);
        }
    }

    pub(super) fn start_pre_begun(&mut self, name: &UnitName, run: u64) {
        let managed = self.units.get(name).filter(|managed| managed.is_run(run));
        if managed.is_some_and(|managed| managed.phase == Phase::ExecCondition) {
            self.advance(name, Phase::ExecStartPre);
        }
    }

    pub(super) fn executed(&mut self, name: &UnitName, run: u64) {
        let managed = self.units.get(name).filter(|managed| managed.is_run(run));
        if managed.is_some_and(|managed| managed.phase.is_starting() && managed.phase != Phase::Start) {
            self.advance(name, Phase::Start);
        }
        self.ready(name, run, ReadyOn::Exec);
    }

    /// The container is ready, or a oneshot has done its work.
    pub(super) fn begin_start_post(&mut self, name: &UnitName) {
        if self.units.get(name).is_some_and(|managed| managed.has_commands(Stage::StartPost)) {
            self.advance(name, Phase::StartPost);
            self.run_commands(name, Stage::StartPost);
        } else {
            self.start_post_done(name);
        }
    }

    fn start_post_done(&mut self, name: &UnitName) {
        if self.units.get(name).is_some_and(Managed::has_ended) {
            return self.finish_oneshot(name);
        }
        self.enter_running(name);
        self.finish_unit_job(name, JobKind::Start, JobResult::Done);
        self.heed_health(name);
    }

    /// Runs `exec_stop`.
    pub(super) fn begin_stop_commands(&mut self, name: &UnitName) {
        let container = self.units.get(name).and_then(Managed::container);
        let timeout = container.and_then(|container| container.stop_timeout);
        self.set_phase(name, Phase::Stop);
        self.set_deadline(name, timeout);
        self.run_commands(name, Stage::Stop);
    }

    /// Brings a oneshot down that remained after its exit.
    pub(super) fn begin_stop_exited(&mut self, name: &UnitName, intent: Intent) {
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.intent = intent;
        if managed.has_commands(Stage::Stop) {
            self.begin_stop_commands(name);
        } else {
            self.after_end(name, UnitResult::Success);
        }
    }

    pub(super) fn commands_done(
        &mut self,
        name: &UnitName,
        run: u64,
        stage: Stage,
        result: Result<(), Failure>,
    ) {
        let of_run = |managed: &&mut Managed| managed.run.as_ref().is_some_and(|own| own.number == run);
        let Some(managed) = self.units.get_mut(name).filter(of_run) else { return };
        match (stage, managed.phase) {
            (Stage::Condition | Stage::StartPre, _) => self.launch_ended_by(name, run, stage, result),
            (Stage::StartPost, Phase::StartPost) => match result {
                Ok(()) => self.start_post_done(name),
                Err(failure) => self.start_post_failed(name, failure),
            },
            (Stage::Stop, Phase::Stop) => {
                managed.note_farewell(result);
                self.stop_commands_done(name);
            }
            // Those of a container that had ended before, see [`Machine::commands_timed_out`].
            (Stage::Stop, Phase::StopSigkill) if managed.has_ended() => self.stop_commands_done(name),
            (Stage::StopPost, Phase::StopPost | Phase::FinalSigkill) => {
                managed.note_farewell(result);
                let result = managed.result;
                self.end_whole(name, result);
            }
            _ => {}
        }
    }

    /// A command before the payload has failed, and nothing of the launch is left.
    fn launch_ended_by(&mut self, name: &UnitName, run: u64, stage: Stage, result: Result<(), Failure>) {
        let (now, Err(failure)) = (self.now, result) else { return };
        let Some(managed) = self.end_run(name, run, None) else { return };
        match managed.phase {
            phase if phase.is_starting() => {}
            Phase::Stop => return,
            _ => return self.stopped(name, Exit::Code(0)),
        }
        let skips = stage == Stage::Condition && matches!(failure.exit, Some(Exit::Code(1..=254)));
        let result = if skips { UnitResult::ExecCondition } else { worth(&failure) };
        if skips {
            let unmet = Unmet { otherwise: Otherwise::Skip, text: failure.message, at: now };
            managed.unmet = Some(Box::new(unmet));
        } else {
            managed.failure = Some(failure);
        }
        self.after_end(name, result);
    }

    fn start_post_failed(&mut self, name: &UnitName, failure: Failure) {
        let Some(managed) = self.units.get_mut(name) else { return };
        let result = worth(&failure);
        let has_ended = managed.has_ended();
        managed.failure = Some(failure);
        if has_ended {
            self.after_end(name, result);
        } else {
            managed.intent = Intent::Failed(result, Then::Policy);
            self.begin_terminate(name);
        }
    }

    fn stop_commands_done(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get(name) else { return };
        let exit = managed.run.as_ref().and_then(|run| run.exit);
        match (managed.has_ended(), managed.is_oneshot(), exit) {
            (false, ..) => self.begin_terminate(name),
            // What remained after its exit has had its verdict.
            (true, true, _) => self.after_end(name, UnitResult::Success),
            (true, false, exit) => self.stopped(name, exit.unwrap_or(Exit::Unknown)),
        }
    }

    /// The commands of an end have taken too long.
    pub(super) fn commands_timed_out(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        let stage = if managed.phase == Phase::Stop { Stage::Stop } else { Stage::StopPost };
        let message = format!("{}: timed out, killed", stage.key());
        managed.failure.get_or_insert(Failure { message, errno: 0, exit: None });
        managed.farewell = UnitResult::Timeout;
        let lives = !managed.has_ended();
        self.end_commands(name);
        match (stage, lives) {
            (Stage::Stop, true) => return self.begin_terminate(name),
            (Stage::Stop, false) => self.set_phase(name, Phase::StopSigkill),
            _ => self.set_phase(name, Phase::FinalSigkill),
        }
        self.set_deadline(name, Some(KILL_TIMEOUT));
    }

    /// Even SIGKILL has not ended them.
    pub(super) fn commands_given_up(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get(name) else { return };
        match (managed.phase, managed.result) {
            (Phase::FinalSigkill, result) => self.end_whole(name, result),
            _ => self.after_end(name, UnitResult::Timeout),
        }
    }
}

/// The result of a start that a command has failed.
fn worth(failure: &Failure) -> UnitResult {
    match failure.exit.map(Exit::result) {
        // A signal that ends a payload cleanly does not end a command so.
        Some(UnitResult::Success) => UnitResult::Signal,
        Some(result) => result,
        None => UnitResult::Resources,
    }
}

impl Managed {
    pub(super) fn has_commands(&self, stage: Stage) -> bool {
        self.container().is_some_and(|container| container.commands.has(stage))
    }

    /// Whether something is to be run when it goes down.
    pub(super) fn has_farewell(&self) -> bool {
        self.has_commands(Stage::Stop) || self.has_commands(Stage::StopPost)
    }

    /// Whether its run is over.
    pub(super) fn has_ended(&self) -> bool {
        self.run.as_ref().is_none_or(|run| run.ended.is_some())
    }

    pub(super) fn is_oneshot(&self) -> bool {
        self.terms().is_some_and(|terms| terms.kind == ServiceType::Oneshot)
    }

    /// Where a launch begins.
    pub(super) fn first_phase(&self) -> Phase {
        match (self.has_commands(Stage::Condition), self.has_commands(Stage::StartPre)) {
            (true, _) => Phase::ExecCondition,
            (false, true) => Phase::ExecStartPre,
            (false, false) => Phase::Start,
        }
    }

    fn note_farewell(&mut self, result: Result<(), Failure>) {
        let Err(failure) = result else { return };
        if self.farewell == UnitResult::Success {
            self.farewell = worth(&failure);
        }
        self.failure.get_or_insert(failure);
    }
}
