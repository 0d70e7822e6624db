//! Units of systemd's that ours depend on: one task for each that is watched, so that its changes are told in
//! their order.

use super::native_job::{Course, Seen};
use super::{Manager, Note};
use crate::manager::machine::{
    ActiveState, Event, JobId, JobKind, JobResult, NativeJob, NativeLoad, NativeState,
};
use crate::systemd::SystemdError;
use crate::systemd::manager::Systemd;
use crate::systemd::native::{self, NativeActive, NativeVerb, UnitState};
use crate::systemd::signals::{Events, SystemdEvent};
use crate::unit::name::UnitName;
use futures_util::StreamExt;
use std::collections::BTreeMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// A job that the core wanted, and that systemd has done.
type Done = (JobId, JobResult);

/// Units that are watched, and the tasks that do.
#[derive(Debug, Default)]
pub(super) struct Natives(BTreeMap<UnitName, (UnboundedSender<Done>, JoinHandle<()>)>);

impl Manager {
    pub(super) fn watch_native(&mut self, unit: &UnitName) {
        let (sender, done) = unbounded_channel();
        let watch = Watch {
            unit: unit.clone(),
            systemd: self.systemd.clone(),
            notes: self.notes.clone(),
            load: NativeLoad::Loaded,
            course: Course::default(),
        };
        let task = tokio::task::spawn_local(watch.follow(self.systemd.events_of(unit.as_str()), done));
        if let Some((_, former)) = self.natives.0.insert(unit.clone(), (sender, task)) {
            former.abort();
        }
    }

    pub(super) fn unwatch_native(&mut self, unit: &UnitName) {
        let Some((_, task)) = self.natives.0.remove(unit) else { return };
        task.abort();
        let (systemd, unit) = (self.systemd.clone(), unit.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = systemd.leave_unit(unit.as_str()).await {
                tracing::debug!("{error}");
            }
        });
    }

    pub(super) fn run_native(&self, unit: &UnitName, job: JobId, kind: JobKind) {
        let Some((watch, _)) = self.natives.0.get(unit) else { return };
        let (systemd, watch, unit) = (self.systemd.clone(), watch.clone(), unit.clone());
        tokio::task::spawn_local(async move {
            let done = systemd.run_job(unit.as_str(), verb(kind)).await;
            let result = match done {
                Ok(()) => JobResult::Done,
                Err(error) => {
                    tracing::warn!("{error}");
                    result(&error)
                }
            };
            // Whoever watches no longer asks no longer.
            let _ = watch.send((job, result));
        });
    }
}

/// One unit that is watched.
struct Watch {
    unit: UnitName,
    systemd: Systemd,
    notes: UnboundedSender<Note>,
    load: NativeLoad,
    course: Course,
}

impl Watch {
    async fn follow(mut self, mut events: Events, mut done: UnboundedReceiver<Done>) {
        self.read().await;
        loop {
            tokio::select! {
                // First: systemd tells what has become of a unit before it tells that the job is over.
                biased;
                event = events.next() => match event {
                    Some(SystemdEvent::Unit { state, .. }) => self.changed(state).await,
                    // A match that could not be set is set now.
                    Some(SystemdEvent::Regained(_) | SystemdEvent::Reloaded) => self.read().await,
                    Some(_) => {}
                    None => return,
                },
                Some((job, result)) = done.recv() => {
                    self.note(Event::NativeDone { unit: self.unit.clone(), job, result });
                }
            }
        }
    }

    fn note(&self, event: Event) {
        // The receiver lives as long as the loop.
        let _ = self.notes.send(Note::Event(event));
    }

    async fn read(&mut self) {
        match self.systemd.watch_unit(self.unit.as_str()).await {
            Ok(read) => {
                self.load = load(read.load);
                self.course.leap();
                self.tell(&read.state, read.job_type.as_deref().and_then(kind));
            }
            // It is read again when systemd is back.
            Err(error) => tracing::warn!("{error}"),
        }
    }

    async fn changed(&mut self, state: UnitState) {
        let job = self.job(&state).await;
        if let Some(missed) = self.course.now(active(state.active), job) {
            self.tell(&state, Some(missed));
        }
        self.tell(&state, if let Seen::Job(job) = job { Some(job) } else { None });
    }

    async fn job(&self, state: &UnitState) -> Seen {
        let Some(job) = &state.job else { return Seen::None };
        match self.systemd.job_type(self.unit.as_str(), job).await.ok().flatten() {
            Some(word) => kind(&word).map_or(Seen::None, Seen::Job),
            None => Seen::Over,
        }
    }

    fn tell(&self, state: &UnitState, job: Option<NativeJob>) {
        let (load, active) = (self.load.clone(), active(state.active));
        let state = NativeState { load, active, job };
        self.note(Event::NativeState { unit: self.unit.clone(), state });
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

/// The words of `JobType`, org.freedesktop.systemd1(5). Others do nothing.
fn kind(word: &str) -> Option<NativeJob> {
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
        JobKind::Restart | JobKind::Overlap => NativeVerb::Restart,
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
