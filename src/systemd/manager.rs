//! Scopes: started around a process, stopped and waited for, each call with a deadline.

use super::SystemdError;
use super::properties::{self, ProcessProperty};
use super::proxy::{ManagerProxy, UnitPropertiesProxy};
use super::signals::{Events, Hub, Signal, SystemdEvent};
use crate::unit::model::Resources;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

pub use super::properties::{DEFAULT_SLICE, Keeper, ScopeRequest, slice_group};

/// Longest wait for systemd, whatever it is asked for.
const DEADLINE: Duration = Duration::from_secs(30);

const SCOPE_INTERFACE: &str = "org.freedesktop.systemd1.Scope";

/// The connection to systemd, which knows it as the controller of our scopes. Cheap to clone; must be made inside a
/// tokio runtime.
#[derive(Debug, Clone)]
pub struct Systemd {
    connection: Connection,
    manager: ManagerProxy<'static>,
    hub: Hub,
    process: ProcessProperty,
}

impl Systemd {
    /// Connects to the system bus and subscribes to systemd's signals.
    ///
    /// # Errors
    /// When there is no bus or no systemd on it.
    pub async fn connect() -> Result<Self, SystemdError> {
        let connect = async {
            let connection = Connection::system().await?;
            let manager =
                ManagerProxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
            let hub = Hub::start(&connection).await?;
            manager.subscribe().await?;
            let process = ProcessProperty::of_version(&manager.version().await?);
            Ok::<_, zbus::Error>(Self { connection, manager, hub, process })
        };
        match tokio::time::timeout(DEADLINE, connect).await {
            Ok(result) => result.map_err(|error| SystemdError::Connect { reason: error.to_string() }),
            Err(_) => Err(SystemdError::Connect { reason: "no answer within 30 s".to_owned() }),
        }
    }

    /// What happens to scopes from now on.
    pub fn events(&self) -> Events {
        self.hub.events()
    }

    /// Starts a scope and waits until it is active. A dead scope that still has the name is waited for.
    ///
    /// # Errors
    /// When systemd refuses, when a scope of the name runs, or at the deadline.
    pub async fn start_scope(&self, request: &ScopeRequest) -> Result<(), SystemdError> {
        within(&request.name, "StartTransientUnit", self.start(request)).await
    }

    async fn start(&self, request: &ScopeRequest) -> Result<(), SystemdError> {
        let scope = request.name.as_str();
        let controller = self.connection.unique_name().map(|name| name.as_str()).unwrap_or_default();
        let properties = properties::of_scope(request, self.process, controller);
        let mut signals = self.hub.watch(scope);
        loop {
            match self.manager.start_transient_unit(scope, "fail", &properties, &[]).await {
                Ok(job) => return finish(&mut signals, &job, scope, "start").await,
                Err(error) if is(&error, "org.freedesktop.systemd1.UnitExists") => {
                    self.clear(scope, &mut signals).await?;
                }
                Err(error) => return Err(refused("StartTransientUnit", scope, &error)),
            }
        }
    }

    /// Waits until a dead scope gives its name free. systemd may not have seen its end yet and call it active.
    async fn clear(&self, scope: &str, signals: &mut UnboundedReceiver<Signal>) -> Result<(), SystemdError> {
        match self.manager.get_unit_processes(scope).await {
            Ok(processes) if !processes.is_empty() => {
                return Err(SystemdError::Running { scope: scope.to_owned() });
            }
            Ok(_) => {}
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(refused("GetUnitProcesses", scope, &error)),
        }
        // A failed scope goes at once when reset; one whose end systemd is about to see goes by itself.
        done_or_gone("ResetFailedUnit", scope, self.manager.reset_failed_unit(scope).await)?;
        removal(signals).await
    }

    /// Asks systemd to stop a scope and waits until it has. systemd asks back with
    /// [`SystemdEvent::RequestStop`] where this connection started the scope. A scope that is gone is success.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn stop_scope(&self, scope: &str) -> Result<(), SystemdError> {
        let mut signals = self.hub.watch(scope);
        within(scope, "StopUnit", async {
            match self.manager.stop_unit(scope, "replace").await {
                Ok(job) => finish(&mut signals, &job, scope, "stop").await,
                Err(error) => done_or_gone("StopUnit", scope, Err(error)),
            }
        })
        .await
    }

    /// Waits until systemd has forgotten a scope; at once where it does not know it.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn wait_removed(&self, scope: &str) -> Result<(), SystemdError> {
        let mut signals = self.hub.watch(scope);
        within(scope, "GetUnit", async {
            match self.manager.get_unit(scope).await {
                Ok(_) => removal(&mut signals).await,
                Err(error) => done_or_gone("GetUnit", scope, Err(error)),
            }
        })
        .await
    }

    /// Freezes the processes of a scope.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn freeze_scope(&self, scope: &str) -> Result<(), SystemdError> {
        let call = self.manager.freeze_unit(scope);
        within(scope, "FreezeUnit", async {
            call.await.map_err(|error| refused("FreezeUnit", scope, &error))
        })
        .await
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn thaw_scope(&self, scope: &str) -> Result<(), SystemdError> {
        let call = self.manager.thaw_unit(scope);
        within(scope, "ThawUnit", async { call.await.map_err(|error| refused("ThawUnit", scope, &error)) })
            .await
    }

    /// Changes the limits of a scope for as long as it is there.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn set_limits(&self, scope: &str, limits: &Resources) -> Result<(), SystemdError> {
        let properties = properties::of_resources(limits);
        let call = self.manager.set_unit_properties(scope, true, &properties);
        within(scope, "SetUnitProperties", async {
            call.await.map_err(|error| refused("SetUnitProperties", scope, &error))
        })
        .await
    }

    /// Whether the host is being shut down.
    pub async fn is_stopping(&self) -> bool {
        let state = tokio::time::timeout(DEADLINE, self.manager.system_state()).await;
        matches!(state, Ok(Ok(state)) if state == "stopping")
    }

    /// The control group of a scope; `None` where systemd does not know the scope.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn control_group(&self, scope: &str) -> Result<Option<PathBuf>, SystemdError> {
        within(scope, "GetUnit", async {
            match self.manager.get_unit(scope).await {
                Ok(path) => Ok(self.property(scope, path, "ControlGroup").await?.map(PathBuf::from)),
                Err(error) => done_or_gone("GetUnit", scope, Err(error)).map(|()| None),
            }
        })
        .await
    }

    async fn property(
        &self,
        scope: &str,
        path: OwnedObjectPath,
        property: &str,
    ) -> Result<Option<String>, SystemdError> {
        let read = async {
            let unit = UnitPropertiesProxy::builder(&self.connection).path(path).build().await?;
            String::try_from(unit.get(SCOPE_INTERFACE, property).await?)
        };
        match read.await {
            Ok(value) => Ok(Some(value)),
            Err(error) => done_or_gone("Get", scope, Err(error)).map(|()| None),
        }
    }
}

async fn within<T>(
    scope: &str,
    call: &'static str,
    work: impl Future<Output = Result<T, SystemdError>>,
) -> Result<T, SystemdError> {
    tokio::time::timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(SystemdError::Timeout { call, scope: scope.to_owned(), after: DEADLINE }))
}

/// Waits for the end of a job. The watch began before the call, so that its signal cannot be missed.
async fn finish(
    signals: &mut UnboundedReceiver<Signal>,
    ours: &OwnedObjectPath,
    scope: &str,
    kind: &'static str,
) -> Result<(), SystemdError> {
    while let Some(signal) = signals.recv().await {
        match signal {
            Signal::JobRemoved { job, result, .. } if job == *ours => {
                return match result.as_str() {
                    "done" => Ok(()),
                    _ => Err(SystemdError::Job { scope: scope.to_owned(), job: kind, result }),
                };
            }
            _ => {}
        }
    }
    Err(SystemdError::Disconnected)
}

async fn removal(signals: &mut UnboundedReceiver<Signal>) -> Result<(), SystemdError> {
    while let Some(signal) = signals.recv().await {
        if matches!(signal, Signal::Event(SystemdEvent::ScopeRemoved { .. })) {
            return Ok(());
        }
    }
    Err(SystemdError::Disconnected)
}

fn done_or_gone(call: &'static str, scope: &str, result: zbus::Result<()>) -> Result<(), SystemdError> {
    match result {
        Err(error) if !is_gone(&error) => Err(refused(call, scope, &error)),
        _ => Ok(()),
    }
}

fn is_gone(error: &zbus::Error) -> bool {
    let unknown_object = matches!(error, zbus::Error::FDO(error)
        if matches!(**error, zbus::fdo::Error::UnknownObject(_)));
    unknown_object || is(error, "org.freedesktop.systemd1.NoSuchUnit")
}

fn is(error: &zbus::Error, name: &str) -> bool {
    matches!(error, zbus::Error::MethodError(found, _, _) if found.as_str() == name)
}

fn refused(call: &'static str, scope: &str, error: &zbus::Error) -> SystemdError {
    let reason = match error {
        zbus::Error::InputOutput(_) => return SystemdError::Disconnected,
        zbus::Error::MethodError(_, Some(text), _) => text.clone(),
        error => error.to_string(),
    };
    SystemdError::Refused { call, scope: scope.to_owned(), reason }
}
