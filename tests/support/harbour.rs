//! A private host with a registry in its own network, before which a front sees, counts and holds up requests.
#![allow(dead_code, reason = "each test program uses a part")]

use crate::layout::Lab;
use crate::registry::{Front, Registry, Reply, Request, ask, split};
use crate::support::host::Host;
use crate::support::image::{Layer, write_layout};
use serde_json::json;
use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex};

/// The host, and where its images come from.
pub struct Harbour {
    pub host: Host,
    pub lab: Lab,
    pub registry: Registry,
    pub front: Front,
    pub tide: Arc<Tide>,
}

/// What the front does with requests.
#[derive(Default)]
pub struct Tide {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It hands them on.
    #[default]
    Flow,
    /// Layers stop in their middle.
    Ebb,
    /// It breaks off.
    Down,
}

impl Tide {
    pub fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    fn now(&self) -> State {
        *self.state.lock().unwrap()
    }

    fn wait_for_the_end_of(&self, state: State) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |now| *now == state).unwrap());
    }
}

impl Harbour {
    /// A host with `sampand`, and a registry that has `team/web:1`.
    pub fn new() -> Self {
        let host = Host::start();
        // What is down is down at once.
        host.write("/etc/sampan/registries.toml", "[transfer]\nattempts = 1\n");
        let lab = Lab::new();
        let tide = Arc::new(Tide::default());
        let registry = host.in_network(|| Registry::plain(&lab));
        let (behind, own) = (registry.port, Arc::clone(&tide));
        let front =
            host.in_network(move || Front::start(behind, move |request| answer(&own, behind, request)));
        let harbour = Self { host, lab, registry, front, tide };
        harbour.push("team/web:1", "one");
        harbour
    }

    /// Pushes an image whose payload is busybox, and whose file `/version` says `version`. Answers with its digest.
    pub fn push(&self, name: &str, version: &str) -> String {
        let layout = self.lab.path(&format!("{}-{version}", name.replace(['/', ':'], "-")));
        let upper = Layer::new().file("version", 0o644, version.as_bytes());
        let config = json!({ "Entrypoint": ["/bin/sleep"], "Cmd": ["100000"], "StopSignal": "SIGKILL" });
        write_layout(&layout, vec![Layer::busybox(), upper], &config);
        self.host.in_network(|| self.registry.push(&layout, name, &[]));
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    }

    /// The full name of an image, as the front has it.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.front.host())
    }

    /// A unit of an image with more keys of `[container]`.
    pub fn unit(&self, unit: &str, image: &str, more: &str) {
        self.host.unit(&format!("{unit}.container"), &format!("[container]\nimage = \"{image}\"\n{more}"));
    }

    /// The running transfers, as the bus tells them.
    pub fn transfers(&self) -> String {
        let manager = ["org.sampan1", "/org/sampan1", "org.sampan1.Manager"];
        self.host.succeed(&[["busctl", "call"].as_slice(), &manager, &["ListTransfers"]].concat())
    }

    /// The store has nothing to complain about, and nothing is left of work in progress.
    pub fn assert_store_is_sound(&self) {
        assert_eq!(self.host.succeed(&["sampanctl", "fsck"]), "");
        assert_eq!(self.host.succeed(&["ls", "/var/lib/sampan/staging"]), "");
    }

    /// Waits until no process of any pull is left.
    pub fn assert_pulls_end(&self) {
        let script = "while pgrep -x sampan-import >/dev/null; do :; done
            systemctl list-units --no-legend 'sampan-pull-*.scope'";
        assert_eq!(self.host.succeed(&["timeout", "100", "sh", "-c", script]), "");
    }

    /// Waits until bytes of a layer have come.
    pub fn wait_for_bytes(&self, unit: &str) {
        self.host.wait_until("bytes of a layer", |host| {
            !matches!(host.property(unit, "TransferBytesDone").as_str(), "" | "0")
        });
    }
}

fn answer(tide: &Arc<Tide>, behind: u16, request: &Request) -> Reply {
    match (tide.now(), request.is_blob()) {
        (State::Down, _) => Reply::Raw(Box::new(|_| {})),
        (State::Ebb, true) => {
            let (tide, request) = (Arc::clone(tide), request.clone());
            Reply::Raw(Box::new(move |stream| {
                let whole = ask(behind, &request);
                let (head, body) = split(&whole);
                // Configurations are small and come.
                let first = head.len() + if body.len() > 4096 { body.len() / 2 } else { body.len() };
                let _ = stream.write_all(&whole[..first]);
                if first < whole.len() {
                    tide.wait_for_the_end_of(State::Ebb);
                    let _ = stream.write_all(&whole[first..]);
                }
            }))
        }
        _ => Reply::Forward,
    }
}
