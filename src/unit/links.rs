//! The links that enable units: in the search path, and beside units of systemd's that want one of ours, where
//! `sampan@NAME.service` starts it.

use super::address::is_native;
use super::name::{DEFAULT_TARGET, UnitKind, UnitName};
use super::search::{Found, LinkKind, Search, entries, unit_of_file};
use crate::paths::Paths;
use std::path::{Path, PathBuf};

const TEMPLATE: &str = "sampan@.service";

/// How long what is done lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lasting {
    /// Until it is taken back.
    #[default]
    Always,
    /// Until the host is booted again.
    UntilReboot,
}

impl Lasting {
    /// As `--runtime` says.
    pub fn of_runtime(runtime: bool) -> Self {
        if runtime { Self::UntilReboot } else { Self::Always }
    }

    /// Where the links are made.
    pub fn directory(self, paths: &Paths) -> PathBuf {
        match self {
            Self::Always => paths.enablement(),
            Self::UntilReboot => paths.runtime_units(),
        }
    }
}

/// The links in one directory of the search path that enable a unit: those in `.wants/` and `.requires/` of
/// its name or, for a template, of any instance, and aliases.
pub fn links_to(search: &Search, directory: &Path, name: &UnitName) -> Vec<PathBuf> {
    let of_unit =
        |unit: &UnitName| unit == name || (name.is_template() && unit.template().as_ref() == Some(name));
    let mut links = Vec::new();
    for path in search.enabling(directory) {
        // A file of the name of an alias is a unit's own, and hidden by the link or hiding it.
        if path.is_symlink() {
            if let Some(unit) = unit_of_file(&path)
                && let Some(Found::Alias(target)) = search.find(&unit)
                && of_unit(&target)
            {
                links.push(path);
            }
        } else if LinkKind::of_directory(&path).is_some() && path.is_dir() {
            let is_ours = |link: &PathBuf| unit_of_file(link).is_some_and(|unit| of_unit(&unit));
            let inside: Vec<PathBuf> = match name.is_template() {
                true => entries(&path).into_iter().filter(is_ours).collect(),
                false => vec![path.join(name.file_name())],
            };
            links.extend(inside.into_iter().filter(|link| link.is_symlink()));
        }
    }
    links
}

/// Whether a unit is systemd's: by its type or name, or since systemd has a file of that name and we have none. Our
/// default target is there without a file.
pub fn is_of_systemd(paths: &Paths, search: &Search, name: &UnitName) -> bool {
    let has_file =
        || paths.native_search_path().iter().any(|directory| directory.join(name.as_str()).exists());
    let can_be = name.kind() == UnitKind::Target && name.as_str() != DEFAULT_TARGET;
    is_native(name) || (can_be && search.find(name).is_none() && has_file())
}

/// The link beside a unit of systemd's that starts one of ours: path and target.
pub fn link(
    paths: &Paths,
    lasting: Lasting,
    unit: &UnitName,
    other: &UnitName,
    kind: LinkKind,
) -> (PathBuf, PathBuf) {
    let beside = directory(paths, lasting).join(format!("{other}.{}", kind.suffix()));
    let mut template = paths.native_search_path().into_iter().map(|directory| directory.join(TEMPLATE));
    let template = template.rfind(|path| path.exists());
    let template = template.unwrap_or_else(|| paths.root().join("usr/lib/systemd/system").join(TEMPLATE));
    (beside.join(service(unit)), template)
}

fn directory(paths: &Paths, lasting: Lasting) -> PathBuf {
    match lasting {
        Lasting::Always => paths.native_enablement(),
        Lasting::UntilReboot => paths.native_runtime_units(),
    }
}

/// `web.container` is `sampan@web.service`; any other unit has its type in the name.
fn service(unit: &UnitName) -> String {
    let instance = if unit.kind() == UnitKind::Container { unit.stem() } else { unit.as_str() };
    format!("sampan@{instance}.service")
}

/// All such links of a unit or, for a template, of its instances.
pub fn links_of(paths: &Paths, lasting: Lasting, unit: &UnitName) -> Vec<PathBuf> {
    let beside = |path: &PathBuf| LinkKind::of_directory(path).is_some();
    let directories = entries(&directory(paths, lasting)).into_iter().filter(beside);
    if !unit.is_template() {
        let links = directories.map(|directory| directory.join(service(unit)));
        return links.filter(|link| link.symlink_metadata().is_ok()).collect();
    }
    let start = format!("sampan@{}@", unit.prefix());
    let is_ours = |file: &str| file.starts_with(&start) && file.ends_with(".service");
    let links = directories.flat_map(|directory| entries(&directory));
    links.filter(|link| link.file_name().and_then(|name| name.to_str()).is_some_and(is_ours)).collect()
}
