//! One file of a unit, read whole and checked to be text.

use crate::sys::errno;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file that is read.
pub const LENGTH_MAX: u64 = 1 << 20;

/// A file's path and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it was read.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file, is too long or is not UTF-8.
    pub fn read(path: &Path) -> Result<Arc<Self>, Unreadable> {
        let fail = |message: String, help: &'static str| Unreadable {
            source: Self::from_text(path, ""),
            message,
            help,
            at: None,
        };
        let bytes = match bytes(path) {
            Ok(Content::Bytes(bytes)) => bytes,
            Ok(Content::Directory) => {
                let help = "drop-ins of a unit are in NAME.container.toml.d";
                return Err(fail("this is a directory, not a unit file".to_owned(), help));
            }
            Ok(Content::Special) => {
                return Err(fail(
                    "this is not a regular file".to_owned(),
                    "a link to /dev/null masks a unit",
                ));
            }
            Ok(Content::TooLong) => {
                let help = "what is long has files of its own, such as \"environment_file\"";
                return Err(fail(
                    "this file is longer than 1 MiB, the limit of a unit file".to_owned(),
                    help,
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
                return Err(fail(dangling(path), "make that file, or remove the link"));
            }
            Err(error) => {
                return Err(fail(format!("this file cannot be read: {}", errno::words(&error)), ""));
            }
        };
        String::from_utf8(bytes).map(|text| Self::from_text(path, &text)).map_err(|error| {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let at = Some(error.utf8_error().valid_up_to());
            // A mark of UTF-16, or every second byte a NUL.
            let wide = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
                || text.matches('\0').count() > 2;
            let help = if wide { "it seems to be UTF-16: save it as UTF-8" } else { "save it as UTF-8" };
            Unreadable {
                source: Self::from_text(path, &text),
                message: "this file is not valid UTF-8".to_owned(),
                help,
                at,
            }
        })
    }

    /// A text and the path that messages about it name.
    pub fn from_text(path: &Path, text: &str) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), text: text.to_owned() })
    }
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file; its text as far as it can be shown.
    pub source: Arc<Source>,
    /// What is wrong with it.
    pub message: String,
    /// What to do; may be empty.
    pub help: &'static str,
    /// The byte where it goes wrong.
    pub at: Option<usize>,
}

enum Content {
    Bytes(Vec<u8>),
    Directory,
    Special,
    TooLong,
}

/// Opens without blocking, so that a FIFO in the place of a file holds nobody up.
fn bytes(path: &Path) -> io::Result<Content> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(nonblocking.bits()).unwrap_or_default();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Content::Directory);
    }
    if !metadata.is_file() {
        return Ok(Content::Special);
    }
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > LENGTH_MAX { Content::TooLong } else { Content::Bytes(bytes) })
}

fn dangling(path: &Path) -> String {
    match std::fs::read_link(path) {
        Ok(target) => format!("this is a link to {}, which does not exist", target.display()),
        Err(_) => "this is a link to a file that does not exist".to_owned(),
    }
}
