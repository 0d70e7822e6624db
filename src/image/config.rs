//! The part of an image's configuration that a launch uses. Nothing else of an image can steer the host.

use super::text::shown;
use crate::unit::signal;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an image says about the process to run (OCI image specification, `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// First words of the command line.
    pub entrypoint: Vec<String>,
    /// Words after the entrypoint.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// `name`, `uid`, `name:group` or `uid:gid`; empty for root.
    pub user: String,
    /// Absolute; empty for `/`.
    pub working_directory: String,
    /// As written: `SIGQUIT` or a number; empty for SIGTERM.
    pub stop_signal: String,
    /// Paths that the image wants as volumes.
    pub volumes: Vec<String>,
    /// `80/tcp`; for information.
    pub exposed_ports: Vec<String>,
    /// For information.
    pub labels: std::collections::BTreeMap<String, String>,
    /// How a unit that wants it checks that a container is well.
    pub health_check: Option<HealthCheck>,
}

impl ImageConfig {
    /// The number of its stop signal, in upper or lower case as Docker reads it; `None` where it says none, or one
    /// that there is not.
    pub fn stop_signal(&self) -> Option<i32> {
        signal::number_in_any_case(&self.stop_signal)
    }

    /// What it says for a stop signal that is none.
    pub fn unknown_stop_signal(&self) -> Option<String> {
        let is_unknown = !self.stop_signal.is_empty() && self.stop_signal().is_none();
        is_unknown.then(|| format!("its stop signal \"{}\" is not known", shown(self.stop_signal.as_bytes())))
    }
}

/// What Docker's `HEALTHCHECK` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// The command line.
    pub command: Vec<String>,
    /// The pause between two checks; here and below, `None` is the default.
    pub interval: Option<Duration>,
    /// How long a check may take.
    pub timeout: Option<Duration>,
    /// How long after the start failures do not count.
    pub start_period: Option<Duration>,
    /// The pause between two checks in that time.
    pub start_interval: Option<Duration>,
    /// How many checks in a row must fail.
    pub retries: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_signal_is_read_as_docker_does() {
        let read = |text: &str| {
            let config = ImageConfig { stop_signal: text.to_owned(), ..ImageConfig::default() };
            (config.stop_signal(), config.unknown_stop_signal())
        };
        for (text, number) in [("SIGQUIT", 3), ("quit", 3), ("3", 3), ("sigrtmin+3", 37)] {
            assert_eq!(read(text), (Some(number), None), "{text}");
        }
        assert_eq!(read(""), (None, None));
        for text in ["SIGFOO", "99", "0", "-1", " "] {
            assert_eq!(read(text), (None, Some(format!("its stop signal \"{text}\" is not known"))));
        }
    }
}
