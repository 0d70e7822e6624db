//! What a payload says of itself, sd_notify(3), and what its health check says.

use super::Machine;
use super::event::{Action, HealthState};
use super::state::{Failure, Phase, UnitResult};
use super::unit::{Intent, Managed, Then};
use crate::systemd::notify_server::Notification;
use crate::unit::model::{OnUnhealthy, ReadyOn};
use crate::unit::name::UnitName;

impl Machine {
    pub(super) fn notified(&mut self, name: &UnitName, run: u64, what: Notification) {
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) else { return };
        match what {
            Notification::Ready => self.said_ready(name, run),
            Notification::Reloading(since) => self.said_reloading(name, since),
            Notification::Stopping => self.stopping(name, run),
            Notification::Status(text) => {
                managed.status_text = text;
                self.actions.push(Action::Changed(name.clone()));
            }
            Notification::Errno(errno) => {
                managed.status_errno = errno;
                self.actions.push(Action::Changed(name.clone()));
            }
            Notification::MainPid(pid) => {
                if let Some(run) = &mut managed.run {
                    run.main_pid = Some(pid);
                }
                self.actions.push(Action::Changed(name.clone()));
            }
            Notification::ExtendTimeout(by) => self.extend_timeouts(name, by),
            Notification::Watchdog => self.alive(name),
            Notification::WatchdogTrigger if managed.active_state().is_up() => {
                self.begin_stop(name, Intent::Failed(UnitResult::Watchdog, Then::Policy));
            }
            Notification::WatchdogTrigger => {}
            Notification::WatchdogTime(time) => self.set_watchdog(name, time),
        }
    }

    fn said_ready(&mut self, name: &UnitName, run: u64) {
        let phase = self.units.get(name).map(|managed| managed.phase);
        if phase == Some(Phase::ReloadNotify) {
            self.reload_done(name);
        } else {
            self.ready(name, run, ReadyOn::Notify);
        }
    }

    pub(super) fn health_told(&mut self, name: &UnitName, run: u64, health: HealthState) {
        let Some(managed) = self.units.get_mut(name).filter(|managed| managed.is_run(run)) else { return };
        managed.health = health;
        self.actions.push(Action::Changed(name.clone()));
        match managed.health {
            HealthState::Unknown => {}
            HealthState::Healthy => self.ready(name, run, ReadyOn::Health),
            HealthState::Unhealthy(_) => self.heed_health(name),
        }
    }

    /// Does what the unit says of a container that is up and unhealthy.
    pub(super) fn heed_health(&mut self, name: &UnitName) {
        let Some(managed) = self.units.get_mut(name) else { return };
        let HealthState::Unhealthy(said) = &managed.health else { return };
        let message = format!("health: {said}");
        let on_unhealthy = |managed: &Managed| Some(managed.container()?.health.as_ref()?.on_unhealthy);
        let Some(wanted) = on_unhealthy(managed) else { return };
        let failed = |then| Intent::Failed(UnitResult::Unhealthy, then);
        let intent = match wanted {
            OnUnhealthy::None => return,
            OnUnhealthy::Kill => failed(Then::Policy),
            OnUnhealthy::Restart => failed(Then::Restart),
            OnUnhealthy::Stop => failed(Then::Rest),
        };
        if !managed.active_state().is_up() {
            return;
        }
        managed.failure = Some(Failure { message, errno: 0, exit: None });
        match wanted {
            OnUnhealthy::Kill => {
                managed.intent = intent;
                self.begin_kill(name);
            }
            _ => self.begin_stop(name, intent),
        }
    }
}
