//! Words that complete an argument. Names come from files, so that a key press needs no manager.

use crate::paths::Paths;
use crate::unit::search::Search;
use clap_complete::engine::CompletionCandidate;

/// Names of units, those of containers without the suffix.
pub fn unit_names() -> Vec<CompletionCandidate> {
    let names = Search::new(&Paths::default()).names(&mut Vec::new());
    names
        .iter()
        .map(|name| match name.as_str().strip_suffix(".container") {
            Some(stem) => CompletionCandidate::new(stem),
            None => CompletionCandidate::new(name.as_str()),
        })
        .collect()
}
