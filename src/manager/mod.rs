//! The manager: a pure core and the driver that connects it to the world.
//!
//! * [`machine`] decides: states of units, jobs, transactions, restarts. No clock, no I/O, no bus.
//! * [`driver`] acts: it carries the core's actions out and turns what happens into events.
//! * [`record`] is what a successor of this process needs, [`shelf`] keeps it, [`reconcile`] brings it back,
//!   [`orphan`] finds what has no record.
//! * [`transfer`] knows the pulls that run, and who waits for them; [`images`] is what is done with those that are
//!   there.
//! * [`view`] is what the bus shows of a unit.
#![forbid(unsafe_code)]

pub mod accounting;
pub mod driver;
pub mod images;
pub mod machine;
pub mod orphan;
pub mod reconcile;
pub mod record;
pub mod shelf;
pub mod transfer;
pub mod view;
