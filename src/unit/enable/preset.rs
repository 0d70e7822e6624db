//! Enables and disables units as preset files say.

use super::install::{disable, enable};
use super::{EnableError, Manner, Outcome};
use crate::paths::Paths;
use crate::unit::load::Loader;
use crate::unit::name::UnitName;
use crate::unit::preset::{Presets, Verdict};
use crate::unit::state::{self, FileState};

/// Which of what preset files say is done, systemctl(1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PresetMode {
    /// All of it.
    #[default]
    Full,
    /// What they enable.
    EnableOnly,
    /// What they disable.
    DisableOnly,
}

impl PresetMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::EnableOnly, Self::DisableOnly];

    /// systemd's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::EnableOnly => "enable-only",
            Self::DisableOnly => "disable-only",
        }
    }

    /// The other way round; nothing means all of it.
    pub fn of_word(word: &str) -> Option<Self> {
        if word.is_empty() {
            return Some(Self::Full);
        }
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }
}

/// Does for each unit what the preset files say.
///
/// # Errors
/// When a preset file has errors, and as [`enable`] and [`disable`].
pub fn preset(
    paths: &Paths,
    names: &[UnitName],
    mode: PresetMode,
    manner: Manner,
) -> Result<Outcome, EnableError> {
    let presets = read(paths)?;
    let mut outcome = Outcome::default();
    for name in names {
        let done = apply(paths, name, (&presets, mode), manner)?;
        outcome.changes.extend(done.changes);
        outcome.without_install.extend(done.without_install);
    }
    Ok(outcome)
}

/// The same for every unit that can be enabled; one that cannot does not stop the others.
///
/// # Errors
/// When a preset file has errors.
pub fn preset_all(
    paths: &Paths,
    mode: PresetMode,
    manner: Manner,
) -> Result<(Outcome, Vec<EnableError>), EnableError> {
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
        match apply(paths, &name, (&presets, mode), manner) {
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

fn apply(
    paths: &Paths,
    name: &UnitName,
    (presets, mode): (&Presets, PresetMode),
    manner: Manner,
) -> Result<Outcome, EnableError> {
    match presets.of(name) {
        Verdict::Disable if mode == PresetMode::EnableOnly => Ok(Outcome::default()),
        Verdict::Enable(_) if mode == PresetMode::DisableOnly => Ok(Outcome::default()),
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
