//! Removal of names, and with its last name of an image, unless somebody needs it.

use serde::{Deserialize, Serialize};

use super::roots::{self, Root, User};
use crate::paths::Paths;
use crate::store::{PrivateCopy, Store, StoreError};
use crate::unit::name::UnitName;

/// What is removed. What a container runs from never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// What no unit file names.
    Unnamed,
    /// What unit files name, too.
    Named,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// A container would lose its root.
    #[error("{0} runs from this image; stop it first with \"sampanctl stop {0}\"")]
    Running(UnitName),
    /// The next start of a unit would fail.
    #[error("{0}; --force removes it all the same")]
    Named(User),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes a name, or an image with all its names where it is given by its id; what is gone. Copies that units have of
/// an image go with it.
///
/// # Errors
/// When somebody needs it, there is nothing of this name, or it cannot be removed.
pub fn remove(
    store: &Store,
    paths: &Paths,
    image: &str,
    consent: Consent,
) -> Result<Vec<String>, RemoveError> {
    let removed = store.remove(image, || match hindrance(store, &roots::roots(paths), image)? {
        Some(User::Running(unit)) => Err(RemoveError::Running(unit.clone())),
        Some(user) if consent == Consent::Unnamed => Err(RemoveError::Named(user.clone())),
        _ => Ok(()),
    })?;
    store.remove_private(|| {
        let (running, images) = (roots::running_units(paths), store.images()?);
        Ok(move |copy: &PrivateCopy| images.contains(&copy.image) || running(&copy.unit))
    })?;
    Ok(removed)
}

/// Who needs what would be gone: this name, or, when it is the last one, the image. What runs comes first.
fn hindrance<'a>(store: &Store, roots: &'a [Root], image: &str) -> Result<Option<&'a User>, StoreError> {
    // What is too broken to be resolved is used by nobody.
    let Ok(id) = store.resolve(image) else { return Ok(None) };
    let name = store.name(image)?;
    let is_last = name.is_none() || store.names()?.iter().filter(|(_, other)| *other == id).count() <= 1;
    let mut users = Vec::new();
    for root in roots::of_image(roots, store, &id) {
        if is_last || (name.is_some() && store.name(&root.image)? == name) {
            users.push(&root.user);
        }
    }
    users.sort_by_key(|user| matches!(user, User::File { .. }));
    Ok(users.first().copied())
}
