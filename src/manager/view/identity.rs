//! What a unit is: its names, its files and what became of them.

use super::Read::{Flag, List, Text};
use super::{Entry, Look, Viewer, told, untold};
use crate::manager::machine::{LoadState, RequestError};
use std::path::Path;

pub(super) const TABLE: &[Entry] = &[
    Entry { name: "Id", change: super::Change::Never, read: Text(|look| look.name.to_string()) },
    untold("Names", List(names)),
    untold("Description", Text(description)),
    untold(
        "Documentation",
        List(|look| look.unit().map(|unit| unit.documentation.clone()).unwrap_or_default()),
    ),
    told("LoadState", Text(|look| look.managed.loaded.state.as_str().to_owned())),
    untold("LoadError", Text(load_error)),
    untold("UnitFileState", Text(|look| look.manager.unit_file_state(look.name).to_owned())),
    untold("UnitFilePreset", Text(|look| look.manager.unit_file_preset(look.name))),
    untold("FragmentPath", Text(fragment)),
    untold("DropInPaths", List(drop_ins)),
    untold("Transient", Flag(|look| look.manager.is_transient(look.name))),
    untold("NeedDaemonReload", Flag(|look| look.manager.needs_reload(look.name))),
];

fn names(look: &Look<'_>) -> Vec<String> {
    let aliases = look.manager.aliases_of(look.name);
    std::iter::once(look.name).chain(aliases).map(ToString::to_string).collect()
}

fn description(look: &Look<'_>) -> String {
    look.unit().map_or_else(|| look.name.to_string(), |unit| unit.description.clone())
}

/// The diagnostics quote the file, which not everybody may be able to read.
fn load_error(look: &Look<'_>) -> String {
    match (&look.managed.loaded.state, look.beside.viewer) {
        (LoadState::Bad(diagnostics), Viewer::Root) => diagnostics.clone(),
        (LoadState::Bad(_), Viewer::Anybody) => RequestError::Bad(look.name.clone()).to_string(),
        (LoadState::Masked, _) => RequestError::Masked(look.name.clone()).to_string(),
        (LoadState::NotFound, _) => RequestError::NotFound(look.name.clone()).to_string(),
        (LoadState::Good, _) => String::new(),
    }
}

fn fragment(look: &Look<'_>) -> String {
    look.unit().and_then(|unit| unit.fragment.as_deref()).map(text).unwrap_or_default()
}

fn drop_ins(look: &Look<'_>) -> Vec<String> {
    look.unit().map(|unit| unit.drop_ins.iter().map(|path| text(path)).collect()).unwrap_or_default()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
