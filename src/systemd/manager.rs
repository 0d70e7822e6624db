//! Scopes: started around a process, stopped and waited for, each call with a deadline and over the loss of the
//! bus.

use super::SystemdError;
use super::native::NativeActive;
use super::properties;
use super::proxy::UnitPropertiesProxy;
use super::session::{DEADLINE, Link, Session};
use super::signals::{Events, QueuedJob, Signal, SystemdEvent};
use crate::unit::model::Resources;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant};

pub use super::properties::{DEFAULT_SLICE, HostState, Keeper, ScopeRequest, slice_group};

const SCOPE_INTERFACE: &str = "org.freedesktop.systemd1.Scope";

/// Who sends the stop signal to a scope, systemd.scope(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signaller {
    /// systemd.
    Systemd,
    /// Whoever started it. Where a bus is restarted in order, systemd keeps the name that this one had on the bus
    /// before, and asks nobody, or somebody else.
    Controller,
}

/// Bytes that the sockets of a scope's processes have received and sent; the largest number where nobody counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Received.
    pub ingress: u64,
    /// Sent.
    pub egress: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { ingress: u64::MAX, egress: u64::MAX }
    }
}

/// The way to systemd, which knows our end of it as the controller of our scopes. Cheap to clone; must be made inside
/// a tokio runtime. When the bus or systemd leaves, calls wait for it to come back, up to their deadline.
#[derive(Debug, Clone)]
pub struct Systemd {
    pub(super) link: Arc<Link>,
}

impl Systemd {
    /// Connects to the system bus and subscribes to systemd's signals; from now on keeps connected.
    ///
    /// # Errors
    /// When there is no bus or no systemd on it.
    pub async fn connect() -> Result<Self, SystemdError> {
        Ok(Self { link: Link::open().await? })
    }

    /// What happens to units from now on.
    pub fn events(&self) -> Events {
        self.link.hub.events()
    }

    /// What happens to one unit, and to systemd, from now on.
    pub fn events_of(&self, unit: &str) -> Events {
        self.link.hub.events_of(unit)
    }

    /// Starts a scope and waits until it is active. A dead scope that still has the name is waited for.
    ///
    /// # Errors
    /// When systemd refuses, when a scope of the name runs, or at the deadline.
    pub async fn start_scope(&self, request: &ScopeRequest) -> Result<(), SystemdError> {
        self.within(&request.name, "StartTransientUnit", async |session| {
            let mut signals = self.link.hub.watch(&request.name);
            start(&session, request, &mut signals).await
        })
        .await
    }

    /// Asks systemd to stop a scope and waits until it has. systemd asks back with
    /// [`SystemdEvent::RequestStop`] where this connection started the scope. A scope that is gone is success.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn stop_scope(&self, scope: &str) -> Result<(), SystemdError> {
        self.within(scope, "StopUnit", async |session| {
            let mut signals = self.link.hub.watch(scope);
            match session.ask(async |manager| manager.stop_unit(scope, "replace").await).await {
                Ok(job) => finish(&mut signals, &job, scope, "stop").await,
                Err(error) => done_or_gone("StopUnit", scope, Err(error)),
            }
        })
        .await
    }

    /// Has systemd end a scope, and what is left in it, by itself. Of one that has a controller it would ask that, and
    /// wait for `TimeoutStopSec=` even where the scope has no process: one that died while it was moved in is never
    /// seen to leave, systemd.scope(5). A scope that is gone is success.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn give_up_scope(&self, scope: &str) -> Result<(), SystemdError> {
        self.within(scope, "AbandonScope", async |session| {
            done_or_gone("AbandonScope", scope, abandon(&session, scope).await)
        })
        .await?;
        self.stop_scope(scope).await
    }

    /// Waits until systemd has forgotten a scope; at once where it does not know it.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn wait_removed(&self, scope: &str) -> Result<(), SystemdError> {
        self.within(scope, "GetUnit", async |session| {
            let mut signals = self.link.hub.watch(scope);
            match session.ask(async |manager| manager.get_unit(scope).await).await {
                Ok(_) => removal(&mut signals, scope).await,
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
        self.within(scope, "FreezeUnit", async |session| {
            session
                .ask(async |manager| manager.freeze_unit(scope).await)
                .await
                .map_err(|error| refused("FreezeUnit", scope, &error))
        })
        .await
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn thaw_scope(&self, scope: &str) -> Result<(), SystemdError> {
        self.within(scope, "ThawUnit", async |session| {
            session
                .ask(async |manager| manager.thaw_unit(scope).await)
                .await
                .map_err(|error| refused("ThawUnit", scope, &error))
        })
        .await
    }

    /// Changes the limits of a scope for as long as it is there, from some to others.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn change_limits(
        &self,
        scope: &str,
        before: &Resources,
        mut after: Resources,
    ) -> Result<(), SystemdError> {
        if before.tasks_max.is_some() && after.tasks_max.is_none() {
            after.tasks_max = Some(self.default_tasks_max(scope).await?);
        }
        let properties = properties::of_change(before, &after);
        match properties.is_empty() {
            true => Ok(()),
            false => self.set_properties(scope, properties).await,
        }
    }

    /// What a scope has where nobody sets `TasksMax=`.
    async fn default_tasks_max(&self, scope: &str) -> Result<u64, SystemdError> {
        self.within(scope, "Get", async |session| {
            session
                .ask(async |manager| manager.default_tasks_max().await)
                .await
                .map_err(|error| refused("Get", scope, &error))
        })
        .await
    }

    async fn set_properties(
        &self,
        scope: &str,
        properties: Vec<(&'static str, Variant<'static>)>,
    ) -> Result<(), SystemdError> {
        self.within(scope, "SetUnitProperties", async |session| {
            let set = session
                .ask(async |manager| manager.set_unit_properties(scope, true, &properties).await)
                .await;
            set.map_err(|error| refused("SetUnitProperties", scope, &error))
        })
        .await
    }

    /// Whether the host is being shut down. A systemd that does not answer is not.
    pub async fn is_stopping(&self) -> bool {
        let state = self.within("shutdown.target", "Get", async |session| {
            session
                .ask(async |manager| manager.system_state().await)
                .await
                .map_err(|error| refused("Get", "shutdown.target", &error))
        });
        state.await.is_ok_and(|state| state == "stopping")
    }

    /// The processes in a scope; none where systemd does not know it.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn processes(&self, scope: &str) -> Result<Vec<u32>, SystemdError> {
        let call = "GetUnitProcesses";
        self.within(scope, call, async |session| {
            match session.ask(async |manager| manager.get_unit_processes(scope).await).await {
                Ok(processes) => Ok(processes.into_iter().map(|(_, pid, _)| pid).collect()),
                Err(error) => done_or_gone(call, scope, Err(error)).map(|()| Vec::new()),
            }
        })
        .await
    }

    /// Moves processes to a scope that runs, from wherever they are.
    ///
    /// # Errors
    /// When systemd refuses, as it does where one of them has ended, or at the deadline.
    pub async fn attach(&self, scope: &str, processes: &[u32]) -> Result<(), SystemdError> {
        let call = "AttachProcessesToUnit";
        self.within(scope, call, async |session| {
            let moved = session
                .ask(async |manager| manager.attach_processes_to_unit(scope, "", processes).await)
                .await;
            moved.map_err(|error| refused(call, scope, &error))
        })
        .await
    }

    /// Who is to signal a scope that systemd stops, by this job or already; `None` where it does not stop it.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn stop_signaller(
        &self,
        scope: &str,
        job: Option<QueuedJob>,
    ) -> Result<Option<Signaller>, SystemdError> {
        let kind = match job {
            Some(job) => self.job_type(scope, &job).await?,
            None => None,
        };
        let stops = match kind {
            Some(kind) => kind == "stop",
            None => self.read_unit(scope).await?.state.active != NativeActive::Active,
        };
        if !stops {
            return Ok(None);
        }
        let controller: Option<String> = self.scope_property(scope, "Controller").await?;
        Ok(Some(if controller.unwrap_or_default().is_empty() {
            Signaller::Systemd
        } else {
            Signaller::Controller
        }))
    }

    /// The control group of a scope; `None` where systemd does not know the scope.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn control_group(&self, scope: &str) -> Result<Option<PathBuf>, SystemdError> {
        let group: Option<String> = self.scope_property(scope, "ControlGroup").await?;
        Ok(group.map(PathBuf::from))
    }

    /// What a scope has received and sent.
    ///
    /// # Errors
    /// When systemd cannot be asked, or at the deadline.
    pub async fn traffic(&self, scope: &str) -> Result<Traffic, SystemdError> {
        let bytes = self.scope_properties(scope, ["IPIngressBytes", "IPEgressBytes"]).await?;
        let [ingress, egress] = bytes.map(|value| value.unwrap_or(u64::MAX));
        Ok(Traffic { ingress, egress })
    }

    async fn scope_property<T: TryFrom<OwnedVariant, Error = zbus::Error>>(
        &self,
        scope: &str,
        name: &str,
    ) -> Result<Option<T>, SystemdError> {
        Ok(self.scope_properties(scope, [name]).await?.into_iter().next().flatten())
    }

    /// Each `None` where systemd does not know the scope.
    async fn scope_properties<T: TryFrom<OwnedVariant, Error = zbus::Error>, const N: usize>(
        &self,
        scope: &str,
        names: [&str; N],
    ) -> Result<[Option<T>; N], SystemdError> {
        self.within(scope, "GetUnit", async |session| {
            let mut values = names.map(|_| None);
            let path = match session.ask(async |manager| manager.get_unit(scope).await).await {
                Ok(path) => path,
                Err(error) => return done_or_gone("GetUnit", scope, Err(error)).map(|()| values),
            };
            for (value, name) in values.iter_mut().zip(names) {
                *value = property(&session, scope, path.clone(), SCOPE_INTERFACE, name).await?;
            }
            Ok(values)
        })
        .await
    }

    /// Waits for the end of a job, however long that takes; `None` where systemd is lost before.
    pub(super) async fn end_of_job(
        &self,
        awaited: Awaited,
        unit: &str,
        kind: &'static str,
    ) -> Option<Result<(), SystemdError>> {
        let Awaited { session, mut signals, job } = awaited;
        self.link.during(&session, finish(&mut signals, &job, unit, kind)).await
    }

    /// Does something on the session of now, and again on the next where that is lost meanwhile. What had become
    /// of it is seen then.
    pub(super) async fn within<T>(
        &self,
        unit: &str,
        call: &'static str,
        mut work: impl AsyncFnMut(Session) -> Result<T, SystemdError>,
    ) -> Result<T, SystemdError> {
        let attempts = async {
            let mut session = self.link.session(None).await;
            loop {
                match self.link.during(&session, work(session.clone())).await {
                    None | Some(Err(SystemdError::Lost { .. })) => {
                        session = self.link.session(Some(&session)).await;
                    }
                    Some(result) => return result,
                }
            }
        };
        match tokio::time::timeout(DEADLINE, attempts).await {
            Ok(result) => result,
            Err(_) if self.link.is_up() => {
                Err(SystemdError::Timeout { call, unit: unit.to_owned(), after: DEADLINE })
            }
            Err(_) => Err(SystemdError::Away { call, unit: unit.to_owned(), after: DEADLINE }),
        }
    }
}

async fn start(
    session: &Session,
    request: &ScopeRequest,
    signals: &mut UnboundedReceiver<Signal>,
) -> Result<(), SystemdError> {
    let scope = request.name.as_str();
    let properties = properties::of_scope(request, session.process, session.name());
    loop {
        match session
            .ask(async |manager| manager.start_transient_unit(scope, "fail", &properties, &[]).await)
            .await
        {
            Ok(job) => return finish(signals, &job, scope, "start").await,
            Err(error) if is(&error, "org.freedesktop.systemd1.UnitExists") => {
                match occupant(session, scope, request.pid).await? {
                    Occupant::Ours => return Ok(()),
                    Occupant::Other => return Err(SystemdError::Running { unit: scope.to_owned() }),
                    Occupant::Nobody => clear(session, scope, signals).await?,
                }
            }
            Err(error) => return Err(refused("StartTransientUnit", scope, &error)),
        }
    }
}

/// Who is in a scope whose name is taken.
enum Occupant {
    /// The process that it is to be started around: an attempt whose answer was lost.
    Ours,
    /// Somebody else.
    Other,
    /// It is dead. systemd may not have seen its end yet and call it active.
    Nobody,
}

async fn occupant(session: &Session, scope: &str, pid: u32) -> Result<Occupant, SystemdError> {
    match session.ask(async |manager| manager.get_unit_processes(scope).await).await {
        Ok(processes) if processes.iter().any(|(_, process, _)| *process == pid) => Ok(Occupant::Ours),
        Ok(processes) if !processes.is_empty() => Ok(Occupant::Other),
        Ok(_) => Ok(Occupant::Nobody),
        Err(error) if is_gone(&error) => Ok(Occupant::Nobody),
        Err(error) => Err(refused("GetUnitProcesses", scope, &error)),
    }
}

/// Waits until a dead scope gives its name free. One around a process that was ending already is never seen to be
/// empty, so systemd is asked to end it, as in [`Systemd::give_up_scope`].
async fn clear(
    session: &Session,
    scope: &str,
    signals: &mut UnboundedReceiver<Signal>,
) -> Result<(), SystemdError> {
    let ended = async {
        // A failed scope goes at once when reset.
        session.ask(async |manager| manager.reset_failed_unit(scope).await).await?;
        abandon(session, scope).await?;
        session.ask(async |manager| manager.stop_unit(scope, "replace").await).await
    };
    match ended.await {
        Ok(_) => removal(signals, scope).await,
        Err(error) => done_or_gone("StopUnit", scope, Err(error)),
    }
}

async fn abandon(session: &Session, scope: &str) -> zbus::Result<()> {
    match session.ask(async |manager| manager.abandon_scope(scope).await).await {
        // It is being stopped already.
        Err(error) if is(&error, "org.freedesktop.systemd1.ScopeNotRunning") => Ok(()),
        result => result,
    }
}

/// A job that is waited for without a deadline.
pub(super) struct Awaited {
    pub(super) session: Session,
    pub(super) signals: UnboundedReceiver<Signal>,
    pub(super) job: OwnedObjectPath,
}

/// Waits for the end of a job. The watch began on this session and before the call, so that its signal cannot be
/// missed.
async fn finish(
    signals: &mut UnboundedReceiver<Signal>,
    ours: &OwnedObjectPath,
    unit: &str,
    kind: &'static str,
) -> Result<(), SystemdError> {
    while let Some(signal) = signals.recv().await {
        if let Signal::JobRemoved { job, result, .. } = signal
            && job == *ours
        {
            return match result.as_str() {
                "done" => Ok(()),
                _ => Err(SystemdError::Job { unit: unit.to_owned(), job: kind, result }),
            };
        }
    }
    Err(SystemdError::Lost { call: kind, unit: unit.to_owned() })
}

async fn removal(signals: &mut UnboundedReceiver<Signal>, scope: &str) -> Result<(), SystemdError> {
    while let Some(signal) = signals.recv().await {
        if matches!(signal, Signal::Event(SystemdEvent::ScopeRemoved { .. })) {
            return Ok(());
        }
    }
    Err(SystemdError::Lost { call: "UnitRemoved", unit: scope.to_owned() })
}

pub(super) async fn property<T: TryFrom<OwnedVariant, Error = zbus::Error>>(
    session: &Session,
    unit: &str,
    path: OwnedObjectPath,
    interface: &str,
    property: &str,
) -> Result<Option<T>, SystemdError> {
    let read = async |connection: &Connection| {
        let proxy = UnitPropertiesProxy::builder(connection).path(path).build().await?;
        T::try_from(proxy.get(interface, property).await?)
    };
    match session.ask_over(read).await {
        Ok(value) => Ok(Some(value)),
        Err(error) => done_or_gone("Get", unit, Err(error)).map(|()| None),
    }
}

fn done_or_gone(call: &'static str, unit: &str, result: zbus::Result<()>) -> Result<(), SystemdError> {
    match result {
        Err(error) if !is_gone(&error) => Err(refused(call, unit, &error)),
        _ => Ok(()),
    }
}

fn is_gone(error: &zbus::Error) -> bool {
    let unknown_object = matches!(error, zbus::Error::FDO(error)
        if matches!(**error, zbus::fdo::Error::UnknownObject(_)));
    unknown_object || is(error, "org.freedesktop.systemd1.NoSuchUnit")
}

pub(super) fn is(error: &zbus::Error, name: &str) -> bool {
    matches!(error, zbus::Error::MethodError(found, _, _) if found.as_str() == name)
}

/// The bus ended, or it tells that systemd left it: during the call, or before.
fn is_loss(error: &zbus::Error) -> bool {
    use zbus::fdo::Error::{Disconnected, NameHasNoOwner, NoReply, ServiceUnknown};
    match error {
        zbus::Error::InputOutput(_) => true,
        zbus::Error::FDO(error) => {
            matches!(**error, Disconnected(_) | NameHasNoOwner(_) | NoReply(_) | ServiceUnknown(_))
        }
        zbus::Error::MethodError(name, ..) => {
            let name = name.as_str().strip_prefix("org.freedesktop.DBus.Error.");
            matches!(name, Some("Disconnected" | "NameHasNoOwner" | "NoReply" | "ServiceUnknown"))
        }
        _ => false,
    }
}

pub(super) fn refused(call: &'static str, unit: &str, error: &zbus::Error) -> SystemdError {
    let unit = unit.to_owned();
    let reason = match error {
        error if is_loss(error) => return SystemdError::Lost { call, unit },
        zbus::Error::MethodError(_, Some(text), _) => text.clone(),
        error => error.to_string(),
    };
    SystemdError::Refused { call, unit, reason }
}
