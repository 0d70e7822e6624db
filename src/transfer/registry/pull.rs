//! One pull: the fetcher and the import worker as processes, joined by a channel.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use super::event::Event;
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::transfer::contract;
use crate::transfer::import::{Report, Terms};

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
    pub worker: Child,
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
    #[error("{0}")]
    Import(String),
    /// The worker said nothing.
    #[error("the import worker ended without a word ({0})")]
    Silent(ExitStatus),
    /// What the worker said cannot be read.
    #[error("cannot read the import worker's report: {0}")]
    Report(#[source] io::Error),
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
        match worker(order, ours).and_then(|mut worker| worker.spawn()) {
            Ok(worker) => Ok(Self { fetcher, worker, events: File::from(events) }),
            Err(error) => {
                reap(fetcher);
                Err(failed(error))
            }
        }
    }

    /// Waits for the end. `tell` hears of everything that happens.
    ///
    /// # Errors
    /// When the image could not be pulled; the registry's reason goes before the worker's.
    pub fn wait(self, mut tell: impl FnMut(&Event)) -> Result<Report, PullError> {
        let Self { fetcher, mut worker, events } = self;
        // Read at once: neither process may wait for us to read the other.
        let report = drain(worker.stdout.take());
        let message = drain(worker.stderr.take());
        let mut reason = None;
        for line in BufReader::new(events).lines() {
            let Ok(Ok(event)) = line.map(|line| serde_json::from_str::<Event>(&line)) else { continue };
            if let Event::Failed { reason: told } = &event {
                reason.get_or_insert(told.clone());
            }
            tell(&event);
        }
        reap(fetcher);
        let status = worker.wait().map_err(PullError::Report)?;
        let report = collect(report).map_err(PullError::Report)?;
        let message = collect(message).map_err(PullError::Report)?;
        match (status.success(), reason, String::from_utf8_lossy(&message).trim_end()) {
            (true, _, _) => serde_json::from_slice(&report).map_err(|error| PullError::Report(error.into())),
            (false, Some(reason), _) => Err(PullError::Fetch(reason)),
            (false, None, "") => Err(PullError::Silent(status)),
            (false, None, message) => Err(PullError::Import(message.to_owned())),
        }
    }
}

fn drain(output: Option<impl Read + Send + 'static>) -> JoinHandle<io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        match output {
            Some(mut output) => output.read_to_end(&mut bytes).map(|_| bytes),
            None => Ok(bytes),
        }
    })
}

fn collect(reader: JoinHandle<io::Result<Vec<u8>>>) -> io::Result<Vec<u8>> {
    reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader of its output failed")))
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

fn worker(order: &Order, channel: OwnedFd) -> io::Result<Command> {
    let mut command = Command::new(&order.program);
    command.args(order.terms.arguments()?);
    command.arg("--store").arg(&order.store).arg("--name").arg(order.reference.to_string());
    if let Some(platform) = &order.platform {
        command.arg("--platform").arg(platform.to_string());
    }
    command.current_dir("/").env_clear().stdin(channel).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Ends a process that has nothing left to do.
fn reap(mut child: Child) {
    // One that has ended cannot be killed, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}
