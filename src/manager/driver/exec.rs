//! Commands inside a running container: `sampanctl exec`.

use super::Manager;
use super::control::{Control, failure, reap};
use super::handle::ExecRequest;
use super::live::{LiveRun, Parent, Process};
use super::prepare::prepare_join;
use crate::launch::plan::Command;
use crate::launch::spawn::Launcher;
use crate::launch::step::Join;
use crate::manager::machine::{Exit, Failure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use tokio::sync::oneshot::Sender;

/// A command that can be run.
pub(super) struct ExecTask {
    pub(super) join: Join,
    pub(super) launcher: Rc<Launcher>,
    pub(super) container: OwnedFd,
    pub(super) stdio: [OwnedFd; 3],
}

/// A command that runs. What is left of it when this goes is killed.
pub(super) struct Started {
    live: LiveRun,
    is_collected: Cell<bool>,
}

impl Started {
    pub(super) async fn wait(&self) -> Exit {
        let exit = self.live.wait().await;
        self.is_collected.set(true);
        exit
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let Some(process) = self.live.process.get().filter(|_| !self.is_collected.get()) else { return };
        // It leads a session and a group of its own. As it is not collected, the number is nobody else's.
        if let Some(group) = Pid::from_raw(process.pid.cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.live.kill();
        if let Ok(pidfd) = process.pidfd.try_clone() {
            drop(tokio::task::spawn_local(reap(pidfd)));
        }
    }
}

impl Manager {
    /// Runs a command in a container and answers when it has ended, or could not begin.
    pub(super) fn exec(&mut self, request: ExecRequest, reply: Sender<Result<Exit, String>>) {
        match self.exec_task(request) {
            Ok(task) => {
                tokio::task::spawn_local(async move {
                    let result = task.perform().await.map_err(|failure| failure.message);
                    // A client that has gone away leaves its command to itself.
                    let _ = reply.send(result);
                });
            }
            Err(message) => drop(reply.send(Err(message))),
        }
    }

    fn exec_task(&mut self, request: ExecRequest) -> Result<ExecTask, String> {
        let name = self.ensure_loaded(&request.unit);
        let not_running = || format!("Unit {name} is not running: start it with \"sampanctl start {name}\".");
        let managed = self.machine.unit(&name).ok_or_else(|| format!("Unit {name} not found."))?;
        let live = self.runs.get(&name).filter(|live| live.executed.get()).ok_or_else(not_running)?;
        let process = live.process.get().ok_or_else(not_running)?;
        let unit = managed.unit().ok_or_else(not_running)?;
        let container = unit.body.container().ok_or_else(not_running)?;
        let command = Command {
            words: request.command,
            user: request.user,
            working_directory: request.directory.map(Into::into),
            environment: request.environment,
        };
        let join = prepare_join(unit, container, &self.paths, &self.store, &command, process.pid);
        Ok(ExecTask {
            join: join.map_err(|failure| failure.message)?,
            launcher: self.launcher.clone(),
            container: process.pidfd.try_clone().map_err(|error| error.to_string())?,
            stdio: request.stdio,
        })
    }
}

impl ExecTask {
    async fn perform(self) -> Result<Exit, Failure> {
        Ok(self.start().await?.wait().await)
    }

    pub(super) async fn start(self) -> Result<Started, Failure> {
        let stdio = [self.stdio[0].as_fd(), self.stdio[1].as_fd(), self.stdio[2].as_fd()];
        let launch = self.launcher.join(&self.join, self.container.as_fd(), stdio);
        let launch = launch.map_err(|error| failure(format!("sampan-launch: {error}"), 0))?;
        let control = Control::new(launch)?;
        let (pid, pidfd) = control.started().await?;
        let live = LiveRun::new(0);
        // The run was made one line above, so the cell is empty.
        let _ = live.process.set(Process { pid, pidfd, parent: Parent::Manager });
        let started = Started { live, is_collected: Cell::new(false) };
        control.executed().await?;
        Ok(started)
    }
}
