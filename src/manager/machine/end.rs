//! How a run ends, by itself or because it was asked to, and what follows.

use super::Machine;
use super::event::Action;
use super::job::{Asked, JobKind, JobResult};
use super::restart::{named, restart_delay, restarts_after};
use super::state::{Exit, Failure, Phase, ToStop, UnitResult};
use super::unit::{ImageState, Intent, Managed, SocketState, Then};
use crate::unit::model::{OomPolicy, Stage};
use crate::unit::name::UnitName;
use std::time::Duration;

/// After SIGKILL only a process that the kernel cannot wake is left; then the unit is given up as failed.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before a launch that found no space on a disk is tried again: by default no start limit is hit by it.
const SPACE_DELAY: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn launch_failed(
        &mut self,
        name: &UnitName,
        run: u64,
        process: Option<u32>,
        failure: Failure,
    ) {
        let exit = failure.exit;
        let result = if exit.is_some() { UnitResult::ExitCode } else { UnitResult::Resources };
        let Some(managed) = self.end_run(name, run, exit) else { return };
        if let (Some(own), Some(pid)) = (managed.run.as_mut().filter(|own| own.pid == 0), process) {
            own.pid = pid;
        }
        match managed.phase {
            phase if phase.is_starting() => {
                managed.failure = Some(failure);
                self.after_end(name, result);
            }
            // Its commands go on.
            Phase::Stop => {}
            _ => self.stopped(name, Exit::Code(0)),
        }
    }

    pub(super) fn ended(&mut self, name: &UnitName, run: u64, exit: Exit) {
        let Some(managed) = self.end_run(name, run, Some(exit)) else { return };
        let result = managed.verdict(exit);
        let oneshot = managed.is_oneshot();
        match managed.phase {
            // Its commands go on.
            Phase::Stop => {}
            Phase::StopWatchdog | Phase::StopSigterm | Phase::StopSigkill => self.stopped(name, exit),
            Phase::Start if oneshot && result == UnitResult::Success => self.begin_start_post(name),
            phase if phase.is_starting() && result == UnitResult::Success => {
                self.after_end(name, UnitResult::Protocol);
            }
            _ => self.after_end(name, result),
        }
    }

    /// A oneshot has done its work.
    pub(super) fn finish_oneshot(&mut self, name: &UnitName) {
        let container = self.units.get(name).and_then(Managed::container);
        if container.is_some_and(|container| container.remain_after_exit) {
            self.set_phase(name, Phase::Exited);
            self.finish_unit_job(name, JobKind::Start, JobResult::Done);
        } else {
            self.finish_unit_job(name, JobKind::Start, JobResult::Done);
            self.after_end(name, UnitResult::Success);
        }
    }

    pub(super) fn end_run(&mut self, name: &UnitName, run: u64, exit: Option<Exit>) -> Option<&mut Managed> {
        let now = self.now;
        let managed = self.units.get_mut(name)?;
        let ended = managed.run.as_mut().filter(|own| own.number == run && own.ended.is_none())?;
        ended.ended = Some(now);
        ended.exit = exit;
        managed.timers.runtime = None;
        managed.timers.watchdog = None;
        let phase = managed.phase;
        self.arm(name);
        if phase == Phase::StartPost {
            self.end_commands(name);
        }
        phase.has_run().then(|| self.units.get_mut(name)).flatten()
    }

    /// A run that was asked to end has ended. A signal is what it was asked for, so it is a clean end.
    pub(super) fn stopped(&mut self, name: &UnitName, exit: Exit) {
        let Some(managed) = self.units.get(name) else { return };
        let result = match (managed.intent, managed.phase, exit) {
            (Intent::Failed(result, _), _, _) => result,
            (_, Phase::StopSigkill, _) => UnitResult::Timeout,
            (_, _, Exit::Signal(_) | Exit::OomKill | Exit::Unknown) => UnitResult::Success,
            (_, _, exit) => managed.verdict(exit),
        };
        self.after_end(name, result);
    }

    /// Nothing of a run is left but the commands that see it off.
    pub(super) fn after_end(&mut self, name: &UnitName, result: UnitResult) {
        let Some(managed) = self.units.get_mut(name) else { return };
        let has_begun = managed.phase.has_run() || managed.phase == Phase::Exited;
        if has_begun && managed.has_commands(Stage::StopPost) {
            managed.result = result;
            let timeout = managed.container().and_then(|container| container.stop_timeout);
            self.set_phase(name, Phase::StopPost);
            self.set_deadline(name, timeout);
            self.run_commands(name, Stage::StopPost);
        } else {
            self.end_whole(name, result);
        }
    }

    /// Decides what follows an end.
    pub(super) fn end_whole(&mut self, name: &UnitName, result: UnitResult) {
        if self.fall_back(name, result) {
            return;
        }
        let job = self.job_of(name).map(|job| (job.id, job.kind, job.asked));
        let keeps_timer = self.is_armed(name);
        let Some(managed) = self.units.get_mut(name) else { return };
        let farewell = std::mem::take(&mut managed.farewell);
        let result = if result == UnitResult::Success { farewell } else { result };
        managed.result = result;
        if result == UnitResult::Success {
            // A reload that has failed is no fault of a run that is over.
            managed.failure = None;
        }
        let restarts = managed.restarts_by_itself(result) || managed.waits_for_space();
        match job {
            Some((id, JobKind::Restart, _)) => {
                managed.intent = Intent::Again;
                self.set_phase(name, Phase::Dead);
                self.restart_becomes_start(id);
            }
            Some((id, JobKind::Stop, Asked::Along)) if keeps_timer => {
                self.rest(name, result);
                self.finish_job(id, JobResult::Done);
            }
            Some((id, JobKind::Stop, _)) => {
                self.go_down(name, result);
                self.finish_job(id, JobResult::Done);
            }
            Some((_, JobKind::Start, _)) if managed.intent == Intent::Again => self.begin_start(name),
            // With its job, one that is to be restarted is given up: it is down before, once.
            _ if managed.phase == Phase::AutoRestart && !restarts => {
                self.rest(name, result);
                self.fail_jobs(name, result);
            }
            _ => {
                self.fail_jobs(name, result);
                if restarts { self.schedule_restart(name) } else { self.rest(name, result) }
            }
        }
    }

    fn fail_jobs(&mut self, name: &UnitName, result: UnitResult) {
        let intent = self.units.get(name).map(|managed| managed.intent);
        let outcome = match result {
            UnitResult::Success if intent == Some(Intent::Down) => JobResult::Canceled,
            UnitResult::Success | UnitResult::ExecCondition => JobResult::Done,
            UnitResult::Timeout => JobResult::Timeout,
            _ => JobResult::Failed,
        };
        self.finish_unit_job(name, JobKind::Start, outcome);
        self.finish_unit_job(name, JobKind::Reload, JobResult::Failed);
    }

    fn schedule_restart(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.intent = Intent::Policy;
        let delay = managed.container().map(|container| restart_delay(container, managed.restarts));
        let delay = if managed.lacks_space() { delay.max(Some(SPACE_DELAY)) } else { delay };
        self.set_phase(name, Phase::AutoRestart);
        self.set_deadline(name, delay);
    }

    /// The job of a restart by itself is over, and has not begun: nobody else would ever begin it.
    pub(super) fn rest_if_given_up(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get(name) else { return };
        if managed.phase == Phase::AutoRestart && managed.timers.phase.is_none() {
            self.go_down(name, managed.result);
        }
    }

    /// A unit without a job ends where its next start begins: listening again, waiting for its timer, or down.
    pub(super) fn rest(&mut self, name: &UnitName, result: UnitResult) {
        let listens = self.units.get(name).is_some_and(|managed| {
            let wakes = managed.starts_on_socket() || managed.intent == Intent::Sleep;
            wakes && managed.sockets == SocketState::Open
        });
        if listens && !matches!(result, UnitResult::StartLimitHit | UnitResult::TriggerLimitHit) {
            self.listen(name);
            self.timer_listens(name);
        } else if self.is_armed(name) {
            self.close_sockets(name);
            self.wait_for_timer(name);
        } else {
            return self.go_down(name, result);
        }
        if self.is_armed(name) {
            self.rested(name, result);
        }
    }

    pub(super) fn go_down(&mut self, name: &UnitName, result: UnitResult) {
        self.close_sockets(name);
        let clean = matches!(result, UnitResult::Success | UnitResult::ExecCondition);
        let phase = if clean { Phase::Dead } else { Phase::Failed };
        if let Some(managed) = self.units.get_mut(name) {
            managed.intent = Intent::Policy;
        }
        self.set_phase(name, phase);
        self.retired_has_ended(name);
    }

    /// Asks a run to end; `intent` is what follows.
    pub(super) fn begin_stop(&mut self, name: &UnitName, intent: Intent) {
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.image == ImageState::Sought {
            self.leave_image(name, intent);
            return;
        }
        managed.intent = intent;
        let aborts = matches!(intent, Intent::Failed(UnitResult::Watchdog, _));
        let is_up = managed.active_state().is_up();
        if managed.phase == Phase::StartPost {
            self.end_commands(name);
        } else if is_up && !aborts && managed.has_commands(Stage::Stop) {
            return self.begin_stop_commands(name);
        }
        self.begin_terminate(name);
    }

    /// Signals a run to end.
    pub(super) fn begin_terminate(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get(name) else { return };
        let Some(run) = managed.run.as_ref().map(|run| run.number) else { return };
        let intent = managed.intent;
        let timeout = managed.container().and_then(|container| container.stop_timeout);
        let unit = name.clone();
        let (phase, action) = match intent {
            Intent::Failed(UnitResult::Watchdog, _) => (Phase::StopWatchdog, Action::Abort { unit, run }),
            _ => (Phase::StopSigterm, Action::Terminate { unit, run }),
        };
        self.set_phase(name, phase);
        self.set_deadline(name, timeout);
        self.actions.push(action);
    }

    /// `STOPPING=1`, or a scope that systemd stops: the run ends by itself, and must do so in time.
    pub(super) fn stopping(&mut self, name: &UnitName, run: u64) {
        let up = |managed: &&Managed| managed.is_run(run) && managed.active_state().is_up();
        let Some(managed) = self.units.get(name).filter(up) else { return };
        let timeout = managed.container().and_then(|container| container.stop_timeout);
        self.finish_unit_job(name, JobKind::Reload, JobResult::Failed);
        self.set_phase(name, Phase::StopSigterm);
        self.set_deadline(name, timeout);
    }

    pub(super) fn stop_requested(&mut self, name: &UnitName) {
        if self.units.get(name).is_some_and(|managed| managed.phase.to_stop() == ToStop::Work) {
            self.begin_stop(name, Intent::Down);
        }
    }

    /// What becomes of a container of which a process was killed for want of memory, systemd.service(5)
    /// `OOMPolicy=`. Where it was the first, its end tells so.
    pub(super) fn oom_killed(&mut self, name: &UnitName, run: u64) {
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) else { return };
        self.actions.push(Action::Changed(name.clone()));
        let is_ending = managed.phase.is_stopping_run() || managed.phase.is_final();
        let policy = managed.container().map(|container| container.resources.oom_policy);
        let intent = Intent::Failed(UnitResult::OomKill, Then::Policy);
        match policy.filter(|_| !is_ending) {
            None | Some(OomPolicy::Continue) => {}
            Some(OomPolicy::Stop) => self.begin_stop(name, intent),
            // The kernel kills the others, too; but it spares those that it must not kill.
            Some(OomPolicy::Kill) => {
                managed.intent = intent;
                self.begin_kill(name);
            }
        }
    }

    pub(super) fn begin_kill(&mut self, name: &UnitName) {
        let Some(run) = self.units.get(name).and_then(|managed| managed.run.as_ref()) else { return };
        let run = run.number;
        self.set_phase(name, Phase::StopSigkill);
        self.set_deadline(name, Some(KILL_TIMEOUT));
        self.actions.push(Action::Kill { unit: name.clone(), run });
    }

    /// Even SIGKILL has not ended it: a process hangs in the kernel. The unit must not hang with it.
    pub(super) fn give_up(&mut self, name: &UnitName) {
        let pid = self.units.get(name).and_then(Managed::main_pid).unwrap_or_default();
        let message = format!("kill: process {pid} does not end, it hangs in the kernel (state D)");
        if let Some(managed) = self.units.get_mut(name) {
            managed.failure = Some(Failure { message, errno: 0, exit: None });
        }
        self.end_whole(name, UnitResult::Timeout);
    }

    pub(super) fn reset_failed(&mut self, only: Option<&UnitName>) {
        let names: Vec<UnitName> = match only {
            Some(name) => vec![name.clone()],
            None => self.units.keys().cloned().collect(),
        };
        for name in names {
            let Some(managed) = self.units.get_mut(&name) else { continue };
            managed.starts.clear();
            managed.triggers.clear();
            managed.automatic.clear();
            managed.restarts = 0;
            if managed.phase == Phase::Failed {
                managed.result = UnitResult::Success;
                managed.failure = None;
                self.set_phase(&name, Phase::Dead);
            }
        }
    }
}

impl Managed {
    /// What an end that nobody asked for is worth.
    fn verdict(&self, exit: Exit) -> UnitResult {
        match self.container() {
            Some(container) if named(&container.success_exit_status, exit) => UnitResult::Success,
            // It has not done its work, systemd.service(5) `SuccessExitStatus=`.
            Some(_) if self.is_oneshot() && matches!(exit, Exit::Signal(_)) => UnitResult::Signal,
            _ => exit.result(),
        }
    }

    fn restarts_by_itself(&self, result: UnitResult) -> bool {
        let exit = self.run.as_ref().and_then(|run| run.exit);
        match self.intent {
            Intent::Down | Intent::Sleep | Intent::Failed(_, Then::Rest) => false,
            Intent::Failed(_, Then::Restart) => true,
            Intent::Policy | Intent::Again | Intent::Failed(_, Then::Policy) => {
                self.container().is_some_and(|container| restarts_after(container, result, exit))
            }
        }
    }

    /// The last launch found no space on a disk.
    fn lacks_space(&self) -> bool {
        let errno = self.failure.as_ref().map(|failure| failure.errno);
        let result = matches!(self.result, UnitResult::Resources | UnitResult::ExitCode);
        result && errno == Some(libc::ENOSPC)
    }

    /// Clients of a socket wait until there is space: they would only ask again and again.
    fn waits_for_space(&self) -> bool {
        let wanted = !matches!(self.intent, Intent::Down | Intent::Failed(_, Then::Rest));
        wanted && self.lacks_space() && self.starts_on_socket() && self.sockets == SocketState::Open
    }
}
