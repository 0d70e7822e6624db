//! Commands around a payload, one after the other: inside its container as `exec` does it, or on the host as services
//! of systemd's. A successor goes on with the one that was under way.

use super::control::failure;
use super::exec::ExecTask;
use super::helper::{Helper, leave_scope};
use super::live::{LiveRun, Parent, Process};
use super::prepare::prepare_join;
use super::ranges::Ranges;
use super::{Manager, Note};
use crate::launch::journal;
use crate::launch::plan::Command;
use crate::launch::spawn::Launcher;
use crate::manager::machine::{Event, Exit, Failure, Managed};
use crate::manager::record::Progress;
use crate::paths::Paths;
use crate::store::Store;
use crate::sys::{pidfd, process};
use crate::systemd::manager::Systemd;
use crate::systemd::service::{ServiceEnd, ServiceRequest};
use crate::unit::model::{Container, ExecCommand, OnFailure, Place, Stage, Unit};
use crate::unit::name::UnitName;
use crate::unit::signal;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// Stages that are under way, and what a manager before has left of them.
#[derive(Debug, Default)]
pub(super) struct Stages {
    underway: BTreeMap<UnitName, Underway>,
    /// Runs whose launch a predecessor had begun with commands on the host.
    pub(super) abandoned: BTreeMap<UnitName, u64>,
}

#[derive(Debug)]
struct Underway {
    run: u64,
    cancel: Rc<Notify>,
}

/// What commands are run with.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    pub(super) paths: Paths,
    pub(super) systemd: Systemd,
    pub(super) store: Rc<Store>,
    pub(super) launcher: Rc<Launcher>,
    pub(super) slice: String,
    pub(super) ranges: Ranges,
    /// By the sources of binds: a directory above that containers can write.
    pub(super) shared: BTreeMap<PathBuf, PathBuf>,
}

/// The commands of one run.
pub(super) struct Commands {
    pub(super) unit: Arc<Unit>,
    pub(super) run: u64,
    pub(super) hands: Hands,
    /// `NAME=value` beside their own.
    pub(super) environment: Vec<String>,
    notes: UnboundedSender<Note>,
    /// The service that runs now.
    service: RefCell<Option<String>>,
}

/// A container that commands can join.
#[derive(Debug)]
pub(super) struct Inhabited {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    pub(super) invocation: String,
}

impl Commands {
    pub(super) fn new(unit: Arc<Unit>, run: u64, hands: Hands, notes: UnboundedSender<Note>) -> Self {
        Self { unit, run, hands, environment: Vec::new(), notes, service: RefCell::new(None) }
    }

    /// Runs one command; `container` is the one that it joins.
    pub(super) async fn perform(
        &self,
        (stage, index): (Stage, usize),
        command: &ExecCommand,
        container: Option<&Inhabited>,
        left: Option<Attended>,
    ) -> Result<(), Failure> {
        let known = match &left {
            Some(left) => Some(left.0.wait().await).filter(|exit| *exit != Exit::Unknown),
            None => None,
        };
        let exit = match (command.place, container) {
            _ if known.is_some() => Ok(known.unwrap_or(Exit::Unknown)),
            (Place::Container, Some(container)) => self.inside((stage, index), command, container).await,
            (Place::Container, None) => Err(failure("there is no container to join".to_owned(), 0)),
            (Place::Host, _) => self.outside((stage, index), command).await,
        };
        let program = command.words.first().map(String::as_str).unwrap_or_default();
        let broken = match exit {
            Ok(Exit::Code(0)) => return Ok(()),
            Ok(exit) => failed(&self.unit.name, stage.key(), program, exit),
            Err(failure) => Failure { message: format!("{}: {}", stage.key(), failure.message), ..failure },
        };
        match command.failure {
            OnFailure::Counts => Err(broken),
            OnFailure::Ignored => {
                let unit = &self.unit.name;
                tracing::info!(SAMPAN_UNIT = %unit, "{unit}: {}, ignoring", broken.message);
                Ok(())
            }
        }
    }

    async fn inside(
        &self,
        (stage, index): (Stage, usize),
        command: &ExecCommand,
        at: &Inhabited,
    ) -> Result<Exit, Failure> {
        let container = self.container()?;
        let words = Command {
            words: command.words.clone(),
            user: command.user.clone(),
            working_directory: None,
            environment: self.environment_inside(at.pid),
        };
        let Hands { paths, store, launcher, .. } = &self.hands;
        let join = prepare_join(&self.unit, container, paths, store, &words, (at.pid, &at.invocation))?;
        let copy = |of: &OwnedFd| of.try_clone().map_err(|error| failure(error.to_string(), 0));
        let stdio = stdio(paths, &self.unit.name)?;
        let task =
            ExecTask { join, launcher: launcher.clone(), container: copy(&at.pidfd)?, stdio, leash: None };
        let started = task.start().await?;
        let pid = started.pid();
        self.note(stage, index, pid.and_then(|pid| Some((pid, pidfd::start_time(pid).ok()?))));
        Ok(started.wait().await)
    }

    /// Writes down how far a stage is.
    fn note(&self, stage: Stage, done: usize, process: Option<(u32, u64)>) {
        let progress = Progress { run: self.run, stage, done, process };
        // The receiver lives as long as the loop.
        let _ = self.notes.send(Note::Progress(self.unit.name.clone(), progress));
    }

    /// In the container, its first process is 1.
    fn environment_inside(&self, first: u32) -> Vec<String> {
        let main = |line: &String| match line.strip_prefix("MAINPID=").and_then(|pid| pid.parse().ok()) {
            Some(pid) if pid == first => "MAINPID=1".to_owned(),
            Some(pid) => format!("MAINPID={}", process::numbers(pid).last().copied().unwrap_or_default()),
            None => line.clone(),
        };
        self.environment.iter().map(main).collect()
    }

    async fn outside(&self, place: (Stage, usize), command: &ExecCommand) -> Result<Exit, Failure> {
        let container = self.container()?;
        let (stage, index) = place;
        let name = &self.unit.name;
        let request = ServiceRequest {
            name: service_name(name, stage, self.run, index),
            description: format!("{} of {name}", stage.key()),
            slice: self.hands.slice.clone(),
            resources: (*container.resources).clone(),
            command: command.words.clone(),
            environment: self.environment.clone(),
            user: command.user.clone(),
            identifier: name.stem().to_owned(),
            field: format!("SAMPAN_UNIT={name}"),
        };
        *self.service.borrow_mut() = Some(request.name.clone());
        let end = self.hands.systemd.run_service(&request).await;
        *self.service.borrow_mut() = None;
        match end.map_err(|error| failure(error.to_string(), 0))? {
            ServiceEnd::Exited { code: libc::CLD_EXITED, status } => Ok(Exit::Code(status)),
            ServiceEnd::Exited { code: libc::CLD_DUMPED, status } => Ok(Exit::Core(status)),
            ServiceEnd::Exited { status, .. } => Ok(Exit::Signal(status)),
            ServiceEnd::Other(result) => {
                let program = command.words.first().map(String::as_str).unwrap_or_default();
                Err(failure(format!("{program}: systemd could not run it (Result: {result})"), 0))
            }
        }
    }

    pub(super) fn container(&self) -> Result<&Container, Failure> {
        self.unit.body.container().ok_or_else(|| failure("not a container".to_owned(), 0))
    }

    /// Ends what was given up.
    pub(super) async fn end(&self) {
        let Some(service) = self.service.borrow_mut().take() else { return };
        if let Err(error) = self.hands.systemd.end_service(&service).await {
            tracing::warn!(SAMPAN_UNIT = %self.unit.name, "{error}, continuing");
        }
    }
}

/// What a command in a container reads, nothing, and writes: to the journal, as its payload.
pub(super) fn stdio(paths: &Paths, unit: &UnitName) -> Result<[OwnedFd; 3], Failure> {
    let output = journal::open(&paths.journal_stream(), unit.stem(), &unit.scope())
        .map_err(|error| failure(format!("connect to journal: {error}"), 0))?;
    let null = File::open("/dev/null").map_err(|error| failure(format!("/dev/null: {error}"), 0))?;
    let copy = output.try_clone().map_err(|error| failure(error.to_string(), 0))?;
    Ok([null.into(), copy, output])
}

/// What has become of the command of a key.
pub(super) fn failed(unit: &UnitName, key: &str, program: &str, exit: Exit) -> Failure {
    let message = format!("{key}: {program}: {exit}; \"sampanctl logs {}\" has what it said", unit.stem());
    Failure { message, errno: 0, exit: Some(exit) }
}

/// The service that a command of the host is; of `*` a pattern of all of its stage.
fn service_name(unit: &UnitName, stage: Stage, run: u64, index: impl Display) -> String {
    let scope = unit.scope();
    let stem = scope.strip_suffix(".scope").unwrap_or(&scope);
    format!("{stem}-{}-{run}-{index}.service", stage.as_str())
}

/// All of one run before its payload.
pub(super) fn services_of_launch(unit: &UnitName, run: u64) -> [String; 2] {
    [Stage::Condition, Stage::StartPre].map(|stage| service_name(unit, stage, run, '*'))
}

impl Manager {
    pub(super) fn hands(&self, unit: &Unit, slice: String) -> Hands {
        Hands {
            slice,
            paths: self.paths.clone(),
            systemd: self.systemd.clone(),
            store: self.store.clone(),
            launcher: self.launcher.clone(),
            ranges: self.ranges.clone(),
            shared: self.shared_above(unit),
        }
    }

    pub(super) fn run_commands(&mut self, unit: &UnitName, run: u64, stage: Stage) {
        let Some(managed) = self.machine.unit(unit) else { return };
        let Some(specification) = managed.unit().cloned() else { return };
        let slice = self.choose_slice(managed.container().and_then(|own| own.resources.slice.as_deref()));
        let hands = self.hands(&specification, slice);
        let mut commands = Commands::new(specification, run, hands, self.notes.clone());
        commands.environment = environment(managed, stage);
        let invocation = managed.run.as_ref().map(|run| run.invocation.clone()).unwrap_or_default();
        let live = self.runs.get(unit).filter(|live| live.number() == run && !live.over.get()).cloned();
        if let Some(live) = live.as_ref().filter(|_| stage == Stage::Stop) {
            self.thaw(live);
        }
        let known = self.facts.get(unit).and_then(|facts| facts.commands);
        let known = known.filter(|known| (known.run, known.stage) == (run, stage));
        let done = known.map_or(0, |known| known.done);
        let left = known.and_then(|known| Attended::find(known.process?));
        let cancel = self.begin_commands(unit, run);
        let (unit, notes) = (unit.clone(), self.notes.clone());
        let list = StageTask { commands, stage, done, left: Cell::new(left), live, invocation };
        tokio::task::spawn_local(async move {
            let mut helper = None;
            let result = tokio::select! {
                result = list.perform(&mut helper) => result,
                () = cancel.notified() => Err(failure(format!("{}: killed", stage.key()), 0)),
            };
            list.commands.end().await;
            match helper {
                Some(helper) => helper.end().await,
                // One that was given up half made ends by itself.
                None if list.live.is_none() => {
                    leave_scope(&list.commands.hands.systemd, &unit.scope()).await;
                }
                None => {}
            }
            // The receiver lives as long as the loop.
            let _ = notes.send(Note::Event(Event::CommandsDone { unit, run, stage, result }));
        });
    }

    /// What [`Manager::end_commands`] ends.
    pub(super) fn begin_commands(&mut self, unit: &UnitName, run: u64) -> Rc<Notify> {
        let cancel = Rc::new(Notify::new());
        self.stages.underway.insert(unit.clone(), Underway { run, cancel: cancel.clone() });
        cancel
    }

    pub(super) fn end_commands(&mut self, unit: &UnitName, run: u64) {
        if let Some(underway) = self.stages.underway.get(unit).filter(|underway| underway.run == run) {
            underway.cancel.notify_one();
        }
    }

    pub(super) fn keep_progress(&mut self, unit: UnitName, progress: Progress) {
        if let Some(facts) = self.facts.get_mut(&unit) {
            facts.commands = Some(progress);
            self.changed.insert(unit);
        }
    }
}

/// One stage of a container whose payload is up, or over.
struct StageTask {
    commands: Commands,
    stage: Stage,
    /// Those that a manager before has run.
    done: usize,
    /// The one that it did not see the end of.
    left: Cell<Option<Attended>>,
    live: Option<Rc<LiveRun>>,
    invocation: String,
}

/// A command that a manager before has begun in a container. It ends with this.
pub(super) struct Attended(LiveRun);

impl Attended {
    fn find((pid, start_time): (u32, u64)) -> Option<Self> {
        let pidfd = pidfd::open(pid).ok()?;
        let live = LiveRun::new(0);
        // The cell is as new as the run.
        let _ = live.process.set(Process { pid, pidfd, parent: Parent::Predecessor });
        (pidfd::start_time(pid).ok()? == start_time).then_some(Self(live))
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.kill();
    }
}

impl StageTask {
    async fn perform(&self, helper: &mut Option<Helper>) -> Result<(), Failure> {
        let list = self.commands.container()?.commands.of(self.stage).to_owned();
        let running = self.running()?;
        for (index, command) in list.iter().enumerate().skip(self.done) {
            let container = match (&running, command.place) {
                (Some(running), _) => Some(running),
                (None, Place::Host) => None,
                (None, Place::Container) => {
                    if helper.is_none() {
                        *helper = Some(Helper::begin(&self.commands, self.stage).await?);
                    }
                    helper.as_ref().map(|helper| &helper.inhabited)
                }
            };
            let left = self.left.take().filter(|_| command.place == Place::Container);
            let result = self.commands.perform((self.stage, index), command, container, left).await;
            // With its container everything in it ends, which is what was wanted.
            let gone = command.place == Place::Container
                && running.as_ref().is_some_and(|running| process::numbers(running.pid).is_empty());
            if self.stage != Stage::Stop || !gone {
                result?;
            }
            self.commands.note(self.stage, index + 1, None);
        }
        Ok(())
    }

    fn running(&self) -> Result<Option<Inhabited>, Failure> {
        let process = self.live.as_ref().and_then(|live| live.process.get());
        let inhabited = process.map(|process| {
            let pidfd = process.pidfd.try_clone().map_err(|error| failure(error.to_string(), 0))?;
            Ok(Inhabited { pid: process.pid, pidfd, invocation: self.invocation.clone() })
        });
        inhabited.transpose()
    }
}

/// What commands learn of the payload, systemd.exec(5).
fn environment(managed: &Managed, stage: Stage) -> Vec<String> {
    let mut lines = Vec::new();
    let main = managed.run.as_ref().and_then(|run| run.main_pid).or_else(|| managed.main_pid());
    if let Some(pid) = main.filter(|_| stage != Stage::StopPost) {
        lines.push(format!("MAINPID={pid}"));
    }
    if matches!(stage, Stage::Stop | Stage::StopPost) {
        lines.push(format!("SERVICE_RESULT={}", managed.result.as_str()));
        let exit = managed.run.as_ref().and_then(|run| run.exit);
        let words = match exit {
            Some(Exit::Code(code)) => Some(("exited", code.to_string())),
            Some(Exit::OomKill) => Some(("killed", signal::name(libc::SIGKILL))),
            Some(Exit::Signal(number)) => Some(("killed", signal::name(number))),
            Some(Exit::Core(number)) => Some(("dumped", signal::name(number))),
            Some(Exit::Unknown) | None => None,
        };
        if let Some((code, status)) = words {
            let status = status.strip_prefix("SIG").unwrap_or(&status).to_owned();
            lines.extend([format!("EXIT_CODE={code}"), format!("EXIT_STATUS={status}")]);
        }
    }
    lines
}
