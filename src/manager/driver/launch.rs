//! One run of a container, from the launcher's start to its end, as one task.

use super::output::Outlet;
use super::prepare::{Prepared, prepare};
use super::sockets::OpenSocket;
use super::{Manager, Note};
use crate::launch::protocol::{Order, Report};
use crate::launch::spawn::{Launch, Launcher};
use crate::manager::machine::{Event, Exit, Failure, Launched};
use crate::manager::record::RunFacts;
use crate::paths::Paths;
use crate::store::Store;
use crate::sys::{pidfd, readiness};
use crate::systemd::fdstore::StoredDescriptor;
use crate::systemd::manager::{DEFAULT_SLICE, ScopeRequest, Systemd};
use crate::systemd::notify::ServiceManager;
use crate::systemd::notify_server::{Notification, NotifyListener};
use crate::unit::model::{Body, Container, Pass, ServiceType, Unit};
use crate::unit::name::UnitName;
use rustix::process::Signal;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// How long systemd may take to notice that a scope is empty, before it is asked to stop it.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long systemd may take to reap a process that has ended.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the journal may take for what a container wrote last.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A run that has begun and is not over.
#[derive(Debug)]
pub(super) struct LiveRun {
    number: u64,
    /// The first process of the container, once it exists.
    pub(super) process: OnceCell<Process>,
    pub(super) executed: Cell<bool>,
    /// Ends a launch that has not got to the payload.
    pub(super) cancel: Notify,
    /// The signal whose default action was carried out by SIGKILL, see [`super::stop`].
    pub(super) stood_for: Cell<Option<i32>>,
    pub(super) stop_signal: Cell<i32>,
    /// systemd has sent the stop signal already.
    pub(super) signalled: Cell<bool>,
    /// Where its programs write by name, once it is known.
    pub(super) outlet: OnceCell<Rc<Outlet>>,
}

/// A process that cannot be confused with another.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    /// Whether waitid(2) can tell its status.
    pub(super) parent: Parent,
}

/// Whose child a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// Ours.
    Manager,
    /// An earlier manager's.
    Predecessor,
}

impl LiveRun {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            process: OnceCell::new(),
            executed: Cell::new(false),
            cancel: Notify::new(),
            stood_for: Cell::new(None),
            stop_signal: Cell::new(libc::SIGTERM),
            signalled: Cell::new(false),
            outlet: OnceCell::new(),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether an earlier manager launched it.
    pub(super) fn is_adopted(&self) -> bool {
        self.process.get().is_some_and(|process| process.parent == Parent::Predecessor)
    }

    /// Kills the process and with it, where it is the first, all of its pid namespace.
    pub(super) fn kill(&self) {
        if let Some(process) = self.process.get() {
            // It may have ended by itself, which is as good.
            let _ = pidfd::signal(&process.pidfd, Signal::KILL);
        }
    }

    /// Waits for the end of the process and tells how it ended.
    pub(super) async fn wait(&self) -> Exit {
        let Some(process) = self.process.get() else { return Exit::Unknown };
        let ended = until_ended(process.pidfd.as_fd()).await;
        // With it all others have ended; but once it is reaped, nothing can be sent in its name.
        if let Some(outlet) = self.outlet.get() {
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, outlet.empty()).await;
        }
        let status = match (ended, process.parent) {
            (Ok(()), Parent::Manager) => pidfd::wait(process.pidfd.as_fd()).ok(),
            (Ok(()), Parent::Predecessor) => status_of_reaped(process.pidfd.as_fd()).await,
            (Err(_), _) => None,
        };
        match (status.map(exit), self.stood_for.get()) {
            (Some(Exit::Signal(libc::SIGKILL)), Some(signal)) => Exit::Signal(signal),
            (Some(exit), _) => exit,
            (None, _) => Exit::Unknown,
        }
    }
}

fn exit(status: pidfd::Exit) -> Exit {
    match status {
        pidfd::Exit::Code(code) => Exit::Code(code),
        pidfd::Exit::Signal(signal) => Exit::Signal(signal),
        pidfd::Exit::Dumped(signal) => Exit::Core(signal),
    }
}

/// The status of a process that is not ours: the kernel tells it once the process has been reaped, which
/// systemd does at once, and hangs the pidfd up then (Linux 6.15). Older kernels tell nothing.
async fn status_of_reaped(pidfd: BorrowedFd<'_>) -> Option<pidfd::Exit> {
    let descriptor = readiness::watch(pidfd).ok()?;
    let hung_up = async {
        while let Ok(mut ready) = descriptor.readable().await {
            if ready.ready().is_read_closed() {
                return;
            }
            ready.clear_ready();
        }
    };
    // Without the hang-up there is no status either.
    let _ = tokio::time::timeout(REAP_TIMEOUT, hung_up).await;
    pidfd::exit_of_any(pidfd)
}

/// Waits until a pidfd tells the end of its process.
pub(super) async fn until_ended(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let descriptor = readiness::watch(pidfd)?;
    descriptor.readable().await.map(drop)
}

/// What the task of a run needs.
pub(super) struct RunTask {
    pub(super) unit: Arc<Unit>,
    pub(super) live: Rc<LiveRun>,
    pub(super) paths: Paths,
    pub(super) systemd: Systemd,
    pub(super) service: Rc<ServiceManager>,
    pub(super) notes: UnboundedSender<Note>,
}

/// What a launch needs beside it.
struct Means {
    store: Rc<Store>,
    launcher: Rc<Launcher>,
    /// Those with `pass = "fd"`, in the order of their names, as the plan has them.
    sockets: Vec<OwnedFd>,
}

impl Manager {
    pub(super) fn launch(&mut self, unit: &UnitName, run: u64) {
        let Some(specification) = self.machine.unit(unit).and_then(|managed| managed.unit()).cloned() else {
            return;
        };
        let live = Rc::new(LiveRun::new(run));
        self.runs.insert(unit.clone(), live.clone());
        let task = self.run_task(specification, live);
        let passed: BTreeMap<&str, &OpenSocket> = self
            .sockets
            .of(unit)
            .iter()
            .filter(|open| open.socket.pass == Pass::Fd)
            .map(|open| (open.held.name(), open))
            .collect();
        let sockets =
            passed.values().filter_map(|open| open.held.as_fd().try_clone_to_owned().ok()).collect();
        let means = Means { store: self.store.clone(), launcher: self.launcher.clone(), sockets };
        tokio::task::spawn_local(async move { task.perform(means).await });
    }

    pub(super) fn run_task(&self, unit: Arc<Unit>, live: Rc<LiveRun>) -> RunTask {
        RunTask {
            unit,
            live,
            paths: self.paths.clone(),
            systemd: self.systemd.clone(),
            service: self.service.clone(),
            notes: self.notes.clone(),
        }
    }

    pub(super) fn forget_run(&mut self, unit: &UnitName, run: u64) {
        if self.is_current(unit, run) {
            self.runs.remove(unit);
            self.sockets.drop_notifier(unit);
            self.end_output(unit);
            self.listen_again(unit);
            self.unstore_descriptor(&StoredDescriptor::Process { unit: unit.clone() });
            self.unstore_descriptor(&StoredDescriptor::Notifier { unit: unit.clone() });
        }
    }
}

impl RunTask {
    pub(super) fn tell(&self, event: Event) {
        self.note(Note::Event(event));
    }

    fn note(&self, note: Note) {
        // The receiver lives as long as the loop.
        let _ = self.notes.send(note);
    }

    fn unit(&self) -> UnitName {
        self.unit.name.clone()
    }

    fn facts(&self, facts: RunFacts) {
        self.note(Note::Facts(self.unit(), self.live.number, Box::new(facts)));
    }

    async fn perform(self, means: Means) {
        let Body::Container(container) = &self.unit.body else { return };
        let notify_server = match self.notify_server(container) {
            Ok(server) => server,
            Err(failure) => return self.failed(failure, None).await,
        };
        let notify = notify_server.as_ref().map(|server| server.listener.path());
        let prepared = match prepare(&self.unit, container, &self.paths, &means.store, notify) {
            Ok(prepared) => prepared,
            Err(failure) => return self.failed(failure, None).await,
        };
        let ephemeral = prepared.facts.ephemeral.clone();
        let launched = tokio::select! {
            result = self.launch(container, prepared, &means) => result,
            () = self.live.cancel.notified() => Err(Failure {
                message: "launch: canceled by a stop".into(),
                errno: libc::ECANCELED,
                exit: None,
            }),
        };
        // The container has its own copies; ours would keep a closed socket alive.
        drop(means);
        match launched {
            Err(failure) => self.failed(failure, ephemeral).await,
            Ok(()) => self.follow(notify_server, ephemeral).await,
        }
    }

    fn notify_server(&self, container: &Container) -> Result<Option<NotifyServer>, Failure> {
        if container.kind != ServiceType::Notify {
            return Ok(None);
        }
        bind_notify(&self.paths, &self.unit.name).map(Some)
    }

    async fn launch(
        &self,
        container: &Container,
        mut prepared: Prepared,
        means: &Means,
    ) -> Result<(), Failure> {
        self.live.stop_signal.set(prepared.facts.stop_signal);
        let sockets: Vec<BorrowedFd<'_>> = means.sockets.iter().map(AsFd::as_fd).collect();
        let launch = means.launcher.spawn(&prepared.plan, &sockets);
        let launch = launch.map_err(|error| failure(format!("sampan-launch: {error}"), 0))?;
        let control = Control::new(launch)?;
        let (pid, pidfd) = control.started().await?;
        let for_scope = pidfd.try_clone().map_err(|error| io_failure("pidfd", &error))?;
        self.began(pid, pidfd, &mut prepared);
        let scope = async {
            let request = self.scope_request(container, &prepared.facts, pid, for_scope);
            self.systemd.start_scope(&request).await.map_err(|error| failure(error.to_string(), 0))
        };
        let ready = control.expect(&Report::Prepared);
        tokio::try_join!(scope, ready)?;
        control.order(&Order::Go)?;
        self.until_executed(&control).await?;
        self.live.executed.set(true);
        prepared.facts.executed = true;
        self.facts(prepared.facts);
        self.tell(Event::Executed { unit: self.unit(), run: self.live.number });
        Ok(())
    }

    /// Keeps the process findable for a successor; without it there are still its number and start time.
    fn store_process(&self, pidfd: BorrowedFd<'_>) {
        let name = StoredDescriptor::Process { unit: self.unit() };
        if let Err(error) = self.service.store(&name, pidfd) {
            tracing::warn!("{error}, continuing");
        }
    }

    /// The first process exists: from here on a successor of this process can find it.
    fn began(&self, pid: u32, pidfd: OwnedFd, prepared: &mut Prepared) {
        self.store_process(pidfd.as_fd());
        prepared.facts.start_time = pidfd::start_time(pid).unwrap_or_default();
        self.facts(prepared.facts.clone());
        // The run is new, so the cell is empty.
        let _ = self.live.process.set(Process { pid, pidfd, parent: Parent::Manager });
        let launched = Launched { pid, invocation: prepared.invocation.clone() };
        self.tell(Event::Started { unit: self.unit(), run: self.live.number, launched });
    }

    fn scope_request(
        &self,
        container: &Container,
        facts: &RunFacts,
        pid: u32,
        pidfd: OwnedFd,
    ) -> ScopeRequest {
        ScopeRequest {
            name: self.unit.name.scope(),
            description: self.unit.description.clone(),
            slice: container.resources.slice.clone().unwrap_or_else(|| DEFAULT_SLICE.to_owned()),
            pid,
            pidfd,
            resources: container.resources.clone(),
            stop_timeout: container.stop_timeout,
            stop_signal: facts.stop_signal,
        }
    }

    async fn until_executed(&self, control: &Control) -> Result<(), Failure> {
        loop {
            match control.receive().await? {
                None => return Ok(()),
                Some((Report::Notifier, descriptors)) => {
                    for notifier in descriptors {
                        self.note(Note::Notifier(self.unit(), self.live.number, notifier));
                    }
                }
                Some((Report::Output, descriptors)) => {
                    let outlet =
                        Outlet::of(descriptors).map_err(|error| io_failure("/dev/stdout", &error))?;
                    self.note(Note::Output(self.unit(), self.live.number, outlet));
                }
                Some((Report::Failed(error), _)) => return Err(step_failure(&error)),
                Some((report, _)) => return Err(failure(format!("sampan-launch: unexpected {report:?}"), 0)),
            }
        }
    }

    /// Waits for the end of a payload that runs.
    pub(super) async fn follow(self, notify_server: Option<NotifyServer>, ephemeral: Option<PathBuf>) {
        let exit = tokio::select! {
            exit = self.live.wait() => exit,
            () = self.listen_to(notify_server.as_ref()) => self.live.wait().await,
        };
        self.clean_up(ephemeral).await;
        self.note(Note::RunOver(self.unit(), self.live.number));
        self.tell(Event::Ended { unit: self.unit(), run: self.live.number, exit });
    }

    async fn listen_to(&self, server: Option<&NotifyServer>) {
        let Some(server) = server else { return std::future::pending().await };
        let (unit, run) = (self.unit(), self.live.number);
        while let Ok(mut readable) = server.readiness.readable().await {
            for notification in server.listener.receive().unwrap_or_default() {
                match notification {
                    Notification::Ready => self.tell(Event::Ready { unit: unit.clone(), run }),
                    Notification::Status(text) => {
                        self.tell(Event::StatusText { unit: unit.clone(), run, text })
                    }
                    other => tracing::debug!(SAMPAN_UNIT = %unit, "{unit}: {other:?}"),
                }
            }
            readable.clear_ready();
        }
    }

    async fn failed(self, failure: Failure, ephemeral: Option<PathBuf>) {
        if self.live.process.get().is_some() {
            self.live.kill();
            self.live.wait().await;
        }
        self.clean_up(ephemeral).await;
        self.note(Note::RunOver(self.unit(), self.live.number));
        self.tell(Event::LaunchFailed { unit: self.unit(), run: self.live.number, failure });
    }

    /// Leaves nothing of a run: its scope's name is free again, its changes are removed.
    async fn clean_up(&self, ephemeral: Option<PathBuf>) {
        let scope = self.unit.name.scope();
        let removed = tokio::time::timeout(REMOVAL_TIMEOUT, self.systemd.wait_removed(&scope)).await;
        // A scope without a process that systemd has not noticed, or one that still has others.
        if removed.is_err()
            && let Err(error) = self.systemd.stop_scope(&scope).await
        {
            tracing::warn!(SAMPAN_UNIT = %self.unit.name, "{error}, continuing");
        }
        if let Some(directory) = ephemeral {
            super::stop::discard(&directory, self.live.number);
        }
    }
}

/// The receiving side of a payload's sd_notify(3).
pub(super) struct NotifyServer {
    listener: NotifyListener,
    readiness: AsyncFd<OwnedFd>,
}

pub(super) fn bind_notify(paths: &Paths, unit: &UnitName) -> Result<NotifyServer, Failure> {
    let listener = NotifyListener::bind(paths, unit).map_err(|error| failure(error.to_string(), 0))?;
    let readiness = readiness::watch(&listener).map_err(|error| io_failure("notify socket", &error))?;
    Ok(NotifyServer { listener, readiness })
}

/// The manager's end of the conversation with one launcher.
pub(super) struct Control {
    launch: Launch,
    readiness: AsyncFd<OwnedFd>,
}

impl Control {
    pub(super) fn new(launch: Launch) -> Result<Self, Failure> {
        let reap = pidfd::open(launch.process.id()).map(reap);
        drop(reap.map(tokio::task::spawn_local));
        match readiness::watch(&launch.control) {
            Ok(readiness) => Ok(Self { launch, readiness }),
            Err(error) => Err(io_failure("sampan-launch", &error)),
        }
    }

    async fn receive(&self) -> Result<Option<(Report, Vec<OwnedFd>)>, Failure> {
        loop {
            let mut ready =
                self.readiness.readable().await.map_err(|error| io_failure("sampan-launch", &error))?;
            match ready.try_io(|_| self.launch.receive()) {
                Ok(result) => return result.map_err(|error| io_failure("sampan-launch", &error)),
                Err(_would_block) => {}
            }
        }
    }

    /// The next report, which must be there and tell of no failure.
    async fn report(&self) -> Result<(Report, Vec<OwnedFd>), Failure> {
        match self.receive().await? {
            Some((Report::Failed(error), _)) => Err(step_failure(&error)),
            Some(report) => Ok(report),
            None => Err(failure("sampan-launch: ended without a word".into(), 0)),
        }
    }

    pub(super) async fn started(&self) -> Result<(u32, OwnedFd), Failure> {
        match self.report().await? {
            (Report::Started { pid }, mut descriptors) if descriptors.len() == 1 => {
                descriptors.pop().map(|pidfd| (pid, pidfd)).ok_or_else(|| failure(String::new(), 0))
            }
            (report, _) => Err(failure(format!("sampan-launch: unexpected {report:?}"), 0)),
        }
    }

    pub(super) async fn expect(&self, expected: &Report) -> Result<(), Failure> {
        let (report, _) = self.report().await?;
        if report == *expected {
            return Ok(());
        }
        Err(failure(format!("sampan-launch: unexpected {report:?}"), 0))
    }

    pub(super) fn order(&self, order: &Order) -> Result<(), Failure> {
        self.launch.send(order).map_err(|error| io_failure("sampan-launch", &error))
    }

    /// The payload has been executed when the conversation ends.
    pub(super) async fn executed(&self) -> Result<(), Failure> {
        match self.receive().await? {
            None => Ok(()),
            Some((Report::Failed(error), _)) => Err(step_failure(&error)),
            Some((report, _)) => Err(failure(format!("sampan-launch: unexpected {report:?}"), 0)),
        }
    }
}

/// Collects the launcher's own process when it ends, however the launch goes.
async fn reap(launcher: OwnedFd) {
    // Nobody else waits for it, so that neither can fail.
    let _ = until_ended(launcher.as_fd()).await;
    let _ = pidfd::wait(&launcher);
}

/// systemd.exec(5), process exit codes: the payload could not be executed.
const EXIT_EXEC: i32 = 203;

fn step_failure(error: &crate::launch::protocol::StepError) -> Failure {
    let exit = (error.step == "execute").then_some(Exit::Code(EXIT_EXEC));
    Failure { message: error.to_string(), errno: error.errno, exit }
}

pub(super) fn failure(message: String, errno: i32) -> Failure {
    Failure { message, errno, exit: None }
}

fn io_failure(subject: &str, error: &io::Error) -> Failure {
    failure(format!("{subject}: {error}"), error.raw_os_error().unwrap_or_default())
}
