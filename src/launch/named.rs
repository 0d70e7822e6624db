//! Trees that the unit names: binds of the host and volumes of the store.

use super::failure::During;
use super::host;
use super::idmap::{First, Maps};
use super::protocol::StepError;
use super::step::{Attribute, Owners, PrivateTrees, Seeding, Tree};
use crate::store::volumes::{self, SourceIds, Volumes};
use crate::store::{self, FOREIGN_BASE, StoreError};
use crate::sys::mount::{self, Change, Depth, Propagation};
use crate::unit::model::IfMissing;
use rustix::fs::{CWD, FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Copies the mount of a file or directory; `None` when it is not there and need not be.
pub fn bind(bind: &Tree, maps: &mut Maps) -> Result<Option<OwnedFd>, StepError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if bind.depth == Depth::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = match open_tree(CWD, &bind.path, flags) {
        Err(Errno::NOENT) if bind.missing == IfMissing::Ignore => return Ok(None),
        opened => opened.during_path("open bind", &bind.path)?,
    };
    let stat = fstat(&tree).during_path("open bind", &bind.path)?;
    let owner = First { user: stat.st_uid, group: stat.st_gid };
    let idmap = match (FileType::from_raw_mode(stat.st_mode), bind.owners) {
        (FileType::Directory | FileType::RegularFile, Owners::Same) => maps.namespace(0)?,
        (FileType::Directory | FileType::RegularFile, Owners::Root) => maps.owner_to_root(owner)?,
        // The bits of a device or socket say who may use it, and many file systems that hold such know no maps.
        _ => None,
    };
    let idmap = idmap.map(AsFd::as_fd);
    let Tree { depth, propagation, .. } = *bind;
    let restricted = Change { set: host::bits(&bind.attributes), propagation, depth, ..Change::default() };
    mount::change(&tree, &restricted).during_path("restrict bind", &bind.path)?;
    if idmap.is_some() {
        let mapped = Change { idmap, propagation: Propagation::Keep, depth, ..Change::default() };
        mount::change(&tree, &mapped).during_path("map ids of bind", &bind.path)?;
    }
    Ok(Some(tree))
}

/// Opens a volume, and makes it first where it is missing. While it is open, nobody removes it.
pub fn volume(store: &Path, name: &str, seed: Option<&Seeding>) -> Result<OwnedFd, StepError> {
    let opened = Volumes::of(store).open_or_create(name, |volume| match seed {
        Some(Seeding { image, path }) => {
            let ids = if image.id_base == FOREIGN_BASE { SourceIds::Foreign } else { SourceIds::Host };
            volumes::seed(volume, &image.path, path, ids)
        }
        None => Ok(()),
    });
    opened.map_err(|error| failed(error, &format!("volume {name}"), name))
}

/// Makes the copies that a unit has for itself alone.
pub fn private(private: &PrivateTrees) -> Result<(), StepError> {
    let PrivateTrees { store, directory, trees } = private;
    let kept = store::private::keep(store, directory, trees);
    kept.map_err(|error| failed(error, "private image", &directory.display().to_string()))
}

fn failed(error: StoreError, what: &str, name: &str) -> StepError {
    match error {
        StoreError::Io { action, path, cause } => StepError {
            step: format!("{what}: {action}"),
            subject: path.display().to_string(),
            errno: cause.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
        },
        _ => StepError {
            step: format!("open {what}"),
            subject: name.into(),
            errno: Errno::INVAL.raw_os_error(),
        },
    }
}

/// Copies the mount of an open volume.
pub fn volume_tree(
    name: &str,
    volume: &OwnedFd,
    attributes: &[Attribute],
    maps: &mut Maps,
) -> Result<OwnedFd, StepError> {
    let tree = host::clone_of(volume).during("mount volume", name)?;
    let idmap = maps.namespace(FOREIGN_BASE)?.map(AsFd::as_fd);
    let (propagation, depth) = (Propagation::Private, Depth::One);
    let change = Change { set: host::bits(attributes), idmap, propagation, depth, ..Change::default() };
    mount::change(&tree, &change).during("map ids of volume", name)?;
    Ok(tree)
}
