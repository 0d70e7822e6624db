//! Unit files into the core: all of them at a reload, others when they are asked for.

use super::Manager;
use crate::manager::machine::{Event, LoadState, Loaded};
use crate::manager::record::Record;
use crate::unit::across;
use crate::unit::diagnostic::{Severity, Style};
use crate::unit::load::{self, Reading};
use crate::unit::name::UnitName;
use crate::unit::state;
use std::collections::BTreeMap;

impl Manager {
    /// Reads all unit files again.
    pub fn reload(&mut self) {
        let catalog = load::load_all(&self.paths);
        for diagnostic in catalog.diagnostics.iter().chain(&across::check(&catalog)) {
            let text = diagnostic.render(Style::Plain);
            match diagnostic.severity {
                Severity::Error => tracing::error!("{text}"),
                Severity::Warning => tracing::warn!("{text}"),
            }
        }
        self.aliases = catalog.aliases;
        let mut units: BTreeMap<UnitName, Loaded> =
            catalog.units.into_iter().map(|(name, read)| (name, loaded(Some(read)))).collect();
        // Instances have no file of their own: those in memory are read through their templates.
        for name in self.machine.units().keys() {
            if !units.contains_key(name) {
                units.insert(name.clone(), loaded(load::load_one(&self.paths, name).loaded));
            }
        }
        self.event(Event::Loaded(units));
    }

    /// Loads a unit and everything that it depends on, as far as that is not in memory. Answers with its
    /// name, which is another one where an alias was given.
    pub fn ensure_loaded(&mut self, unit: &UnitName) -> UnitName {
        let mut open = vec![unit.clone()];
        let mut units = BTreeMap::new();
        while let Some(name) = open.pop() {
            let known = self.aliases.contains_key(&name) || self.machine.unit(&name).is_some();
            if known || units.contains_key(&name) || name.is_template() {
                continue;
            }
            let Reading { name: real, loaded: read, .. } = load::load_one(&self.paths, &name);
            if name != real {
                self.aliases.insert(name, real.clone());
            }
            let loaded = loaded(read);
            open.extend(loaded.unit.iter().flat_map(|unit| unit.dependencies.named()).cloned());
            if self.machine.unit(&real).is_none() {
                units.insert(real, loaded);
            }
        }
        if !units.is_empty() {
            self.event(Event::LoadedMore(units));
        }
        self.aliases.get(unit).unwrap_or(unit).clone()
    }

    /// What a predecessor has left goes on by the version of its files that ruled then, where they are not
    /// valid any more.
    pub fn restore_definition(&mut self, record: &Record) {
        let now = self.machine.unit(&record.unit).map(|managed| managed.loaded.clone());
        let now = now.unwrap_or(Loaded::unusable(LoadState::NotFound));
        if now.unit.is_none() && record.definition.is_some() {
            let loaded = Loaded { unit: record.definition.clone(), ..now };
            self.event(Event::LoadedMore(BTreeMap::from([(record.unit.clone(), loaded)])));
        }
    }

    /// `enabled`, `disabled`, `static` and so on, as `is-enabled` says it.
    pub fn unit_file_state(&self, unit: &UnitName) -> &'static str {
        state::of(&self.paths, unit).map_or("", state::FileState::word)
    }

    /// Whether the files of a unit have changed since they were read.
    pub fn needs_reload(&self, unit: &UnitName) -> bool {
        let Some(managed) = self.machine.unit(unit) else { return false };
        let now = loaded(load::load_one(&self.paths, unit).loaded);
        managed.loaded.state != now.state || managed.unit() != now.unit.as_ref()
    }
}

fn loaded(read: Option<load::Loaded>) -> Loaded {
    match read {
        Some(load::Loaded::Good(unit)) => Loaded::good(unit),
        Some(load::Loaded::Bad(diagnostics)) => {
            let text: Vec<String> = diagnostics.iter().map(|one| one.render(Style::Plain)).collect();
            Loaded::unusable(LoadState::Bad(text.join("\n")))
        }
        Some(load::Loaded::Masked) => Loaded::unusable(LoadState::Masked),
        None => Loaded::unusable(LoadState::NotFound),
    }
}
