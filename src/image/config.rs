//! The part of an image's configuration that a launch uses. Nothing else of an image can steer the host.

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
