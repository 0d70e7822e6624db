//! One transfer as a task: the process that does it, in a scope of its own, and what that tells.

use super::Note;
use super::boot::Network;
use crate::paths::Paths;
use crate::sys::child::start_held;
use crate::systemd::manager::{DEFAULT_SLICE, HostState, Keeper, ScopeRequest, Systemd};
use crate::transfer::errand::{self, Fault, LINE_MAX, Word};
use crate::transfer::order::Order;
use crate::transfer::registry::Event;
use crate::transfer::{Report, Step};
use crate::unit::model::Resources;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// What all processes of a pull may use together, the page cache of what they write included. An import takes
/// less than 64 MiB of its own, whatever the image.
const MEMORY_MAX: u64 = 512 << 20;
/// Pulls of a queue that run at once.
const PARALLEL: usize = 3;
/// Processes and threads of a pull: a thread for each request that is under way.
const TASKS_MAX: u64 = 256;
/// What nobody needs any more is ended without a question.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// One pull that is to be made.
pub(super) struct Errand {
    pub(super) id: u32,
    pub(super) order: Order,
    /// What is imported.
    pub(super) source: Option<OwnedFd>,
    pub(super) paths: Paths,
    pub(super) systemd: Systemd,
    pub(super) slots: Rc<Slots>,
    pub(super) queue: Queue,
    pub(super) network: Rc<Network>,
    pub(super) signals: Rc<Signals>,
    pub(super) notes: UnboundedSender<Note>,
}

/// What the manager tells a pull.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Nobody waits for it.
    pub(super) cancel: Notify,
    /// Somebody asks for it: no pause.
    pub(super) hurry: Notify,
    /// A unit waits for it.
    pub(super) needed: Notify,
}

/// In which queue a pull waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// In that of units.
    Units,
    /// In that of users, until a unit needs it: what they ask for never delays a start.
    Users,
}

/// Pulls that run at once, of each queue. Layers of one come in parallel already.
#[derive(Debug)]
pub(super) struct Slots {
    units: Semaphore,
    users: Semaphore,
}

impl Default for Slots {
    fn default() -> Self {
        Self { units: Semaphore::new(PARALLEL), users: Semaphore::new(PARALLEL) }
    }
}

impl Slots {
    /// Waits for a turn; both semaphores are never closed.
    async fn turn(&self, queue: Queue, needed: &Notify) -> Option<SemaphorePermit<'_>> {
        let among_units = async {
            if queue == Queue::Users {
                needed.notified().await;
            }
            self.units.acquire().await.ok()
        };
        match queue {
            Queue::Units => among_units.await,
            Queue::Users => tokio::select! {
                turn = self.users.acquire() => turn.ok(),
                turn = among_units => turn,
            },
        }
    }
}

/// What a pull tells the manager.
#[derive(Debug)]
pub(super) enum Told {
    /// Its processes run.
    Began,
    /// Something happened.
    Happened(Event),
    /// The same of an import.
    Stepped(Step),
    /// It is over.
    Over(Result<Report, Refused>),
}

/// Why an image is not in the store.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) fault: Fault,
    pub(super) reason: String,
}

impl Refused {
    fn here(reason: String) -> Self {
        Self { fault: Fault::Host, reason }
    }
}

impl Errand {
    /// Pulls, after a pause, as soon as not too many others do.
    pub(super) async fn run(mut self, pause: Duration) {
        let source = self.source.take();
        let result = tokio::select! {
            biased;
            () = self.signals.cancel.notified() => return,
            result = self.in_turn(pause, source) => result,
        };
        self.tell(Told::Over(result));
    }

    async fn in_turn(&self, pause: Duration, source: Option<OwnedFd>) -> Result<Report, Refused> {
        if !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.signals.hurry.notified() => {}
            }
        }
        self.network.configured(&self.systemd).await;
        let _turn = self.slots.turn(self.queue, &self.signals.needed).await;
        let program = self.paths.helper("sampan-import");
        let failed = |error: io::Error| Refused::here(format!("{}: {error}", program.display()));
        // The end of this gate is the end of the transfer: it is closed where this task is dropped, or the manager
        // ends.
        let (gate, theirs) = errand::gate().map_err(failed)?;
        let (mut process, pidfd) = self.spawn(&program, theirs).map_err(failed)?;
        let pid = process.id();
        let pidfd = Rc::new(pidfd);
        super::control::reap(pidfd.clone());
        let pidfd = pidfd.try_clone().map_err(failed)?;
        let output = process.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        self.systemd
            .start_scope(&self.scope(pid, pidfd))
            .await
            .map_err(|error| Refused::here(error.to_string()))?;
        errand::open(gate.as_fd(), source.as_ref().map(OwnedFd::as_fd)).map_err(failed)?;
        drop(source);
        self.tell(Told::Began);
        self.listen(OwnedFd::from(output)).await.map_err(failed).and_then(|result| result)
    }

    fn spawn(&self, program: &std::path::Path, gate: OwnedFd) -> io::Result<(Child, OwnedFd)> {
        let mut command = Command::new(program);
        command
            .args(self.order.arguments())
            .arg("--root")
            .arg(self.paths.root())
            .arg("--store")
            .arg(self.paths.store())
            .current_dir("/")
            .stdin(gate)
            .stdout(Stdio::piped());
        start_held(&mut command)
    }

    fn scope(&self, pid: u32, pidfd: OwnedFd) -> ScopeRequest {
        ScopeRequest {
            devices: Vec::new(),
            name: format!("sampan-pull-{pid}.scope"),
            description: self.order.to_string(),
            slice: DEFAULT_SLICE.to_owned(),
            pid,
            pidfd,
            resources: Resources {
                memory_max: Some(MEMORY_MAX),
                tasks_max: Some(TASKS_MAX),
                ..Resources::default()
            },
            keeper: Keeper::Systemd,
            stop_timeout: Some(STOP_TIMEOUT),
            stop_signal: libc::SIGTERM,
            host: HostState::Up,
            after: Vec::new(),
        }
    }

    /// Hands on what the process writes, up to its last word.
    async fn listen(&self, output: OwnedFd) -> io::Result<Result<Report, Refused>> {
        let mut output = BufReader::new(Receiver::from_owned_fd(output)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut output).take(LINE_MAX).read_until(b'\n', &mut line).await?;
            if line.is_empty() {
                return Ok(Err(Refused::here("its process ended without a word".to_owned())));
            }
            match serde_json::from_slice(&line)? {
                Word::Happened { event } => self.tell(Told::Happened(event)),
                Word::Stepped { step } => self.tell(Told::Stepped(step)),
                Word::Done { report } => return Ok(Ok(report)),
                Word::Failed { fault, reason } => return Ok(Err(Refused { fault, reason })),
            }
        }
    }

    fn tell(&self, told: Told) {
        // The receiver lives as long as the loop.
        let _ = self.notes.send(Note::Transfer(self.id, told));
    }
}
