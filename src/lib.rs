//! Sampan: a systemd-style, unit-based container manager.
//!
//! # Architecture
//!
//! Layered images become flat trees of shared inodes; TOML units say what runs; systemd supervises each
//! container as a transient scope. Five programs are thin mains over this one library:
//!
//! * `sampanctl`, the command line ([`cli`]), talks to `sampand` over D-Bus;
//! * `sampand`, the manager ([`manager`], [`bus`]): one thread that loads units, runs jobs, holds sockets and
//!   watches containers by pidfd;
//! * `sampan-import` ([`transfer`]): a confined worker, the only program that parses bytes of an image; in
//!   its other modes the fetcher, which alone talks to registries, and what runs both for the manager;
//! * `sampan-launch` ([`launch`]): performs one launch plan, then becomes the payload;
//! * `sampan-proxy` ([`proxy`]): moves bytes between the sockets of one unit and its server.
//!
//! The modules below are in layers: each imports only from those above it. `tests/style.rs` checks it.
//!
//! Invariants: the manager never mounts and never parses an image; the launcher never talks to D-Bus; no
//! path of an image is ever resolved on disk; `unsafe` stands in [`sys`] alone; only [`cli`] and the mains
//! print or exit.

#[allow(unsafe_code)]
pub mod sys;

pub mod proxy;

pub mod paths;

pub mod unit;

pub mod image;

pub mod settings;

pub mod store;

pub mod transfer;

pub mod launch;

pub mod systemd;

pub mod socket;

pub mod manager;

pub mod bus;

pub mod cli;
