//! The import worker as a process: what it is told on its command line, and what it tells while it works.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use super::import::{Naming, Report, Terms};
use super::{Format, Step};
use crate::image::manifest::Platform;

/// What is said of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The names of its images.
    pub naming: Naming,
    /// Its form; without one it is told from the source.
    pub format: Option<Format>,
    /// The platform whose images are wanted; without one, this host's.
    pub platform: Option<Platform>,
    /// Instructions of a Dockerfile that configure the image of a tree.
    pub changes: Vec<String>,
}

impl Claims {
    /// The same, as arguments of the worker.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if let Naming::Name(name) = &self.naming {
            option("--name", name.to_string());
        }
        if let Some(format) = self.format {
            option("--format", format.word().to_owned());
        }
        if let Some(platform) = &self.platform {
            option("--platform", platform.to_string());
        }
        self.changes.iter().for_each(|change| option("--change", change.clone()));
        arguments.extend((self.naming == Naming::Claimed).then(|| "--keep-names".to_owned()));
        arguments
    }
}

/// Bytes of what a worker says in the end: names in it are cut, but it has been given to strangers' bytes.
pub const WORDS_MAX: usize = 4096;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It refused the source, or the store could not be written.
    #[error("{0}")]
    Refused(String),
    /// It said nothing.
    #[error("the import worker ended without a word ({0})")]
    Silent(ExitStatus),
    /// What it said cannot be read.
    #[error("what the import worker says cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It ended well and told nothing of what it did.
    #[error("the import worker ended without a report")]
    NoReport,
}

/// A line of its output.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Line {
    Step(Step),
    Report(Report),
}

/// A worker that reads a source.
#[derive(Debug)]
pub struct Worker {
    /// Its process.
    pub process: Child,
}

impl Worker {
    /// Starts one on what a descriptor gives.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        program: &Path,
        store: &Path,
        claims: &Claims,
        terms: &Terms,
        input: OwnedFd,
    ) -> Result<Self, WorkerError> {
        let failed = |source| WorkerError::Start { program: program.to_owned(), source };
        let terms = terms.arguments().map_err(|error| failed(error.into()))?;
        let mut command = Command::new(program);
        command.args(terms).arg("--store").arg(store).args(claims.arguments()).arg("--steps");
        command.env_clear().stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { process: command.spawn().map_err(failed)? })
    }

    /// Waits for its end. `tell` hears of each step.
    ///
    /// # Errors
    /// When it imported nothing.
    pub fn wait(mut self, tell: impl FnMut(&Step)) -> Result<Report, WorkerError> {
        // Beside its output: it must never wait for us to read the other.
        let words = hear(self.process.stderr.take());
        let report = self.listen(tell);
        let status = self.process.wait().map_err(WorkerError::Unreadable)?;
        // Without words there is still the status.
        let words = words.join().unwrap_or_default();
        match (status.success(), String::from_utf8_lossy(&words).trim_end()) {
            (true, _) => report?.ok_or(WorkerError::NoReport),
            (false, "") => Err(WorkerError::Silent(status)),
            (false, reason) => Err(WorkerError::Refused(reason.to_owned())),
        }
    }

    /// The report follows the steps.
    fn listen(&mut self, mut tell: impl FnMut(&Step)) -> Result<Option<Report>, WorkerError> {
        let mut report = None;
        let Some(output) = self.process.stdout.take() else { return Ok(None) };
        for line in BufReader::new(output).lines() {
            let line = line.and_then(|line| Ok(serde_json::from_str(&line)?));
            match line.map_err(WorkerError::Unreadable)? {
                Line::Step(step) => tell(&step),
                Line::Report(told) => report = Some(told),
            }
        }
        Ok(report)
    }
}

/// Reads to the end what a worker says, and keeps the beginning.
fn hear(words: Option<ChildStderr>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut words) = words {
            let _ = (&mut words).take(WORDS_MAX as u64).read_to_end(&mut kept);
            let _ = io::copy(&mut words, &mut io::sink());
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<Report, WorkerError> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        Worker { process: command.spawn().unwrap() }.wait(|_| {})
    }

    #[test]
    fn a_worker_that_says_much_is_heard_to_its_end() {
        let error = run("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1").unwrap_err();
        assert_eq!(error.to_string(), "x".repeat(WORDS_MAX));
        assert!(matches!(run("exit 1"), Err(WorkerError::Silent(_))));
        assert!(run("echo no report; head -c 1000000 /dev/zero").is_err());
        assert!(matches!(run("true"), Err(WorkerError::NoReport)));
    }
}
