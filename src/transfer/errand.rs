//! A transfer on the manager's behalf, as a process of its own: the manager puts it into a scope before it begins, and
//! all that a transfer costs is charged there.
//!
//! The process waits for a byte on standard input, a socket, and with it what is to be imported (`SCM_RIGHTS`,
//! unix(7)), then starts the worker, and for a pull the fetcher, and writes a [`Word`] a line. The end of standard
//! input means that nobody wants the image any more, or that the manager has died: the fetcher is ended, and the
//! worker, which then gets nothing more, clears up and ends, too.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

use super::order::{ImportOrder, Order, PullOrder};
use super::registry::{self, Event, Pull, PullError};
use super::worker::Worker;
use super::{Report, Step, Terms};
use crate::paths::Paths;
use crate::settings;
use crate::store::Scrutiny;
use crate::sys::{pidfd, rights};

/// How long a worker may take to clear up.
const GRACE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// Images of a source, and notices of an image, that are handed on.
const IMAGES_MAX: usize = 256;
const NOTICES_MAX: usize = 20;
/// Bytes of their names and notices together: the last word is a line that the manager keeps in memory.
const TEXTS_MAX: usize = 64 << 10;

/// Longest line that the process writes.
pub const LINE_MAX: u64 = 256 << 10;

/// What the process tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// Something happened during the fetch.
    Happened {
        /// What.
        event: Event,
    },
    /// Something happened during an import.
    Stepped {
        /// What.
        step: Step,
    },
    /// The images are in the store.
    Done {
        /// Which, and what people should know about them.
        report: Report,
    },
    /// They are not.
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

/// The manager's end of a process's standard input, and the process's.
///
/// # Errors
/// As socketpair(2).
pub fn gate() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Lets a process begin, with what it is to import.
///
/// # Errors
/// When it has gone.
pub fn open(gate: BorrowedFd<'_>, source: Option<BorrowedFd<'_>>) -> io::Result<()> {
    rights::send(gate, b"\n", source.as_slice())?;
    Ok(())
}

/// Waits for that; `None` where it does not come.
fn wait(gate: BorrowedFd<'_>) -> Option<Option<OwnedFd>> {
    let received = rights::receive(gate, &mut [0]).ok()?;
    (received.bytes == 1).then(|| received.descriptors.into_iter().next())
}

/// Performs a transfer once standard input says so. To be called while there is one thread.
pub fn perform(order: Order, paths: &Paths) {
    let Some(source) = wait(std::io::stdin().as_fd()) else { return };
    let done = match order {
        Order::Pull(order) => pull(order, paths),
        Order::Import(order) => import(&order, source, paths),
    };
    say(&match done {
        Ok(report) => Word::Done { report: shortened(report) },
        Err((fault, reason)) => Word::Failed { fault, reason },
    });
}

fn here(error: impl std::fmt::Display) -> (Fault, String) {
    (Fault::Host, error.to_string())
}

/// What this host asks of an image.
fn terms(paths: &Paths, scrutiny: Scrutiny) -> Result<Terms, (Fault, String)> {
    // The manager is the last that may be killed for memory, and what it starts inherits that.
    std::fs::write(paths.oom_score(), "0").map_err(here)?;
    let limits = settings::Settings::load(paths).map_err(here)?.import;
    Ok(Terms { limits, policy: settings::load_policy(paths).map_err(here)?, scrutiny })
}

fn pull(order: PullOrder, paths: &Paths) -> Result<Report, (Fault, String)> {
    let order = registry::Order {
        program: paths.helper("sampan-import"),
        root: paths.root().to_owned(),
        store: paths.store().to_owned(),
        reference: order.image,
        platform: order.platform,
        terms: terms(paths, order.scrutiny)?,
    };
    let pull = Pull::start(&order).map_err(here)?;
    end_with_the_manager(Some(&pull.fetcher), &pull.worker.process).map_err(here)?;
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

fn import(order: &ImportOrder, source: Option<OwnedFd>, paths: &Paths) -> Result<Report, (Fault, String)> {
    let source = source.ok_or_else(|| here("the manager gave nothing to import"))?;
    let terms = terms(paths, order.scrutiny)?;
    let program = paths.helper("sampan-import");
    let worker = Worker::start(&program, paths.store(), &order.claims, &terms, source).map_err(here)?;
    end_with_the_manager(None, &worker.process).map_err(here)?;
    worker.wait(|step| say(&Word::Stepped { step: step.clone() })).map_err(here)
}

fn shortened(mut report: Report) -> Report {
    let mut room = TEXTS_MAX;
    let mut fits = |text: &str| {
        let left = room.checked_sub(text.len());
        room = left.unwrap_or_default();
        left.is_some()
    };
    report.images.truncate(IMAGES_MAX);
    // Who can be named is of more use than what was left out.
    report.images.iter_mut().for_each(|image| image.names.retain(|name| fits(&name.to_string())));
    for image in &mut report.images {
        image.notices.truncate(NOTICES_MAX);
        image.notices.retain(|notice| fits(notice));
    }
    report
}

/// Has a thread wait for the end of standard input, which then sees to the end of the processes.
fn end_with_the_manager(fetcher: Option<&Child>, worker: &Child) -> io::Result<()> {
    let fetcher = fetcher.map(|fetcher| pidfd::open(fetcher.id())).transpose()?;
    let worker = pidfd::open(worker.id())?;
    std::thread::spawn(move || {
        let mut rest = [0; 16];
        while std::io::stdin().read(&mut rest).is_ok_and(|count| count > 0) {}
        // Each may have ended by itself, which is as good.
        if let Some(fetcher) = fetcher {
            let _ = pidfd::signal(&fetcher, Signal::KILL);
            let _ = poll(&mut [PollFd::new(&worker.as_fd(), PollFlags::IN)], Some(&GRACE));
        }
        let _ = pidfd::signal(&worker, Signal::KILL);
    });
    Ok(())
}

/// A manager that has gone hears nothing, and is waited for elsewhere.
fn say(word: &Word) {
    if let Ok(mut line) = serde_json::to_vec(word) {
        line.push(b'\n');
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;
    use crate::image::reference::Reference;
    use crate::transfer::Imported;

    #[test]
    fn a_gate_opens_once_and_lets_a_source_through() {
        let (ours, theirs) = gate().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        open(ours.as_fd(), Some(reader.as_fd())).unwrap();
        let source = wait(theirs.as_fd()).unwrap().unwrap();
        rustix::io::write(&writer, b"image").unwrap();
        let mut bytes = [0; 5];
        std::fs::File::from(source).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"image");
        open(ours.as_fd(), None).unwrap();
        assert!(wait(theirs.as_fd()).unwrap().is_none());
        drop(ours);
        assert!(wait(theirs.as_fd()).is_none(), "nobody wants it");
    }

    #[test]
    fn the_last_word_is_never_too_long_to_be_heard() {
        let name = |number: usize| Reference::parse(&format!("a.example/{}/{number}", "n".repeat(200)));
        let image = Imported {
            id: Digest::of(b""),
            names: (0..100).map(|number| name(number).unwrap()).collect(),
            present: false,
            notices: vec!["\\x01".repeat(150); 50],
        };
        let report = shortened(Report { images: vec![image; 1000], healed: 0 });
        assert_eq!((report.images.len(), report.images[0].names.len()), (IMAGES_MAX, 100));
        let line = serde_json::to_vec(&Word::Done { report }).unwrap();
        assert!(line.len() as u64 <= LINE_MAX, "{}", line.len());
    }
}
