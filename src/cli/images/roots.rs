//! Who uses images: unit files, enabled or not, and containers that run.

use std::fmt;
use std::path::PathBuf;

use crate::manager::record;
use crate::paths::Paths;
use crate::store::{ImageId, Store};
use crate::unit::load::{self, Loaded};
use crate::unit::model::{Body, ImageSource};
use crate::unit::name::UnitName;
use crate::unit::search::Search;
use crate::unit::state::{self, FileState};

/// A use of an image.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// The image as the user names it.
    pub(super) image: String,
    /// Who it is.
    pub(super) user: User,
}

/// Who uses an image.
#[derive(Debug, Clone)]
pub(super) enum User {
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
pub(super) fn roots(paths: &Paths) -> Vec<Root> {
    let mut roots = Vec::new();
    let templates = Search::new(paths).names(&mut Vec::new()).into_iter().filter(UnitName::is_template);
    let templates = templates.filter_map(|name| load::load_one(paths, &state::sample(&name)).loaded);
    for loaded in load::load_all(paths).units.into_values().chain(templates) {
        let Loaded::Good(unit) = loaded else { continue };
        let Body::Container(container) = &unit.body else { continue };
        if let Some(image) = name(&container.image) {
            let state = state::of(paths, &unit.name);
            let user = User::File { unit: unit.name.clone(), file: unit.fragment.clone(), state };
            roots.push(Root { image, user });
        }
    }
    for record in record::all(paths).into_iter().filter(|record| !record.facts.image_id.is_empty()) {
        roots.push(Root { image: record.facts.image_id, user: User::Running(record.unit) });
    }
    roots
}

fn name(source: &ImageSource) -> Option<String> {
    match source {
        ImageSource::Reference(reference) => Some(reference.clone()),
        ImageSource::Id(id) => Some(id.clone()),
        ImageSource::Directory(_) => None,
    }
}

/// The uses that mean this image now.
pub(super) fn of_image<'a, 'b>(
    roots: &'a [Root],
    store: &'b Store,
    id: &'b ImageId,
) -> impl Iterator<Item = &'a Root> + use<'a, 'b> {
    roots.iter().filter(move |root| store.resolve(&root.image).is_ok_and(|other| other == *id))
}
