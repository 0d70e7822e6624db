//! One pull as a task: the process that does it, in a scope of its own, and what that tells.

use super::Note;
use super::boot::Network;
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::sys::pidfd;
use crate::systemd::manager::{DEFAULT_SLICE, Keeper, ScopeRequest, Systemd};
use crate::transfer::errand::{Fault, Word};
use crate::transfer::registry::Event;
use crate::unit::model::Resources;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore};

/// What all processes of a pull may use together, the page cache of what they write included. An import takes
/// less than 64 MiB of its own, whatever the image.
const MEMORY_MAX: u64 = 512 << 20;
/// Processes and threads of a pull: a thread for each request that is under way.
const TASKS_MAX: u64 = 256;
/// What nobody needs any more is ended without a question.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest line that the process may write.
const LINE_MAX: u64 = 256 << 10;

/// One pull that is to be made.
pub(super) struct Errand {
    pub(super) id: u32,
    pub(super) image: Reference,
    pub(super) paths: Paths,
    pub(super) systemd: Systemd,
    pub(super) slots: Rc<Semaphore>,
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
}

/// What a pull tells the manager.
#[derive(Debug)]
pub(super) enum Told {
    /// Its processes run.
    Began,
    /// Something happened.
    Happened(Event),
    /// It is over.
    Over(Result<Pulled, Refused>),
}

/// An image that is in the store.
#[derive(Debug)]
pub(super) struct Pulled {
    /// Its id.
    pub(super) image: String,
    /// What people should know about it.
    pub(super) notices: Vec<String>,
}

/// Why an image is not.
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
    pub(super) async fn run(self, pause: Duration) {
        let result = tokio::select! {
            biased;
            () = self.signals.cancel.notified() => return,
            result = self.in_turn(pause) => result,
        };
        self.tell(Told::Over(result));
    }

    async fn in_turn(&self, pause: Duration) -> Result<Pulled, Refused> {
        if !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.signals.hurry.notified() => {}
            }
        }
        self.network.configured(&self.systemd).await;
        // The slots are never closed.
        let _slot = self.slots.acquire().await;
        let program = self.paths.helper("sampan-import");
        let failed = |error: io::Error| Refused::here(format!("{}: {error}", program.display()));
        let mut process = self.spawn(&program).map_err(failed)?;
        let pid = process.id();
        let pidfd = pidfd::open(pid).map_err(failed)?;
        // The end of this pipe is the end of the pull: it is closed where this task is dropped, or the manager ends.
        let gate = process.stdin.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let output = process.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        drop(tokio::task::spawn_local(super::control::reap(pidfd.try_clone().map_err(failed)?)));
        self.systemd
            .start_scope(&self.scope(pid, pidfd))
            .await
            .map_err(|error| Refused::here(error.to_string()))?;
        open(&gate).map_err(failed)?;
        self.tell(Told::Began);
        self.listen(OwnedFd::from(output)).await.map_err(failed).and_then(|result| result)
    }

    fn spawn(&self, program: &std::path::Path) -> io::Result<Child> {
        Command::new(program)
            .args(["pull", &self.image.to_string()])
            .arg("--root")
            .arg(self.paths.root())
            .arg("--store")
            .arg(self.paths.store())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    }

    fn scope(&self, pid: u32, pidfd: OwnedFd) -> ScopeRequest {
        ScopeRequest {
            name: format!("sampan-pull-{pid}.scope"),
            description: format!("Pull of {}", self.image),
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
            after: Vec::new(),
        }
    }

    /// Hands on what the process writes, up to its last word.
    async fn listen(&self, output: OwnedFd) -> io::Result<Result<Pulled, Refused>> {
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
                Word::Done { image, notices } => return Ok(Ok(Pulled { image, notices })),
                Word::Failed { fault, reason } => return Ok(Err(Refused { fault, reason })),
            }
        }
    }

    fn tell(&self, told: Told) {
        // The receiver lives as long as the loop.
        let _ = self.notes.send(Note::Transfer(self.id, told));
    }
}

/// Lets the process begin.
fn open(gate: &ChildStdin) -> io::Result<()> {
    rustix::io::write(gate.as_fd(), b"\n")?;
    Ok(())
}
