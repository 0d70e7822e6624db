//! Credential helpers: programs `docker-credential-NAME` that keep credentials elsewhere.

use serde::Deserialize;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::secret::{Credentials, Secret};

/// Why a helper gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The file names something else.
    #[error("\"{0}\" is not the name of a helper: letters, digits, \"-\", \"_\" and \".\" are")]
    Name(String),
    /// It cannot be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// It failed.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// What it said.
        message: String,
    },
    /// Its answer cannot be read. It holds secrets and is not repeated.
    #[error("{0} answered something else than credentials in JSON")]
    Answer(String),
}

/// What a helper answers, as `docker-credential-helpers` defines it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// Longest answer that is read.
const ANSWER_MAX: u64 = 1 << 20;
/// The name with which a helper says that the secret is a token.
const TOKEN: &str = "<token>";
/// What helpers say, with exit status 1, when they have nothing.
const NOT_FOUND: &str = "credentials not found";

/// Asks a helper about a registry; `None` when it knows none.
///
/// # Errors
/// When it cannot be run or fails.
pub(super) fn ask(name: &str, server: &str) -> Result<Option<Credentials>, HelperError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(HelperError::Name(crate::image::text::printable(name.as_bytes())));
    }
    let program = format!("docker-credential-{name}");
    let (status, answer) =
        run(&program, server).map_err(|source| HelperError::Run { program: program.clone(), source })?;
    if !status.success() {
        let message = String::from_utf8_lossy(&answer).trim().to_owned();
        if message.to_ascii_lowercase().contains(NOT_FOUND) {
            return Ok(None);
        }
        let message = crate::image::text::printable(message.as_bytes());
        return Err(HelperError::Failed { program, status: status.to_string(), message });
    }
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| HelperError::Answer(program))?;
    Ok(match (answer.username.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        (TOKEN, secret) => Some(Credentials::Identity(secret)),
        (user, password) => Some(Credentials::Password { user: user.to_owned(), password }),
    })
}

/// Its errors come on standard output, too; standard error is for the person who waits.
fn run(program: &str, server: &str) -> io::Result<(std::process::ExitStatus, Vec<u8>)> {
    let mut helper = Command::new(program).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut input) = helper.stdin.take() {
        match input.write_all(server.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => drop(input),
        }
    }
    let mut answer = Vec::new();
    if let Some(output) = helper.stdout.take() {
        output.take(ANSWER_MAX).read_to_end(&mut answer)?;
    }
    Ok((helper.wait()?, answer))
}
