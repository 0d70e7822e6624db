//! Trees that the unit names: binds of the host and volumes of the store.

use super::failure::During;
use super::host;
use super::idmap::{First, Maps, is_mappable};
use super::protocol::StepError;
use super::step::{Attribute, Owners, PrivateTrees, Seeding, Tree};
use crate::store::volumes::{self, SourceIds, Volumes};
use crate::store::{self, FOREIGN_BASE, StoreError};
use crate::sys::mount::{self, Change, Depth, Propagation};
use crate::unit::model::IfMissing;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, open, openat2};
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
    let below = bind.shared.as_ref().and_then(|top| Some((top, bind.path.strip_prefix(top).ok()?)));
    let opened = match below {
        None => open_tree(CWD, &bind.path, flags),
        Some((top, rest)) => {
            find_below(top, rest).and_then(|found| open_tree(found, "", flags | OpenTreeFlags::AT_EMPTY_PATH))
        }
    };
    let tree = match opened {
        Err(Errno::NOENT) if bind.missing == IfMissing::Ignore => return Ok(None),
        opened => opened.during_path("open bind", &bind.path)?,
    };
    let stat = fstat(&tree).during_path("open bind", &bind.path)?;
    let owner = First { user: stat.st_uid, group: stat.st_gid };
    let idmap = match bind.owners {
        Owners::Same if is_mappable(&stat) => maps.namespace(0)?,
        Owners::Root if is_mappable(&stat) => maps.owner_to_root(owner)?,
        Owners::Same | Owners::Root | Owners::Unmapped => None,
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

/// Where a container can put links on the way, none of them is followed: they would be those of the host.
fn find_below(top: &Path, rest: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let top = open(top, flags | OFlags::DIRECTORY, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(&top, rest, flags, Mode::empty(), resolve) {
            // A rename on the way, openat2(2).
            Err(Errno::AGAIN) => {}
            found => return found,
        }
    }
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

/// Makes the copies that a unit has for itself alone. While they are open, nobody removes them.
pub fn private(private: &PrivateTrees) -> Result<Vec<OwnedFd>, StepError> {
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
