//! Words that complete an argument. Names come from files, so that a key press needs no manager.

use crate::paths::Paths;
use crate::store::Store;
use crate::unit::search::Search;
use clap_complete::engine::CompletionCandidate;

/// Names of images; of those below `localhost/`, what a command line needs of them.
pub fn image_names() -> Vec<CompletionCandidate> {
    let names = Store::open(&Paths::default()).and_then(|store| store.names()).unwrap_or_default();
    let shown = |name: String| name.strip_prefix("localhost/").map(str::to_owned).unwrap_or(name);
    names.into_iter().map(|(name, _)| CompletionCandidate::new(shown(name.to_string()))).collect()
}

/// Names of volumes.
pub fn volume_names() -> Vec<CompletionCandidate> {
    let names = Store::open(&Paths::default()).and_then(|store| store.volumes().names()).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Names of units, those of containers without the suffix.
pub fn unit_names() -> Vec<CompletionCandidate> {
    let names = Search::new(&Paths::default()).names();
    names
        .iter()
        .map(|name| match name.as_str().strip_suffix(".container") {
            Some(stem) => CompletionCandidate::new(stem),
            None => CompletionCandidate::new(name.as_str()),
        })
        .collect()
}

/// Keys of unit files with a `=` behind, for `run`.
pub fn property_keys() -> Vec<CompletionCandidate> {
    let keys = crate::unit::schema::keys().into_iter().filter(|key| !key.way.iter().any(|part| part == "*"));
    keys.map(|key| {
        CompletionCandidate::new(format!("{}=", key.way.join("."))).help(Some(key.sentence.into()))
    })
    .collect()
}

/// Names of the properties of units: those of a unit that runs, as the manager tells them; without one, the words that
/// each unit has.
pub fn property_names() -> Vec<CompletionCandidate> {
    super::client::property_names().into_iter().map(CompletionCandidate::new).collect()
}
