//! Who uses images: unit files, enabled or not, and containers that run.

use crate::manager::record;
use crate::paths::Paths;
use crate::store::Store;
use crate::unit::load::{self, Loaded};
use crate::unit::model::{Body, ImageSource};
use crate::unit::name::UnitName;

/// The images that units name, as they write them, and the ids of those that run.
pub(super) fn roots(paths: &Paths) -> Vec<String> {
    let units = load::load_all(paths).units.into_values();
    let named = units.filter_map(|loaded| match loaded {
        Loaded::Good(unit) => match &unit.body {
            Body::Container(container) => name(&container.image),
            Body::Target => None,
        },
        Loaded::Bad(_) | Loaded::Masked => None,
    });
    named.chain(running(paths)).collect()
}

/// The ids of the images from which containers run.
pub(super) fn running(paths: &Paths) -> impl Iterator<Item = String> {
    record::all(paths).into_iter().map(|record| record.facts.image_id).filter(|id| !id.is_empty())
}

fn name(source: &ImageSource) -> Option<String> {
    match source {
        ImageSource::Reference(reference) => Some(reference.clone()),
        ImageSource::Id(id) => Some(id.clone()),
        ImageSource::Directory(_) => None,
    }
}

/// A unit whose container runs from this image.
pub(super) fn runs_from(paths: &Paths, store: &Store, image: &str) -> Option<UnitName> {
    let id = store.resolve(image).ok()?.to_string();
    let records = record::all(paths).into_iter();
    records.filter(|record| record.facts.image_id == id).map(|record| record.unit).next()
}
