//! The links themselves.

use super::{Conflict, EnableError};
use crate::unit::search::{LinkKind, Search};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// An alias or a mask must not take the place of anything else; a link in a `.wants/` directory may.
pub fn check_free(
    search: &Search,
    path: &Path,
    target: &Path,
    conflict: Conflict,
) -> Result<(), EnableError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.is_symlink() {
        return Err(EnableError::Exists { path: path.to_owned(), target: None });
    }
    let existing = search.link_target(path).map(|existing| search.inside_root(&existing));
    let in_links = path.parent().and_then(LinkKind::of_directory).is_some();
    if in_links || conflict == Conflict::Replace || existing.as_deref() == Some(target) {
        return Ok(());
    }
    Err(EnableError::Exists { path: path.to_owned(), target: existing })
}

/// Makes a link under another name first, so that an old one is replaced in one step.
pub fn make_link(path: &Path, target: &Path) -> Result<(), EnableError> {
    let fail = |source| EnableError::Io { what: "create", path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(fail)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let result = symlink(target, &temporary).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(fail)
}

/// Removes a file or link; one that is not there is as good.
pub fn remove(path: &Path) -> Result<(), EnableError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(EnableError::Io { what: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
