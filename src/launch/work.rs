//! What a launcher is asked to do, and the file that it is told in.

use super::step::{Join, Plan};
use rustix::io::pread;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::AsFd;

/// What a launcher is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Start a container.
    Start(Plan),
    /// Execute a program in a running container.
    Join(Join),
}

/// Reads work from the file that it comes in, from its beginning: others read the same file at the same time.
///
/// # Errors
/// When it cannot be read, or is no work.
pub fn read(file: impl AsFd) -> io::Result<Work> {
    let mut text = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match pread(&file, &mut buffer, text.len() as u64)? {
            0 => return Ok(serde_json::from_slice(&text)?),
            length => text.extend_from_slice(&buffer[..length]),
        }
    }
}
