//! The command line: arguments as declared in [`args`], one file for each verb, and the text they print.
//!
//! Verbs over unit files and images work without the manager; the others talk to it through [`client`].
#![forbid(unsafe_code)]

pub mod args;
mod argv;
mod blame;
mod candidates;
mod changes;
mod clean;
pub mod client;
mod completions;
mod critical_chain;
mod daemon;
mod dispatch;
mod display;
pub mod error;
mod exec;
mod freeze;
pub mod images;
mod is_active;
mod jobs;
mod kill;
mod lifecycle;
mod list_dependencies;
mod list_jobs;
mod list_sockets;
mod list_timers;
mod list_units;
mod logs;
pub mod of;
mod outcome;
mod output;
mod pager;
mod plan;
mod run;
mod select;
mod set_property;
mod show;
mod status;
mod successor;
mod suggestion;
mod system_state;
pub mod text;
mod top;
mod transfers;
mod unit_files;
pub mod unit_properties;
pub mod units;
pub mod volumes;

use crate::unit::pattern;
pub use dispatch::main;
