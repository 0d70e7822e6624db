//! The part of a plan that is the unit's mounts, and what of the host comes into the container beside them.

use super::plan::{HostFacts, PlanError};
use super::standard::{self, attach};
use super::step::{
    Attribute, Filesystem, HostStep, HostTree, Links, Owners, Propagation, Seeding, Stand, Step, Tree,
};
use crate::image::config::ImageConfig;
use crate::store::volumes::anonymous;
use crate::sys::mount::Depth;
use crate::unit::model::{
    Bind, BindDepth, BindOwners, BindPropagation, Container, IfMissing, Mount, MountAccess, MountSource,
    NetworkMode, Restriction, Seed, Tmpfs, Unit,
};
use crate::unit::value::{AbsolutePath, Written as _};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// In the container, where sd_notify(3) finds its socket.
pub const NOTIFY: &str = "/run/host/notify";
const NOTIFY_DIRECTORY: &str = "/run/host";
const RESOLVER: &str = "/etc/resolv.conf";
/// Below these nothing of an image's can be mounted.
const OURS: [&str; 4] = ["/proc", "/sys", "/dev", "/run/host"];

/// Steps for what differs between containers.
#[derive(Debug, Default)]
pub struct Mounts {
    /// Done outside.
    pub host: Vec<HostStep>,
    /// Done inside, before the root is entered.
    pub made: Vec<Step>,
    /// Done inside, after.
    pub placed: Vec<Step>,
    /// What they stand on where the root cannot be written.
    pub stands: Vec<Stand>,
}

/// Plans all mounts but those that every container has.
///
/// # Errors
/// When the image wants a volume where none can be.
pub fn plan(
    unit: &Unit,
    container: &Container,
    image: &ImageConfig,
    facts: &HostFacts,
) -> Result<Mounts, PlanError> {
    let mut mounts = Mounts::default();
    mounts.sysfs(container.network);
    // Sorted by path: what is above comes first.
    for (at, mount) in &wanted(unit, container, image)? {
        mounts.add(unit, at, mount, facts)?;
    }
    // Ours come last, so that none of the unit's can hide them.
    if let Some(path) = &facts.notify {
        let tree = standard::memory("4096", "0755");
        mounts.made.push(Step::Make { tree: "host".to_owned(), filesystem: tree });
        mounts.placed.push(attach("host", NOTIFY_DIRECTORY));
        mounts.stands.push(Stand::directory(NOTIFY_DIRECTORY));
        let source = HostTree { path: path.clone(), id_base: 0 };
        mounts.clone_of_host("notify", source, vec![], Path::new(NOTIFY), Links::Refuse);
    }
    let own_resolver = container.mounts.contains_key(Path::new(RESOLVER));
    if let (NetworkMode::Host, Some(path), false) = (container.network, &facts.resolver, own_resolver) {
        // Anybody may read it. Its ids stay as they are: not every file system of a host can map them.
        let id_base =
            super::plan::ids(container.security.user_namespace, facts.range).map_or(0, |range| range.base);
        let source = HostTree { path: path.clone(), id_base };
        mounts.clone_of_host(
            "resolver",
            source,
            vec![Attribute::ReadOnly],
            Path::new(RESOLVER),
            Links::Follow,
        );
    }
    Ok(mounts)
}

/// Those of the unit, and volumes where the image wants them and the unit does not say otherwise.
fn wanted(
    unit: &Unit,
    container: &Container,
    image: &ImageConfig,
) -> Result<BTreeMap<PathBuf, Mount>, PlanError> {
    let mut mounts = container.mounts.clone();
    for text in &image.volumes {
        let refused = || PlanError::ImageVolume { unit: unit.name.to_string(), path: text.clone() };
        let path = AbsolutePath::read(text).map_err(|_| refused())?.0;
        if path.parent().is_none() || OURS.iter().any(|ours| path.starts_with(ours)) {
            return Err(refused());
        }
        let name = anonymous(unit.name.as_str(), &path);
        mounts.entry(path).or_insert_with(|| Mount::new(MountSource::Volume { name, seed: Seed::Image }));
    }
    Ok(mounts)
}

impl Mounts {
    fn clone_of_host(
        &mut self,
        tree: &str,
        source: HostTree,
        attributes: Vec<Attribute>,
        at: &Path,
        links: Links,
    ) {
        self.host.push(HostStep::Clone { tree: tree.to_owned(), source, attributes });
        let missing = IfMissing::Fail;
        self.placed.push(Step::Attach { tree: tree.to_owned(), target: at.to_owned(), links, missing });
    }

    /// `/sys` of a network namespace can only be mounted by who owns that namespace.
    fn sysfs(&mut self, network: NetworkMode) {
        let (tree, filesystem) = ("sys".to_owned(), standard::sysfs());
        match network {
            NetworkMode::Host => self.host.push(HostStep::Make { tree, filesystem }),
            _ => self.made.push(Step::Make { tree, filesystem }),
        }
    }

    fn add(&mut self, unit: &Unit, at: &Path, mount: &Mount, facts: &HostFacts) -> Result<(), PlanError> {
        let tree = at.display().to_string();
        let attributes = attributes(mount);
        let mut stand = Stand::directory(at);
        let mut missing = IfMissing::Fail;
        match &mount.source {
            MountSource::Bind(bind) => {
                stand.like = Some(bind.path.clone());
                missing = bind.missing;
                self.host.push(HostStep::Bind(self::bind(tree.clone(), bind, attributes)));
            }
            MountSource::Volume { name, seed } => {
                let seed = (*seed == Seed::Image)
                    .then(|| Seeding { image: facts.rootfs.clone(), path: at.to_owned() });
                let (store, volume) = (facts.store.clone(), name.clone());
                self.host.push(HostStep::Volume { tree: tree.clone(), store, volume, seed, attributes });
            }
            MountSource::Image(_) => {
                let lower = facts
                    .images
                    .get(at)
                    .cloned()
                    .ok_or_else(|| PlanError::Image { unit: unit.name.to_string(), path: at.to_owned() })?;
                let empty = facts.directory.join("empty");
                self.host.push(HostStep::Image { tree: tree.clone(), lower, empty, attributes });
            }
            MountSource::Tmpfs(tmpfs) => {
                self.made.push(Step::Make { tree: tree.clone(), filesystem: memory(tmpfs, attributes) });
            }
            MountSource::Mqueue => {
                let filesystem = Filesystem { name: "mqueue".to_owned(), options: Vec::new(), attributes };
                self.made.push(Step::Make { tree: tree.clone(), filesystem });
            }
        }
        self.placed.push(Step::Attach { tree, target: at.to_owned(), links: Links::Follow, missing });
        self.stands.push(stand);
        Ok(())
    }
}

fn bind(tree: String, bind: &Bind, attributes: Vec<Attribute>) -> Tree {
    Tree {
        tree,
        path: bind.path.clone(),
        missing: bind.missing,
        depth: match bind.depth {
            BindDepth::Recursive => Depth::Recursive,
            BindDepth::One => Depth::One,
        },
        propagation: match bind.propagation {
            BindPropagation::Private => Propagation::Private,
            BindPropagation::Slave => Propagation::Slave,
        },
        owners: match bind.owners {
            BindOwners::Same => Owners::Same,
            BindOwners::Root => Owners::Root,
            BindOwners::Unmapped => Owners::Unmapped,
        },
        attributes,
    }
}

fn memory(tmpfs: &Tmpfs, attributes: Vec<Attribute>) -> Filesystem {
    let size = match tmpfs.size {
        None => "50%".to_owned(),
        // tmpfs(5): no limit.
        Some(u64::MAX) => "0".to_owned(),
        Some(size) => size.to_string(),
    };
    let mut filesystem = standard::memory(&size, &format!("{:04o}", tmpfs.mode));
    for (key, id) in [("uid", tmpfs.user), ("gid", tmpfs.group)] {
        if id != 0 {
            filesystem.options.push((key.to_owned(), id.to_string()));
        }
    }
    // Nobody may bring privileges along in memory.
    filesystem.attributes = [vec![Attribute::NoSetuid], attributes].concat();
    filesystem.attributes.dedup();
    filesystem
}

fn attributes(mount: &Mount) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = mount
        .restrictions
        .iter()
        .map(|restriction| match restriction {
            Restriction::NoSetuid => Attribute::NoSetuid,
            Restriction::NoExecute => Attribute::NoExecute,
        })
        .collect();
    attributes.push(Attribute::NoDevices);
    attributes.extend((mount.access == MountAccess::ReadOnly).then_some(Attribute::ReadOnly));
    attributes
}
