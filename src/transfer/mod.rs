//! Bytes from a registry, an archive, a folder or a stream through [`crate::image`] into [`crate::store`].
//!
//! Runs in the worker `sampan-import`, which [`confine`]s itself before it reads anything. Outer archives are
//! indexed and read at offsets, never extracted; every blob goes once through digest, decompression, digest,
//! tar and object hash.
#![forbid(unsafe_code)]

mod archive;
mod chunked;
pub mod confine;
mod contract;
mod decoder;
mod directory;
mod docker;
pub mod errand;
mod error;
pub mod export;
mod folder;
mod formats;
mod import;
mod lanes;
mod layout;
mod legacy;
pub mod order;
mod packing;
pub mod registry;
mod remote;
mod request;
mod signatures;
mod source;
mod stream;
mod tarball;
mod tree;
pub mod volume;
mod watch;
pub mod worker;

pub use chunked::rebuild as rebuild_chunked;
pub use error::TransferError;
pub use formats::{Format, Selection};
pub use import::{Imported, Naming, Report, Terms, import, import_from};
pub use source::Source;
pub use watch::{Step, Watch};
