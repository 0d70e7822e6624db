//! cli
pub mod units;
