//! Images as data: references, digests, manifests, tar entries, whiteouts, and the tree that layers fold into.
//! No network and no store here.
#![forbid(unsafe_code)]

pub mod body;
pub mod change;
pub mod config;
pub mod diff;
pub mod digest;
pub mod document;
pub mod entry;
pub mod error;
pub mod fold;
pub mod hashing;
pub mod json;
pub mod layer;
pub mod limits;
pub mod manifest;
pub mod notices;
pub mod origin;
pub mod reference;
pub mod short_name;
pub mod tar;
pub mod text;
pub mod xattr;

pub use error::ImageError;
