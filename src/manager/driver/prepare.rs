//! What a launch needs to know, gathered from the store and the host: small files only, no byte of an image.

use super::Manager;
use super::commands::Hands;
use super::condition::host::is_in_use;
use super::control::failure;
use super::devices;
use super::discard;
use super::pull::{missing, naming, number_of};
use crate::image::config::ImageConfig;
use crate::launch::identity::{self, Identity};
use crate::launch::plan::{self, Command, HostFacts};
use crate::launch::profile::{self, Kernel, Profile};
use crate::launch::step::{
    CredentialStores, Delegation, HostStep, HostTree, IdRange, Join, LabelModule, Output, Plan, PrivateTrees,
    RootSize,
};
use crate::launch::system::STOP_SIGNAL;
use crate::manager::accounting;
use crate::manager::machine::Failure;
use crate::manager::record::RunFacts;
use crate::paths::Paths;
use crate::store::{FOREIGN_BASE, Store, StoreError, private};
use crate::sys::errno::words;
use crate::systemd::manager::slice_group;
use crate::unit::model::{Body, Container, IfMissing, ImageSource, MountSource, SecurityModule, Unit};
use crate::unit::name::UnitName;
use crate::unit::signal;
use rustix::fs::{Mode, OFlags, open};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A launch that can begin.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) facts: RunFacts,
    pub(super) invocation: String,
    /// What the image says that has no effect, in words.
    pub(super) ignored: Option<String>,
}

/// The image of a unit, as far as a launch is concerned.
struct Rootfs {
    id: String,
    tree: HostTree,
    config: ImageConfig,
}

/// What leads out of a container to the manager and its clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends<'a> {
    /// Where messages of sd_notify(3) are received.
    pub(super) notify: Option<&'a Path>,
    /// Where the payload's output goes.
    pub(super) output: Output,
}

/// Resolves everything that a unit names, now. Where that fails, nothing of it is left.
pub(super) fn prepare(
    unit: &Unit,
    container: &Container,
    hands: &Hands,
    ends: Ends<'_>,
) -> Result<Prepared, Failure> {
    let prepared = resolve(unit, container, hands, ends);
    prepared.inspect_err(|_| discard::unless_used(&hands.store, unit))
}

fn resolve(unit: &Unit, container: &Container, hands: &Hands, ends: Ends<'_>) -> Result<Prepared, Failure> {
    let Hands { paths, store, slice, ranges, .. } = hands;
    let rootfs = rootfs(unit, container, paths, store)?;
    let invocation = Uuid::new_v4().simple().to_string();
    let mut host = host_facts(unit, container, paths, store, &rootfs)?;
    host.range = ranges.of(unit, container, paths, store).map_err(|error| store_failure(&error))?;
    if !container.share {
        host.private = Some(make_private(&mut host));
    }
    host.invocation.clone_from(&invocation);
    host.identity.notify = ends.notify.map(Path::to_owned);
    host.identity.os_release = small_text(&paths.os_release());
    host.identity.hosts = small_text(&paths.hosts());
    host.identity.resolver = Some(paths.resolver()).filter(|path| path.exists());
    host.output = ends.output;
    host.shared.clone_from(&hands.shared);
    // What an earlier scope has left there is not to be taken for the new one.
    host.group = Some(host.hierarchy.join(slice_group(slice)).join(unit.name.scope()))
        .filter(|directory| !directory.exists());
    let plan = plan::plan(unit, container, &rootfs.config, &host);
    let plan = plan.map_err(|error| failure(error.to_string(), libc::EINVAL))?;
    let initial = match plan.delegation {
        Delegation::None => libc::SIGTERM,
        Delegation::Subtree => STOP_SIGNAL,
    };
    let stop_signal = plan::stop_signal(container, &rootfs.config).unwrap_or(initial);
    let ignored = rootfs.config.unknown_stop_signal().filter(|_| container.stop_signal.is_none());
    let facts = RunFacts {
        image_id: rootfs.id,
        rootfs: host.rootfs.path.display().to_string(),
        labels: labels(&rootfs.config, container),
        command: plan.execute.command.clone(),
        user_namespace: plan.ids.map(|ids| format!("{}:{}", ids.base, ids.length)).unwrap_or_default(),
        ephemeral: Some(plan::passing(container.root, &host.directory)),
        slice: slice.clone(),
        stop_signal,
        volumes: volumes(&plan),
        images: host.images.values().filter_map(image_of).collect(),
        ports: rootfs.config.exposed_ports,
        health_check: rootfs.config.health_check,
        ..RunFacts::default()
    };
    let ignored = ignored.map(|what| format!("the image: {what}, using {}", signal::name(initial)));
    Ok(Prepared { plan, facts, invocation, ignored })
}

/// The unit's win. An image can have any number of them: what is kept for each run is bounded.
fn labels(image: &ImageConfig, container: &Container) -> BTreeMap<String, String> {
    const MOST: usize = 64 << 10;
    let mut length = 0;
    let of_image = image.labels.iter().take_while(|(name, value)| {
        length += name.len() + value.len();
        length <= MOST
    });
    let all = of_image.chain(&container.labels);
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The volumes that a plan mounts, each of them once.
fn volumes(plan: &Plan) -> Vec<String> {
    let volume = |step: &HostStep| match step {
        HostStep::Volume { volume, .. } => Some(volume.clone()),
        _ => None,
    };
    plan.host.iter().filter_map(volume).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The id of the image that a tree of the store is of.
fn image_of(tree: &HostTree) -> Option<String> {
    let is_ours = tree.id_base == FOREIGN_BASE;
    let name = tree.path.parent()?.file_name()?.to_str()?;
    is_ours.then(|| format!("sha256:{name}"))
}

/// Plans a further program in a container that runs, beside its first process, which comes with its invocation id.
pub(super) fn prepare_join(
    unit: &Unit,
    container: &Container,
    paths: &Paths,
    store: &Store,
    command: &Command,
    (pid, invocation): (u32, &str),
) -> Result<Join, Failure> {
    let rootfs = rootfs(unit, container, paths, store)?;
    let mut host = host_facts(unit, container, paths, store, &rootfs)?;
    host.group = accounting::group_of(paths, pid);
    invocation.clone_into(&mut host.invocation);
    let join = plan::join(container, &rootfs.config, &host, command);
    join.map_err(|error| failure(error.to_string(), libc::EINVAL))
}

fn host_facts(
    unit: &Unit,
    container: &Container,
    paths: &Paths,
    store: &Store,
    rootfs: &Rootfs,
) -> Result<HostFacts, Failure> {
    Ok(HostFacts {
        rootfs: rootfs.tree.clone(),
        range: IdRange { base: 0, length: 0 },
        directory: directory(store, unit)?,
        store: store.root().to_owned(),
        images: images(container, paths, store)?,
        shared: BTreeMap::new(),
        private: None,
        environment: environment(container)?,
        device_groups: devices::groups(unit, container)?,
        profile: container.security.seccomp_profile.as_deref().map(profile).transpose()?,
        kernel: kernel(),
        modules: security_modules(),
        hierarchy: accounting::mount(paths),
        group: None,
        invocation: String::new(),
        identity: Identity { machine_id: machine_id(unit, container, paths), ..Identity::default() },
        journal: paths.journal_stream(),
        credentials: credential_stores(paths),
        root_size: root_size(paths),
        output: Output::Journal,
    })
}

/// Puts the unit's own copies in the place of all trees of the store.
fn make_private(host: &mut HostFacts) -> PrivateTrees {
    let mut trees = BTreeMap::new();
    for tree in host.images.values_mut().chain([&mut host.rootfs]) {
        let Some(id) = image_of(tree) else { continue };
        let name = id.trim_start_matches("sha256:");
        let own = private::tree(&host.directory, name);
        trees.insert(name.to_owned(), std::mem::replace(&mut tree.path, own));
    }
    PrivateTrees { store: host.store.clone(), directory: host.directory.clone(), trees }
}

/// The unit's, or one that is derived from the host's.
fn machine_id(unit: &Unit, container: &Container, paths: &Paths) -> Option<Uuid> {
    match &container.machine_id {
        Some(id) => Some(*id),
        None => identity::machine_id(&small_text(&paths.machine_id()), &unit.name),
    }
}

/// A file of the host that a container is told; nothing of one that is missing or none for that.
fn small_text(path: &Path) -> String {
    const MOST: u64 = 32 << 10;
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(MOST + 1).read_to_string(&mut text).map(|length| (length, text))
    };
    read().ok().filter(|(length, _)| *length as u64 <= MOST).map(|(_, text)| text).unwrap_or_default()
}

/// The seccomp profile that a unit names.
fn profile(path: &Path) -> Result<Profile, Failure> {
    let told = |reason: &dyn std::fmt::Display, errno| {
        failure(format!("{reason}: correct security.seccomp_profile"), errno)
    };
    let unread = |error: io::Error| {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        told(&format_args!("seccomp profile {}: {error}", path.display()), errno)
    };
    // A FIFO would never end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).map_err(|error| unread(error.into()))?);
    if !file.metadata().map_err(unread)?.is_file() {
        return Err(told(&format_args!("seccomp profile {} is no file", path.display()), libc::EINVAL));
    }
    let mut text = Vec::new();
    file.take(profile::SIZE_MAX + 1).read_to_end(&mut text).map_err(unread)?;
    if text.len() as u64 > profile::SIZE_MAX {
        return Err(told(
            &format_args!("seccomp profile {} is larger than 1 MiB", path.display()),
            libc::EFBIG,
        ));
    }
    Profile::read(path, &text).map_err(|error| failure(error.to_string(), libc::EINVAL))
}

fn kernel() -> Kernel {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Kernel::try_from(release).unwrap_or(Kernel(0, 0))
}

fn security_modules() -> BTreeSet<LabelModule> {
    let known =
        [(SecurityModule::Apparmor, LabelModule::Apparmor), (SecurityModule::Selinux, LabelModule::Selinux)];
    known.into_iter().filter(|(module, _)| is_in_use(*module)).map(|(_, module)| module).collect()
}

fn root_size(paths: &Paths) -> RootSize {
    let program = |name| paths.administration_program(name);
    RootSize { bytes: 0, make: program("mkfs.ext4"), check: program("e2fsck"), grow: program("resize2fs") }
}

/// What was passed to this process comes first.
fn credential_stores(paths: &Paths) -> CredentialStores {
    let passed = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    CredentialStores {
        plain: passed.into_iter().chain(paths.credential_stores()).collect(),
        encrypted: paths.encrypted_credential_stores(),
        decrypt: paths.decrypt_program(),
    }
}

fn store_failure(error: &StoreError) -> Failure {
    failure(format!("store: {error}"), number_of(error))
}

fn unread(file: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; make it, or begin it with \"-\" to do without it",
        io::ErrorKind::InvalidData => "; it is to be UTF-8",
        _ => "",
    };
    let message = format!("read environment file: {}: {}{hint}", file.display(), words(error));
    failure(message, error.raw_os_error().unwrap_or_default())
}

fn rootfs(unit: &Unit, container: &Container, paths: &Paths, store: &Store) -> Result<Rootfs, Failure> {
    tree(&container.image, paths, store).map_err(|lacking| match lacking {
        Lacking::Store(error) => missing(unit, container, &error),
        Lacking::Host(failure) => failure,
    })
}

/// Why there is no tree of an image.
enum Lacking {
    Store(StoreError),
    Host(Failure),
}

fn tree(source: &ImageSource, paths: &Paths, store: &Store) -> Result<Rootfs, Lacking> {
    let reference = match source {
        ImageSource::Reference(reference) => reference,
        ImageSource::Id(id) => id,
        ImageSource::Directory(path) => return plain_directory(path).map_err(Lacking::Host),
    };
    let id = naming(store, paths, reference).resolve(reference);
    let image = id.and_then(|id| store.image(&id)).map_err(Lacking::Store)?;
    let tree = HostTree { path: image.rootfs, id_base: FOREIGN_BASE };
    Ok(Rootfs { id: image.id.to_string(), tree, config: image.config })
}

/// `dir:`: a tree that is owned by the host's own ids and says nothing of how to run it.
fn plain_directory(path: &Path) -> Result<Rootfs, Failure> {
    if !path.is_dir() {
        let message =
            format!("image: {}: no such directory; make it, or correct container.image", path.display());
        return Err(failure(message, libc::ENOENT));
    }
    let tree = HostTree { path: path.to_owned(), id_base: 0 };
    Ok(Rootfs { id: String::new(), tree, config: ImageConfig::default() })
}

fn directory(store: &Store, unit: &Unit) -> Result<PathBuf, Failure> {
    store.containers_dir(unit.name.as_str()).map_err(|error| store_failure(&error))
}

/// The trees of images that the unit mounts, by the targets.
fn images(
    container: &Container,
    paths: &Paths,
    store: &Store,
) -> Result<BTreeMap<PathBuf, HostTree>, Failure> {
    let mut trees = BTreeMap::new();
    for (at, mount) in &container.mounts {
        if let MountSource::Image(source) = &mount.source {
            let tree = match tree(source, paths, store) {
                Ok(Rootfs { tree, .. }) => tree,
                Err(Lacking::Store(error)) => return Err(missing_mount(at, &error)),
                Err(Lacking::Host(failure)) => return Err(failure),
            };
            trees.insert(at.clone(), tree);
        }
    }
    Ok(trees)
}

fn missing_mount(at: &Path, error: &StoreError) -> Failure {
    let pull = match error {
        StoreError::NoImage(name) => format!("; bring it in with \"sampanctl pull {name}\""),
        _ => String::new(),
    };
    failure(format!("mount.\"{}\": {error}{pull}", at.display()), number_of(error))
}

/// What of this process's own variables is passed on, then `NAME=value` lines of the unit's files; blank lines and
/// comments are passed over, systemd.exec(5).
fn environment(container: &Container) -> Result<Vec<String>, Failure> {
    let passed = |name: &String| Some(format!("{name}={}", std::env::var(name).ok()?));
    let mut lines: Vec<String> = container.pass_environment.iter().filter_map(passed).collect();
    for file in &container.environment_file {
        match std::fs::read_to_string(&file.path) {
            Ok(text) => lines.extend(text.lines().map(str::trim).filter(is_assignment).map(assignment)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.missing == IfMissing::Ignore => {}
            Err(error) => return Err(unread(&file.path, &error)),
        }
    }
    Ok(lines)
}

fn is_assignment(line: &&str) -> bool {
    !line.starts_with(['#', ';']) && line.contains('=')
}

fn assignment(line: &str) -> String {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    format!("{}={}", name.trim(), unquoted(value))
}

/// A value that may stand in quotes.
pub(super) fn unquoted(value: &str) -> &str {
    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    quoted.unwrap_or(value)
}

impl Manager {
    /// The launch plan of a unit, as JSON.
    ///
    /// # Errors
    /// When the unit is no container, or what it names cannot be resolved.
    pub fn plan(&mut self, unit: &UnitName) -> Result<String, String> {
        let name = self.ensure_loaded(unit);
        let unit = self.machine.unit(&name).and_then(|managed| managed.unit()).cloned();
        let unit = unit.ok_or_else(|| format!("Unit {name} not found."))?;
        let Body::Container(container) = &unit.body else {
            return Err(format!("Unit {name} is a target: only containers are launched."));
        };
        let ends = Ends { notify: None, output: Output::Journal };
        let slice = self.choose_slice(container.resources.slice.as_deref());
        let prepared = prepare(&unit, container, &self.hands(&unit, slice), ends);
        discard::unless_used(&self.store, &unit);
        let prepared = prepared.map_err(|failure| failure.message)?;
        serde_json::to_string_pretty(&prepared.plan).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_files_have_comments_and_quotes() {
        let line = |text: &str| Some(text.trim()).filter(is_assignment).map(assignment);
        assert_eq!(line("A=b c").as_deref(), Some("A=b c"));
        assert_eq!(line("A=\"b c\"").as_deref(), Some("A=b c"));
        assert_eq!(line("# A=b"), None);
        assert_eq!(line("nothing"), None);
    }
}
