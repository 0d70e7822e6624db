//! What happens during a fetch, one JSON object a line: for the command line's bars and the manager's signals.

use serde::{Deserialize, Serialize};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use super::error::RegistryError;
use crate::image::digest::Digest;
use crate::image::text::shortened;
use crate::transfer::worker::WORDS_MAX;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The name led to a manifest or an index.
    Resolved {
        /// Scheme, host and port of the server that has it.
        server: String,
        /// Its digest.
        digest: Digest,
    },
    /// A blob begins.
    Started {
        /// Which.
        blob: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// More of a blob has come.
    Progress {
        /// Which.
        blob: Digest,
        /// Bytes so far.
        done: u64,
    },
    /// A blob is complete.
    Finished {
        /// Which.
        blob: Digest,
    },
    /// Something failed and is tried again, or elsewhere.
    Retrying {
        /// What failed.
        reason: String,
    },
    /// The fetch failed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Event {
    /// Of a failure after which there is another attempt.
    pub(super) fn retrying(error: &RegistryError) -> Self {
        Self::Retrying { reason: shortened(error.to_string(), WORDS_MAX) }
    }

    /// Of the last one.
    pub(super) fn failed(error: &RegistryError) -> Self {
        Self::Failed { reason: shortened(error.to_string(), WORDS_MAX) }
    }
}

/// Where events go. A reader that went away is missed by nobody: what it started ends by itself.
#[derive(Debug)]
pub(super) struct Events<W>(Mutex<W>);

impl<W: Write> Events<W> {
    pub(super) fn new(output: W) -> Self {
        Self(Mutex::new(output))
    }

    /// Tells it.
    pub(super) fn tell(&self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = output.write_all(&line).and_then(|()| output.flush());
        }
    }
}
