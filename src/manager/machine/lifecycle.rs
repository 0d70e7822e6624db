//! The life of one unit: sockets, launch, running, stop, end.

use super::Machine;
use super::event::{Action, HealthState, Launched, Left};
use super::job::{JobKind, JobResult};
use super::restart::{TRIGGER_LIMIT, exceeds_limit, restarts_after};
use super::state::{Exit, Failure, Phase, UnitResult};
use super::unit::{ImageState, Intent, Run, SocketState};
use crate::systemd::notify_server::Notification;
use crate::unit::model::{Container, ReadyOn, ServiceType};
use crate::unit::name::UnitName;
use std::time::Duration;

/// After SIGKILL only a process that the kernel cannot wake is left; then the unit is given up as failed.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Machine {
    /// Brings a unit up that is down: sockets first.
    pub(super) fn begin_start(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.result = UnitResult::Success;
        managed.failure = None;
        if managed.container().is_none() {
            self.set_phase(name, Phase::Active);
            self.finish_unit_job(name, JobKind::Start, JobResult::Done);
        } else if managed.has_sockets() {
            self.set_phase(name, Phase::StartPre);
            self.actions.push(Action::OpenSockets(name.clone()));
        } else {
            self.begin_launch(name);
        }
    }

    pub(super) fn sockets_opened(&mut self, name: &UnitName, result: Result<(), Failure>) {
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.sockets = SocketState::Open;
        if managed.phase != Phase::StartPre {
            if managed.phase.is_down() {
                self.close_sockets(name);
            }
            return;
        }
        match result {
            Err(failure) => {
                managed.failure = Some(failure);
                managed.intent = Intent::Down;
                self.close_sockets(name);
                self.after_end(name, UnitResult::Resources);
            }
            Ok(()) if managed.starts_on_socket() && managed.intent != Intent::Again => {
                self.listen(name);
                self.finish_unit_job(name, JobKind::Start, JobResult::Done);
            }
            Ok(()) => self.begin_launch(name),
        }
    }

    fn listen(&mut self, name: &UnitName) {
        self.set_phase(name, Phase::Listening);
        self.actions.push(Action::WatchSockets(name.clone()));
    }

    pub(super) fn close_sockets(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.sockets == SocketState::Open {
            managed.sockets = SocketState::Closed;
            self.actions.push(Action::CloseSockets(name.clone()));
        }
    }

    pub(super) fn connection(&mut self, name: &UnitName, _socket: &str) {
        let now = self.now.boottime;
        let listening = self.units.get_mut(name).filter(|managed| managed.phase == Phase::Listening);
        let Some(managed) = listening else { return };
        let failed = managed.result != UnitResult::Success;
        if failed && exceeds_limit(&mut managed.triggers, TRIGGER_LIMIT, now) {
            self.after_end(name, UnitResult::TriggerLimitHit);
        } else {
            self.begin_launch(name);
        }
    }

    fn begin_launch(&mut self, name: &UnitName) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name) else { return };
        let Some(container) = managed.container() else { return };
        let (limit, timeout) = (container.start_limit, container.start_timeout);
        managed.intent = Intent::Policy;
        if let Some(hung) = managed.run.as_ref().filter(|run| run.ended.is_none()) {
            let message = format!("launch: process {} of an earlier run has still not ended", hung.pid);
            managed.failure = Some(Failure { message, errno: 0, exit: None });
            managed.intent = Intent::Down;
            self.after_end(name, UnitResult::Resources);
            return;
        }
        if exceeds_limit(&mut managed.starts, limit, now.boottime) {
            self.after_end(name, UnitResult::StartLimitHit);
            return;
        }
        managed.last_run += 1;
        let run = managed.last_run;
        managed.run = Some(Run {
            number: run,
            pid: 0,
            invocation: String::new(),
            started: now,
            ended: None,
            exit: None,
        });
        managed.status_text.clear();
        managed.health = HealthState::Unknown;
        let listened = managed.sockets == SocketState::Open;
        self.set_phase(name, Phase::Start);
        self.set_deadline(name, timeout);
        if listened {
            self.actions.push(Action::UnwatchSockets(name.clone()));
        }
        self.launch_with_image(name, run);
    }

    pub(super) fn set_deadline(&mut self, name: &UnitName, timeout: Option<Duration>) {
        let now = self.now.boottime;
        if let Some(managed) = self.units.get_mut(name) {
            managed.deadline = timeout.map(|timeout| now.saturating_add(timeout));
        }
    }

    pub(super) fn started(&mut self, name: &UnitName, run: u64, launched: Launched) {
        let now = self.now;
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) else { return };
        if let Some(run) = &mut managed.run {
            run.pid = launched.pid;
            run.invocation = launched.invocation;
            run.started = now;
        }
        self.actions.push(Action::Changed(name.clone()));
    }

    /// What `ready` of the unit may wait for has happened.
    pub(super) fn ready(&mut self, name: &UnitName, run: u64, on: ReadyOn) {
        let container = self.units.get(name).and_then(|managed| managed.container());
        if container.is_some_and(|container| container.kind != ServiceType::Oneshot && container.ready == on)
        {
            self.enter_running(name, run);
        }
    }

    pub(super) fn notified(&mut self, name: &UnitName, run: u64, what: Notification) {
        match what {
            Notification::Ready => self.ready(name, run, ReadyOn::Notify),
            Notification::Status(text) => self.status_text(name, run, text),
            Notification::Reloading | Notification::Stopping | Notification::Errno(_) => {}
        }
    }

    pub(super) fn health_told(&mut self, name: &UnitName, run: u64, health: HealthState) {
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) else { return };
        let healthy = health == HealthState::Healthy;
        managed.health = health;
        self.actions.push(Action::Changed(name.clone()));
        if healthy {
            self.ready(name, run, ReadyOn::Health);
        }
    }

    fn service_type(&self, name: &UnitName) -> Option<ServiceType> {
        self.units.get(name)?.container().map(|container| container.kind)
    }

    fn enter_running(&mut self, name: &UnitName, run: u64) {
        let starting = |managed: &&super::Managed| managed.is_run(run) && managed.phase == Phase::Start;
        if self.units.get(name).filter(starting).is_some() {
            self.set_phase(name, Phase::Running);
            self.finish_unit_job(name, JobKind::Start, JobResult::Done);
        }
    }

    fn status_text(&mut self, name: &UnitName, run: u64, text: String) {
        if let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) {
            managed.status_text = text;
            self.actions.push(Action::Changed(name.clone()));
        }
    }

    pub(super) fn launch_failed(&mut self, name: &UnitName, run: u64, failure: Failure) {
        let exit = failure.exit;
        let result = if exit.is_some() { UnitResult::ExitCode } else { UnitResult::Resources };
        let Some(managed) = self.end_run(name, run, exit) else { return };
        if managed.phase == Phase::Start {
            managed.failure = Some(failure);
            self.after_end(name, result);
        } else {
            self.stopped(name, Exit::Code(0));
        }
    }

    pub(super) fn ended(&mut self, name: &UnitName, run: u64, exit: Exit) {
        let service_type = self.service_type(name);
        let Some(managed) = self.end_run(name, run, Some(exit)) else { return };
        let result = exit.result();
        match managed.phase {
            Phase::StopSigterm | Phase::StopSigkill => self.stopped(name, exit),
            Phase::Start if service_type == Some(ServiceType::Oneshot) && result == UnitResult::Success => {
                self.finish_unit_job(name, JobKind::Start, JobResult::Done);
                self.after_end(name, result);
            }
            Phase::Start if result == UnitResult::Success => self.after_end(name, UnitResult::Protocol),
            _ => self.after_end(name, result),
        }
    }

    pub(super) fn end_run(
        &mut self,
        name: &UnitName,
        run: u64,
        exit: Option<Exit>,
    ) -> Option<&mut super::Managed> {
        let now = self.now;
        let managed = self.units.get_mut(name)?;
        let ended = managed.run.as_mut().filter(|own| own.number == run && own.ended.is_none())?;
        ended.ended = Some(now);
        ended.exit = exit;
        managed.phase.has_run().then_some(managed)
    }

    /// A run that was asked to end has ended. A signal is what it was asked for, so it is a clean end.
    fn stopped(&mut self, name: &UnitName, exit: Exit) {
        let Some(managed) = self.units.get(name) else { return };
        let result = match (managed.intent, managed.phase, exit) {
            (Intent::TimedOut, _, _) | (_, Phase::StopSigkill, _) => UnitResult::Timeout,
            (_, _, Exit::Signal(_) | Exit::Unknown) => UnitResult::Success,
            (_, _, exit) => exit.result(),
        };
        self.after_end(name, result);
    }

    /// Decides what follows an end.
    pub(super) fn after_end(&mut self, name: &UnitName, result: UnitResult) {
        let job = self.job_of(name).map(|job| (job.id, job.kind));
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.result = result;
        let restarts = managed.intent != Intent::Down
            && managed.container().is_some_and(|container| restarts_after(container.restart, result));
        match job {
            Some((id, JobKind::Restart)) => {
                managed.intent = Intent::Again;
                self.set_phase(name, Phase::Dead);
                self.restart_becomes_start(id);
            }
            Some((id, JobKind::Stop)) => {
                self.go_down(name, result);
                self.finish_job(id, JobResult::Done);
            }
            Some((_, JobKind::Start)) if managed.intent == Intent::Again => self.begin_start(name),
            _ => {
                self.fail_start_job(name, result);
                if restarts { self.schedule_restart(name) } else { self.rest(name, result) }
            }
        }
    }

    fn fail_start_job(&mut self, name: &UnitName, result: UnitResult) {
        let outcome = match result {
            UnitResult::Success => JobResult::Done,
            UnitResult::Timeout => JobResult::Timeout,
            _ => JobResult::Failed,
        };
        self.finish_unit_job(name, JobKind::Start, outcome);
    }

    fn schedule_restart(&mut self, name: &UnitName) {
        let delay = self
            .units
            .get(name)
            .and_then(|managed| managed.container())
            .map(|container| container.restart_delay);
        self.set_phase(name, Phase::AutoRestart);
        self.set_deadline(name, delay);
    }

    /// A unit without a job ends where its next start begins: listening again, or down.
    fn rest(&mut self, name: &UnitName, result: UnitResult) {
        let listens = self
            .units
            .get(name)
            .is_some_and(|managed| managed.starts_on_socket() && managed.sockets == SocketState::Open);
        if listens && !matches!(result, UnitResult::StartLimitHit | UnitResult::TriggerLimitHit) {
            self.listen(name);
        } else {
            self.go_down(name, result);
        }
    }

    fn go_down(&mut self, name: &UnitName, result: UnitResult) {
        self.close_sockets(name);
        let phase = if result == UnitResult::Success { Phase::Dead } else { Phase::Failed };
        if let Some(managed) = self.units.get_mut(name) {
            managed.intent = Intent::Policy;
        }
        self.set_phase(name, phase);
    }

    /// Sends the stop signal; `intent` is what follows the end.
    pub(super) fn begin_stop(&mut self, name: &UnitName, intent: Intent) {
        let Some(managed) = self.units.get_mut(name) else { return };
        if managed.image == ImageState::Sought {
            self.leave_image(name, intent);
            return;
        }
        let Some(run) = managed.run.as_ref().map(|run| run.number) else { return };
        managed.intent = intent;
        let timeout = managed.container().and_then(|container: &Container| container.stop_timeout);
        self.set_phase(name, Phase::StopSigterm);
        self.set_deadline(name, timeout);
        self.actions.push(Action::Terminate { unit: name.clone(), run });
    }

    pub(super) fn stop_requested(&mut self, name: &UnitName) {
        let phase = self.units.get(name).map(|managed| managed.phase);
        if matches!(phase, Some(Phase::Pull | Phase::Start | Phase::Running)) {
            self.begin_stop(name, Intent::Down);
        }
    }

    pub(super) fn timers_due(&mut self) {
        let now = self.now.boottime;
        let is_due = |managed: &super::Managed| managed.deadline.is_some_and(|deadline| deadline <= now);
        let due: Vec<UnitName> =
            self.units.iter().filter(|(_, unit)| is_due(unit)).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.timer_due(&name);
        }
    }

    fn timer_due(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.deadline = None;
        match managed.phase {
            Phase::Start => self.begin_stop(name, Intent::TimedOut),
            Phase::StopSigterm => self.begin_kill(name),
            Phase::StopSigkill => self.give_up(name),
            Phase::AutoRestart => {
                managed.restarts = managed.restarts.saturating_add(1);
                managed.intent = Intent::Again;
                self.begin_start(name);
            }
            _ => {}
        }
    }

    fn begin_kill(&mut self, name: &UnitName) {
        let Some(run) = self.units.get(name).and_then(|managed| managed.run.as_ref()) else { return };
        let run = run.number;
        self.set_phase(name, Phase::StopSigkill);
        self.set_deadline(name, Some(KILL_TIMEOUT));
        self.actions.push(Action::Kill { unit: name.clone(), run });
    }

    /// Even SIGKILL has not ended it: a process hangs in the kernel. The unit must not hang with it.
    fn give_up(&mut self, name: &UnitName) {
        let pid = self.units.get(name).and_then(super::Managed::main_pid).unwrap_or_default();
        let message = format!("kill: process {pid} does not end, it hangs in the kernel (state D)");
        if let Some(managed) = self.units.get_mut(name) {
            managed.failure = Some(Failure { message, errno: 0, exit: None });
        }
        self.after_end(name, UnitResult::Timeout);
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
            managed.restarts = 0;
            if managed.phase == Phase::Failed {
                managed.result = UnitResult::Success;
                managed.failure = None;
                self.set_phase(&name, Phase::Dead);
            }
        }
    }

    pub(super) fn adopted(&mut self, name: &UnitName, left: Left) {
        let Left { phase, run, stamps } = left;
        let Some(managed) = self.units.get_mut(name) else { return };
        managed.last_run = run.as_ref().map_or(managed.last_run, |run| run.number);
        managed.run = run;
        if managed.has_sockets() {
            managed.sockets = SocketState::Open;
        }
        match phase {
            Phase::Listening => self.listen(name),
            Phase::StopSigterm | Phase::StopSigkill => {
                self.set_phase(name, Phase::Running);
                self.begin_stop(name, Intent::Down);
            }
            phase => self.set_phase(name, phase),
        }
        if let Some(managed) = self.units.get_mut(name).filter(|managed| managed.phase == phase) {
            managed.stamps = stamps;
        }
    }
}
