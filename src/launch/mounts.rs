//! The part of a plan that is the unit's mounts.

use super::plan::{HostFacts, PlanError};
use super::standard;
use super::step::{
    Attribute, Delegation, DeviceNode, Filesystem, HostStep, Links, Owners, Propagation, Seeding, Stand,
    StandKind, Step, Tree,
};
use super::system;
use crate::image::config::ImageConfig;
use crate::store::volumes::anonymous;
use crate::sys::mount::Depth;
use crate::unit::model::{
    Bind, BindDepth, BindOwners, BindPropagation, Container, DeviceSource, IfMissing, Mount, MountAccess,
    MountSource, NetworkMode, Restriction, Seed, Tmpfs, Unit,
};
use crate::unit::value::{AbsolutePath, Written as _};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    delegation: Delegation,
) -> Result<Mounts, PlanError> {
    let mut mounts = Mounts::default();
    mounts.sysfs(container.network);
    for (number, (target, (path, missing))) in devices(container, facts).into_iter().enumerate() {
        let (tree, own) =
            (target.display().to_string(), facts.directory.join("devices").join(number.to_string()));
        let device = DeviceNode { tree: tree.clone(), path: path.to_owned(), missing, own };
        mounts.host.push(HostStep::Device(device));
        let target = target.to_owned();
        mounts.placed.push(Step::Attach { tree, target, links: Links::Refuse, missing });
    }
    // Sorted by path: what is above comes first.
    let mut all = wanted(unit, container, image)?;
    if delegation == Delegation::Subtree {
        system::mount(&mut all);
    }
    for (at, mount) in &all {
        mounts.add(at, mount, facts)?;
    }
    Ok(mounts)
}

/// Nodes of the host, where they are to be, and what happens when there is none.
fn devices<'a>(container: &'a Container, facts: &'a HostFacts) -> BTreeMap<&'a Path, (&'a Path, IfMissing)> {
    let mut devices = BTreeMap::new();
    for device in &container.security.devices {
        match &device.source {
            DeviceSource::Node { path, target } => {
                devices.insert(target.as_path(), (path.as_path(), device.missing));
            }
            // A device may be gone by the time it is opened.
            DeviceSource::Group(name) => {
                for node in facts.device_groups.get(name).into_iter().flatten() {
                    if !standard::has_device(node) {
                        devices.entry(node.as_path()).or_insert((node.as_path(), IfMissing::Ignore));
                    }
                }
            }
        }
    }
    devices
}

/// Those of the unit, and volumes where the image wants them and the unit does not say otherwise.
fn wanted(
    unit: &Unit,
    container: &Container,
    image: &ImageConfig,
) -> Result<BTreeMap<PathBuf, Mount>, PlanError> {
    let mut mounts = container.mounts.clone();
    for text in &image.volumes {
        let refused = || PlanError::ImageVolume { path: text.clone() };
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
    /// `/sys` of a network namespace can only be mounted by who owns that namespace.
    fn sysfs(&mut self, network: NetworkMode) {
        let (tree, filesystem) = ("sys".to_owned(), standard::sysfs());
        match network {
            NetworkMode::Host => self.host.push(HostStep::Make { tree, filesystem }),
            _ => self.made.push(Step::Make { tree, filesystem }),
        }
    }

    fn add(&mut self, at: &Path, mount: &Mount, facts: &HostFacts) -> Result<(), PlanError> {
        let tree = at.display().to_string();
        let attributes = attributes(mount);
        let mut stand = Stand::directory(at);
        let mut missing = IfMissing::Fail;
        match &mount.source {
            MountSource::Bind(bind) => {
                stand.kind = StandKind::Like(bind.path.clone());
                missing = bind.missing;
                self.host.push(HostStep::Bind(self::bind(tree.clone(), bind, attributes, facts)));
            }
            MountSource::Volume { name, seed } => {
                let seed = (*seed == Seed::Image)
                    .then(|| Seeding { image: facts.rootfs.clone(), path: at.to_owned() });
                let (store, volume) = (facts.store.clone(), name.clone());
                self.host.push(HostStep::Volume { tree: tree.clone(), store, volume, seed, attributes });
            }
            MountSource::Image(_) => {
                let lower =
                    facts.images.get(at).cloned().ok_or_else(|| PlanError::Image { path: at.to_owned() })?;
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

fn bind(tree: String, bind: &Bind, attributes: Vec<Attribute>, facts: &HostFacts) -> Tree {
    Tree {
        tree,
        path: bind.path.clone(),
        shared: facts.shared.get(&bind.path).cloned(),
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
    // Nobody may bring privileges along in memory.
    let mut attributes = [vec![Attribute::NoSetuid], attributes].concat();
    attributes.dedup();
    let mode = format!("{:04o}", tmpfs.mode);
    let mut filesystem = match tmpfs.size {
        None => standard::memory("50%", &mode, &attributes),
        // tmpfs(5): no limit.
        Some(u64::MAX) => standard::memory("0", &mode, &attributes),
        Some(size) => standard::limited_memory(size, &mode, &attributes),
    };
    for (key, id) in [("uid", tmpfs.user), ("gid", tmpfs.group)] {
        if id != 0 {
            filesystem.options.push((key.to_owned(), id.to_string()));
        }
    }
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
