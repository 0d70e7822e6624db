//! The part of an image's configuration that a launch uses. Nothing else of an image can steer the host.

use serde::{Deserialize, Serialize};

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
}
