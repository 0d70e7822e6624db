//! The check that a container is well, `[health]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// `[health]`. What is `None` is as the image says, or has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is done; `None`: what the image says.
    pub check: Option<Check>,
    /// The pause between two checks.
    pub interval: Option<Duration>,
    /// How long a check may take.
    pub timeout: Option<Duration>,
    /// How many checks in a row must fail.
    pub retries: Option<u32>,
    /// How long after the start failures do not count.
    pub start_period: Option<Duration>,
    /// The pause between two checks until the first good one, in the start period.
    pub start_interval: Option<Duration>,
    /// What comes before these checks.
    #[serde(default)]
    pub startup: Option<Startup>,
    /// What an unhealthy container gets.
    pub on_unhealthy: OnUnhealthy,
}

/// `[health.startup]`: as long as this has not been good, nothing else is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Startup {
    /// What is done.
    pub check: Check,
    /// The pause between two checks.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How many checks in a row must fail. `None`: failures do not count.
    pub retries: Option<u32>,
    /// How many checks in a row must be good.
    pub successes: u32,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// `health.command`: it runs a command in the container; exit status 0 means well.
    Command(Vec<String>),
    /// `health.http`: it asks; a status from 200 to 399 means well.
    Http(HttpCheck),
    /// `health.tcp`: it connects.
    Tcp(Endpoint),
}

/// Where a check connects to, in the network of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `None`: this host, by v4 or v6.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// What a check asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Whom it asks.
    pub endpoint: Endpoint,
    /// The host as written, with the port.
    pub host: String,
    /// The path and what follows it.
    pub path: String,
}

/// `health.on_unhealthy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnhealthy {
    /// Nothing.
    #[default]
    None,
    /// SIGKILL to all of it, and what `restart` says.
    Kill,
    /// A restart.
    Restart,
    /// A stop.
    Stop,
}
