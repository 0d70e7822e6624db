//! Verbs over the files of units. They need no manager.
#![forbid(unsafe_code)]

pub mod cat;
pub mod edit;
pub mod enable;
pub mod list_unit_files;
pub mod schema;
pub mod verify;

use crate::unit::name::{NameError, UnitName};

/// The exit status of a verb that failed.
pub const FAILURE: u8 = 1;
/// The exit status where a unit does not exist, as systemctl's.
pub const NOT_FOUND: u8 = 4;

/// Reads names as typed, where `web` means `web.container`.
fn names(words: &[String]) -> Result<Vec<UnitName>, NameError> {
    words.iter().map(|word| UnitName::from_command_line(word)).collect()
}
