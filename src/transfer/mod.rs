//! Bytes from an archive, a folder or a stream through [`crate::image`] into [`crate::store`].
//!
//! Runs in the worker `sampan-import`, which [`confine`]s itself before it reads anything. Outer archives are
//! indexed and read at offsets, never extracted; every blob goes once through digest, decompression, digest,
//! tar and object hash.
#![forbid(unsafe_code)]

mod archive;
pub mod confine;
mod docker;
mod error;
mod import;
mod layout;
mod signatures;
mod source;
mod stream;

pub use error::TransferError;
pub use import::{Imported, Naming, Report, Terms, import};
pub use source::Source;
