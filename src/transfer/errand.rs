//! A pull on the manager's behalf, as a process of its own: the manager puts it into a scope before it begins, and
//! all that a pull costs is charged there.
//!
//! The process waits for a byte on standard input, then starts the fetcher and the worker and writes a [`Word`] a
//! line. The end of standard input means that nobody wants the image any more, or that the manager has died: the
//! fetcher is ended, and the worker, which then gets nothing more, clears up and ends, too.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;

use super::registry::{self, Event, Pull, PullError};
use super::{Report, Terms};
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::settings;
use crate::store::Scrutiny;
use crate::sys::pidfd;

/// How long a worker may take to clear up.
const GRACE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// Notices of an image that are handed on.
const NOTICES_MAX: usize = 20;

/// What is to be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullOrder {
    /// The image; it gets this name.
    pub image: Reference,
    /// For which platform; this host's, if none is named.
    pub platform: Option<Platform>,
    /// How closely what the store has of it is looked at.
    pub scrutiny: Scrutiny,
}

impl PullOrder {
    /// A pull as a unit wants it.
    pub fn new(image: Reference) -> Self {
        Self { image, platform: None, scrutiny: Scrutiny::Status }
    }

    /// Whether whoever wants this one is served by another as well.
    pub fn is_met_by(&self, other: &Self) -> bool {
        let same_depth = self.scrutiny == other.scrutiny || self.scrutiny == Scrutiny::Status;
        same_depth && self.image == other.image && self.platform == other.platform
    }

    /// The same, as arguments of the program's mode for the manager.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["pull".to_owned(), self.image.to_string()];
        if let Some(platform) = &self.platform {
            arguments.extend(["--platform".to_owned(), platform.to_string()]);
        }
        arguments.extend((self.scrutiny == Scrutiny::Content).then(|| "--verify".to_owned()));
        arguments
    }
}

/// What the process tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// Something happened during the fetch.
    Happened {
        /// What.
        event: Event,
    },
    /// The image is in the store.
    Done {
        /// What people should know about it.
        report: Report,
    },
    /// It is not.
    Failed {
        /// Who refused.
        fault: Fault,
        /// Why.
        reason: String,
    },
}

/// Who refused an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No registry gave it.
    Registry,
    /// This host did not take it: its settings, its policy, its store.
    Host,
}

/// Pulls an image once standard input says so. To be called while there is one thread.
pub fn perform(order: PullOrder, paths: &Paths) {
    let mut gate = [0];
    if !matches!(std::io::stdin().read(&mut gate), Ok(1)) {
        return;
    }
    let word = match pull(order, paths) {
        Ok(report) => Word::Done { report: shortened(report) },
        Err((fault, reason)) => Word::Failed { fault, reason },
    };
    say(&word);
}

fn pull(order: PullOrder, paths: &Paths) -> Result<Report, (Fault, String)> {
    let here = |error: &dyn std::fmt::Display| (Fault::Host, error.to_string());
    // The manager is the last that may be killed for memory, and what it starts inherits that.
    std::fs::write(paths.oom_score(), "0").map_err(|error| here(&error))?;
    let order = registry::Order {
        program: paths.helper("sampan-import"),
        root: paths.root().to_owned(),
        store: paths.store().to_owned(),
        reference: order.image,
        platform: order.platform,
        terms: Terms {
            limits: settings::Settings::load(paths).map_err(|error| here(&error))?.import,
            policy: settings::load_policy(paths).map_err(|error| here(&error))?,
            scrutiny: order.scrutiny,
        },
    };
    let pull = Pull::start(&order).map_err(|error| here(&error))?;
    let open = |child: &Child| pidfd::open(child.id()).map_err(|error| here(&error));
    let (fetcher, worker) = (open(&pull.fetcher)?, open(&pull.worker)?);
    std::thread::spawn(move || end_with_the_manager(&fetcher, &worker));
    let told = |event: &Event| match event {
        // Comes as the last word.
        Event::Failed { .. } => {}
        event => say(&Word::Happened { event: event.clone() }),
    };
    pull.wait(told).map_err(|error| match &error {
        PullError::Fetch(_) => (Fault::Registry, error.to_string()),
        _ => here(&error),
    })
}

fn shortened(mut report: Report) -> Report {
    report.images.iter_mut().for_each(|image| image.notices.truncate(NOTICES_MAX));
    report
}

/// Waits for the end of standard input, then sees to the end of both processes.
fn end_with_the_manager(fetcher: &OwnedFd, worker: &OwnedFd) {
    let mut rest = [0; 16];
    while std::io::stdin().read(&mut rest).is_ok_and(|count| count > 0) {}
    // Either may have ended by itself, which is as good.
    let _ = pidfd::signal(fetcher, Signal::KILL);
    let _ = poll(&mut [PollFd::new(&worker.as_fd(), PollFlags::IN)], Some(&GRACE));
    let _ = pidfd::signal(worker, Signal::KILL);
}

/// A manager that has gone hears nothing, and is waited for elsewhere.
fn say(word: &Word) {
    if let Ok(mut line) = serde_json::to_vec(word) {
        line.push(b'\n');
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}
