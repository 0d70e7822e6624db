//! Waiting for jobs, and saying why one failed in systemctl's words.

use super::client::{Client, Heard, Listener};
use super::error::CliError;
use super::lifecycle::Operation;
use super::output::complain;
use super::successor;
use super::text::escaped;
use super::transfers::Transfers;
use super::unit_properties::UnitProperties;
use crate::bus::proxy::JobRemoved;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use zbus::OwnedObjectPath;

/// After which a job is no short one, and who waits is shown the downloads that it may wait for.
const PATIENCE: Duration = Duration::from_millis(100);

/// Listens for the ends of jobs. Made before the jobs are, so that no end is missed.
pub struct JobWatch {
    listener: Listener,
    waiting: HashMap<OwnedObjectPath, String>,
    /// What is pulled meanwhile.
    transfers: Transfers,
    /// Results of jobs, ours or not, that nobody has asked for yet.
    ended: HashMap<OwnedObjectPath, String>,
    /// When the jobs were asked for, or before.
    begun: SystemTime,
    /// A manager has left, and its jobs are its successor's.
    succeeded: bool,
}

/// What the manager tells of a job that is over.
const REMOVED: &str = "interface='org.sampan1.Manager',member='JobRemoved'";

/// A job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its unit.
    pub unit: String,
    /// `done`, `failed`, `canceled`, `timeout`, `dependency`, `skipped`.
    pub result: String,
}

impl Finished {
    /// Whether the job did what it was asked for.
    pub fn is_success(&self) -> bool {
        matches!(self.result.as_str(), "done" | "skipped")
    }
}

impl JobWatch {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the manager cannot be reached.
    pub async fn new(client: &Client) -> Result<Self, CliError> {
        let listener = client.listen(&[REMOVED, Transfers::SIGNALS]).await?;
        Ok(Self {
            listener,
            transfers: Transfers::new(),
            waiting: HashMap::new(),
            ended: HashMap::new(),
            begun: SystemTime::now(),
            succeeded: false,
        })
    }

    /// Adds a job of a unit to those waited for.
    pub fn add(&mut self, job: OwnedObjectPath, unit: &str) {
        self.waiting.insert(job, unit.to_owned());
    }

    /// Makes a call, and takes in what ends meanwhile: signals that nobody takes hold up the connection.
    pub async fn during<T>(&mut self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        loop {
            tokio::select! {
                answer = &mut call => return answer,
                true = self.next() => {}
            }
        }
    }

    /// Waits for all jobs, that `operation` made, also over a restart of the manager.
    ///
    /// # Errors
    /// When the manager leaves the bus for good before they are over.
    pub async fn wait(mut self, client: &Client, operation: Operation) -> Result<Vec<Finished>, CliError> {
        let mut finished = Vec::new();
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            if self.succeeded {
                let units = std::mem::take(&mut self.waiting).into_values().collect();
                let begun = self.begun;
                // What nobody takes any more.
                drop(self);
                finished.extend(successor::resolve(client, operation, units, begun).await?);
                return Ok(finished);
            }
            for (job, result) in self.ended.drain() {
                finished.extend(self.waiting.remove(&job).map(|unit| Finished { unit, result }));
            }
            if self.waiting.is_empty() {
                return Ok(finished);
            }
            tokio::select! {
                is_there = self.next() => if !is_there {
                    return Err(CliError::Left { action: "wait for jobs".to_owned() });
                },
                () = &mut patience, if !patience.is_elapsed() => {
                    // A manager from before an upgrade knows of none.
                    let transfers = self.during(client.ask(async |manager| manager.list_transfers().await)).await;
                    self.transfers.add(transfers.unwrap_or_default());
                }
            }
        }
    }

    /// Takes one signal in; `false` when the bus has gone.
    async fn next(&mut self) -> bool {
        match self.listener.next().await {
            Some(Heard::Left) => self.succeeded = true,
            Some(Heard::Signal(signal)) => match JobRemoved::from_message(signal.clone()) {
                Some(removed) => self.note(&removed),
                None => self.transfers.show(&signal),
            },
            None => return false,
        }
        true
    }

    fn note(&mut self, signal: &JobRemoved) {
        // Jobs of a successor have the numbers that those of its predecessor had.
        if let Ok(job) = signal.args()
            && !self.succeeded
        {
            self.ended.insert(job.job().clone(), job.result().clone());
        }
    }
}

/// Prints why a job failed.
pub async fn explain(client: &Client, job: &Finished) -> UnitProperties {
    let unit = client.unit(&job.unit).await.unwrap_or_default();
    complain(&explanation(job, &unit));
    unit
}

/// The words of systemctl, with the step that failed where the launcher told it.
fn explanation(job: &Finished, unit: &UnitProperties) -> String {
    let name = &job.unit;
    match job.result.as_str() {
        "canceled" => format!("Job for {name} canceled."),
        "timeout" => match unit.launch_error.trim_end_matches('.') {
            "" => format!("Job for {name} timed out."),
            error => format!("Job for {name} timed out: {}.", escaped(error)),
        },
        "dependency" => {
            format!("A dependency job for {name} failed. See \"sampanctl status {name}\" for details.")
        }
        "assert" => {
            format!("Assertion failed on job for {name}. See \"sampanctl status {name}\" for details.")
        }
        _ => failure(name, unit),
    }
}

fn failure(name: &str, unit: &UnitProperties) -> String {
    let short = name.strip_suffix(".container").unwrap_or(name);
    let headline = match (unit.launch_error.as_str(), reason(&unit.result)) {
        ("", None) => format!("Job for {name} failed."),
        ("", Some(reason)) => format!("Job for {name} failed because {reason}."),
        (error, _) => format!("Job for {name} failed: {}.", escaped(error.trim_end_matches('.'))),
    };
    let again = match unit.result.as_str() {
        "start-limit-hit" => format!(
            "\nTo force a start use \"sampanctl reset-failed {short}\"\nfollowed by \"sampanctl start {short}\" again."
        ),
        _ => String::new(),
    };
    // What was made for one start may be gone by the time that somebody looks.
    let status = if unit.transient { String::new() } else { format!("\"sampanctl status {short}\" and ") };
    format!("{headline}\nSee {status}\"sampanctl logs {short}\" for details.{again}")
}

/// Why a unit ended that its main process's status does not tell.
pub fn why(unit: &UnitProperties) -> Option<String> {
    if !unit.launch_error.is_empty() {
        return Some(escaped(unit.launch_error.trim_end_matches('.')).into_owned());
    }
    let tells = matches!(unit.result.as_str(), "exit-code" | "signal" | "core-dump");
    reason(&unit.result).filter(|_| !tells).map(|reason| format!("failed because {reason}"))
}

fn reason(result: &str) -> Option<&'static str> {
    Some(match result {
        "resources" => "of unavailable resources or another system error",
        "protocol" => "the container did not take the steps required by its unit configuration",
        "timeout" => "a timeout was exceeded",
        "exit-code" => "the main process exited with error code",
        "signal" => "a fatal signal was delivered to the main process",
        "core-dump" => "a fatal signal was delivered causing the main process to dump core",
        "watchdog" => "the container failed to send watchdog ping",
        "start-limit-hit" => "start of the container was attempted too often",
        "oom-kill" => "of an out-of-memory (OOM) situation",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(unit: &UnitProperties) -> String {
        let job = Finished { unit: "web.container".to_owned(), result: "failed".to_owned() };
        explanation(&job, unit)
    }

    #[test]
    fn a_failed_job_says_why_and_where_to_look() {
        let unit = UnitProperties { result: "exit-code".to_owned(), ..UnitProperties::default() };
        insta::assert_snapshot!(failed(&unit), @r#"
        Job for web.container failed because the main process exited with error code.
        See "sampanctl status web" and "sampanctl logs web" for details.
        "#);
    }

    #[test]
    fn the_step_that_failed_is_named() {
        let unit = UnitProperties {
            result: "resources".to_owned(),
            launch_error: "execute: /bin/nope: No such file or directory".to_owned(),
            ..UnitProperties::default()
        };
        insta::assert_snapshot!(failed(&unit), @r#"
        Job for web.container failed: execute: /bin/nope: No such file or directory.
        See "sampanctl status web" and "sampanctl logs web" for details.
        "#);
    }

    #[test]
    fn a_start_limit_says_how_to_go_on() {
        let unit = UnitProperties { result: "start-limit-hit".to_owned(), ..UnitProperties::default() };
        insta::assert_snapshot!(failed(&unit), @r#"
        Job for web.container failed because start of the container was attempted too often.
        See "sampanctl status web" and "sampanctl logs web" for details.
        To force a start use "sampanctl reset-failed web"
        followed by "sampanctl start web" again.
        "#);
    }
}
