//! One run of a container, from the launcher's start to its end, as one task.

use super::before::BeforePayload;
use super::commands::{Commands, Inhabited};
use super::control::{Control, failure, io_failure, log_exit, only, process_of, step_failure, unlaunched};
use super::discard::discard;
use super::helper::leave_scope;
use super::limits::tell_devices;
use super::live::{LiveRun, Parent, Process, until_ended};
use super::notify::{NotifyServer, bind_notify};
use super::output::Outlet;
use super::overlap::Migration;
use super::prepare::{Ends, Prepared, prepare};
use super::sockets::OpenSocket;
use super::turns::Turns;
use super::{Manager, Note, health, listening, now, overlap};
use crate::launch::protocol::{Order, Report, UNSTARTED};
use crate::launch::spawn::is_launcher;
use crate::launch::step::{Output, Pause};
use crate::manager::accounting;
use crate::manager::machine::{Event, Exit, Failure, Launched};
use crate::manager::record::{Moments, RunFacts};
use crate::paths::Paths;
use crate::store::private;
use crate::sys::pidfd;
use crate::systemd::fdstore::StoredDescriptor;
use crate::systemd::manager::{HostState, Keeper, ScopeRequest, Systemd};
use crate::systemd::notify::ServiceManager;
use crate::unit::address::is_native;
use crate::unit::model::{Body, Container, Pass, Stage, Unit};
use crate::unit::name::UnitName;
use rustix::fs::statvfs;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot};

/// Between looks at a process that is about to execute its payload.
const EXECUTION_INTERVAL: Duration = Duration::from_millis(5);

/// What the task of a run needs.
pub(super) struct RunTask {
    pub(super) unit: Arc<Unit>,
    pub(super) live: Rc<LiveRun>,
    pub(super) paths: Paths,
    pub(super) systemd: Systemd,
    pub(super) service: Rc<ServiceManager>,
    pub(super) notes: UnboundedSender<Note>,
}

/// Why a launch has ended before its payload.
pub(super) enum Broken {
    /// A step of its own failed.
    Launch(Failure),
    /// A command of this stage did.
    Command(Stage, Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Launch(failure)
    }
}

/// What a launch needs beside it.
struct Means {
    /// What is run before the payload.
    before: BeforePayload,
    /// How many launches may be under way.
    turns: Rc<Semaphore>,
    /// Those with `pass = "fd"`, in the order of their names, as the plan has them; or the connection.
    sockets: io::Result<Vec<OwnedFd>>,
    /// The container of before, which gives its scope to this one.
    older: Option<Migration>,
    /// Standard streams of somebody who waits for the container's end.
    stdio: Option<[OwnedFd; 3]>,
}

/// What a launch has begun with, to be ended with it.
#[derive(Default)]
struct Begun {
    launcher: Option<Control>,
    /// What is of no use on disk any more.
    ephemeral: Option<PathBuf>,
}

impl Means {
    fn output(&self) -> Output {
        if self.stdio.is_some() { Output::Passed } else { Output::Journal }
    }

    /// What comes beside the plan.
    fn descriptors(&self) -> Result<Vec<BorrowedFd<'_>>, Failure> {
        let sockets = self.sockets.as_ref().map_err(|error| io_failure("socket", error))?;
        Ok(self.stdio.iter().flatten().chain(sockets).map(AsFd::as_fd).collect())
    }
}

impl Manager {
    pub(super) fn launch(&mut self, unit: &UnitName, run: u64) {
        let Some(specification) = self.machine.unit(unit).and_then(|managed| managed.unit()).cloned() else {
            return;
        };
        let live = Rc::new(LiveRun::new(run));
        let named = specification.body.container().and_then(|container| container.resources.slice.as_deref());
        let slice = self.choose_slice(named);
        // The run is new, so the cell is empty.
        let _ = live.slice.set(slice.clone());
        live.controlled.set(self.choose_keeper() == Keeper::Manager);
        self.runs.insert(unit.clone(), live.clone());
        self.expect_binds(unit);
        let task = self.run_task(specification, live);
        let passed: BTreeMap<&str, &OpenSocket> = self
            .sockets
            .of(unit)
            .iter()
            .filter(|open| open.held.socket().pass == Pass::Fd)
            .map(|open| (open.held.name(), open))
            .collect();
        let sockets = match task.unit.body.container().and_then(|container| container.accepted.as_ref()) {
            Some(_) => self.connections.of(unit).map(|connection| vec![connection]),
            None => passed.values().map(|open| open.held.as_fd().try_clone_to_owned()).collect(),
        };
        let stdio = self.transients.take_stdio(unit);
        let abandoned = self.stages.abandoned.remove(unit);
        let hands = self.hands(&task.unit, slice);
        let before = Commands::new(task.unit.clone(), run, hands, self.notes.clone());
        let before = BeforePayload::new(before, abandoned);
        let older = self.older(unit);
        let means = Means { before, turns: self.launches.clone(), sockets, older, stdio };
        tokio::task::spawn_local(async move { task.perform(means).await });
    }

    /// Nobody has heard why a launcher ended after its manager; most often, since there was none to report to.
    pub(super) fn launch_anew(&mut self, unit: &UnitName, run: u64) {
        if !self.is_current(unit, run) {
            return;
        }
        self.forget_run(unit, run);
        if self.machine.unit(unit).is_some_and(|managed| managed.phase.is_starting()) {
            tracing::info!(SAMPAN_UNIT = %unit, "{unit}: its launch ended with the manager before, launching it anew.");
        }
        self.event(Event::Unstarted { unit: unit.clone(), run, exit: Exit::Code(UNSTARTED) });
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
            if let Some(live) = self.runs.remove(unit) {
                self.keep_last_usage(unit, &live);
            }
            self.checks.end(unit);
            self.sockets.drop_notifier(unit);
            self.end_output(unit);
            self.listen_again(unit);
            self.open_lost(unit);
            self.unstore_descriptor(&StoredDescriptor::Process { unit: unit.clone() });
            self.unstore_descriptor(&StoredDescriptor::Notifier { unit: unit.clone() });
            self.unstore_descriptor(&StoredDescriptor::Proxy { unit: unit.clone() });
            self.unstore_descriptor(&StoredDescriptor::Notify { unit: unit.clone() });
        }
    }
}

impl RunTask {
    pub(super) fn tell(&self, event: Event) {
        self.note(Note::Event(event));
    }

    pub(super) fn note(&self, note: Note) {
        // The receiver lives as long as the loop.
        let _ = self.notes.send(note);
    }

    pub(super) fn unit(&self) -> UnitName {
        self.unit.name.clone()
    }

    fn tell_with(&self, facts: RunFacts, event: Event) {
        self.note(Note::Facts(self.unit(), self.live.number(), Box::new(facts), event));
    }

    async fn perform(self, means: Means) {
        let mut begun = Begun::default();
        let launched = tokio::select! {
            result = self.launch(&means, &mut begun) => result,
            () = self.live.cancel.notified() => Err(Broken::Launch(Failure {
                message: "launch: canceled by a stop".into(),
                errno: libc::ECANCELED,
                exit: None,
            })),
        };
        // By now systemd has moved the last one, and a process is born again at once.
        means.before.hands().launcher.keep_spares();
        means.before.end().await;
        // The container has its own copies; ours would keep a closed socket alive.
        drop(means);
        match launched {
            Err(broken) => self.failed(broken, begun).await,
            Ok(notify_server) => {
                drop(begun.launcher);
                self.follow(notify_server, begun.ephemeral).await;
            }
        }
    }

    /// From the first command to the payload.
    async fn launch(&self, means: &Means, begun: &mut Begun) -> Result<Option<NotifyServer>, Broken> {
        let Body::Container(container) = &self.unit.body else { return Ok(None) };
        let beginning = now().boottime;
        means.before.on_host(|| self.start_pre_begun()).await?;
        let commanded = if means.before.has_begun() { now().boottime } else { Duration::ZERO };
        let notify_server = self.notify_server(container)?;
        let notify = notify_server.as_ref().map(|server| server.listener.path());
        let ends = Ends { notify, output: means.output() };
        if let Some(older) = &means.older {
            // What this one lacks is found before anything is done to the one that runs.
            prepare(&self.unit, container, means.before.hands(), ends)?;
            older.perform().await?;
        }
        let mut prepared = prepare(&self.unit, container, means.before.hands(), ends)?;
        listening::check(container, &prepared.facts)?;
        health::check(container, &prepared.facts)?;
        if let Some(ignored) = &prepared.ignored {
            let (unit, id) = (&self.unit.name, &prepared.invocation);
            tracing::warn!(SAMPAN_UNIT = %unit, INVOCATION_ID = id, "{unit}: {ignored}");
        }
        prepared.facts.moments = Moments { begun: beginning, commanded, ..Moments::default() };
        begun.ephemeral.clone_from(&prepared.facts.ephemeral);
        if means.older.is_none() {
            self.forget_copies(container, &prepared.facts);
        }
        // One that waits for commands must not have others wait for it. Nobody closes it.
        let _turn = match prepared.plan.pause {
            Pause::None => Some(means.turns.acquire().await),
            Pause::Prepared => None,
        };
        self.launch_prepared(container, prepared, means, &mut begun.launcher).await?;
        Ok(notify_server)
    }

    /// What the unit had when it shared no file with others.
    fn forget_copies(&self, container: &Container, facts: &RunFacts) {
        let unit = facts.ephemeral.as_deref().and_then(Path::parent).filter(|_| container.share);
        if let Some(copies) = unit.map(private::directory).filter(|copies| copies.exists()) {
            discard(&copies);
        }
    }

    fn start_pre_begun(&self) {
        self.tell(Event::StartPreBegun { unit: self.unit(), run: self.live.number() });
    }

    fn notify_server(&self, container: &Container) -> Result<Option<NotifyServer>, Failure> {
        if !container.notifies() {
            return Ok(None);
        }
        let server = bind_notify(&self.paths, &self.unit.name)?;
        // What is told while there is no manager waits for the next one.
        let name = StoredDescriptor::Notify { unit: self.unit() };
        let stored =
            self.service.remove(&name).and_then(|()| self.service.store(&name, server.listener.as_fd()));
        if let Err(error) = stored {
            tracing::warn!("{error}, continuing");
        }
        self.live.keep_notify(&server);
        Ok(Some(server))
    }

    async fn launch_prepared(
        &self,
        container: &Container,
        mut prepared: Prepared,
        means: &Means,
        launcher: &mut Option<Control>,
    ) -> Result<(), Broken> {
        self.live.stop_signal.set(prepared.facts.stop_signal);
        let launch = means.before.hands().launcher.spawn(&prepared.plan, &means.descriptors()?);
        let launch = launch.map_err(|error| unlaunched(&error))?;
        prepared.facts.moments.spawned = now().boottime;
        let control = &*launcher.insert(Control::new(launch)?);
        // The scope begins with the launcher's outer process.
        let pid = control.pid();
        let request = self.scope_request(container, &prepared.facts, pid, control.process()?);
        let invocation = prepared.invocation.clone();
        let turns = Turns::of(control.origin());
        let scope = async {
            turns.movable.notified().await;
            self.start_scope(&request).await?;
            self.attached(container, pid);
            tell_devices(&self.unit.name, Some(&invocation), &container.resources);
            control.order(&Order::Attached);
            turns.attached.notify_one();
            Ok(())
        };
        // What the launcher has to say comes first: where it has failed, systemd has nothing to move to the scope.
        let heard_out = self.hear_out(container, control, &mut prepared, &turns, means);
        tokio::try_join!(biased; heard_out, scope)?;
        Ok(())
    }

    /// The payload is there, in the control group of its scope, which systemd may still be busy with.
    fn executed(&self, container: &Container, prepared: &mut Prepared) {
        let Some(process) = self.live.process.get().filter(|_| !self.live.executed.get()) else { return };
        self.attached(container, process.pid);
        self.live.executed.set(true);
        prepared.facts.moments.executed = now().boottime;
        prepared.facts.executed = true;
        self.tell_executed(prepared.facts.clone());
    }

    fn tell_executed(&self, facts: RunFacts) {
        self.tell_with(facts, Event::Executed { unit: self.unit(), run: self.live.number() });
    }

    /// Keeps the process findable for a successor; without it there are still its number and start time.
    fn store_process(&self, pidfd: BorrowedFd<'_>) {
        let name = StoredDescriptor::Process { unit: self.unit() };
        if let Err(error) = self.service.store(&name, pidfd) {
            tracing::warn!("{error}, continuing");
        }
    }

    /// The first process exists: when this returns, a successor of this process can find it.
    async fn began(&self, pid: u32, pidfd: OwnedFd, prepared: &mut Prepared) {
        self.store_process(pidfd.as_fd());
        prepared.facts.start_time = pidfd::start_time(pid).unwrap_or_default();
        // The run is new, so the cell is empty.
        let _ = self.live.process.set(Process { pid, pidfd, parent: Parent::Manager });
        let launched = Launched { pid, invocation: prepared.invocation.clone() };
        let started = Event::Started { unit: self.unit(), run: self.live.number(), launched };
        self.tell_with(prepared.facts.clone(), started);
        let (sender, written) = oneshot::channel();
        self.note(Note::Written(sender));
        let _ = written.await;
    }

    /// The control group of the scope is there, and a process in it.
    fn attached(&self, container: &Container, pid: u32) {
        if self.live.group().is_some() {
            return;
        }
        if let Some(group) = accounting::scope(&self.paths, pid, &self.unit.name.scope()) {
            super::memory::set_group_kill(&group, &container.resources);
            self.live.set_group(group);
            self.live.memory_max.set(container.resources.memory_max.filter(|limit| *limit != u64::MAX));
            // What there is before the first kill.
            self.live.look_at_memory();
        }
    }

    fn scope_request(
        &self,
        container: &Container,
        facts: &RunFacts,
        pid: u32,
        pidfd: OwnedFd,
    ) -> ScopeRequest {
        let keeper = if self.live.is_controlled() { Keeper::Manager } else { Keeper::Systemd };
        let slice = self.live.slice.get().cloned().unwrap_or_default();
        let first = (pid, pidfd);
        ScopeRequest { keeper, ..scope_request(&self.unit, container, facts, slice, first) }
    }

    /// Hears the launcher out.
    async fn hear_out(
        &self,
        container: &Container,
        control: &Control,
        prepared: &mut Prepared,
        turns: &Turns,
        means: &Means,
    ) -> Result<(), Broken> {
        while let Some((report, descriptors)) = control.receive().await? {
            match report {
                Report::Ready => turns.movable.notify_one(),
                Report::Mounted { rooted, mounted } => {
                    prepared.facts.moments = Moments { rooted, mounted, ..prepared.facts.moments };
                }
                Report::Started { pid, times } => {
                    prepared.facts.moments.begin(times);
                    self.began(pid, process_of(pid, descriptors)?, prepared).await;
                    if prepared.plan.pause == Pause::None {
                        turns.known_to_journal(&self.paths.invocation(&self.unit().scope())).await;
                        control.order(&Order::Go);
                    }
                }
                Report::Prepared => {
                    turns.attached.notified().await;
                    self.run_inside(prepared, means).await?;
                    control.order(&Order::Go);
                }
                Report::Notifier => {
                    self.note(Note::Notifier(self.unit(), self.live.number(), only(descriptors)?));
                }
                Report::Output { whole } => {
                    prepared.facts.moments.whole = whole;
                    let outlet =
                        Outlet::of(descriptors).map_err(|error| io_failure("/dev/stdout", &error))?;
                    self.note(Note::Output(self.unit(), self.live.number(), outlet));
                }
                Report::Executed => self.executed(container, prepared),
                Report::Failed(error) => return Err(step_failure(&error).into()),
            }
        }
        self.executed(container, prepared);
        match self.live.process.get() {
            Some(_) => Ok(()),
            None => Err(failure("sampan-launch: ended without a word".into(), 0).into()),
        }
    }

    /// The container is whole and waits: the commands that come before its payload join it.
    async fn run_inside(&self, prepared: &mut Prepared, means: &Means) -> Result<(), Broken> {
        let process = self.live.process.get();
        let process = process.ok_or_else(|| failure("sampan-launch: unexpected Prepared".into(), 0))?;
        let pidfd = process.pidfd.try_clone().map_err(|error| io_failure("pidfd", &error))?;
        prepared.facts.moments.held = now().boottime;
        let inhabited = Inhabited { pid: process.pid, pidfd, invocation: prepared.invocation.clone() };
        means.before.inside(&inhabited, || self.start_pre_begun()).await?;
        prepared.facts.moments.released = now().boottime;
        Ok(())
    }

    /// Goes on with a run that an earlier manager began, and perhaps did not see through.
    pub(super) async fn resume(self, facts: RunFacts, notify_server: Option<NotifyServer>) {
        if let Some(process) = self.live.process.get() {
            tokio::select! {
                () = until_ended(process.pidfd.as_fd()) => {}
                () = self.complete(process, &facts) => {}
            }
        }
        if self.live.executed.get() || self.live.wait().await != Exit::Code(UNSTARTED) {
            return self.follow(notify_server, facts.ephemeral).await;
        }
        self.clean_up(facts.ephemeral).await;
        self.note(Note::Unstarted(self.unit(), self.live.number()));
    }

    async fn complete(&self, process: &Process, facts: &RunFacts) {
        if let Err(error) = self.ensure_scope(process, facts).await {
            tracing::warn!(SAMPAN_UNIT = %self.unit.name, "{}, ending the container", error.message);
            self.live.kill();
        }
        if facts.executed {
            return;
        }
        // Nobody tells a stranger of execve(2); this one is due, or the process ends.
        loop {
            match is_launcher(process.pid) {
                Ok(true) => tokio::time::sleep(EXECUTION_INTERVAL).await,
                Ok(false) => break,
                // The pidfd is about to tell.
                Err(_) => std::future::pending().await,
            }
        }
        self.live.executed.set(true);
        self.tell_executed(RunFacts { executed: true, ..facts.clone() });
    }

    /// systemd does not make a scope whose launcher ends with the manager before it was moved.
    async fn ensure_scope(&self, process: &Process, facts: &RunFacts) -> Result<(), Failure> {
        let scope = self.unit.name.scope();
        let Body::Container(container) = &self.unit.body else { return Ok(()) };
        let known = self.systemd.control_group(&scope).await;
        if known.map_err(|error| failure(error.to_string(), 0))?.is_some() {
            return Ok(());
        }
        let pidfd = process.pidfd.try_clone().map_err(|error| io_failure("pidfd", &error))?;
        self.start_scope(&self.scope_request(container, facts, process.pid, pidfd)).await
    }

    async fn start_scope(&self, request: &ScopeRequest) -> Result<(), Failure> {
        let started = self.systemd.start_scope(request).await;
        started.map_err(|error| match full(&self.paths.runtime()) {
            // systemd writes a file for each scope, and says that there is no such unit where it cannot.
            true => failure(format!("{error} (/run: {})", Errno::NOSPC), libc::ENOSPC),
            false => failure(error.to_string(), 0),
        })
    }

    /// Waits for the end of a payload that runs.
    pub(super) async fn follow(self, notify_server: Option<NotifyServer>, ephemeral: Option<PathBuf>) {
        let exit = tokio::select! {
            exit = self.live.wait() => exit,
            () = self.listen_to(notify_server.as_ref()) => self.live.wait().await,
        };
        self.clean_up(ephemeral).await;
        self.note(Note::RunOver(self.unit(), self.live.number()));
        let exit = self.of_payload(exit);
        self.tell(Event::Ended { unit: self.unit(), run: self.live.number(), exit });
    }

    /// Our init cannot end by the signal that has ended the payload: the kernel keeps it from that.
    fn of_payload(&self, exit: Exit) -> Exit {
        const SIGNALLED: i32 = 128;
        let has_init = self.unit.body.container().is_some_and(|container| container.has_init());
        match exit {
            Exit::Code(code) if has_init && (1..=libc::SIGRTMAX()).contains(&(code - SIGNALLED)) => {
                Exit::Signal(code - SIGNALLED)
            }
            exit => exit,
        }
    }

    async fn failed(self, broken: Broken, begun: Begun) {
        let launcher = begun.launcher.as_ref().map(Control::pid);
        // It may be making what is to be removed, also where its scope has failed and there is no process yet. Killed
        // with the others of the scope it would leave its own children to process 1 of the host.
        if let Some(launcher) = begun.launcher {
            launcher.end().await;
        }
        let mut ended = None;
        if self.live.process.get().is_some() {
            self.live.kill();
            ended = Some(self.live.wait().await);
        }
        self.clean_up(begun.ephemeral).await;
        self.note(Note::RunOver(self.unit(), self.live.number()));
        let (unit, run) = (self.unit(), self.live.number());
        if let Broken::Launch(failure) = &broken {
            log_exit(&unit, failure);
        }
        self.tell(match broken {
            // It was up already, and goes down as if it had been killed by somebody else.
            Broken::Launch(Failure { message, .. })
                if let Some(exit) = ended
                    && self.live.executed.get() =>
            {
                tracing::error!(SAMPAN_UNIT = %unit, "{message}, killed the container");
                Event::Ended { unit, run, exit }
            }
            Broken::Launch(failure) => {
                let process = launcher.filter(|_| failure.exit.is_some());
                Event::LaunchFailed { unit, run, process, failure }
            }
            Broken::Command(stage, failure) => Event::CommandsDone { unit, run, stage, result: Err(failure) },
        });
    }

    /// Leaves nothing of a run: its scope's name is free again, its changes are removed.
    async fn clean_up(&self, ephemeral: Option<PathBuf>) {
        self.live.over.set(true);
        self.live.end_proxy().await;
        let unit = self.live.unit_now(&self.unit.name);
        leave_scope(&self.systemd, &unit.scope()).await;
        if let Some(directory) = ephemeral {
            discard(&overlap::directory_of(&unit, &directory));
        }
    }
}

/// The scope of a container that begins with the launcher's process.
pub(super) fn scope_request(
    unit: &Unit,
    container: &Container,
    facts: &RunFacts,
    slice: String,
    (pid, pidfd): (u32, OwnedFd),
) -> ScopeRequest {
    // Units of systemd's that stop after this one when the host goes down.
    let after = unit.dependencies.after.iter().filter(|unit| is_native(unit));
    let devices = container.security.devices.iter();
    ScopeRequest {
        name: unit.name.scope(),
        description: unit.description.clone(),
        slice,
        pid,
        pidfd,
        resources: (*container.resources).clone(),
        devices: devices.map(|device| (device.specifier(), device.access.clone())).collect(),
        keeper: Keeper::Manager,
        stop_timeout: container.stop_timeout,
        stop_signal: facts.stop_signal,
        after: after.map(ToString::to_string).collect(),
        host: HostState::Up,
    }
}

/// Whether the file system of a directory has no space for one more file.
fn full(directory: &Path) -> bool {
    statvfs(directory).is_ok_and(|found| found.f_bavail == 0 || found.f_files > 0 && found.f_favail == 0)
}
