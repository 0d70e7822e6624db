//! Health checks of containers that run: one task for each, in pauses, as `[health]` or the image says. The core hears
//! of a verdict that changes; a check that says the same as the last one wakes nobody.

mod probe;
mod verdict;

use super::control::failure;
use super::live::LiveRun;
use super::prepare::prepare_join;
use super::{Manager, Note};
use crate::image::config::HealthCheck;
use crate::launch::plan::Command;
use crate::manager::accounting;
use crate::manager::machine::{Event, Failure, HealthState, Stamp};
use crate::manager::record::RunFacts;
use crate::unit::model::{Check, Container, Health, ReadyOn, ServiceType};
use crate::unit::name::UnitName;
use probe::{Exec, Probe};
use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinHandle;
use verdict::{Outcome, Rules, Stage, Verdict};

/// What is known of one container.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// When the last one ended.
    pub last: Option<Stamp>,
    /// What it said.
    pub output: String,
    /// Failures in a row.
    pub failures: u32,
}

/// All checks that go on.
#[derive(Debug, Default)]
pub(super) struct Checks(BTreeMap<UnitName, (Rc<RefCell<Checked>>, JoinHandle<()>)>);

impl Checks {
    /// Ends the checks of a unit. What a check has started ends with it.
    pub(super) fn end(&mut self, unit: &UnitName) {
        if let Some((_, task)) = self.0.remove(unit) {
            task.abort();
        }
    }
}

/// Whether there is a check to be made, where the unit wants one.
pub(super) fn check(container: &Container, facts: &RunFacts) -> Result<(), Failure> {
    let wants = container.health.as_ref().is_some_and(|health| health.check.is_none());
    match wants && facts.health_check.is_none() {
        true => Err(failure(
            "health: the image has no HEALTHCHECK: write \"command\", \"http\" or \"tcp\" in [health]"
                .to_owned(),
            libc::EINVAL,
        )),
        false => Ok(()),
    }
}

/// The rules of a unit, completed by its image's where they go along with its check, and by the defaults.
fn rules(container: &Container, health: &Health, image: Option<&HealthCheck>) -> Rules {
    let none = HealthCheck::default();
    let image = image.filter(|_| health.check.is_none()).unwrap_or(&none);
    let time = |own: Option<Duration>, image: Option<Duration>, default: u64| {
        own.or(image).unwrap_or(Duration::from_secs(default))
    };
    Rules {
        interval: time(health.interval, image.interval, 30),
        timeout: time(health.timeout, image.timeout, 30),
        start_period: time(health.start_period, image.start_period, 0),
        start_interval: time(health.start_interval, image.start_interval, 1),
        retries: health.retries.or(image.retries).unwrap_or(3),
        start_waits: container.ready == ReadyOn::Health && container.kind != ServiceType::Oneshot,
    }
}

impl Manager {
    /// What is known of the health of a container that runs.
    pub fn health(&self, unit: &UnitName) -> Option<Ref<'_, Checked>> {
        self.checks.0.get(unit).map(|(checked, _)| checked.borrow())
    }

    /// A container runs, perhaps for long: its checks go on from what is known.
    pub(super) fn begin_checks(&mut self, unit: &UnitName) {
        let Some(live) = self.runs.get(unit).cloned() else { return };
        let Some(managed) = self.machine.unit(unit) else { return };
        let phase = managed.phase;
        if !(phase.is_starting() || phase.has_payload()) || live.stopping.get() {
            return;
        }
        let Some(container) = managed.container() else { return };
        let Some(health) = &container.health else { return };
        let facts = self.facts.get(unit).cloned().unwrap_or_default();
        let image = facts.health_check.as_ref().map(|check| Check::Command(check.command.clone()));
        let Some(check) = health.check.clone().or(image) else { return };
        let Some(probe) = self.probe(unit, &live, container, &check) else { return };
        let startup = health.startup.as_ref();
        let startup = match startup.map(|startup| self.probe(unit, &live, container, &startup.check)) {
            Some(None) => return,
            probe => probe.flatten(),
        };
        let rules = rules(container, health, facts.health_check.as_ref());
        let state = facts.health;
        let checked = Rc::new(RefCell::new(Checked::default()));
        if state != HealthState::Unknown {
            self.later(Event::Health { unit: unit.clone(), run: live.number(), health: state.clone() });
        }
        let started = managed.run.as_ref().map(|run| run.started).unwrap_or_default();
        let task = CheckTask {
            unit: unit.clone(),
            group: live.process.get().and_then(|process| accounting::directory(&self.paths, process.pid)),
            live,
            probe,
            startup,
            verdict: Verdict::new(rules, health.startup.clone(), state, started.boottime),
            checked: checked.clone(),
            notes: self.notes.clone(),
        };
        self.checks.end(unit);
        self.checks.0.insert(unit.clone(), (checked, tokio::task::spawn_local(task.run())));
    }

    fn probe(
        &self,
        unit: &UnitName,
        live: &Rc<LiveRun>,
        container: &Container,
        check: &Check,
    ) -> Option<Probe> {
        let process = live.process.get()?;
        let pidfd = process.pidfd.try_clone().ok()?;
        let command = match check {
            Check::Tcp(endpoint) => return Some(Probe::tcp(*endpoint, container, pidfd)),
            Check::Http(http) => return Some(Probe::http(http.clone(), container, pidfd)),
            Check::Command(command) => command,
        };
        let command =
            Command { words: command.clone(), user: None, working_directory: None, environment: Vec::new() };
        let managed = self.machine.unit(unit)?;
        let (specification, run) = (managed.unit()?, managed.run.as_ref()?);
        let join = prepare_join(
            specification,
            container,
            &self.paths,
            &self.store,
            &command,
            (run.pid, &run.invocation),
        );
        match join {
            Ok(join) => Some(Probe::Command(Box::new(Exec {
                join,
                launcher: self.launcher.clone(),
                container: pidfd,
            }))),
            Err(failure) => {
                tracing::error!(SAMPAN_UNIT = %unit, "{unit}: health: {}", failure.message);
                None
            }
        }
    }

    /// A verdict that a successor of this process is to know.
    pub(super) fn keep_health(&mut self, unit: &UnitName, run: u64, health: &HealthState) {
        if self.is_current(unit, run)
            && let Some(facts) = self.facts.get_mut(unit)
        {
            facts.health.clone_from(health);
            self.changed.insert(unit.clone());
        }
    }
}

/// A share of a pause, another for each name.
fn share(unit: &UnitName) -> f64 {
    let mut hasher = DefaultHasher::new();
    unit.hash(&mut hasher);
    let share = (hasher.finish() >> 32) as u32;
    f64::from(share) / f64::from(u32::MAX)
}

/// The checks of one run.
struct CheckTask {
    unit: UnitName,
    live: Rc<LiveRun>,
    /// Its control group, which tells whether it is frozen.
    group: Option<PathBuf>,
    probe: Probe,
    /// What comes before it.
    startup: Option<Probe>,
    verdict: Verdict,
    checked: Rc<RefCell<Checked>>,
    notes: tokio::sync::mpsc::UnboundedSender<Note>,
}

impl CheckTask {
    async fn run(mut self) {
        let mut share = Some(share(&self.unit));
        loop {
            let pause = self.verdict.pause(super::now().boottime);
            // Of containers that begin together, each checks at a time of its own from then on.
            let spread = share.take_if(|_| self.verdict.is_settled(pause)).unwrap_or(1.0);
            tokio::time::sleep(pause.mul_f64(spread)).await;
            if self.live.over.get() || self.live.stopping.get() {
                return;
            }
            // A container that is frozen cannot answer, and is not asked.
            if self.is_frozen() {
                continue;
            }
            let probe = match self.verdict.stage() {
                Stage::Startup => self.startup.as_ref().unwrap_or(&self.probe),
                Stage::Running => &self.probe,
            };
            let outcome = probe.perform(self.verdict.timeout()).await;
            if !self.is_frozen() && !self.live.stopping.get() {
                self.take(outcome);
            }
        }
    }

    fn is_frozen(&self) -> bool {
        self.group.as_deref().is_some_and(accounting::is_frozen)
    }

    fn take(&mut self, outcome: Outcome) {
        let now = super::now();
        let changed = self.verdict.take(&outcome, now.boottime);
        let (unit, run, health) = (self.unit.clone(), self.live.number(), self.verdict.state().clone());
        if let (HealthState::Unknown, Outcome::Bad(said)) = (&health, &outcome)
            && self.checked.borrow().output != *said
        {
            let (unit, said) = (unit.clone(), said.clone());
            let _ = self.notes.send(Note::Event(Event::Unwell { unit, run, said }));
        }
        *self.checked.borrow_mut() =
            Checked { last: Some(now), output: outcome.text().to_owned(), failures: self.verdict.failures() };
        if !changed {
            return;
        }
        match &health {
            HealthState::Unhealthy(output) => {
                tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: Unhealthy: {output}");
            }
            _ => tracing::info!(SAMPAN_UNIT = %unit, "{unit}: Healthy."),
        }
        // The receiver lives as long as the loop.
        let _ = self.notes.send(Note::Event(Event::Health { unit, run, health }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_begin_together_are_spread_over_the_pause() {
        let names = (0..200).map(|number| UnitName::parse(&format!("web@{number}.container")).unwrap());
        let shares: Vec<f64> = names.map(|name| share(&name)).collect();
        for tenth in 0..10 {
            let range = f64::from(tenth) / 10.0..=f64::from(tenth + 1) / 10.0;
            let count = shares.iter().filter(|share| range.contains(share)).count();
            assert!((5..60).contains(&count), "{range:?}: {count}");
        }
    }
}
