//! `[health]` as written.

use crate::unit::model::{Endpoint, HttpCheck, OnUnhealthy};
use crate::unit::value::{Text, TimeSpan};
use schemars::JsonSchema;
use serde::Deserialize;

/// `[health]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthTable {
    /// A command run in the container; exit status 0 means well.
    pub command: Option<Vec<String>>,
    /// An address of the container to ask, such as "http://localhost:8080/health"; a status from 200 to 399 means well.
    pub http: Option<Text<HttpCheck>>,
    /// A port of the container to connect to, such as 80 or "127.0.0.1:80"; a connection means well.
    pub tcp: Option<Text<Endpoint>>,
    /// The pause between two checks.
    pub interval: Option<Text<TimeSpan>>,
    /// How long a check may take.
    pub timeout: Option<Text<TimeSpan>>,
    /// How many checks in a row must fail.
    pub retries: Option<u32>,
    /// How long after the start failures do not count.
    pub start_period: Option<Text<TimeSpan>>,
    /// The pause between two checks in the start period, or while the start waits for the first good one.
    pub start_interval: Option<Text<TimeSpan>>,
    /// A check of its own that must be good before the others begin.
    pub startup: Option<StartupTable>,
    /// What an unhealthy container gets.
    pub on_unhealthy: Option<OnUnhealthy>,
}

/// `health.startup`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StartupTable {
    /// A command run in the container; exit status 0 means that it has started.
    pub command: Option<Vec<String>>,
    /// An address of the container to ask; a status from 200 to 399 means that it has started.
    pub http: Option<Text<HttpCheck>>,
    /// A port of the container to connect to; a connection means that it has started.
    pub tcp: Option<Text<Endpoint>>,
    /// The pause between two of these checks.
    pub interval: Option<Text<TimeSpan>>,
    /// How long one of these checks may take.
    pub timeout: Option<Text<TimeSpan>>,
    /// How many of these checks in a row must fail for the container to be unhealthy.
    pub retries: Option<u32>,
    /// How many of these checks in a row must be good.
    pub successes: Option<u32>,
}
