//! What a launch needs to know, gathered from the store and the host: small files only, no byte of an image.

use super::Manager;
use super::control::failure;
use super::pull::{missing, naming};
use crate::image::config::ImageConfig;
use crate::launch::plan::{self, Command, HostFacts};
use crate::launch::step::{HostStep, HostTree, IdRange, Join, Output, Plan};
use crate::manager::accounting;
use crate::manager::machine::{Failure, Run};
use crate::manager::record::RunFacts;
use crate::paths::Paths;
use crate::store::{FOREIGN_BASE, Store, StoreError};
use crate::systemd::manager::{DEFAULT_SLICE, slice_group};
use crate::unit::model::{Body, Container, IfMissing, ImageSource, MountSource, Unit};
use crate::unit::name::UnitName;
use crate::unit::signal;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A launch that can begin.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) facts: RunFacts,
    pub(super) invocation: String,
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

/// Resolves everything that a unit names, now.
pub(super) fn prepare(
    unit: &Unit,
    container: &Container,
    paths: &Paths,
    store: &Store,
    ends: Ends<'_>,
) -> Result<Prepared, Failure> {
    let rootfs = rootfs(unit, container, paths, store)?;
    let invocation = uuid::Uuid::new_v4().simple().to_string();
    let mut host = host_facts(unit, container, paths, store, &rootfs)?;
    host.invocation.clone_from(&invocation);
    host.notify = ends.notify.map(Path::to_owned);
    host.output = ends.output;
    // What an earlier scope has left there is not to be taken for the new one.
    host.group = Some(scope_group(unit, container, &host.hierarchy)).filter(|directory| !directory.exists());
    let plan = plan::plan(unit, container, &rootfs.config, &host);
    let plan = plan.map_err(|error| failure(error.to_string(), libc::EINVAL))?;
    let image_signal = signal::number(&rootfs.config.stop_signal);
    let facts = RunFacts {
        image_id: rootfs.id,
        rootfs: rootfs.tree.path.display().to_string(),
        command: plan.execute.command.clone(),
        user_namespace: plan.ids.map(|ids| format!("{}:{}", ids.base, ids.length)).unwrap_or_default(),
        ephemeral: Some(host.directory.join("ephemeral")),
        stop_signal: container.stop_signal.or(image_signal).unwrap_or(libc::SIGTERM),
        volumes: volumes(&plan),
        images: host.images.values().filter_map(image_of).collect(),
        ports: rootfs.config.exposed_ports,
        health_check: rootfs.config.health_check,
        ..RunFacts::default()
    };
    Ok(Prepared { plan, facts, invocation })
}

/// The volumes that a plan mounts.
fn volumes(plan: &Plan) -> Vec<String> {
    let volume = |step: &HostStep| match step {
        HostStep::Volume { volume, .. } => Some(volume.clone()),
        _ => None,
    };
    plan.host.iter().filter_map(volume).collect()
}

/// The id of the image that a tree of the store is of.
fn image_of(tree: &HostTree) -> Option<String> {
    let is_ours = tree.id_base == FOREIGN_BASE;
    let name = tree.path.parent()?.file_name()?.to_str()?;
    is_ours.then(|| format!("sha256:{name}"))
}

/// Plans a further program in a container that runs, beside its first process.
pub(super) fn prepare_join(
    unit: &Unit,
    container: &Container,
    paths: &Paths,
    store: &Store,
    command: &Command,
    run: &Run,
) -> Result<Join, Failure> {
    let rootfs = rootfs(unit, container, paths, store)?;
    let mut host = host_facts(unit, container, paths, store, &rootfs)?;
    host.group = accounting::directory(paths, run.pid);
    host.invocation.clone_from(&run.invocation);
    let join = plan::join(unit, container, &rootfs.config, &host, command);
    join.map_err(|error| failure(error.to_string(), libc::EINVAL))
}

fn host_facts(
    unit: &Unit,
    container: &Container,
    paths: &Paths,
    store: &Store,
    rootfs: &Rootfs,
) -> Result<HostFacts, Failure> {
    let range = store.id_range(unit.name.as_str()).map_err(|error| store_failure(&error))?;
    Ok(HostFacts {
        rootfs: rootfs.tree.clone(),
        range: IdRange { base: range.base, length: range.length },
        directory: directory(store, unit)?,
        store: store.root().to_owned(),
        images: images(unit, container, paths, store)?,
        environment: environment(container)?,
        hierarchy: accounting::mount(paths),
        group: None,
        invocation: String::new(),
        notify: None,
        journal: paths.journal_stream(),
        resolver: Some(paths.resolver()).filter(|path| path.exists()),
        output: Output::Journal,
    })
}

/// Where systemd makes the control group of a unit's scope.
fn scope_group(unit: &Unit, container: &Container, hierarchy: &Path) -> PathBuf {
    let slice = container.resources.slice.as_deref().unwrap_or(DEFAULT_SLICE);
    hierarchy.join(slice_group(slice)).join(unit.name.scope())
}

fn store_failure(error: &StoreError) -> Failure {
    let errno = match error {
        StoreError::Io { cause, .. } => cause.raw_os_error(),
        _ => None,
    };
    failure(format!("store: {error}"), errno.unwrap_or(libc::ENOENT))
}

fn io_failure(path: &Path, error: &io::Error) -> Failure {
    failure(format!("{}: {error}", path.display()), error.raw_os_error().unwrap_or_default())
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
        return Err(failure(format!("image: {}: no such directory", path.display()), libc::ENOENT));
    }
    let tree = HostTree { path: path.to_owned(), id_base: 0 };
    Ok(Rootfs { id: String::new(), tree, config: ImageConfig::default() })
}

fn directory(store: &Store, unit: &Unit) -> Result<PathBuf, Failure> {
    store.containers_dir(unit.name.as_str()).map_err(|error| store_failure(&error))
}

/// The trees of images that the unit mounts, by the targets.
fn images(
    unit: &Unit,
    container: &Container,
    paths: &Paths,
    store: &Store,
) -> Result<BTreeMap<PathBuf, HostTree>, Failure> {
    let mut trees = BTreeMap::new();
    for (at, mount) in &container.mounts {
        if let MountSource::Image(source) = &mount.source {
            let tree = match tree(source, paths, store) {
                Ok(Rootfs { tree, .. }) => tree,
                Err(Lacking::Store(error)) => return Err(missing_mount(unit, at, &error)),
                Err(Lacking::Host(failure)) => return Err(failure),
            };
            trees.insert(at.clone(), tree);
        }
    }
    Ok(trees)
}

fn missing_mount(unit: &Unit, at: &Path, error: &StoreError) -> Failure {
    let pull = match error {
        StoreError::NoImage(name) => format!("; bring it in with \"sampanctl pull {name}\""),
        _ => String::new(),
    };
    failure(format!("{}: mount {}: {error}{pull}", unit.name, at.display()), libc::ENOENT)
}

/// What of this process's own variables is passed on, then `NAME=value` lines of the unit's files; blank lines and comments are passed over, systemd.exec(5).
fn environment(container: &Container) -> Result<Vec<String>, Failure> {
    let passed = |name: &String| Some(format!("{name}={}", std::env::var(name).ok()?));
    let mut lines: Vec<String> = container.pass_environment.iter().filter_map(passed).collect();
    for file in &container.environment_file {
        match std::fs::read_to_string(&file.path) {
            Ok(text) => lines.extend(text.lines().map(str::trim).filter(is_assignment).map(assignment)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.missing == IfMissing::Ignore => {}
            Err(error) => return Err(io_failure(&file.path, &error)),
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
        let prepared = prepare(&unit, container, &self.paths, &self.store, ends);
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
