//! Native units: services, mounts and so on that containers depend on, and services that stand for containers.

use super::SystemdError;
use super::manager::{Awaited, Systemd, is, property, refused};
use super::proxy::{ManagerProxy, UnitRow};
use super::signals::{QueuedJob, Signal, SystemdEvent};
use std::collections::HashMap;
use zbus::fdo::DBusProxy;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

const JOB_INTERFACE: &str = "org.freedesktop.systemd1.Job";

/// `ActiveState` of a unit, org.freedesktop.systemd1(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeActive {
    /// Up.
    Active,
    /// Up, and reading its configuration again.
    Reloading,
    /// Down.
    Inactive,
    /// Down, and not as it should.
    Failed,
    /// On its way up.
    Activating,
    /// On its way down.
    Deactivating,
}

impl NativeActive {
    /// The state of systemd's word.
    fn of(word: &str) -> Option<Self> {
        match word {
            // A unit whose resources are cleaned up or mounted anew, systemctl(1), is not up or is up.
            "active" | "refreshing" => Some(Self::Active),
            "reloading" => Some(Self::Reloading),
            "inactive" | "maintenance" => Some(Self::Inactive),
            "failed" => Some(Self::Failed),
            "activating" => Some(Self::Activating),
            "deactivating" => Some(Self::Deactivating),
            _ => None,
        }
    }
}

/// What a unit is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// Its state.
    pub active: NativeActive,
    /// The job that it has.
    pub job: Option<QueuedJob>,
}

impl UnitState {
    /// As `PropertiesChanged` tells it; `None` where that tells of other things alone.
    pub(super) fn of_properties(changed: &HashMap<String, OwnedVariant>) -> Option<Self> {
        let text = |name: &str| <&str>::try_from(changed.get(name)?).ok();
        let job = changed.get("Job").and_then(|job| <(u32, OwnedObjectPath)>::try_from(job.clone()).ok());
        let job = job.filter(|(number, _)| *number != 0).map(|(_, path)| QueuedJob(path));
        Some(Self { active: NativeActive::of(text("ActiveState")?)?, job })
    }
}

/// Whether systemd can use a unit: its `LoadState`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeLoad {
    /// It can.
    Loaded,
    /// There is no file.
    NotFound,
    /// It is masked.
    Masked,
    /// `bad-setting`, `error`.
    Bad(String),
}

/// A unit and what it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeUnit {
    /// Whether it can be used.
    pub load: NativeLoad,
    /// Its state.
    pub state: UnitState,
    /// What its job does, where it has one: `start`, `stop`, ….
    pub job_type: Option<String>,
}

impl NativeUnit {
    fn of(row: UnitRow) -> Self {
        let (_, _, load, active, _, _, _, job, job_type, job_path) = row;
        let load = match load.as_str() {
            "loaded" | "merged" => NativeLoad::Loaded,
            "not-found" => NativeLoad::NotFound,
            "masked" => NativeLoad::Masked,
            _ => NativeLoad::Bad(load),
        };
        let active = NativeActive::of(&active).unwrap_or(NativeActive::Inactive);
        let job = (job != 0).then_some(QueuedJob(job_path));
        let job_type = job.as_ref().map(|_| job_type);
        Self { load, state: UnitState { active, job }, job_type }
    }
}

/// What a job does to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeVerb {
    /// Starts it.
    Start,
    /// Stops it.
    Stop,
    /// Stops it where it is up, and starts it.
    Restart,
    /// Has it read its configuration again.
    Reload,
}

impl NativeVerb {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }

    fn call(self) -> &'static str {
        match self {
            Self::Start => "StartUnit",
            Self::Stop => "StopUnit",
            Self::Restart => "RestartUnit",
            Self::Reload => "ReloadUnit",
        }
    }
}

/// What else a job does, systemctl(1) `--job-mode=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Units that require it stop, too.
    WithDependents,
    /// Only those that are bound to it do, as when it had ended by itself.
    Alone,
}

impl Systemd {
    /// Reads a unit, which systemd loads for it, and has its changes told as
    /// [`SystemdEvent::Unit`](super::signals::SystemdEvent::Unit) from now on.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn watch_unit(&self, unit: &str) -> Result<NativeUnit, SystemdError> {
        self.within(unit, "AddMatch", async |session| {
            let watch = async |connection: &Connection| {
                let bus = DBusProxy::new(connection).await?;
                self.link.hub.watch_native(unit, &bus).await
            };
            session.ask_over(watch).await.map_err(|error| refused("AddMatch", unit, &error))
        })
        .await?;
        self.read_unit(unit).await
    }

    /// Has nothing more of a unit told.
    ///
    /// # Errors
    /// When the bus refuses, or at the deadline.
    pub async fn leave_unit(&self, unit: &str) -> Result<(), SystemdError> {
        self.within(unit, "RemoveMatch", async |session| {
            let leave = async |connection: &Connection| {
                let bus = DBusProxy::new(connection).await?;
                self.link.hub.leave_native(unit, &bus).await
            };
            session.ask_over(leave).await.map_err(|error| refused("RemoveMatch", unit, &error))
        })
        .await
    }

    /// Reads a unit, which systemd loads for it.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn read_unit(&self, unit: &str) -> Result<NativeUnit, SystemdError> {
        let call = "ListUnitsByNames";
        self.within(unit, call, async |session| {
            let rows = session.ask(async |manager| manager.list_units_by_names(&[unit]).await).await;
            let row = rows.map_err(|error| refused(call, unit, &error))?.into_iter().next();
            let none =
                || SystemdError::Refused { call, unit: unit.to_owned(), reason: "no answer".to_owned() };
            row.map(NativeUnit::of).ok_or_else(none)
        })
        .await
    }

    /// What a unit is once it is no longer on its way up.
    ///
    /// # Errors
    /// When systemd refuses, or is away for too long.
    pub async fn settled(&self, unit: &str) -> Result<UnitState, SystemdError> {
        let mut signals = self.link.hub.watch(unit);
        let mut state = self.watch_unit(unit).await?.state;
        while state.active == NativeActive::Activating {
            match signals.recv().await {
                Some(Signal::Event(SystemdEvent::Unit { state: new, .. })) => state = new,
                Some(Signal::Event(SystemdEvent::Regained(_))) => state = self.read_unit(unit).await?.state,
                Some(_) => {}
                None => break,
            }
        }
        self.leave_unit(unit).await?;
        Ok(state)
    }

    /// Runs a job for a unit and waits for its end, however long that takes. One that the shutdown of the host has
    /// cancelled has none: whoever waits for it to go up is ended too, in the order of all that ends.
    ///
    /// # Errors
    /// When systemd refuses, when the job fails, or when systemd is away for too long.
    pub async fn run_job(&self, unit: &str, verb: NativeVerb) -> Result<(), SystemdError> {
        loop {
            let queued = self.within(unit, verb.call(), async |session| {
                let signals = self.link.hub.watch(unit);
                let queue = async |manager: &ManagerProxy<'static>| match verb {
                    NativeVerb::Start => manager.start_unit(unit, "replace").await,
                    NativeVerb::Stop => manager.stop_unit(unit, "replace").await,
                    NativeVerb::Restart => manager.restart_unit(unit, "replace").await,
                    NativeVerb::Reload => manager.reload_unit(unit, "replace").await,
                };
                let job = session.ask(queue).await.map_err(|error| refused(verb.call(), unit, &error))?;
                Ok(Awaited { session, signals, job })
            });
            let ended = match queued.await {
                Ok(awaited) => match self.end_of_job(awaited, unit, verb.word()).await {
                    Some(ended) => ended,
                    // It is asked for again where systemd is lost: what is up or down already is done at once.
                    None => continue,
                },
                Err(refused) => Err(refused),
            };
            if ended.is_err() && verb != NativeVerb::Stop && self.is_stopping().await {
                std::future::pending::<()>().await;
            }
            return ended;
        }
    }

    /// What a job does, in systemd's word; `None` where it is over.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn job_type(&self, unit: &str, job: &QueuedJob) -> Result<Option<String>, SystemdError> {
        self.within(unit, "Get", async |session| {
            property(&session, unit, job.0.clone(), JOB_INTERFACE, "JobType").await
        })
        .await
    }

    /// Asks for the stop of a unit, and does not wait for it. A unit that is gone is success.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn stop_unit(&self, unit: &str, mode: StopMode) -> Result<(), SystemdError> {
        let mode = match mode {
            StopMode::WithDependents => "replace",
            StopMode::Alone => "ignore-requirements",
        };
        self.within(unit, "StopUnit", async |session| {
            match session.ask(async |manager| manager.stop_unit(unit, mode).await).await {
                Err(error) if !is(&error, "org.freedesktop.systemd1.NoSuchUnit") => {
                    Err(refused("StopUnit", unit, &error))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// Names and states of loaded units that match a pattern and are not down.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn units_up(&self, pattern: &str) -> Result<Vec<(String, UnitState)>, SystemdError> {
        let states = ["active", "reloading", "activating", "deactivating"];
        self.within(pattern, "ListUnitsByPatterns", async |session| {
            let rows =
                session.ask(async |manager| manager.list_units_by_patterns(&states, &[pattern]).await).await;
            let rows = rows.map_err(|error| refused("ListUnitsByPatterns", pattern, &error))?;
            Ok(rows.into_iter().map(|row| (row.0.clone(), NativeUnit::of(row).state)).collect())
        })
        .await
    }
}
