//! Units of systemd's that ours depend on: one task for each that is watched, so that its changes are told in
//! their order.

use super::{Manager, Note};
use crate::manager::machine::{
    ActiveState, Event, JobId, JobKind, JobResult, NativeJob, NativeLoad, NativeState,
};
use crate::systemd::SystemdError;
use crate::systemd::manager::Systemd;
use crate::systemd::native::{self, NativeActive, NativeUnit, NativeVerb, UnitState};
use crate::unit::name::UnitName;
use std::collections::BTreeMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// What a task hears of its unit.
#[derive(Debug)]
enum Sign {
    /// It has changed.
    Changed(UnitState),
    /// It may have changed unnoticed, or its file has.
    Again,
}

/// Units that are watched.
#[derive(Debug, Default)]
pub(super) struct Natives(BTreeMap<String, (UnboundedSender<Sign>, JoinHandle<()>)>);

impl Natives {
    pub(super) fn changed(&self, unit: &str, state: UnitState) {
        if let Some((signs, _)) = self.0.get(unit) {
            // The task lives as long as its entry.
            let _ = signs.send(Sign::Changed(state));
        }
    }

    pub(super) fn look_again(&self) {
        for (signs, _) in self.0.values() {
            // The task lives as long as its entry.
            let _ = signs.send(Sign::Again);
        }
    }
}

impl Manager {
    pub(super) fn watch_native(&mut self, unit: &UnitName) {
        let (sender, signs) = unbounded_channel();
        let watch = Watch {
            unit: unit.clone(),
            systemd: self.systemd.clone(),
            notes: self.notes.clone(),
            load: NativeLoad::Loaded,
        };
        let task = tokio::task::spawn_local(watch.follow(signs));
        if let Some((_, former)) = self.natives.0.insert(unit.as_str().to_owned(), (sender, task)) {
            former.abort();
        }
    }

    pub(super) fn unwatch_native(&mut self, unit: &UnitName) {
        let Some((_, task)) = self.natives.0.remove(unit.as_str()) else { return };
        task.abort();
        let (systemd, unit) = (self.systemd.clone(), unit.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = systemd.leave_unit(unit.as_str()).await {
                tracing::debug!("{error}");
            }
        });
    }

    pub(super) fn run_native(&self, unit: &UnitName, job: JobId, kind: JobKind) {
        let (systemd, notes, unit) = (self.systemd.clone(), self.notes.clone(), unit.clone());
        tokio::task::spawn_local(async move {
            let done = systemd.run_job(unit.as_str(), verb(kind)).await;
            let result = match done {
                Ok(()) => JobResult::Done,
                Err(error) => {
                    tracing::warn!("{error}");
                    result(&error)
                }
            };
            // The receiver lives as long as the loop.
            let _ = notes.send(Note::Event(Event::NativeDone { unit, job, result }));
        });
    }
}

/// One unit that is watched.
struct Watch {
    unit: UnitName,
    systemd: Systemd,
    notes: UnboundedSender<Note>,
    load: NativeLoad,
}

impl Watch {
    async fn follow(mut self, mut signs: UnboundedReceiver<Sign>) {
        let first = self.systemd.watch_unit(self.unit.as_str()).await;
        self.tell_all(first);
        while let Some(sign) = signs.recv().await {
            match sign {
                Sign::Changed(state) => {
                    let job = self.job_type(&state).await;
                    self.tell(state, job.as_deref());
                }
                Sign::Again => {
                    // A match that could not be set is set now.
                    let now = self.systemd.watch_unit(self.unit.as_str()).await;
                    self.tell_all(now);
                }
            }
        }
    }

    async fn job_type(&self, state: &UnitState) -> Option<String> {
        self.systemd.job_type(self.unit.as_str(), state.job.as_ref()?).await.ok().flatten()
    }

    fn tell_all(&mut self, read: Result<NativeUnit, SystemdError>) {
        match read {
            Ok(read) => {
                self.load = load(read.load);
                self.tell(read.state, read.job_type.as_deref());
            }
            // It is read again when systemd is back.
            Err(error) => tracing::warn!("{error}"),
        }
    }

    fn tell(&self, state: UnitState, job: Option<&str>) {
        let state = NativeState {
            load: self.load.clone(),
            active: active(state.active),
            sub: state.sub,
            job: job.and_then(native_job),
        };
        // The receiver lives as long as the loop.
        let _ = self.notes.send(Note::Event(Event::NativeState { unit: self.unit.clone(), state }));
    }
}

fn load(load: native::NativeLoad) -> NativeLoad {
    match load {
        native::NativeLoad::Loaded => NativeLoad::Loaded,
        native::NativeLoad::NotFound => NativeLoad::NotFound,
        native::NativeLoad::Masked => NativeLoad::Masked,
        native::NativeLoad::Bad(word) => NativeLoad::Bad(word),
    }
}

fn active(active: NativeActive) -> ActiveState {
    match active {
        NativeActive::Active => ActiveState::Active,
        NativeActive::Reloading => ActiveState::Reloading,
        NativeActive::Inactive => ActiveState::Inactive,
        NativeActive::Failed => ActiveState::Failed,
        NativeActive::Activating => ActiveState::Activating,
        NativeActive::Deactivating => ActiveState::Deactivating,
    }
}

/// The words of `JobType`, org.freedesktop.systemd1(5).
fn native_job(word: &str) -> Option<NativeJob> {
    Some(match word {
        "start" | "verify-active" => NativeJob::Start,
        "stop" => NativeJob::Stop,
        "restart" | "try-restart" => NativeJob::Restart,
        "reload" | "reload-or-start" | "try-reload" => NativeJob::Reload,
        _ => return None,
    })
}

/// A job that only looks, or does nothing, never gets here.
fn verb(kind: JobKind) -> NativeVerb {
    match kind {
        JobKind::Start | JobKind::VerifyActive | JobKind::Nop => NativeVerb::Start,
        JobKind::Stop => NativeVerb::Stop,
        JobKind::Reload => NativeVerb::Reload,
        JobKind::Restart => NativeVerb::Restart,
    }
}

/// What a job that did not end with success is to us.
fn result(error: &SystemdError) -> JobResult {
    match error {
        SystemdError::Job { result, .. } => match result.as_str() {
            "canceled" => JobResult::Canceled,
            "timeout" => JobResult::Timeout,
            "dependency" => JobResult::Dependency,
            "skipped" => JobResult::Skipped,
            _ => JobResult::Failed,
        },
        _ => JobResult::Failed,
    }
}
