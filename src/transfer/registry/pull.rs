//! One pull: the fetcher and the import worker as processes, joined by a channel.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command};

use super::event::Event;
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::transfer::contract;
use crate::transfer::import::{Naming, Report, Terms};
use crate::transfer::worker::{Claims, Worker, WorkerError};

/// What to pull, and where to.
#[derive(Debug, Clone)]
pub struct Order {
    /// The program `sampan-import`.
    pub program: PathBuf,
    /// The root of the host whose settings and credentials count.
    pub root: PathBuf,
    /// The store, an absolute path.
    pub store: PathBuf,
    /// The image; it gets this name.
    pub reference: Reference,
    /// For which platform; this host's, if none is named.
    pub platform: Option<Platform>,
    /// What is asked of it.
    pub terms: Terms,
}

/// Both processes, and what they tell. A caller with an event loop takes the descriptors; others call
/// [`Pull::wait`].
#[derive(Debug)]
pub struct Pull {
    /// The fetcher.
    pub fetcher: Child,
    /// The worker.
    pub worker: Worker,
    /// Lines of [`Event`], until the fetcher ends.
    pub events: File,
}

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// A process cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The registry gave it not.
    #[error("{0}")]
    Fetch(String),
    /// The image or the store was refused.
    #[error(transparent)]
    Import(#[from] WorkerError),
}

impl Pull {
    /// Starts both processes.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub fn start(order: &Order) -> Result<Self, PullError> {
        let failed = |source| PullError::Start { program: order.program.clone(), source };
        let (ours, theirs) = contract::channel().map_err(failed)?;
        let (events, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        let fetcher = fetcher(order, theirs, report).spawn().map_err(failed)?;
        let claims = Claims {
            naming: Naming::Name(order.reference.clone()),
            format: None,
            platform: order.platform.clone(),
            changes: Vec::new(),
        };
        match Worker::start(&order.program, &order.store, &claims, &order.terms, ours) {
            Ok(worker) => Ok(Self { fetcher, worker, events: File::from(events) }),
            Err(error) => {
                reap(fetcher);
                Err(error.into())
            }
        }
    }

    /// Waits for the end. `tell` hears of everything that happens.
    ///
    /// # Errors
    /// When the image could not be pulled; the registry's reason goes before the worker's.
    pub fn wait(self, mut tell: impl FnMut(&Event)) -> Result<Report, PullError> {
        let Self { fetcher, worker, events } = self;
        // Heard at once: neither process may wait for us to hear the other.
        let report = std::thread::spawn(move || worker.wait(|_| {}));
        let mut reason = None;
        for line in BufReader::new(events).lines() {
            let Ok(Ok(event)) = line.map(|line| serde_json::from_str::<Event>(&line)) else { continue };
            if let Event::Failed { reason: told } = &event {
                reason.get_or_insert(told.clone());
            }
            tell(&event);
        }
        reap(fetcher);
        let failed = |_| Err(WorkerError::Unreadable(io::Error::other("its reader failed")));
        match (report.join().unwrap_or_else(failed), reason) {
            (Ok(report), _) => Ok(report),
            (Err(_), Some(reason)) => Err(PullError::Fetch(reason)),
            (Err(error), None) => Err(error.into()),
        }
    }
}

/// The fetcher keeps the environment and the directory: credentials, helpers and proxies are found by them.
fn fetcher(order: &Order, channel: OwnedFd, events: OwnedFd) -> Command {
    let mut command = Command::new(&order.program);
    command.arg("fetch").arg(order.reference.to_string()).arg("--root").arg(&order.root);
    if order.terms.policy.wants_signature(&order.reference) {
        command.arg("--signatures");
    }
    command.stdin(channel).stdout(events);
    command
}

/// Ends a process that has nothing left to do.
fn reap(mut child: Child) {
    // One that has ended cannot be killed, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}
