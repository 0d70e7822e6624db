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

use super::registry::{Event, Order, Pull, PullError};
use super::{Report, Terms};
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::settings;
use crate::store::Scrutiny;
use crate::sys::pidfd;

/// How long a worker may take to clear up.
const GRACE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// Notices that are handed on.
const NOTICES_MAX: usize = 20;

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
        /// Its id.
        image: String,
        /// What people should know about it.
        notices: Vec<String>,
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
pub fn perform(reference: Reference, paths: &Paths) {
    let mut gate = [0];
    if !matches!(std::io::stdin().read(&mut gate), Ok(1)) {
        return;
    }
    let word = match pull(reference, paths) {
        Ok(report) => done(report),
        Err((fault, reason)) => Word::Failed { fault, reason },
    };
    say(&word);
}

fn pull(reference: Reference, paths: &Paths) -> Result<Report, (Fault, String)> {
    let here = |error: &dyn std::fmt::Display| (Fault::Host, error.to_string());
    // The manager is the last that may be killed for memory, and what it starts inherits that.
    std::fs::write(paths.oom_score(), "0").map_err(|error| here(&error))?;
    let order = Order {
        program: paths.helper("sampan-import"),
        root: paths.root().to_owned(),
        store: paths.store().to_owned(),
        reference,
        platform: None,
        terms: Terms {
            limits: settings::Settings::load(paths).map_err(|error| here(&error))?.import,
            policy: settings::load_policy(paths).map_err(|error| here(&error))?,
            scrutiny: Scrutiny::Status,
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

fn done(report: Report) -> Word {
    let image = report.images.first().map(|image| image.id.to_string()).unwrap_or_default();
    let notices = report.images.into_iter().flat_map(|image| image.notices);
    Word::Done { image, notices: notices.take(NOTICES_MAX).collect() }
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
