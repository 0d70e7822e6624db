//! Unit files into the core: all of them at a reload, others when they are asked for.

use super::{Manager, Notice};
use crate::manager::machine::{Event, LoadState, Loaded};
use crate::manager::record::Record;
use crate::settings::Settings;
use crate::sys::allocator;
use crate::unit::across;
use crate::unit::diagnostic::{Severity, Style};
use crate::unit::load::{self, Loader, Reading};
use crate::unit::model::{Body, Resources};
use crate::unit::name::UnitName;
use crate::unit::preset::Presets;
use crate::unit::state;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Manager {
    /// Reads all unit files again.
    pub fn reload(&mut self) {
        self.tell(Notice::Reloading(true));
        self.load_defaults();
        let catalog = load::load_all(&self.paths);
        for diagnostic in catalog.diagnostics.iter().chain(&across::check(&catalog, &self.paths)) {
            let text = diagnostic.render(Style::Plain);
            match diagnostic.severity {
                Severity::Error => tracing::error!("{text}"),
                Severity::Warning => tracing::warn!("{text}"),
            }
        }
        self.aliases = catalog.aliases;
        let mut units: BTreeMap<UnitName, Loaded> =
            catalog.units.into_iter().map(|(name, read)| (name, self.loaded(Some(read)))).collect();
        // Instances have no file of their own: those in memory are read through their templates.
        let loader = OnceCell::new();
        let in_memory = self.machine.units().keys();
        for name in in_memory.filter(|name| !units.contains_key(*name)).collect::<Vec<_>>() {
            let loader = loader.get_or_init(|| Loader::new(&self.paths));
            units.insert(name.clone(), self.read(loader, name));
        }
        let new: Vec<UnitName> =
            units.keys().filter(|name| self.machine.unit(name).is_none()).cloned().collect();
        self.ranges.note(&units);
        self.ranges.warn(&self.store);
        let limits = self.running_limits();
        self.event(Event::Loaded(units));
        for (unit, before) in limits {
            self.follow_limits(unit, before);
        }
        for name in new {
            self.tell(Notice::New(name));
        }
        // What the files were read with lies between what stays of them.
        allocator::give_unused_pages_back();
        self.tell(Notice::Reloading(false));
    }

    /// Reads one unit's files again.
    pub(super) fn reload_one(&mut self, unit: &UnitName) {
        let read = self.read(&Loader::new(&self.paths), unit);
        let units = BTreeMap::from([(unit.clone(), read)]);
        self.ranges.note(&units);
        self.event(Event::LoadedMore(units));
    }

    /// Other names of a unit.
    pub fn aliases_of<'a>(&'a self, unit: &'a UnitName) -> impl Iterator<Item = &'a UnitName> {
        self.aliases.iter().filter(move |(_, meant)| *meant == unit).map(|(alias, _)| alias)
    }

    /// The own name of a unit that is in memory.
    pub fn loaded_name(&self, unit: &UnitName) -> Option<UnitName> {
        let name = self.aliases.get(unit).unwrap_or(unit);
        self.machine.unit(name).map(|_| name.clone())
    }

    /// Takes an instance out of memory that does nothing and that no other unit names. It has no file of its own: it
    /// is there once more when it is asked for.
    pub(super) fn forget_unused(&mut self, unit: &UnitName) {
        let mut open = vec![unit.clone()];
        while let Some(name) = open.pop() {
            let Some(managed) = self.machine.unit(&name) else { continue };
            if name.instance().is_none() || !managed.is_forgettable() || self.is_named(&name) {
                continue;
            }
            open.extend(managed.unit().iter().flat_map(|unit| unit.dependencies.named()).cloned());
            if let Some(listener) = managed.accepted().map(|accepted| accepted.by.clone()) {
                self.discard_instance(&name, listener);
            }
            self.aliases.retain(|_, meant| *meant != name);
            let gone = Loaded::unusable(LoadState::NotFound);
            self.event(Event::LoadedMore(BTreeMap::from([(name, gone)])));
        }
    }

    fn is_named(&self, name: &UnitName) -> bool {
        self.machine.dependents(name).named().any(|other| other != name)
    }

    /// Loads a unit and everything that it depends on, as far as that is not in memory. Answers with its
    /// name, which is another one where an alias was given. Of one that could not be used the files may have been
    /// mended: they are read again.
    pub fn ensure_loaded(&mut self, unit: &UnitName) -> UnitName {
        self.ensure_all_loaded(std::slice::from_ref(unit));
        self.aliases.get(unit).unwrap_or(unit).clone()
    }

    /// The same of several, for which the directories are searched once.
    pub fn ensure_all_loaded(&mut self, asked: &[UnitName]) {
        let mut open = asked.to_vec();
        let mut units = BTreeMap::new();
        let loader = OnceCell::new();
        while let Some(name) = open.pop() {
            // What has been retired has no file.
            let known =
                self.aliases.contains_key(&name) || self.is_usable(&name) || name.successor().is_some();
            if known || units.contains_key(&name) || name.is_template() {
                continue;
            }
            let loader = loader.get_or_init(|| Loader::new(&self.paths));
            let Reading { name: real, loaded: read, .. } = loader.load(&name);
            if name != real {
                self.aliases.insert(name, real.clone());
            }
            let loaded = self.loaded(read);
            open.extend(loaded.unit.iter().flat_map(|unit| unit.dependencies.named()).cloned());
            if !self.is_usable(&real) {
                units.insert(real, loaded);
            }
        }
        let is_new = |name: &&UnitName| self.machine.unit(name).is_none();
        let new: Vec<UnitName> = units.keys().filter(is_new).cloned().collect();
        if !units.is_empty() {
            self.ranges.note(&units);
            self.event(Event::LoadedMore(units));
        }
        for name in new.into_iter().filter(|name| self.machine.unit(name).is_some()) {
            self.tell(Notice::New(name));
        }
    }

    fn is_usable(&self, name: &UnitName) -> bool {
        self.machine.unit(name).is_some_and(|managed| managed.unit().is_some())
    }

    /// What a predecessor has left goes on by the version of its files that ruled then, where they are not
    /// valid any more.
    pub fn restore_definition(&mut self, record: &Record) {
        let now = self.machine.unit(&record.unit).map(|managed| managed.loaded.clone());
        let now = now.unwrap_or(Loaded::unusable(LoadState::NotFound));
        if now.unit.is_none() && record.definition.is_some() {
            let definition = record.definition.clone();
            let made = definition.as_ref().and_then(|unit| unit.body.container()?.accepted.as_ref());
            let is_made = made.is_some() || record.unit.successor().is_some();
            let state = if is_made { LoadState::Good } else { now.state };
            let loaded = Loaded { state, unit: definition };
            self.event(Event::LoadedMore(BTreeMap::from([(record.unit.clone(), loaded)])));
        }
    }

    /// `enabled`, `disabled`, `static` and so on, as `is-enabled` says it.
    pub fn unit_file_state(&self, unit: &UnitName) -> &'static str {
        state::of(&self.paths, unit).map_or("", state::FileState::word)
    }

    /// `enabled` or `disabled`, as the presets of the host want a unit that has a file; empty where these are wrong.
    pub fn unit_file_preset(&self, unit: &UnitName) -> String {
        let is_loaded = self.machine.unit(unit).is_some_and(|managed| managed.unit().is_some());
        // What was made for one start is never enabled.
        let presets =
            (is_loaded && !self.is_transient(unit)).then(|| Presets::read(&self.paths).ok()).flatten();
        presets.map(|presets| presets.of(unit).word().to_owned()).unwrap_or_default()
    }

    /// Whether the files of a unit have changed since they were read.
    pub fn needs_reload(&self, unit: &UnitName) -> bool {
        let Some(managed) = self.machine.unit(unit) else { return false };
        let now = self.read(&Loader::new(&self.paths), unit);
        managed.loaded.state != now.state || managed.unit() != now.unit.as_ref()
    }

    /// What the files of a unit say now. An instance for a connection has none, nor has what has been retired: it stays
    /// what it was made as.
    fn read(&self, loader: &Loader<'_>, name: &UnitName) -> Loaded {
        let made = self.machine.unit(name);
        let made = made.filter(|managed| managed.accepted().is_some() || name.successor().is_some());
        match made.and_then(|managed| managed.unit()) {
            Some(unit) => Loaded::good(unit.clone()),
            None => self.loaded(loader.load(name).loaded),
        }
    }

    /// What is read, with the host's limits where the unit names none.
    fn loaded(&self, read: Option<load::Loaded>) -> Loaded {
        match read {
            Some(load::Loaded::Good(mut unit)) => {
                if self.defaults != Resources::default()
                    && let Body::Container(container) = &mut Arc::make_mut(&mut unit).body
                {
                    let own = std::mem::take(&mut container.resources).into_inner();
                    container.resources = own.or(&self.defaults).into();
                }
                Loaded::good(unit)
            }
            Some(load::Loaded::Bad(diagnostics)) => {
                let text: Vec<String> = diagnostics.iter().map(|one| one.render(Style::Plain)).collect();
                Loaded::unusable(LoadState::Bad(text.join("\n")))
            }
            Some(load::Loaded::Masked) => Loaded::unusable(LoadState::Masked),
            None => Loaded::unusable(LoadState::NotFound),
        }
    }

    /// Reads the host's limits of containers. Those that were stay where the settings are not valid.
    fn load_defaults(&mut self) {
        match Settings::load(&self.paths) {
            Ok(settings) => self.defaults = settings.resources,
            Err(error) => tracing::error!("{error}"),
        }
    }
}
