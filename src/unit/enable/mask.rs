//! Links in the search path itself: masks, files from elsewhere; and the way back to what a package brought.

use super::files::{check_free, make_link, remove};
use super::{Change, Conflict, EnableError, Manner, Outcome};
use crate::paths::Paths;
use crate::unit::drop_in;
use crate::unit::links::Lasting;
use crate::unit::name::UnitName;
use crate::unit::search::{Search, entries, unit_of_file};
use std::fs;
use std::path::{Path, PathBuf};

const NULL: &str = "/dev/null";

/// Makes the units impossible to start.
///
/// # Errors
/// When a file of that name is in the way or a link cannot be made.
pub fn mask(paths: &Paths, names: &[UnitName], manner: Manner) -> Result<Outcome, EnableError> {
    let links: Vec<_> = names
        .iter()
        .map(|name| (manner.lasting.directory(paths).join(name.file_name()), PathBuf::from(NULL)))
        .collect();
    make(paths, links, manner.conflict)
}

/// Takes masks away.
///
/// # Errors
/// When a link cannot be removed.
pub fn unmask(paths: &Paths, names: &[UnitName], lasting: Lasting) -> Result<Outcome, EnableError> {
    let mut outcome = Outcome::default();
    for name in names {
        for directory in changeable(paths, lasting) {
            let link = directory.join(name.file_name());
            if fs::read_link(&link).is_ok_and(|target| target == Path::new(NULL)) {
                remove(&link)?;
                outcome.changes.push(Change::Removed(link));
            }
        }
    }
    Ok(outcome)
}

/// Makes files from elsewhere units of their names.
///
/// # Errors
/// When one is no unit file, or a file of that name is in the way.
pub fn link(paths: &Paths, files: &[PathBuf], manner: Manner) -> Result<Outcome, EnableError> {
    let mut links = Vec::new();
    for file in files {
        let fail = |reason| EnableError::Unlinkable { path: file.clone(), reason };
        let name = unit_of_file(file).ok_or_else(|| fail("it is not named as a unit"))?;
        if !file.is_absolute() {
            return Err(fail("the path is not absolute"));
        }
        if !file.is_file() {
            return Err(fail("there is no such file"));
        }
        if paths.unit_search_path().iter().any(|directory| file.parent() == Some(directory)) {
            return Err(fail("it is in the search path already"));
        }
        links.push((manner.lasting.directory(paths).join(name.file_name()), file.clone()));
    }
    make(paths, links, manner.conflict)
}

fn make(paths: &Paths, links: Vec<(PathBuf, PathBuf)>, conflict: Conflict) -> Result<Outcome, EnableError> {
    let search = Search::new(paths);
    for (link, target) in &links {
        check_free(&search, link, target, conflict)?;
    }
    let mut outcome = Outcome::default();
    for (link, target) in links {
        if search.link_target(&link).as_deref() != Some(&target) {
            make_link(&link, &target)?;
            outcome.changes.push(Change::Linked { link, target });
        }
    }
    Ok(outcome)
}

/// Removes what the administrator has laid over the files of packages: drop-ins, masks, and a file where a
/// package has one of that name.
///
/// # Errors
/// When something cannot be removed.
pub fn revert(paths: &Paths, names: &[UnitName]) -> Result<Outcome, EnableError> {
    let mut outcome = unmask(paths, names, Lasting::Always)?;
    let mut gone = |path: &Path| {
        outcome.changes.push(Change::Removed(path.to_owned()));
        remove(path)
    };
    let ours = changeable(paths, Lasting::Always);
    for name in names {
        let file = name.file_name();
        let vendor = paths.unit_search_path().into_iter().filter(|directory| !ours.contains(directory));
        let has_vendor = vendor.map(|directory| directory.join(&file)).any(|path| path.exists());
        for directory in &ours {
            let path = directory.join(&file);
            if has_vendor && path.symlink_metadata().is_ok() {
                gone(&path)?;
            }
            for spelling in drop_in::spellings(name.as_str()) {
                let directory = directory.join(spelling);
                for drop_in in entries(&directory) {
                    gone(&drop_in)?;
                }
                // One that is not there or holds something of somebody else's stays as it is.
                let _ = fs::remove_dir(directory);
            }
        }
    }
    Ok(outcome)
}

/// The directories of the administrator, in which links may be taken away.
fn changeable(paths: &Paths, lasting: Lasting) -> Vec<PathBuf> {
    match lasting {
        Lasting::Always => vec![paths.enablement(), paths.runtime_units()],
        Lasting::UntilReboot => vec![paths.runtime_units()],
    }
}
