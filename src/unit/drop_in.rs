//! Which directories hold drop-ins of a unit, as in systemd.unit(5): those of its own name, of its template, of
//! each prefix of its name that ends in a dash, and of its type.
//!
//! For `web-blue@1.container` these are `web-blue@1.container.d`, `web-blue@.container.d`,
//! `web-@1.container.d`, `web-@.container.d`, `web-.container.d` and `container.d`, each with `.toml` before
//! `.d` as well.

use super::name::{UnitKind, UnitName};
use super::search::entries;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the drop-in directories of a unit are called, the most special first; not those of its type.
pub fn stems(name: &UnitName) -> Vec<String> {
    let suffix = name.suffix();
    let of_prefix = |prefix: &str| match name.stem().split_once('@') {
        Some((_, instance)) if !instance.is_empty() => {
            vec![format!("{prefix}@{instance}.{suffix}"), format!("{prefix}@.{suffix}")]
        }
        Some(_) => vec![format!("{prefix}@.{suffix}")],
        None => Vec::new(),
    };
    let mut stems = match of_prefix(name.prefix()) {
        none if none.is_empty() => vec![name.to_string()],
        stems => stems,
    };
    let dashes: Vec<usize> = name.prefix().match_indices('-').map(|(at, _)| at).collect();
    for at in dashes.into_iter().rev() {
        let prefix = &name.prefix()[..=at];
        stems.extend(of_prefix(prefix));
        stems.push(format!("{prefix}.{suffix}"));
    }
    stems.dedup();
    stems
}

/// The two spellings of a drop-in directory.
pub fn spellings(stem: &str) -> [OsString; 2] {
    [format!("{stem}.toml.d").into(), format!("{stem}.d").into()]
}

/// The drop-ins in one directory.
pub fn drop_ins_in(directory: &Path) -> Vec<PathBuf> {
    entries(directory).into_iter().filter(|path| is_drop_in(path)).collect()
}

/// Whether a file in such a directory is read.
pub fn is_drop_in(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// The units that a directory of this name is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of a type.
    Type(UnitKind),
    /// All whose name begins so.
    Prefix,
    /// One, or all of a template.
    Unit(UnitName),
}

/// What a directory's name says; `None` for one that holds no drop-ins of units.
pub fn scope(directory: &str) -> Option<Scope> {
    let stem = directory.strip_suffix(".d")?;
    let stem = stem.strip_suffix(".toml").unwrap_or(stem);
    match stem {
        "container" => Some(Scope::Type(UnitKind::Container)),
        "target" => Some(Scope::Type(UnitKind::Target)),
        _ => {
            let name = UnitName::parse(stem).ok()?;
            Some(if name.prefix().ends_with('-') { Scope::Prefix } else { Scope::Unit(name) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_special_directory_comes_first() {
        let stems = |text: &str| stems(&UnitName::parse(text).unwrap()).join(" ");
        assert_eq!(stems("web.container"), "web.container");
        assert_eq!(stems("a-b-c.target"), "a-b-c.target a-b-.target a-.target");
        assert_eq!(
            stems("a-b@x.container"),
            "a-b@x.container a-b@.container a-@x.container a-@.container a-.container"
        );
        assert_eq!(stems("w@.container"), "w@.container");
    }
}
