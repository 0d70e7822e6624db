//! Credential helpers: programs `docker-credential-NAME` that keep credentials elsewhere.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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
    /// It does not end.
    #[error("{program} has not answered within {} s; helper_timeout of sampan-registries(5) is how long to wait", patience.as_secs())]
    Slow {
        /// The program.
        program: String,
        /// How long it had.
        patience: Duration,
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
const ANSWER_MAX: usize = 1 << 20;
/// The name with which a helper says that the secret is a token.
const TOKEN: &str = "<token>";
/// What helpers say, with exit status 1, when they have nothing.
const NOT_FOUND: &str = "credentials not found";

/// Asks a helper about a registry; `None` when it knows none.
///
/// # Errors
/// When it cannot be run, fails, or has no answer in time.
pub(super) fn ask(name: &str, server: &str, patience: Duration) -> Result<Option<Credentials>, HelperError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(HelperError::Name(crate::image::text::printable(name.as_bytes())));
    }
    let program = format!("docker-credential-{name}");
    let ran = run(&program, server, Instant::now() + patience);
    let (status, answer) = ran.map_err(|source| match source.kind() {
        io::ErrorKind::TimedOut => HelperError::Slow { program: program.clone(), patience },
        _ => HelperError::Run { program: program.clone(), source },
    })?;
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
fn run(program: &str, server: &str, end: Instant) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut helper = Command::new(program).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let answer = converse(&mut helper, server, end);
    if answer.is_err() {
        // One that has ended cannot be killed, which is what is wanted.
        let _ = helper.kill();
    }
    let status = helper.wait()?;
    Ok((status, answer?))
}

/// Tells it the server and hears it out, until it has ended. No thread may be left of this: the fetcher gives up
/// its rights while it has one.
fn converse(helper: &mut Child, server: &str, end: Instant) -> io::Result<Vec<u8>> {
    if let Some(mut input) = helper.stdin.take() {
        // A pipe takes a name at once, pipe(7).
        match input.write_all(server.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => drop(input),
        }
    }
    let mut answer = Vec::new();
    if let Some(mut output) = helper.stdout.take() {
        let mut buffer = [0; 4096];
        while answer.len() < ANSWER_MAX {
            wait(&output, end)?;
            match output.read(&mut buffer)? {
                0 => break,
                count => answer.extend_from_slice(&buffer[..count]),
            }
        }
    }
    let process = pidfd_open(Pid::from_child(helper), PidfdFlags::empty())?;
    wait(&process, end)?;
    Ok(answer)
}

/// Waits until there is something to read, or for a process its end, pidfd_open(2).
fn wait(descriptor: &impl AsFd, end: Instant) -> io::Result<()> {
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).ok();
        let mut descriptors = [PollFd::new(descriptor, PollFlags::IN)];
        match poll(&mut descriptors, left.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
