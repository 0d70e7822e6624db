//! Units: their names, what a file says, what it means, where files are found and how they are enabled.
#![forbid(unsafe_code)]

pub mod model;
pub mod name;
