//! Carries out what the core asks for.

use super::{Manager, Notice};
use crate::manager::machine::{Action, Event, JobKind, JobResult, Managed, Phase};
use crate::unit::name::UnitName;

impl Manager {
    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::OpenSockets(unit) => self.open_sockets(&unit),
                Action::CloseSockets(unit) => self.close_sockets(&unit),
                Action::WatchSockets(unit) => self.watch_sockets(&unit),
                Action::UnwatchSockets(unit) => self.sockets.unwatch(&unit),
                Action::Freeze { unit, run, purpose } => self.bring_to_standstill(&unit, run, purpose),
                Action::Thaw { unit, run } => self.end_standstill(&unit, run),
                Action::WatchNative(unit) => self.watch_native(&unit),
                Action::UnwatchNative(unit) => self.unwatch_native(&unit),
                Action::RunNative { unit, job, kind } => self.run_native(&unit, job, kind),
                Action::CheckConditions(unit) => self.check_conditions(&unit),
                Action::SeekImage { unit, run } => self.seek_image(&unit, run),
                Action::LeaveImage { unit, run } => self.leave_image(&unit, run),
                Action::Launch { unit, run } => self.launch(&unit, run),
                Action::RunCommands { unit, run, stage } => self.run_commands(&unit, run, stage),
                Action::EndCommands { unit, run } => self.end_commands(&unit, run),
                Action::Terminate { unit, run } => self.terminate(&unit, run),
                Action::Kill { unit, run } => self.kill(&unit, run),
                Action::Abort { unit, run } => self.abort(&unit, run),
                Action::Reload { unit, run } => self.reload_container(&unit, run),
                Action::Retire { unit, retired, run } => self.retire(&unit, &retired, run),
                Action::Recall { unit, retired, run } => self.recall(&unit, &retired, run),
                Action::Overlapped { unit, since } => self.overlapped(&unit, since),
                Action::ReadStamp(unit) => self.read_stamp(&unit),
                Action::TouchStamp { unit, at } => self.touch_stamp(&unit, at),
                Action::Entered(unit) => {
                    if let Some(managed) = self.machine.unit(&unit) {
                        log(&unit, managed);
                    }
                    self.follow_idleness(&unit);
                    self.changed.insert(unit);
                }
                Action::Changed(unit) => {
                    self.follow_idleness(&unit);
                    self.changed.insert(unit);
                }
                Action::JobNew(id, unit) => {
                    self.keep_job(&unit);
                    self.tell(Notice::JobNew(id, unit));
                }
                Action::JobRemoved(id, unit, kind, result) => {
                    if matches!(result, JobResult::Dependency) {
                        tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: a unit that it requires failed.");
                    }
                    if kind == JobKind::Stop {
                        self.services.stopped(&unit);
                    }
                    self.keep_job(&unit);
                    self.tell(Notice::JobRemoved(id, unit, result));
                }
                Action::Removed(unit) => {
                    self.facts.remove(&unit);
                    self.connections.forget(&unit);
                    self.changed.insert(unit.clone());
                    self.tell(Notice::Removed(unit));
                }
            }
        }
    }

    /// A job that waits changes no state, and is to outlive this process all the same: it is in the record. Those of
    /// systemd's units are wanted anew by ours.
    fn keep_job(&mut self, unit: &UnitName) {
        if self.machine.unit(unit).is_some() {
            self.changed.insert(unit.clone());
        }
    }

    /// Reports an event from a task or a later turn, so that the core is never entered twice at once.
    pub(super) fn later(&self, event: Event) {
        // The receiver lives as long as the loop.
        let _ = self.notes.send(super::Note::Event(event));
    }
}

/// The journal's sentence for a state that was just entered, in systemd's words.
fn log(unit: &UnitName, managed: &Managed) {
    let description = managed.unit().map_or(unit.as_str(), |unit| unit.description.as_str());
    let result = managed.result.as_str();
    let why = managed.failure.as_ref().map(|failure| format!(" {}", failure.message)).unwrap_or_default();
    // A start that got as far as a process has an id, by which its lines are found.
    let id = managed.run.as_ref().map(|run| run.invocation.as_str()).filter(|id| !id.is_empty());
    match managed.phase {
        Phase::Failed => {
            tracing::warn!(SAMPAN_UNIT = %unit, INVOCATION_ID = id, "{unit}: Failed with result '{result}'.{why}");
        }
        Phase::Running => tracing::debug!(SAMPAN_UNIT = %unit, "Started {unit} - {description}."),
        Phase::Listening => tracing::debug!(SAMPAN_UNIT = %unit, "Listening on {unit} - {description}."),
        Phase::AutoRestart => {
            tracing::info!(SAMPAN_UNIT = %unit, INVOCATION_ID = id, "{unit}: Scheduled restart job, result '{result}'.{why}");
        }
        Phase::Dead => tracing::debug!(SAMPAN_UNIT = %unit, "Stopped {unit} - {description}."),
        _ => {}
    }
}
