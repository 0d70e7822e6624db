//! sys
pub mod network;
