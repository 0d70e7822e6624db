//! How the bus reaches the manager: commands in, notices out, so that no lock is ever held.

use super::exec::ExecError;
use super::{Manager, TransferNotice};
use crate::manager::machine::{Event, Exit, Job, JobId, JobResult, Request, RequestError};
use crate::manager::record::Record;
use crate::unit::name::UnitName;
use std::os::fd::OwnedFd;
use tokio::sync::{mpsc, oneshot};

/// What the manager tells listeners.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A job was made.
    JobNew(JobId, UnitName),
    /// A job is over.
    JobRemoved(JobId, UnitName, JobResult),
    /// A unit has come into memory.
    New(UnitName),
    /// Properties of a unit may have changed.
    Changed(UnitName),
    /// A unit is no longer in memory.
    Removed(UnitName),
    /// All unit files are about to be read again, or have been.
    Reloading(bool),
    /// A pull, by its number, has something to tell.
    Transfer(u32, TransferNotice),
}

/// A command to be run inside a container.
#[derive(Debug)]
pub struct ExecRequest {
    /// The unit.
    pub unit: UnitName,
    /// The command line.
    pub command: Vec<String>,
    /// `NAME=value`, beside the container's own.
    pub environment: Vec<String>,
    /// Replaces the container's user.
    pub user: Option<String>,
    /// Replaces the container's working directory.
    pub directory: Option<String>,
    /// Standard input, output and error.
    pub stdio: [OwnedFd; 3],
    /// The leash, a stream socket: each byte that comes is the number of a signal for the command, and its end is the
    /// command's.
    pub leash: Option<OwnedFd>,
}

type Query = Box<dyn FnOnce(&mut Manager) + Send>;

/// What others ask of the manager.
pub(super) enum Command {
    Request(Request, oneshot::Sender<Result<JobId, RequestError>>),
    Exec(Box<ExecRequest>, oneshot::Sender<Result<Exit, ExecError>>),
    Query(Query),
}

impl std::fmt::Debug for Command {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Request(..) => "Request",
            Self::Exec(..) => "Exec",
            Self::Query(_) => "Query",
        })
    }
}

/// A way to ask the manager, from any task.
#[derive(Debug, Clone)]
pub struct ManagerHandle {
    commands: mpsc::UnboundedSender<Command>,
}

impl ManagerHandle {
    pub(super) fn new(commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { commands }
    }

    /// Asks for a job. `None` while the manager leaves.
    pub async fn request(&self, request: Request) -> Option<Result<JobId, RequestError>> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Request(request, sender)).ok()?;
        receiver.await.ok()
    }

    /// Runs a command inside a container and waits for its end. `None` while the manager leaves.
    pub async fn exec(&self, request: ExecRequest) -> Option<Result<Exit, ExecError>> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Exec(Box::new(request), sender)).ok()?;
        receiver.await.ok()
    }

    /// Looks at the manager, or has it do something at once. `None` while the manager leaves.
    pub async fn with<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Manager) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let query = Box::new(move |manager: &mut Manager| {
            // Nobody may wait for the answer any more.
            let _ = sender.send(look(manager));
        });
        self.commands.send(Command::Query(query)).ok()?;
        receiver.await.ok()
    }
}

impl Manager {
    pub(super) fn take_command(&mut self, command: Command) {
        match command {
            // A client that has gone away does not take its request back.
            Command::Request(request, reply) => {
                let answer = self.machine.permits(&request).and_then(|()| self.request(&request));
                drop(reply.send(answer));
            }
            Command::Exec(request, reply) => self.exec(*request, reply),
            Command::Query(query) => query(self),
        }
    }

    /// A job that is not over.
    pub fn job(&self, id: u32) -> Option<&Job> {
        self.machine.jobs().get(&JobId(id))
    }

    /// Cancels a job; whether there was one. What it has begun goes on.
    pub fn cancel_job(&mut self, id: u32) -> bool {
        let known = self.job(id).is_some();
        self.event(Event::JobCanceled(JobId(id)));
        known
    }

    /// Forgets failures; of all units where none is named.
    pub fn reset_failed(&mut self, unit: Option<UnitName>) {
        self.event(Event::ResetFailed { unit });
    }

    /// Tells listeners and records what this turn of the loop changed.
    pub(super) fn tell_changes(&mut self) {
        for unit in std::mem::take(&mut self.changed) {
            self.keep_record(&unit);
            self.follow_service(&unit);
            self.forget_unused(&unit);
            self.forget_transient(&unit);
            self.tell(Notice::Changed(unit));
        }
        self.services.end_turn();
    }

    pub(super) fn tell(&self, notice: Notice) {
        // The bus ends only with the process.
        let _ = self.notices.send(notice);
    }

    pub(super) fn keep_record(&mut self, unit: &UnitName) {
        let managed = self.machine.unit(unit);
        let record = managed.and_then(|managed| {
            let job = managed.job.and_then(|job| self.machine.jobs().get(&job));
            Record::of(unit, managed, job, self.facts.get(unit))
        });
        let record = record.map(|record| Record {
            activations: self.sockets.activations(unit),
            last_activations: self.sockets.last_activations(unit),
            connections: self.connections.counts(unit),
            ..record
        });
        self.shelf.keep(unit, record.as_ref());
    }
}
