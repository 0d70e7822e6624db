//! When a container that nobody uses goes to sleep: `activation.idle_timeout` and what goes with it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Sleep of a container without clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// `idle_timeout`: how long nobody may have used it.
    pub timeout: Duration,
    /// `idle_action` and `idle_stop_after`.
    pub sleep: Sleep,
    /// `idle_cpu_floor`: with so much time on processors in each second it is in use, whoever is connected.
    pub cpu_floor_per_sec_usec: Option<u64>,
}

impl Idle {
    /// How long a standstill lasts before a stop.
    pub fn stop_after(self) -> Option<Duration> {
        match self.sleep {
            Sleep::Stop => None,
            Sleep::Freeze { stop_after } => stop_after,
        }
    }
}

/// How it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sleep {
    /// It is stopped, and listens.
    Stop,
    /// It stands still, and its memory is given back.
    Freeze {
        /// For how long, before it is stopped after all.
        stop_after: Option<Duration>,
    },
}
