//! `ready = "listening"`: the moment at which a container's server waits for clients, without its cooperation.
//!
//! Of a socket with `pass = "swap"` it is the server's bind(2), which we answer ([`crate::socket::swap`]), of one with
//! `pass = "proxy"` it is what the proxy sees ([`super::proxy`]); one with
//! `pass = "fd"` listens all along. A unit without sockets waits for a port that its image exposes: the kernel is
//! asked for it, in the container's network, in pauses that grow, and only while the container starts.

use super::Manager;
use super::control::failure;
use super::live::LiveRun;
use crate::manager::accounting;
use crate::manager::machine::{Event, Failure};
use crate::manager::record::RunFacts;
use crate::paths::Paths;
use crate::socket::listen::Held;
use crate::sys::process::holds_socket;
use crate::sys::sock_diag::{SockDiag, Transport};
use crate::unit::model::{Container, NetworkMode, Pass, ReadyOn, ServiceType};
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Pauses between two questions to the kernel: the first, and the longest. Each is a quarter longer than the one before.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Runs that wait for the bind(2) of their servers, and the names of the sockets that are still to be bound.
#[derive(Debug, Default)]
pub(super) struct Binds(BTreeMap<UnitName, BTreeSet<String>>);

/// A port that an image exposes: `80/tcp`, `53/udp`, `80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    number: u16,
    transport: Transport,
}

impl Port {
    fn parse(text: &str) -> Option<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let transport = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return None,
        };
        Some(Self { number: number.parse().ok()?, transport })
    }
}

fn waits(container: &Container) -> bool {
    container.ready == ReadyOn::Listening && container.kind != ServiceType::Oneshot
}

/// Whether there is something to wait for.
pub(super) fn check(container: &Container, facts: &RunFacts) -> Result<(), Failure> {
    let named = !container.sockets.is_empty() || facts.ports.iter().any(|port| Port::parse(port).is_some());
    match named || !waits(container) {
        true => Ok(()),
        false => Err(failure(
            "ready = \"listening\": the unit has no [socket], and its image exposes no port".to_owned(),
            libc::EINVAL,
        )),
    }
}

impl Manager {
    /// A run begins, whose server has bound nothing yet.
    pub(super) fn expect_binds(&mut self, unit: &UnitName) {
        self.binds.0.remove(unit);
        let Some(container) = self.waiting(unit) else { return };
        let swapped = container.sockets.iter().filter(|(_, socket)| socket.pass != Pass::Fd);
        let names = swapped.map(|(name, _)| name.clone()).collect();
        self.binds.0.insert(unit.clone(), names);
    }

    /// Nobody waits for the bind(2) of a unit's server any more.
    pub(super) fn expect_none(&mut self, unit: &UnitName) {
        self.binds.0.remove(unit);
    }

    /// The server of a unit has got the socket of this name.
    pub(super) fn bound(&mut self, unit: &UnitName, socket: &str) {
        self.watch_queue(unit, socket);
        let Some(missing) = self.binds.0.get_mut(unit) else { return };
        missing.remove(socket);
        self.tell_all_bound(unit);
    }

    /// Tells that nothing is missing. A server can have got the last socket before it is known that it is there: then
    /// that is when to tell, since the unit is still seen to be at the commands before it.
    fn tell_all_bound(&mut self, unit: &UnitName) {
        let all = self.binds.0.get(unit).is_some_and(BTreeSet::is_empty);
        if all && self.facts.get(unit).is_some_and(|facts| facts.executed) {
            self.binds.0.remove(unit);
            self.tell_listening(unit);
        }
    }

    /// The payload runs: what needs no bind(2) is so already, or is asked for from now on.
    pub(super) fn look_for_listeners(&mut self, unit: &UnitName) {
        let Some(container) = self.waiting(unit) else { return };
        let (has_sockets, network) = (!container.sockets.is_empty(), container.network);
        if !has_sockets {
            self.poll_ports(unit, network);
        } else {
            self.tell_all_bound(unit);
        }
    }

    /// What an earlier manager has answered is known by who holds the sockets.
    pub(super) fn find_bound(&mut self, unit: &UnitName) {
        self.expect_binds(unit);
        let Some(process) = self.runs.get(unit).and_then(|live| live.process.get()) else { return };
        let pids = accounting::processes(&self.paths, process.pid);
        let is_held = |held: &Held| {
            let inode = rustix::fs::fstat(held.as_fd()).map(|stat| stat.st_ino);
            inode.is_ok_and(|inode| pids.iter().any(|pid| holds_socket(*pid, inode)))
        };
        let held = self.sockets.of(unit).iter().filter(|open| is_held(&open.held));
        for name in held.map(|open| open.held.name().to_owned()).collect::<Vec<_>>() {
            self.bound(unit, &name);
        }
    }

    fn waiting(&self, unit: &UnitName) -> Option<&Container> {
        let managed = self.machine.unit(unit).filter(|managed| managed.phase.is_starting())?;
        let waits = managed.awaits_listening();
        managed.container().filter(|_| waits)
    }

    fn tell_listening(&self, unit: &UnitName) {
        if let Some(live) = self.runs.get(unit) {
            self.later(Event::Listening { unit: unit.clone(), run: live.number() });
        }
    }

    fn poll_ports(&self, unit: &UnitName, network: NetworkMode) {
        let Some(live) = self.runs.get(unit).cloned() else { return };
        let facts = self.facts.get(unit);
        let ports =
            facts.iter().flat_map(|facts| &facts.ports).filter_map(|port| Port::parse(port)).collect();
        let (unit, paths, notes) = (unit.clone(), self.paths.clone(), self.notes.clone());
        tokio::task::spawn_local(async move {
            let run = live.number();
            match until_listening(&live, ports, network, &paths).await {
                // The receiver lives as long as the loop.
                Ok(true) => drop(notes.send(super::Note::Event(Event::Listening { unit, run }))),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(SAMPAN_UNIT = %unit, "{unit}: cannot see where the payload listens: {error}");
                }
            }
        });
    }
}

/// Waits until one of the ports is waited at, or the run is over or does not start any more.
async fn until_listening(
    live: &Rc<LiveRun>,
    ports: Vec<Port>,
    network: NetworkMode,
    paths: &Paths,
) -> std::io::Result<bool> {
    let Some(process) = live.process.get() else { return Ok(false) };
    let diag = SockDiag::of(process.pidfd.as_fd())?;
    let mut pause = PAUSE;
    while !live.over.get() && !live.stopping.get() {
        for port in &ports {
            let waiting = diag.waiting(port.transport, port.number)?;
            if waiting.is_empty() {
                continue;
            }
            // In the host's network somebody else may have the port.
            let is_own = network != NetworkMode::Host || {
                let own: Vec<u64> =
                    accounting::groups(paths, process.pid).iter().filter_map(|group| inode(group)).collect();
                waiting.iter().any(|group| own.contains(group))
            };
            if is_own {
                return Ok(true);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(PAUSE_MAX);
    }
    Ok(false)
}

fn inode(group: &Path) -> Option<u64> {
    fs::metadata(group).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_images_are_read() {
        let port = |text| Port::parse(text).map(|port| (port.number, port.transport));
        assert_eq!(port("80/tcp"), Some((80, Transport::Tcp)));
        assert_eq!(port("6379"), Some((6379, Transport::Tcp)));
        assert_eq!(port("53/UDP"), Some((53, Transport::Udp)));
        assert_eq!((port("80/sctp"), port("8000-8010/tcp"), port("")), (None, None, None));
    }
}
