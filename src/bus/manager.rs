//! The object `/org/sampan1`: interface `org.sampan1.Manager`. The bus policy lets root alone in.

use super::error::BusError;
use super::transfer;
use super::unit::UnitObject;
use super::wire::{JobRow, SocketRow, TransferRow, UnitRow, job_path, unit_path};
use crate::manager::driver::{ExecRequest, Manager, ManagerHandle, Whom};
use crate::manager::machine::{Freezer, JobId, JobMode, JobPhase, Managed, Request, Verb};
use crate::unit::name::UnitName;
use std::os::fd::OwnedFd;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectServer, OwnedObjectPath};

/// The manager on the bus.
#[derive(Debug)]
pub struct ManagerObject {
    manager: ManagerHandle,
}

impl ManagerObject {
    /// The object of this manager.
    pub fn new(manager: ManagerHandle) -> Self {
        Self { manager }
    }

    async fn enqueue(&self, name: &str, verb: Verb, mode: &str) -> Result<OwnedObjectPath, BusError> {
        let request = Request { unit: parse_name(name)?, verb, mode: parse_mode(mode)? };
        let answer = self.manager.request(request).await.ok_or_else(leaving)?;
        Ok(job_path(answer?.0))
    }

    async fn set_freezer(&self, name: &str, target: Freezer) -> Result<(), BusError> {
        let unit = parse_name(name)?;
        self.with(move |manager| manager.freeze(&unit, target)).await?.map_err(BusError::from)
    }

    async fn with<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Manager) -> T + Send + 'static,
    ) -> Result<T, BusError> {
        self.manager.with(look).await.ok_or_else(leaving)
    }
}

fn leaving() -> BusError {
    BusError::Failed("sampand is about to end: try again in a moment.".into())
}

fn parse_name(name: &str) -> Result<UnitName, BusError> {
    Ok(UnitName::parse(name)?)
}

fn parse_mode(mode: &str) -> Result<JobMode, BusError> {
    if mode.is_empty() {
        return Ok(JobMode::Replace);
    }
    JobMode::parse(mode).ok_or_else(|| {
        let known: Vec<&str> = JobMode::WORDS.iter().map(|(word, _)| *word).collect();
        let known = known.join(", ");
        BusError::InvalidArgument(format!("Job mode \"{mode}\" is not known: use one of {known}."))
    })
}

fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[zbus::interface(name = "org.sampan1.Manager")]
impl ManagerObject {
    async fn start_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.enqueue(name, Verb::Start, mode).await
    }

    async fn stop_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.enqueue(name, Verb::Stop, mode).await
    }

    async fn restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.enqueue(name, Verb::Restart, mode).await
    }

    async fn try_restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.enqueue(name, Verb::TryRestart, mode).await
    }

    async fn reload_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.enqueue(name, Verb::Reload, mode).await
    }

    async fn reload_or_restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.enqueue(name, Verb::ReloadOrRestart, mode).await
    }

    async fn reload_or_try_restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.enqueue(name, Verb::TryReloadOrRestart, mode).await
    }

    async fn cancel_job(&self, id: u32) -> Result<(), BusError> {
        let known = self.with(move |manager| manager.cancel_job(JobId(id)));
        known.await?.then_some(()).ok_or_else(|| BusError::NoSuchJob(format!("Job {id} does not exist.")))
    }

    async fn freeze_unit(&self, name: &str) -> Result<(), BusError> {
        self.set_freezer(name, Freezer::Frozen).await
    }

    async fn thaw_unit(&self, name: &str) -> Result<(), BusError> {
        self.set_freezer(name, Freezer::Running).await
    }

    async fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> Result<(), BusError> {
        let unit = parse_name(name)?;
        let whom = match whom {
            "main" => Whom::Main,
            "all" | "" => Whom::All,
            _ => return Err(BusError::InvalidArgument(format!("\"{whom}\" is not known: use main or all."))),
        };
        self.with(move |manager| manager.signal_unit(&unit, whom, signal)).await?.map_err(BusError::Failed)
    }

    async fn reset_failed_unit(&self, name: &str) -> Result<(), BusError> {
        let unit = parse_name(name)?;
        let known = self.with(move |manager| {
            let known = manager.machine().unit(&unit).is_some();
            manager.reset_failed(Some(unit));
            known
        });
        known.await?.then_some(()).ok_or_else(|| BusError::Failed(format!("Unit {name} not loaded.")))
    }

    async fn reset_failed(&self) -> Result<(), BusError> {
        self.with(|manager| manager.reset_failed(None)).await
    }

    async fn reload(&self) -> Result<(), BusError> {
        self.with(Manager::reload).await
    }

    /// The object is there before its path is answered, so that the client's next call finds it.
    async fn load_unit(
        &self,
        #[zbus(object_server)] server: &ObjectServer,
        name: &str,
    ) -> Result<OwnedObjectPath, BusError> {
        let asked = parse_name(name)?;
        let unit = self.with(move |manager| manager.ensure_loaded(&asked)).await?;
        let unknown = || BusError::NoSuchUnit(format!("Unit {name} not found."));
        let properties = self.manager.properties(unit.clone()).await.ok_or_else(unknown)?;
        let path = unit_path(unit.as_str());
        server.at(&path, UnitObject::new(unit, self.manager.clone(), &properties)).await?;
        Ok(path)
    }

    async fn list_units(&self) -> Result<Vec<UnitRow>, BusError> {
        self.with(|manager| {
            let units = manager.machine().units().iter();
            units.map(|(name, managed)| unit_row(manager, name, managed)).collect()
        })
        .await
    }

    async fn list_sockets(&self) -> Result<Vec<SocketRow>, BusError> {
        let lines = self.with(|manager| manager.socket_lines()).await?;
        let row = |line: crate::manager::driver::SocketLine| SocketRow {
            listen: line.listen,
            name: line.name,
            unit: line.unit.to_string(),
            pass: line.pass.to_owned(),
            state: line.state.to_owned(),
            connections: line.connections,
            activations: line.activations,
            last_activation_usec: u64::try_from(line.latency.as_micros()).unwrap_or(u64::MAX),
        };
        Ok(lines.into_iter().map(row).collect())
    }

    async fn list_jobs(&self) -> Result<Vec<JobRow>, BusError> {
        self.with(|manager| {
            let row = |job: &crate::manager::machine::Job| JobRow {
                id: job.id.0,
                unit: job.unit.to_string(),
                job_type: job.kind.as_str().to_owned(),
                state: if job.phase == JobPhase::Running { "running" } else { "waiting" }.to_owned(),
                path: job_path(job.id.0),
            };
            manager.machine().jobs().values().map(row).collect()
        })
        .await
    }

    async fn list_transfers(&self) -> Result<Vec<TransferRow>, BusError> {
        self.with(|manager| manager.transfers().all().map(transfer::row).collect()).await
    }

    async fn exec(
        &self,
        name: &str,
        command: Vec<String>,
        environment: Vec<String>,
        user: String,
        directory: String,
        stdio: Vec<zbus::OwnedFd>,
    ) -> Result<(i32, i32), BusError> {
        let mut stdio: Vec<OwnedFd> = stdio.into_iter().map(OwnedFd::from).collect();
        let leash = (stdio.len() == 4).then(|| stdio.pop()).flatten();
        let stdio = stdio.try_into();
        let stdio =
            stdio.map_err(|_| BusError::InvalidArgument("stdio: three descriptors or four".into()))?;
        let request = ExecRequest {
            unit: parse_name(name)?,
            command,
            environment,
            user: optional(user),
            directory: optional(directory),
            stdio,
            leash,
        };
        let exit = self.manager.exec(request).await.ok_or_else(leaving)?;
        exit.map(|exit| exit.code_and_status()).map_err(BusError::Failed)
    }

    async fn plan(&self, name: &str) -> Result<String, BusError> {
        let unit = parse_name(name)?;
        self.with(move |manager| manager.plan(&unit)).await?.map_err(BusError::Failed)
    }

    /// A job was made.
    #[zbus(signal)]
    pub async fn job_new(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
    ) -> zbus::Result<()>;

    /// A job is over.
    #[zbus(signal)]
    pub async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;

    #[zbus(property)]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }
}

fn unit_row(manager: &Manager, name: &UnitName, managed: &Managed) -> UnitRow {
    let job = managed.job.and_then(|id| manager.machine().jobs().get(&id));
    UnitRow {
        name: name.to_string(),
        description: managed.unit().map_or_else(|| name.to_string(), |unit| unit.description.clone()),
        load_state: managed.loaded.state.as_str().to_owned(),
        active_state: managed.active_state().as_str().to_owned(),
        sub_state: managed.phase.as_str().to_owned(),
        path: unit_path(name.as_str()),
        job_id: job.map_or(0, |job| job.id.0),
        job_type: job.map_or("", |job| job.kind.as_str()).to_owned(),
    }
}
