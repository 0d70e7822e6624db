//! Services that are made for one command and waited for.

use super::SystemdError;
use super::manager::{Awaited, Systemd, is, property, refused};
use super::native::{NativeActive, StopMode};
use super::properties;
use crate::unit::model::Resources;
use zbus::Variant;

const SERVICE_INTERFACE: &str = "org.freedesktop.systemd1.Service";

/// A command to be run as a service of type oneshot.
#[derive(Debug, Clone)]
pub struct ServiceRequest {
    /// `sampan-web-stop-post-3-0.service`.
    pub name: String,
    /// What `systemctl status` shows.
    pub description: String,
    /// The slice.
    pub slice: String,
    /// Limits.
    pub resources: Resources,
    /// An absolute path and the arguments.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// As whom it runs; `None`: root.
    pub user: Option<String>,
    /// The name in the journal.
    pub identifier: String,
    /// A field of each of its lines in the journal, `NAME=value`.
    pub field: String,
}

/// How the process of a service has ended: `CLD_*` of waitid(2), and code or signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceEnd {
    /// Its process has ended.
    Exited {
        /// `CLD_EXITED`, `CLD_KILLED` or `CLD_DUMPED`.
        code: i32,
        /// The exit code or the signal.
        status: i32,
    },
    /// There was none, or it cannot be told; systemd's `Result=`.
    Other(String),
}

impl Systemd {
    /// Runs a command as a service and waits for its end, however long that takes. One of this name that a
    /// predecessor has started is waited for instead.
    ///
    /// # Errors
    /// When systemd refuses, or is away for too long.
    pub async fn run_service(&self, request: &ServiceRequest) -> Result<ServiceEnd, SystemdError> {
        let name = request.name.as_str();
        loop {
            let started = match self.start_service(request, &request.slice).await {
                Err(SystemdError::Refused { .. }) if self.is_stopping().await => {
                    self.start_service(request, properties::LASTING_SLICE).await
                }
                started => started,
            };
            match started? {
                Some(awaited) => match self.end_of_job(awaited, name, "start").await {
                    Some(Ok(()) | Err(SystemdError::Job { .. })) => break,
                    Some(Err(error)) => return Err(error),
                    None => {}
                },
                None => {
                    self.settled(name).await?;
                    break;
                }
            }
        }
        let end = self.end_of(name).await?;
        self.forget_service(name).await?;
        Ok(end)
    }

    /// The job, and where its end will be told; `None` where there is a unit of this name.
    async fn start_service(
        &self,
        request: &ServiceRequest,
        slice: &str,
    ) -> Result<Option<Awaited>, SystemdError> {
        let name = request.name.as_str();
        let properties = of_service(request, slice);
        self.within(name, "StartTransientUnit", async |session| {
            let signals = self.link.hub.watch(name);
            let start = session
                .ask(async |manager| manager.start_transient_unit(name, "fail", &properties, &[]).await);
            match start.await {
                Ok(job) => Ok(Some(Awaited { session, signals, job })),
                Err(error) if is(&error, "org.freedesktop.systemd1.UnitExists") => Ok(None),
                Err(error) => Err(refused("StartTransientUnit", name, &error)),
            }
        })
        .await
    }

    /// Ends a service with all that it began. One that is gone is success.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn end_service(&self, name: &str) -> Result<(), SystemdError> {
        self.within(name, "KillUnit", async |session| {
            // One that has ended needs no signal.
            let _ = session.ask(async |manager| manager.kill_unit(name, "all", libc::SIGKILL).await).await;
            Ok(())
        })
        .await?;
        self.stop_scope(name).await?;
        self.forget_service(name).await
    }

    /// Names of services of a pattern that run or remain.
    ///
    /// # Errors
    /// When systemd refuses, or at the deadline.
    pub async fn end_services(&self, pattern: &str) -> Result<(), SystemdError> {
        for (name, _) in self.units_up(pattern).await? {
            self.end_service(&name).await?;
        }
        Ok(())
    }

    async fn end_of(&self, name: &str) -> Result<ServiceEnd, SystemdError> {
        let read = |property| self.service_property::<i32>(name, property);
        let (code, status) = (read("ExecMainCode").await?, read("ExecMainStatus").await?);
        match (code, status) {
            (Some(code @ 1..), Some(status)) => Ok(ServiceEnd::Exited { code, status }),
            _ => {
                let result: Option<String> = self.service_property(name, "Result").await?;
                Ok(ServiceEnd::Other(result.unwrap_or_else(|| "unknown".to_owned())))
            }
        }
    }

    async fn service_property<T: TryFrom<zbus::OwnedVariant, Error = zbus::Error>>(
        &self,
        name: &str,
        wanted: &str,
    ) -> Result<Option<T>, SystemdError> {
        self.within(name, "GetUnit", async |session| {
            match session.ask(async |manager| manager.get_unit(name).await).await {
                Ok(path) => property(&session, name, path, SERVICE_INTERFACE, wanted).await,
                Err(_) => Ok(None),
            }
        })
        .await
    }

    /// What has ended stays in memory until its end has been read.
    async fn forget_service(&self, name: &str) -> Result<(), SystemdError> {
        let state = self.read_unit(name).await?.state;
        if state.active == NativeActive::Active {
            self.stop_unit(name, StopMode::Alone).await?;
        }
        self.within(name, "ResetFailedUnit", async |session| {
            // One that has not failed is gone.
            let _ = session.ask(async |manager| manager.reset_failed_unit(name).await).await;
            Ok(())
        })
        .await
    }
}

fn of_service<'a>(request: &'a ServiceRequest, slice: &'a str) -> Vec<(&'static str, Variant<'a>)> {
    let program = request.command.first().map(String::as_str).unwrap_or_default();
    // Words are taken as they are, without variables.
    let command = vec![(program, request.command.clone(), vec!["no-env-expand"])];
    let mut properties = vec![
        ("Description", request.description.as_str().into()),
        ("Type", "oneshot".into()),
        ("RemainAfterExit", true.into()),
        ("DefaultDependencies", false.into()),
        ("Slice", slice.into()),
        ("ExecStartEx", command.into()),
        ("Environment", request.environment.clone().into()),
        ("SyslogIdentifier", request.identifier.as_str().into()),
        ("LogExtraFields", vec![request.field.as_bytes().to_vec()].into()),
        // The unit has time limits of its own.
        ("TimeoutStartUSec", u64::MAX.into()),
    ];
    if let Some(user) = &request.user {
        let (user, group) =
            user.split_once(':').map_or((user.as_str(), None), |(user, group)| (user, Some(group)));
        properties.push(("User", user.into()));
        properties.extend(group.map(|group| ("Group", group.into())));
    }
    properties.extend(properties::of_resources(&request.resources));
    properties
}
