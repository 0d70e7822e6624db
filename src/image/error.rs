//! What can be wrong with an image, with the entry or document that it is about.

use super::text::{shortened, shown};

/// Why a part of an image is refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A text is no digest.
    #[error("\"{0}\" is not a digest: sha256 or sha512 and lower-case hexadecimal digits are")]
    Digest(String),
    /// A text is no image reference.
    #[error("\"{text}\" is not an image reference: {reason}")]
    Reference {
        /// As given.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A JSON document is not one, or not the one it should be.
    #[error("{document}: {reason}")]
    Document {
        /// Which document.
        document: String,
        /// What is wrong.
        reason: String,
    },
    /// An entry of a layer breaks a rule.
    #[error("entry \"{entry}\": {reason}")]
    Entry {
        /// The name of the entry, printable.
        entry: String,
        /// The rule.
        reason: String,
    },
    /// The stream of a layer is no tar archive.
    #[error("byte {offset} of the archive: {reason}")]
    Archive {
        /// Where, in plain bytes.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The layer's bytes could not be read or decompressed.
    #[error("reading failed at byte {offset} of the archive: {source}")]
    Read {
        /// Where, in plain bytes.
        offset: u64,
        /// The cause.
        source: std::io::Error,
    },
    /// What takes the files failed.
    #[error("entry \"{entry}\": {source}")]
    Sink {
        /// The name of the entry, printable.
        entry: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Longest reason. Those about documents quote them, and they are as long as their authors like.
const REASON_MAX: usize = 1024;

impl ImageError {
    /// An error about a named entry.
    pub fn entry(entry: &[u8], reason: impl Into<String>) -> Self {
        Self::Entry { entry: shown(entry), reason: shortened(reason.into(), REASON_MAX) }
    }

    /// An error about a document.
    pub fn document(document: impl Into<String>, reason: impl Into<String>) -> Self {
        let (document, reason) = (document.into(), reason.into());
        Self::Document { document: shortened(document, REASON_MAX), reason: shortened(reason, REASON_MAX) }
    }
}
