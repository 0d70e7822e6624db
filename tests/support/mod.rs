//! What system tests share: a private host, what happens on it, and images to import.
#![allow(dead_code, reason = "each test program uses its own part")]

pub mod dice;
pub mod events;
pub mod failures;
pub mod host;
pub mod image;
pub mod inside;
pub mod subscription;
pub mod terminal;
pub mod units;
