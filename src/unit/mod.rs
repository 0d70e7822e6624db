//! Units: their names, what a file says, what it means, where files are found and how they are enabled.
//!
//! A file becomes a unit in steps, each of which reports everything that it finds and not just the first:
//! [`source`] reads it, [`tree`] parses it and merges its drop-ins, [`specifier`] fills in `%i` and the like,
//! [`decode`] reads the tree into the types of [`schema`], [`lower`] looks for contradictions and makes a
//! [`model::Unit`] of it, and [`effect`] says what is not in effect yet. [`assemble`] does this for one unit,
//! [`load`] for every file of the [`search`] path, and [`across`] compares them; [`enable`] makes the links and
//! [`state`] tells of them.
#![forbid(unsafe_code)]

pub mod accepted;
pub mod across;
pub mod address;
pub mod assemble;
pub mod block_device;
pub mod decode;
pub mod diagnostic;
pub mod difference;
pub mod drop_in;
pub mod effect;
pub mod enable;
pub mod exit_status;
pub mod exposed;
pub mod few;
pub mod habit;
pub mod ids;
pub mod kernel_files;
pub mod links;
pub mod listen;
pub mod load;
pub mod lower;
pub mod model;
pub mod mounts;
pub mod name;
pub mod order;
pub mod overlap;
pub mod pattern;
pub mod place;
pub mod preset;
pub mod property;
pub mod redact;
pub mod report;
pub mod schema;
pub mod search;
pub mod signal;
pub mod source;
pub mod sparse;
pub mod specifier;
pub mod state;
pub mod stray;
pub mod suggest;
pub mod syntax;
pub mod system_calls;
pub mod tree;
pub mod value;
