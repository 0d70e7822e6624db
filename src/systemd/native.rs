//! Native units: services, mounts and so on that containers depend on, and services that stand for containers.

use super::SystemdError;
use super::manager::{Systemd, finish, is, refused};
use super::proxy::UnitRow;
use std::collections::HashMap;
use std::str::FromStr;
use zbus::OwnedVariant;
use zbus::fdo::DBusProxy;

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

/// Why a text is no such state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no state of a unit")]
pub struct UnknownState(pub String);

impl FromStr for NativeActive {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Ok(match text {
            // A unit whose resources are cleaned up or mounted anew, systemctl(1), is not up or is up.
            "active" | "refreshing" => Self::Active,
            "reloading" => Self::Reloading,
            "inactive" | "maintenance" => Self::Inactive,
            "failed" => Self::Failed,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            _ => return Err(UnknownState(text.to_owned())),
        })
    }
}

/// What a unit is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// Its state.
    pub active: NativeActive,
    /// Its sub-state, in systemd's word: `running`, `mounted`, ….
    pub sub: String,
}

impl UnitState {
    /// As `PropertiesChanged` tells it; `None` where that tells of other things alone.
    pub(super) fn of_properties(changed: &HashMap<String, OwnedVariant>) -> Option<Self> {
        let text = |name: &str| <&str>::try_from(changed.get(name)?).ok();
        let sub = text("SubState").unwrap_or_default().to_owned();
        Some(Self { active: text("ActiveState")?.parse().ok()?, sub })
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
}

impl NativeUnit {
    fn of(row: UnitRow) -> Self {
        let (_, _, load, active, sub, ..) = row;
        let load = match load.as_str() {
            "loaded" | "merged" => NativeLoad::Loaded,
            "not-found" => NativeLoad::NotFound,
            "masked" => NativeLoad::Masked,
            _ => NativeLoad::Bad(load),
        };
        let active = active.parse().unwrap_or(NativeActive::Inactive);
        Self { load, state: UnitState { active, sub } }
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
            let watched = async {
                let bus = DBusProxy::new(&session.connection).await?;
                self.link.hub.watch_native(unit, &bus).await
            };
            watched.await.map_err(|error| refused("AddMatch", unit, &error))
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
            let left = async {
                let bus = DBusProxy::new(&session.connection).await?;
                self.link.hub.leave_native(unit, &bus).await
            };
            left.await.map_err(|error| refused("RemoveMatch", unit, &error))
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
            let rows = session.manager.list_units_by_names(&[unit]).await;
            let row = rows.map_err(|error| refused(call, unit, &error))?.into_iter().next();
            let none =
                || SystemdError::Refused { call, unit: unit.to_owned(), reason: "no answer".to_owned() };
            row.map(NativeUnit::of).ok_or_else(none)
        })
        .await
    }

    /// Starts a unit and waits for the end of the job, however long that takes.
    ///
    /// # Errors
    /// When systemd refuses, when the job fails, or when systemd is away for too long.
    pub async fn start_unit(&self, unit: &str) -> Result<(), SystemdError> {
        loop {
            let mut signals = self.link.hub.watch(unit);
            let job = self.within(unit, "StartUnit", async |session| {
                let job = session.manager.start_unit(unit, "replace").await;
                job.map_err(|error| refused("StartUnit", unit, &error))
            });
            match finish(&mut signals, &job.await?, unit, "start").await {
                // It is asked for again: what is up already is done at once.
                Err(SystemdError::Lost { .. }) => {}
                result => return result,
            }
        }
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
        self.within(unit, "StopUnit", async |session| match session.manager.stop_unit(unit, mode).await {
            Err(error) if !is(&error, "org.freedesktop.systemd1.NoSuchUnit") => {
                Err(refused("StopUnit", unit, &error))
            }
            _ => Ok(()),
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
            let rows = session.manager.list_units_by_patterns(&states, &[pattern]).await;
            let rows = rows.map_err(|error| refused("ListUnitsByPatterns", pattern, &error))?;
            Ok(rows.into_iter().map(|row| (row.0.clone(), NativeUnit::of(row).state)).collect())
        })
        .await
    }
}
