//! Our own D-Bus interfaces, shaped after `org.freedesktop.systemd1`: bus name `org.sampan1`, objects
//! `/org/sampan1`, `/org/sampan1/unit/NAME`, `/org/sampan1/job/ID` and `/org/sampan1/transfer/ID`.
//!
//! [`interface`] is the table of an interface: what can be called is what introspection tells. [`serve`] takes calls
//! in, from the [bus](bus_end) and from root as a [`peer`], and finds their [`object`]; the methods stand in
//! [`manager`], [`unit`], [`job`] and [`transfer`], and do what the files beside say. Looking is free; what changes
//! something goes through [`access`] first. [`publish`] sends signals to those that [`subscribers`] knows, and to
//! peers. [`ledger`] and [`allowance`] see to it that no client takes the bus, or our time, from the others.
#![forbid(unsafe_code)]

mod access;
mod allowance;
mod bus_end;
mod call;
mod catalogue;
pub mod error;
mod exec;
mod files;
mod images;
mod interface;
mod job;
mod jobs;
mod ledger;
mod listing;
mod manager;
mod object;
mod options;
mod peer;
mod peer_socket;
mod polkit;
mod process;
pub mod proxy;
mod publish;
mod resources;
mod serve;
mod standard;
mod subscribers;
mod transfer;
mod transient;
mod unit;
pub mod wire;
mod words;

pub use serve::Bus;
