//! What a container is told of itself and of its host: its names, its machine id, and the files of `/run/host`,
//! as <https://systemd.io/CONTAINER_INTERFACE> has them.

use super::standard;
use super::step::{Attribute, Delegation, HostStep, HostTree, Links, Stand, Step, TextFile};
use crate::unit::model::{Container, IfMissing, NetworkMode, RootMode};
use crate::unit::name::UnitName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use uuid::{Builder, Uuid};

/// In the container, what comes from its manager.
pub const HOST: &str = "/run/host";
/// In the container, where sd_notify(3) finds its socket.
pub const NOTIFY: &str = "/run/host/notify";

const TREE: &str = "host";
const MACHINE_ID: &str = "/etc/machine-id";
const RESOLVER: &str = "/etc/resolv.conf";
const MANAGER: &str = "sampan\n";

/// What the host knows of itself and of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The machine id of the container; `None` on a host that has none itself.
    pub machine_id: Option<Uuid>,
    /// The host's os-release(5).
    pub os_release: String,
    /// The host's hosts(5).
    pub hosts: String,
    /// The host's resolv.conf(5), if it has one.
    pub resolver: Option<PathBuf>,
    /// Where sd_notify(3) messages are received, for a unit that sends them.
    pub notify: Option<PathBuf>,
}

/// The machine id of a container: always the same for a unit of a host, of which it tells nothing, as with
/// sd_id128_get_machine_app_specific(3).
pub fn machine_id(host: &str, unit: &UnitName) -> Option<Uuid> {
    const SAMPAN: Uuid = uuid::uuid!("5b1f0a7e-6c0d-4f0b-9a55-2f2f1d0c7e41");
    let host = Uuid::try_parse(host.trim()).ok().filter(|id| !id.is_nil())?;
    let hash = Sha256::new().chain_update(host).chain_update(SAMPAN).chain_update(unit.as_str()).finalize();
    let bytes = hash.first_chunk::<16>()?;
    Some(Builder::from_random_bytes(*bytes).into_uuid())
}

/// Steps that give a container its identity. They come last, so that no mount of the unit hides what is Sampan's.
#[derive(Debug, Default)]
pub struct Told {
    /// Done outside.
    pub host: Vec<HostStep>,
    /// Done inside, before the root is entered.
    pub made: Vec<Step>,
    /// Done inside, after.
    pub placed: Vec<Step>,
    /// What they stand on where the root cannot be written.
    pub stands: Vec<Stand>,
}

/// Plans them; what else belongs into `/run/host` follows before that is sealed. `id_base` is the host's id that the
/// container has as 0.
pub fn plan(container: &Container, identity: &Identity, id_base: u32, delegation: Delegation) -> Told {
    let mut told = Told::default();
    told.made.push(Step::Make {
        tree: TREE.to_owned(),
        filesystem: standard::memory("65536", "0755", &standard::CLOSED),
    });
    told.attach(TREE, HOST);
    told.stands.push(Stand::directory(HOST));
    told.write("container-manager", MANAGER.to_owned());
    if let Some(id) = identity.machine_id {
        told.write("container-uuid", format!("{id}\n"));
    }
    if !identity.os_release.is_empty() {
        told.write("os-release", identity.os_release.clone());
    }
    told.files(container, identity);
    told.machine_id(container, identity, delegation);
    if let Some(path) = &identity.notify {
        told.clone_of_host("notify", path, 0, vec![]);
        told.attach("notify", NOTIFY);
    }
    if let (NetworkMode::Host, Some(path)) = (container.network, &identity.resolver)
        && !is_units_own(container, RESOLVER)
    {
        // Anybody may read it. Its ids stay as they are: not every file system of a host can map them.
        told.clone_of_host("resolver", path, id_base, vec![Attribute::ReadOnly]);
        told.cover("resolver", RESOLVER);
    }
    told
}

impl Told {
    /// Files that an image may have from where it was made, and that would lie.
    fn files(&mut self, container: &Container, identity: &Identity) {
        let files =
            [("hostname", format!("{}\n", container.hostname)), ("hosts", hosts(container, &identity.hosts))];
        for (name, text) in files {
            let target = format!("/etc/{name}");
            if !is_units_own(container, &target) {
                self.provide(name, text, &target, vec![]);
            }
        }
    }

    /// systemd takes a mount at this place for an id that it has to write down itself, which only a root that cannot
    /// be written spares it, systemd-machine-id-commit.service(8).
    fn machine_id(&mut self, container: &Container, identity: &Identity, delegation: Delegation) {
        let Some(id) = identity.machine_id.filter(|_| !is_units_own(container, MACHINE_ID)) else { return };
        let text = format!("{}\n", id.simple());
        match (delegation, container.root) {
            (Delegation::Subtree, RootMode::Ephemeral | RootMode::Persistent) => {
                self.placed.push(Step::Replace(TextFile { path: MACHINE_ID.into(), text }));
            }
            _ => self.provide("machine-id", text, MACHINE_ID, vec![Attribute::ReadOnly]),
        }
    }

    fn provide(&mut self, name: &str, text: String, target: &str, attributes: Vec<Attribute>) {
        let file = TextFile { path: Path::new(HOST).join(name), text };
        self.placed.push(Step::Provide { tree: name.to_owned(), file, attributes });
        self.cover(name, target);
    }

    fn write(&mut self, name: &str, text: String) {
        self.placed.push(Step::Write(TextFile { path: Path::new(HOST).join(name), text }));
    }

    fn attach(&mut self, tree: &str, target: &str) {
        let (links, missing) = (Links::Follow, IfMissing::Fail);
        self.placed.push(Step::Attach { tree: tree.to_owned(), target: target.into(), links, missing });
    }

    fn cover(&mut self, tree: &str, target: &str) {
        self.placed.push(Step::Cover { tree: tree.to_owned(), target: target.into() });
        self.stands.push(Stand::file(target));
    }

    fn clone_of_host(&mut self, tree: &str, path: &Path, id_base: u32, attributes: Vec<Attribute>) {
        let source = HostTree { path: path.to_owned(), id_base };
        self.host.push(HostStep::Clone { tree: tree.to_owned(), source, attributes });
    }
}

/// Whether the unit itself says what stands at a path, or in the directory that it is in.
fn is_units_own(container: &Container, path: &str) -> bool {
    Path::new(path).ancestors().any(|path| container.mounts.contains_key(path))
}

/// With the host's network its names are known as well.
fn hosts(container: &Container, of_host: &str) -> String {
    let name = &container.hostname;
    match container.network {
        NetworkMode::Host => format!("127.0.1.1 {name}\n{of_host}"),
        _ => format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {name}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_has_a_machine_id_that_stays() {
        const HOST: &str = "3d1219c7c4c5404aaa1f6d2a48adfda4";
        let of = |host, unit| machine_id(host, &UnitName::parse(unit).unwrap());
        let web = of("3d1219c7c4c5404aaa1f6d2a48adfda4\n", "web.container").unwrap();
        assert_eq!(of(HOST, "web.container"), Some(web));
        assert_eq!(web.get_version_num(), 4);
        assert_ne!(of(HOST, "db.container"), Some(web));
        assert_ne!(of("3d1219c7c4c5404aaa1f6d2a48adfda5", "web.container"), Some(web));
        assert_eq!(of("uninitialized\n", "web.container"), None);
        assert_eq!(of(&"0".repeat(32), "web.container"), None);
    }
}
