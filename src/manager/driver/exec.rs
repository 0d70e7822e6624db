//! Commands inside a running container: `sampanctl exec`.

use super::Manager;
use super::control::{Control, end, unlaunched};
use super::handle::ExecRequest;
use super::live::{LiveRun, Parent, Process};
use super::prepare::prepare_join;
use crate::launch::plan::Command;
use crate::launch::protocol::UNSTARTED;
use crate::launch::spawn::Launcher;
use crate::launch::step::Join;
use crate::manager::machine::{Event, Exit, Failure};
use crate::sys::process::signal_group;
use crate::sys::readiness;
use crate::unit::name::UnitName;
use rustix::net::{RecvFlags, recv};
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot::Sender;

/// How long a command may take to end once it was hung up.
const GRACE: Duration = Duration::from_secs(2);

/// Why a command was not run in a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// There is no such unit.
    #[error("Unit {0} not found.")]
    NotFound(UnitName),
    /// The unit has no container that runs.
    #[error("Unit {0} is not running: start it with \"sampanctl start {0}\".")]
    Inactive(UnitName),
    /// Nothing in the container goes on.
    #[error("Unit {0} is frozen: thaw it with \"sampanctl thaw {0}\".")]
    Frozen(UnitName),
    /// The container has no such program.
    #[error(
        "{program}: No such file or directory; the image has neither it nor, maybe, the interpreter it names."
    )]
    NoSuchProgram {
        /// What was to be executed.
        program: String,
    },
    /// The container has it, and it cannot be executed.
    #[error("{0}.")]
    NotExecutable(String),
    /// Anything else that is in the way.
    #[error("{0}.")]
    Failed(String),
}

impl ExecError {
    pub(super) fn of_launch(failure: Failure, program: &str) -> Self {
        match (failure.exit, failure.errno) {
            (Some(Exit::Code(UNSTARTED)), libc::ENOENT | libc::ENOTDIR) => {
                Self::NoSuchProgram { program: program.to_owned() }
            }
            (Some(Exit::Code(UNSTARTED)), _) => Self::NotExecutable(failure.message),
            _ => Self::Failed(failure.message),
        }
    }
}

/// A command that can be run.
pub(super) struct ExecTask {
    pub(super) join: Join,
    pub(super) launcher: Rc<Launcher>,
    pub(super) container: OwnedFd,
    pub(super) stdio: [OwnedFd; 3],
    pub(super) leash: Option<OwnedFd>,
}

/// A command that runs. It ends with this, and all that its group has.
pub(super) struct Started {
    live: LiveRun,
    leash: Option<OwnedFd>,
    is_collected: Cell<bool>,
}

impl Started {
    pub(super) fn pid(&self) -> Option<u32> {
        self.live.process.get().map(|process| process.pid)
    }

    pub(super) async fn wait(&self) -> Exit {
        let exit = match &self.leash {
            Some(leash) => tokio::select! {
                exit = self.live.wait() => exit,
                () = obey(leash, &self.live) => self.live.wait().await,
            },
            None => self.live.wait().await,
        };
        self.is_collected.set(true);
        exit
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let Some(process) = self.live.process.get().filter(|_| !self.is_collected.get()) else { return };
        // It leads a session and a group of its own. As it is not collected, the number is nobody else's.
        let _ = signal_group(process.pid, libc::SIGKILL);
        match process.pidfd.try_clone() {
            Ok(pidfd) => end(pidfd),
            Err(_) => self.live.kill(),
        }
    }
}

impl Manager {
    /// Runs a command in a container and answers when it has ended, or could not begin.
    pub(super) fn exec(&mut self, request: ExecRequest, reply: Sender<Result<Exit, ExecError>>) {
        let program = request.command.first().cloned().unwrap_or_default();
        match self.exec_task(request) {
            Ok((task, attendance)) => {
                tokio::task::spawn_local(async move {
                    let result = task.perform().await;
                    drop(attendance);
                    let result = result.map_err(|failure| ExecError::of_launch(failure, &program));
                    // A client that has gone away has let go of the leash.
                    let _ = reply.send(result);
                });
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    pub(super) fn exec_task(&mut self, request: ExecRequest) -> Result<(ExecTask, Attendance), ExecError> {
        let name = self.ensure_loaded(&request.unit);
        // While its next container starts, it is that of before.
        let name = self.machine.on_standby(&name).unwrap_or(name);
        let not_running = || ExecError::Inactive(name.clone());
        let managed = self.machine.unit(&name);
        let managed = managed.ok_or_else(|| ExecError::NotFound(name.clone()))?;
        let sleeps = managed.phase.sleeps();
        if sleeps {
            self.event(Event::Wanted { unit: name.clone() });
        }
        let managed = self.machine.unit(&name).ok_or_else(not_running)?;
        let live = self.runs.get(&name).filter(|live| live.executed.get()).ok_or_else(not_running)?;
        let process = live.process.get().ok_or_else(not_running)?;
        if !sleeps && self.is_frozen(live) {
            return Err(ExecError::Frozen(name));
        }
        let (unit, run) = managed.unit().zip(managed.run.as_ref()).ok_or_else(not_running)?;
        let container = unit.body.container().ok_or_else(not_running)?;
        let command = Command {
            words: request.command,
            user: request.user,
            working_directory: request.directory.map(Into::into),
            environment: request.environment,
        };
        let join =
            prepare_join(unit, container, &self.paths, &self.store, &command, (run.pid, &run.invocation));
        let attendance = Attendance::of(live.clone());
        let task = ExecTask {
            join: join.map_err(|failure| ExecError::Failed(failure.message))?,
            launcher: self.launcher.clone(),
            container: process.pidfd.try_clone().map_err(|error| ExecError::Failed(error.to_string()))?,
            stdio: request.stdio,
            leash: request.leash,
        };
        Ok((task, attendance))
    }
}

/// Somebody does something in a container, which keeps it awake.
pub(super) struct Attendance(Rc<LiveRun>);

impl Attendance {
    fn of(live: Rc<LiveRun>) -> Self {
        live.commands.set(live.commands.get().saturating_add(1));
        Self(live)
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.commands.set(self.0.commands.get().saturating_sub(1));
    }
}

impl ExecTask {
    pub(super) async fn perform(self) -> Result<Exit, Failure> {
        Ok(self.start().await?.wait().await)
    }

    pub(super) async fn start(self) -> Result<Started, Failure> {
        let stdio = [self.stdio[0].as_fd(), self.stdio[1].as_fd(), self.stdio[2].as_fd()];
        let launch = self.launcher.join(&self.join, self.container.as_fd(), stdio);
        let launch = launch.map_err(|error| unlaunched(&error))?;
        let control = Control::new(launch)?;
        let (pid, pidfd) = control.started().await?;
        let live = LiveRun::new(0);
        // The run was made one line above, so the cell is empty.
        let _ = live.process.set(Process { pid, pidfd, parent: Parent::Manager });
        let started = Started { live, leash: self.leash, is_collected: Cell::new(false) };
        // Held by the command alone from now on: who reads its output wants to see the end of it.
        drop(self.stdio);
        control.executed().await?;
        self.launcher.keep_spares();
        Ok(started)
    }
}

/// Passes the signals on that come over the leash, as a terminal would: to the process group that the command leads.
/// Where the leash ends, its holder has, and the group goes, too.
async fn obey(leash: &OwnedFd, live: &LiveRun) {
    let (Some(leader), Ok(readable)) = (live.process.get(), readiness::watch_in_time(leash).await) else {
        return std::future::pending().await;
    };
    // Nobody else gets the number of the group before its leader is reaped, which the caller does later. In a group
    // that has ended, nobody needs a signal.
    let send = |signal| {
        let _ = signal_group(leader.pid, signal);
    };
    pulls(&readable, send).await;
    send(libc::SIGHUP);
    send(libc::SIGCONT);
    tokio::time::sleep(GRACE).await;
    send(libc::SIGKILL);
}

/// Hands on the numbers that come over a leash, until its end.
pub(super) async fn pulls(leash: &AsyncFd<OwnedFd>, mut each: impl FnMut(i32)) {
    while let Ok(mut ready) = leash.readable().await {
        let mut numbers = [0; 16];
        // Its holder could make the socket a blocking one at any time.
        match ready.try_io(|leash| Ok(recv(leash.get_ref(), &mut numbers, RecvFlags::DONTWAIT)?.0)) {
            Ok(Ok(count @ 1..)) => numbers.iter().take(count).for_each(|number| each(i32::from(*number))),
            Ok(_) => break,
            Err(_would_block) => {}
        }
    }
}
