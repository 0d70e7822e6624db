//! Who uses images: unit files, enabled or not, and containers that run.

use crate::manager::shelf;
use crate::paths::Paths;
use crate::store::{ImageId, PrivateCopy, Store};
use crate::unit::load::{Loaded, Loader, load_all_and_templates, load_one};
use crate::unit::model::{Body, Container, ImageSource, MountSource};
use crate::unit::name::UnitName;
use crate::unit::search::Found;
use crate::unit::state::{self, FileState};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// A use of an image.
#[derive(Debug, Clone)]
pub struct Root {
    /// The image as the user names it.
    pub image: String,
    /// Who it is.
    pub user: User,
}

/// Who uses an image.
#[derive(Debug, Clone)]
pub enum User {
    /// A unit file names it.
    File {
        /// The unit.
        unit: UnitName,
        /// Its file.
        file: Option<PathBuf>,
        /// Whether it is enabled.
        state: Option<FileState>,
    },
    /// A container runs from it.
    Running(UnitName),
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(unit) => write!(formatter, "{unit} runs from it"),
            Self::File { unit, file, state } => {
                let file = file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
                let state = state.map_or("not found", FileState::word);
                write!(formatter, "{unit} names it ({file}, {state})")
            }
        }
    }
}

/// All uses of images, as the users name them.
pub fn roots(paths: &Paths) -> Vec<Root> {
    let loader = Loader::new(paths);
    let units = load_all_and_templates(paths);
    let mut roots: Vec<Root> = units.flat_map(|(unit, loaded)| of_unit(&loader, &unit, loaded)).collect();
    roots.extend(running(paths));
    roots
}

/// The uses by containers that run.
pub fn running(paths: &Paths) -> impl Iterator<Item = Root> {
    shelf::all(paths).into_iter().flat_map(|record| {
        let own = Some(record.facts.image_id).filter(|id| !id.is_empty());
        let images = own.into_iter().chain(record.facts.images);
        images.map(move |image| Root { image, user: User::Running(record.unit.clone()) })
    })
}

/// Tells of the name of a unit whether it runs.
pub fn running_units(paths: &Paths) -> impl Fn(&str) -> bool {
    let running: BTreeSet<UnitName> = shelf::all(paths).into_iter().map(|record| record.unit).collect();
    move |name| UnitName::parse(name).is_ok_and(|unit| running.contains(&unit))
}

/// Tells of a copy whether its unit wants it: while the unit runs; otherwise where the image is one of these, and the
/// files of the unit say so or cannot be read.
pub fn wants_copy(paths: &Paths, images: BTreeSet<ImageId>) -> impl Fn(&PrivateCopy) -> bool {
    let running = running_units(paths);
    move |copy: &PrivateCopy| {
        let Ok(unit) = UnitName::parse(&copy.unit) else { return false };
        running(&copy.unit)
            || images.contains(&copy.image)
                && match load_one(paths, &unit).loaded {
                    Some(Loaded::Good(good)) => {
                        good.body.container().is_some_and(|container| !container.share)
                    }
                    Some(Loaded::Bad(_) | Loaded::Masked) => true,
                    None => false,
                }
    }
}

/// The uses by a unit. A file with errors keeps its image, too: as well as it can be read.
fn of_unit(loader: &Loader<'_>, unit: &UnitName, loaded: Loaded) -> Vec<Root> {
    let (images, file) = match loaded {
        Loaded::Good(good) => match &good.body {
            Body::Container(container) => (images(container), good.fragment.clone()),
            Body::Target => return Vec::new(),
        },
        Loaded::Bad(_) => match loader.search().find(unit) {
            Some(Found::File(file) | Found::Linked { file, .. }) => {
                (written(&file).into_iter().collect(), Some(file))
            }
            _ => return Vec::new(),
        },
        Loaded::Masked => return Vec::new(),
    };
    let state = state::of_with(loader, unit);
    let user = User::File { unit: unit.clone(), file, state };
    images.into_iter().map(|image| Root { image, user: user.clone() }).collect()
}

/// The image that a container runs from, and those that it mounts.
fn images(container: &Container) -> Vec<String> {
    let mounted = container.mounts.values().filter_map(|mount| match &mount.source {
        MountSource::Image(source) => Some(source),
        _ => None,
    });
    std::iter::once(&container.image).chain(mounted).filter_map(name).collect()
}

/// What the first line `image = "..."` of a file says.
fn written(file: &Path) -> Option<String> {
    let text = std::fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&text);
    let values = text.lines().filter_map(|line| {
        let value = line.trim_start().strip_prefix("image")?.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        value[1..].split(quote).next().map(str::to_owned)
    });
    values.into_iter().next()
}

fn name(source: &ImageSource) -> Option<String> {
    match source {
        ImageSource::Reference(reference) => Some(reference.clone()),
        ImageSource::Id(id) => Some(id.clone()),
        ImageSource::Directory(_) => None,
    }
}

/// The uses that mean an image of the store now, with that image.
pub fn resolved<'a>(roots: &'a [Root], store: &Store) -> Vec<(&'a Root, ImageId)> {
    roots.iter().filter_map(|root| Some((root, store.resolve(&root.image).ok()?))).collect()
}

/// The uses that mean this image now.
pub fn of_image<'a>(roots: &'a [Root], store: &Store, id: &ImageId) -> impl Iterator<Item = &'a Root> {
    resolved(roots, store).into_iter().filter(|(_, of)| *of == *id).map(|(root, _)| root)
}
