//! The outcome of a verb that does the same to several units or jobs: what is refused is told, and the rest goes on.

use super::error::CliError;
use super::output::complain;

/// What has come of it so far.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The exit status: that of the last refusal.
    pub status: u8,
}

impl Outcome {
    /// Takes the result of one in.
    ///
    /// # Errors
    /// When there is no manager: it will refuse nothing of the rest, either.
    pub fn note(&mut self, done: Result<(), CliError>) -> Result<(), CliError> {
        match done {
            Err(error) if error.is_unreachable() => Err(error),
            Err(error) => {
                complain(&error.to_string());
                self.status = error.status();
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
