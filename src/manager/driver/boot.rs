//! What the manager does when the host comes up and goes down.

use super::{Leaving, Manager};
use crate::manager::machine::{Event, JobMode, Request, Verb};
use crate::systemd::manager::Systemd;
use crate::systemd::native::NativeVerb;
use crate::unit::name::{DEFAULT_TARGET, UnitName};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::OnceCell;

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
        true
    }

    /// Whether the host goes down, and all units with it.
    pub fn is_shutting_down(&self) -> bool {
        self.leaving == Leaving::WhenAllAreDown
    }

    /// Whether the host goes down and nothing is left to be stopped. Otherwise systemd is told how long that may
    /// still take: it would kill us in the middle.
    pub(super) fn is_done(&self) -> bool {
        if !self.is_shutting_down() {
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

    /// Tells what systemd did not take, and goes on.
    pub(super) fn say(&self, said: Result<(), crate::systemd::SystemdError>) {
        if let Err(error) = said {
            tracing::warn!("{error}, continuing");
        }
    }
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
