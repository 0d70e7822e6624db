//! A text into its place, for the eyes of those alone who were let in before.

use rustix::process::geteuid;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// Writes a file in one step: whoever reads sees the old text or the new one. Mode and owner are those of `like`;
/// without it, they are those of any new file.
pub(super) fn save(path: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The umask takes from it what it does.
    let mode = like.map_or(0o666, |_| 0o600);
    let mut new = tempfile::Builder::new();
    let mut new =
        new.prefix(&format!(".{name}.")).permissions(Permissions::from_mode(mode)).tempfile_in(directory)?;
    new.write_all(text.as_bytes())?;
    let file = new.as_file();
    if let Some(like) = like {
        // Only root can give files away; those of anybody else are their own.
        if geteuid().is_root() {
            fchown(file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o777))?;
    }
    file.sync_all()?;
    new.persist(path)?;
    Ok(())
}
