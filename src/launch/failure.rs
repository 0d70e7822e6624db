//! Turning errors of system calls into [`StepError`]s: which step, about what.

use super::channel;
use super::protocol::{Report, StepError};
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Each process reports its own failure, and does so while it still holds its end of the pair to the other: what
/// the other says of losing it then comes second.
pub fn reported<T>(control: &OwnedFd, result: Result<T, StepError>) -> Result<T, StepError> {
    if let Err(error) = &result {
        // The manager may be gone, then nobody wants to know.
        drop(channel::send(control, &Report::Failed(error.clone()), &[]));
    }
    result
}

/// Adds step and subject to the error of a call.
pub trait During<T> {
    /// The error was met during `step`, about `subject`.
    ///
    /// # Errors
    /// The error with its context.
    fn during(self, step: &str, subject: impl Display) -> Result<T, StepError>;

    /// The error was met during `step`, about a path.
    ///
    /// # Errors
    /// The error with its context.
    fn during_path(self, step: &str, path: &Path) -> Result<T, StepError>
    where
        Self: Sized,
    {
        self.during(step, path.display())
    }
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: &str, subject: impl Display) -> Result<T, StepError> {
        self.map_err(|error| {
            let errno = error.into().raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error());
            StepError { step: step.to_owned(), subject: subject.to_string(), errno }
        })
    }
}
