//! Why a registry gave nothing, with the registry and what was asked for.

use std::io;

use super::credentials::CredentialError;
use crate::image::ImageError;
use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::unit::diagnostic::Diagnostic;

/// Why an image could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The settings are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<Diagnostic>),
    /// Credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// A document of the registry is refused.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file that the settings name cannot be used.
    #[error("cannot use {file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The server cannot be reached, or breaks off.
    #[error("cannot talk to {server}: {reason}")]
    Connection {
        /// Scheme, host and port.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// The server speaks plain HTTP where TLS is wanted.
    #[error("{server} does not speak TLS; \"plain_http = true\" allows it, see sampan-registries(5)")]
    NoTls {
        /// Scheme, host and port.
        server: String,
    },
    /// The server answers, and the answer is an error.
    #[error("{server} answered {status} when asked for {what}{message}")]
    Status {
        /// Scheme, host and port.
        server: String,
        /// The status of HTTP.
        status: u16,
        /// What was asked for.
        what: String,
        /// What it says, behind a colon; may be empty.
        message: String,
    },
    /// There is no such image.
    #[error("{server} has no {what}")]
    NotFound {
        /// Scheme, host and port.
        server: String,
        /// What was asked for.
        what: String,
    },
    /// Credentials are missing or wrong.
    #[error("{server} does not let us have {what}: {reason}")]
    Denied {
        /// Scheme, host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// Why, with the next step.
        reason: String,
    },
    /// The server sends us where it may not.
    #[error("{server} leads to {target}, which {reason}: refused")]
    Led {
        /// Scheme, host and port.
        server: String,
        /// Where it leads.
        target: String,
        /// The rule.
        reason: String,
    },
    /// The server breaks the protocol.
    #[error("{server}: {reason}")]
    Protocol {
        /// Scheme, host and port.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// A blob changed between two parts of it.
    #[error("{server} changed {blob} while it was fetched")]
    Changed {
        /// Scheme, host and port.
        server: String,
        /// The blob.
        blob: Digest,
    },
    /// No mirror and not the registry itself has it.
    #[error("{last} (and before: {})", earlier.join("; "))]
    Everywhere {
        /// What the mirrors said.
        earlier: Vec<String>,
        /// What the registry said.
        last: Box<RegistryError>,
    },
    /// A name has no registry in it that could be asked.
    #[error("{0} names no registry")]
    NoRegistry(Reference),
    /// The fetcher could not give up what it does not need.
    #[error(transparent)]
    Confine(#[from] crate::transfer::confine::ConfineError),
    /// The worker went away.
    #[error("cannot hand bytes to the import worker: {0}")]
    Worker(#[source] io::Error),
}

/// A failure, and whether another attempt may do better.
#[derive(Debug)]
pub(super) enum Failure {
    /// Perhaps; not before this time has passed, if the server named one.
    Passing(RegistryError, Option<std::time::Duration>),
    /// No.
    Lasting(RegistryError),
}

impl Failure {
    /// The error alone.
    pub(super) fn into_error(self) -> RegistryError {
        match self {
            Self::Passing(error, _) | Self::Lasting(error) => error,
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Lasting(error)
    }
}
