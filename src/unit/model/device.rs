//! Devices of the host that a container can use, as meant.

use super::IfMissing;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One of `security.devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Which.
    pub source: DeviceSource,
    /// What may be done: letters of `rwm`, as for `DeviceAllow=` of systemd.resource-control(5).
    pub access: String,
    /// What happens when there is none.
    pub missing: IfMissing,
}

/// Which devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceSource {
    /// The one of a node.
    Node {
        /// Its path on the host, below `/dev`.
        path: PathBuf,
        /// Its path in the container, below `/dev`.
        target: PathBuf,
    },
    /// Those of a driver that have a node: `char-input`, `block-loop`.
    Group(String),
}

impl Device {
    /// What systemd knows it as.
    pub fn specifier(&self) -> String {
        match &self.source {
            DeviceSource::Node { path, .. } => path.display().to_string(),
            DeviceSource::Group(name) => name.clone(),
        }
    }
}
