//! The command line: one file per verb. Only here and in the mains is anything printed.
#![forbid(unsafe_code)]

pub mod images;
pub mod units;
