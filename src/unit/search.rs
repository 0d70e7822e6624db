//! Where the files of units are: the search path, drop-ins, masks, aliases, `.wants/` and `.requires/`.

use super::drop_in;
use super::name::UnitName;
use crate::paths::Paths;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The search path of one host. What its directories hold is read once: most of what is looked for is in none.
#[derive(Debug, Clone)]
pub struct Search {
    root: PathBuf,
    directories: Vec<Directory>,
    /// Each unit with the names that are links to it.
    aliases: BTreeMap<UnitName, BTreeSet<UnitName>>,
}

/// One directory of the search path.
#[derive(Debug, Clone)]
struct Directory {
    path: PathBuf,
    names: BTreeSet<OsString>,
    /// Those that are symbolic links.
    links: Vec<OsString>,
}

impl Directory {
    fn read(path: PathBuf) -> Self {
        let mut directory = Self { names: BTreeSet::new(), links: Vec::new(), path };
        let Ok(entries) = fs::read_dir(&directory.path) else { return directory };
        for entry in entries.flatten().filter(|entry| !is_hidden(&entry.file_name())) {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                directory.links.push(entry.file_name());
            }
            directory.names.insert(entry.file_name());
        }
        directory
    }

    /// The path of an entry, if there is one of this name.
    fn get(&self, name: &OsStr) -> Option<PathBuf> {
        self.names.contains(name).then(|| self.path.join(name))
    }
}

/// Links from one alias to the next before they are called a loop.
pub(super) const ALIASES_MAX: usize = 8;

/// What a unit's name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file to read.
    File(PathBuf),
    /// A link out of the search path, and the file to read.
    Linked {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        file: PathBuf,
    },
    /// An empty file or a link to `/dev/null`.
    Masked(PathBuf),
    /// A link to another unit's file.
    Alias(UnitName),
    /// A link that leads nowhere.
    Dangling {
        /// The link.
        link: PathBuf,
        /// What it says.
        target: PathBuf,
    },
}

/// The directories beside a unit that make dependencies of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// `.wants/`.
    Wants,
    /// `.requires/`.
    Requires,
    /// `.upholds/`.
    Upholds,
}

impl LinkKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wants, Self::Requires, Self::Upholds];

    /// The suffix of the directory.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Wants => "wants",
            Self::Requires => "requires",
            Self::Upholds => "upholds",
        }
    }

    /// The kind of a directory of this name; `None` for every other.
    pub fn of_directory(path: &Path) -> Option<Self> {
        let suffix = path.extension()?;
        Self::ALL.into_iter().find(|kind| suffix == kind.suffix())
    }
}

impl Search {
    /// The search path of a host.
    pub fn new(paths: &Paths) -> Self {
        let directories = paths.unit_search_path().into_iter().map(Directory::read).collect();
        let mut search = Self { root: paths.root().to_owned(), directories, aliases: BTreeMap::new() };
        for name in search.links_in_directories() {
            if let Some(real) = search.real_name(&name).filter(|real| *real != name) {
                search.aliases.entry(real).or_default().insert(name);
            }
        }
        search
    }

    fn links_in_directories(&self) -> Vec<UnitName> {
        let links = self
            .directories
            .iter()
            .flat_map(|directory| directory.links.iter().filter_map(|link| unit_of_file(Path::new(link))));
        links.collect()
    }

    /// The unit that a name stands for, by way of however many aliases; `None` if they go round in a circle.
    pub fn real_name(&self, name: &UnitName) -> Option<UnitName> {
        let mut name = name.clone();
        for _ in 0..ALIASES_MAX {
            match self.find(&name) {
                Some(Found::Alias(other)) if other.kind() == name.kind() => name = other,
                _ => return Some(name),
            }
        }
        None
    }

    /// A unit's own name, and all others that it has.
    fn all_names<'s>(&'s self, name: &'s UnitName) -> impl Iterator<Item = &'s UnitName> {
        std::iter::once(name).chain(self.aliases.get(name).into_iter().flatten())
    }

    /// Looks for a unit's own file, then for that of its template.
    pub fn find(&self, name: &UnitName) -> Option<Found> {
        let of_template = || self.find_file(&name.template()?.file_name(), name);
        self.find_file(&name.file_name(), name).or_else(of_template)
    }

    fn find_file(&self, file_name: &str, name: &UnitName) -> Option<Found> {
        let file_name = OsStr::new(file_name);
        self.directories.iter().find_map(|directory| self.look(&directory.get(file_name)?, name))
    }

    fn look(&self, path: &Path, name: &UnitName) -> Option<Found> {
        let metadata = path.symlink_metadata().ok()?;
        if !metadata.is_symlink() {
            let empty = metadata.is_file() && metadata.len() == 0;
            return Some(if empty { Found::Masked(path.to_owned()) } else { Found::File(path.to_owned()) });
        }
        let target = self.link_target(path)?;
        if target == Path::new("/dev/null") {
            return Some(Found::Masked(path.to_owned()));
        }
        if target.symlink_metadata().is_err() {
            return Some(Found::Dangling { link: path.to_owned(), target });
        }
        let inside =
            target.parent().is_some_and(|parent| self.directories.iter().any(|known| known.path == parent));
        if inside && let Some(other) = unit_of_file(&target) {
            // A link to itself is an alias that never ends.
            let same = target != *path && other == *name || name.template().as_ref() == Some(&other);
            if !same {
                // A template's other name gives its instances another name, too.
                let instance = name.instance().and_then(|instance| other.of_instance(instance));
                return Some(Found::Alias(instance.unwrap_or(other)));
            }
        }
        Some(match (fs::metadata(&target), inside) {
            (Err(_), _) => Found::Dangling { link: path.to_owned(), target },
            (Ok(metadata), _) if metadata.is_file() && metadata.len() == 0 => Found::Masked(path.to_owned()),
            (Ok(_), true) => Found::File(target),
            (Ok(_), false) => Found::Linked { link: path.to_owned(), file: target },
        })
    }

    /// The file or link that has a unit's name, or that of its template.
    pub fn path(&self, name: &UnitName) -> Option<PathBuf> {
        let files = [Some(name.clone()), name.template()].into_iter().flatten().map(|name| name.file_name());
        let mut all =
            files.flat_map(|file| self.directories.iter().map(move |directory| (directory, file.clone())));
        all.find_map(|(directory, file)| directory.get(OsStr::new(&file)))
    }

    /// Where a link leads, one step; absolute targets are below our root, but for `/dev/null`.
    pub fn link_target(&self, link: &Path) -> Option<PathBuf> {
        let target = fs::read_link(link).ok()?;
        if target == Path::new("/dev/null") || target.starts_with(&self.root) {
            return Some(target);
        }
        match target.strip_prefix("/") {
            Ok(relative) => Some(self.root.join(relative)),
            Err(_) => Some(normal(&link.parent()?.join(target))),
        }
    }

    /// A path as a link in our root would say it.
    pub fn inside_root(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(relative) => Path::new("/").join(relative),
            Err(_) => path.to_owned(),
        }
    }

    /// Drop-ins of a unit in the order of merging. Of those with the same name the one in the first directory
    /// wins, and in one directory of the search path the more special; those of the type come last, wherever
    /// they are. An empty one masks.
    pub fn drop_ins(&self, name: &UnitName) -> Vec<PathBuf> {
        let own: Vec<String> = self.all_names(name).flat_map(drop_in::stems).collect();
        let own = self.directories.iter().flat_map(|directory| {
            own.iter()
                .flat_map(|stem| drop_in::spellings(stem))
                .filter_map(|spelling| directory.get(&spelling))
        });
        let of_type = drop_in::spellings(name.suffix());
        let of_type = self
            .directories
            .iter()
            .flat_map(|directory| of_type.iter().filter_map(|spelling| directory.get(spelling)));
        let mut by_name: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for path in own.chain(of_type).flat_map(|directory| drop_in::drop_ins_in(&directory)) {
            let Some(file_name) = path.file_name() else { continue };
            by_name.entry(file_name.to_owned()).or_insert(path);
        }
        by_name.into_values().filter(|path| !is_mask(path)).collect()
    }

    /// Units that links in `.wants/`, `.requires/` or `.upholds/` beside a unit name.
    pub fn links(&self, name: &UnitName, kind: LinkKind) -> BTreeSet<UnitName> {
        let mut found: BTreeMap<UnitName, PathBuf> = BTreeMap::new();
        for directory in &self.directories {
            for unit in self.all_names(name).flat_map(|name| [Some(name.clone()), name.template()]).flatten()
            {
                let beside = directory.get(format!("{unit}.{}", kind.suffix()).as_ref());
                for path in beside.iter().flat_map(|beside| entries(beside)) {
                    let Some(unit) = unit_of_file(&path) else { continue };
                    found.entry(unit).or_insert(path);
                }
            }
        }
        found
            .into_iter()
            .filter(|(name, path)| !name.is_template() && !is_mask(path))
            .map(|(name, _)| name)
            .collect()
    }

    /// What one directory of the search path holds that enables units: links, and directories of links.
    pub fn enabling(&self, directory: &Path) -> Vec<PathBuf> {
        let of_path = self.directories.iter().filter(|known| known.path == directory);
        let enabling = |directory: &Directory| -> Vec<PathBuf> {
            let folders =
                directory.names.iter().filter(|name| LinkKind::of_directory(Path::new(name)).is_some());
            directory.links.iter().chain(folders).map(|name| directory.path.join(name)).collect()
        };
        let mut found: Vec<PathBuf> = of_path.flat_map(enabling).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Every unit that has a file, templates and aliases among them.
    pub fn names(&self) -> BTreeSet<UnitName> {
        self.paths().filter_map(|path| unit_of_file(&path)).collect()
    }

    /// Everything that the directories hold.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.directories
            .iter()
            .flat_map(|directory| directory.names.iter().map(|name| directory.path.join(name)))
    }
}

/// The unit that a file `NAME.toml` defines.
pub fn unit_of_file(path: &Path) -> Option<UnitName> {
    UnitName::parse(path.file_name()?.to_str()?.strip_suffix(".toml")?).ok()
}

/// What a directory holds, sorted, without hidden entries; nothing if it cannot be read.
pub fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let shown = entries.flatten().filter(|entry| !is_hidden(&entry.file_name()));
    let mut paths: Vec<PathBuf> = shown.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// An empty file, or a link to `/dev/null`.
pub fn is_mask(path: &Path) -> bool {
    let null = fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"));
    null || fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// Takes out `.` and `..` without asking the file system.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}
