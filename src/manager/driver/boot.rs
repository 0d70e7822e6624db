//! What the manager does when the host comes up and goes down.

use super::{Leaving, Manager};
use crate::manager::machine::{Event, JobMode, Machine, Managed, Request, Verb};
use crate::systemd::manager::Systemd;
use crate::systemd::native::NativeVerb;
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// What has all enabled units started.
const DEFAULT_TARGET: &str = "default.target";

/// systemd.special(7): what waits for the network to be configured.
const NETWORK_TARGET: &str = "network-online.target";

/// Longest wait for the network before the pulls of a boot: longer than the services wait that the target waits for.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(150);

/// How much longer than its units' time limits the manager may take to end.
const MARGIN: Duration = Duration::from_secs(30);

/// For a unit that may take for ever to stop. It is told again when something changes.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

impl Manager {
    /// Starts what is enabled, once for each boot of the host. Pulls for it wait for the network.
    ///
    /// # Errors
    /// When there is no such target.
    pub fn boot(&mut self) -> anyhow::Result<()> {
        self.pulls.network = Rc::new(Network::not_configured());
        let unit = UnitName::parse(DEFAULT_TARGET)?;
        let request = Request { unit, verb: Verb::Start, mode: JobMode::Replace };
        if let Err(error) = self.request(&request) {
            tracing::warn!("{error}, nothing is started at boot");
        }
        Ok(())
    }

    /// Stops everything in order where the host goes down; otherwise a successor takes over.
    pub(super) async fn begin_shutdown(&mut self) -> bool {
        if !self.systemd.is_stopping().await {
            return false;
        }
        self.leaving = Leaving::WhenAllAreDown;
        self.event(Event::ShuttingDown);
        self.say(self.service.stopping());
        for unit in last_first(&self.machine) {
            let mode = JobMode::ReplaceIrreversibly;
            if let Err(error) = self.request(&Request { unit, verb: Verb::Stop, mode }) {
                tracing::warn!("{error}");
            }
        }
        true
    }

    /// Whether the host goes down and nothing is left to be stopped. Otherwise systemd is told how long that may
    /// still take: it would kill us in the middle.
    pub(super) fn is_done(&self) -> bool {
        if self.leaving != Leaving::WhenAllAreDown {
            return false;
        }
        let busy = self.machine.units().values().filter(|unit| !unit.phase.is_down()).count();
        if busy == 0 && self.machine.jobs().is_empty() {
            return true;
        }
        let now = super::now().boottime;
        let left = self.machine.next_deadline().map_or(LONG, |deadline| deadline.saturating_sub(now));
        self.say(self.service.extend_timeout(left + MARGIN));
        self.say(self.service.status(&format!("Stopping {busy} units")));
        false
    }

    fn say(&self, said: Result<(), crate::systemd::SystemdError>) {
        if let Err(error) = said {
            tracing::warn!("{error}, continuing");
        }
    }
}

/// All units that are up, each after those that are to stop before it, so that it waits for their jobs.
fn last_first(machine: &Machine) -> Vec<UnitName> {
    let up = machine.units().iter().filter(|(_, managed)| !managed.phase.is_down());
    let up: BTreeMap<&UnitName, &Managed> = up.collect();
    let mut later: BTreeMap<&UnitName, Vec<&UnitName>> = BTreeMap::new();
    for (name, managed) in &up {
        let Some(unit) = managed.unit() else { continue };
        unit.dependencies.after.iter().for_each(|earlier| later.entry(earlier).or_default().push(name));
        later.entry(name).or_default().extend(&unit.dependencies.before);
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    let mut open: Vec<(&UnitName, Visit)> = up.keys().map(|name| (*name, Visit::First)).collect();
    while let Some((name, visit)) = open.pop() {
        if visit == Visit::Last {
            order.push(name.clone());
        } else if up.contains_key(name) && seen.insert(name) {
            open.push((name, Visit::Last));
            open.extend(later.get(name).into_iter().flatten().map(|later| (*later, Visit::First)));
        }
    }
    order
}

/// Whether what comes after a unit has been looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    First,
    Last,
}

/// Whether the network has been waited for.
#[derive(Debug)]
pub(super) struct Network(OnceCell<()>);

impl Default for Network {
    /// A host that has booted has its network, or has none.
    fn default() -> Self {
        Self(OnceCell::new_with(Some(())))
    }
}

impl Network {
    fn not_configured() -> Self {
        Self(OnceCell::new())
    }

    /// Waits until the network of a booting host is configured, for the first who asks.
    pub(super) async fn configured(&self, systemd: &Systemd) {
        self.0.get_or_init(|| wait_for_network(systemd)).await;
    }
}

async fn wait_for_network(systemd: &Systemd) {
    match tokio::time::timeout(NETWORK_TIMEOUT, systemd.run_job(NETWORK_TARGET, NativeVerb::Start)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("{error}, pulling without it"),
        Err(_) => tracing::warn!("{NETWORK_TARGET} is not reached yet, pulling without it"),
    }
}
