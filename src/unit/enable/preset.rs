//! Enables and disables units as preset files say.

use super::install::{disable, enable};
use super::{EnableError, Manner, Outcome};
use crate::paths::Paths;
use crate::unit::load::Loader;
use crate::unit::name::UnitName;
use crate::unit::preset::{Presets, Verdict};
use crate::unit::state::{self, FileState};

/// Does for each unit what the preset files say.
///
/// # Errors
/// When a preset file has errors, and as [`enable`] and [`disable`].
pub fn preset(paths: &Paths, names: &[UnitName], manner: Manner) -> Result<Outcome, EnableError> {
    let presets = read(paths)?;
    let mut outcome = Outcome::default();
    for name in names {
        let done = apply(paths, name, &presets, manner)?;
        outcome.changes.extend(done.changes);
        outcome.without_install.extend(done.without_install);
    }
    Ok(outcome)
}

/// The same for every unit that can be enabled; one that cannot does not stop the others.
///
/// # Errors
/// When a preset file has errors.
pub fn preset_all(paths: &Paths, manner: Manner) -> Result<(Outcome, Vec<EnableError>), EnableError> {
    let presets = read(paths)?;
    let (mut outcome, mut failures) = (Outcome::default(), Vec::new());
    let loader = Loader::new(paths);
    let is_installable = |name: &UnitName| {
        matches!(
            state::of_with(&loader, name),
            Some(FileState::Enabled | FileState::EnabledRuntime | FileState::Disabled | FileState::Indirect)
        )
    };
    for name in loader.search().names().into_iter().filter(is_installable) {
        match apply(paths, &name, &presets, manner) {
            Ok(done) => outcome.changes.extend(done.changes),
            Err(error) => failures.push(error),
        }
    }
    Ok((outcome, failures))
}

fn read(paths: &Paths) -> Result<Presets, EnableError> {
    Presets::read(paths).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        EnableError::Preset(lines.join("\n"))
    })
}

fn apply(paths: &Paths, name: &UnitName, presets: &Presets, manner: Manner) -> Result<Outcome, EnableError> {
    match presets.of(name) {
        Verdict::Disable => disable(paths, std::slice::from_ref(name), manner.lasting),
        Verdict::Enable(instances) if name.is_template() && !instances.is_empty() => {
            let named: Vec<UnitName> =
                instances.iter().filter_map(|instance| name.of_instance(instance)).collect();
            enable(paths, &named, manner)
        }
        // Without an instance there is nothing of a template to enable.
        Verdict::Enable(_) if name.is_template() => match enable(paths, std::slice::from_ref(name), manner) {
            Err(EnableError::Template(..)) => Ok(Outcome::default()),
            result => result,
        },
        Verdict::Enable(_) => enable(paths, std::slice::from_ref(name), manner),
    }
}
