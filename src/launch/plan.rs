//! From a unit, an image's configuration and facts of the host to a plan. Pure: reads no file and no clock.

use super::capability;
use super::filter;
use super::identity::{self, Identity, NOTIFY};
use super::mounts;
use super::profile::{Circumstances, Kernel, Profile, ProfileError};
use super::standard;
use super::step::{
    Binds, Changes, CredentialStores, Delegation, Execute, First, HostStep, HostTree, IdRange, Join, Label,
    LabelModule, Links, NamespaceSetting, NewPrivileges, Output, Pause, Plan, PrivateTrees, RootSize,
    ScopeGroup, Stand, Step, SystemCalls,
};
use super::system;
use crate::image::config::ImageConfig;
use crate::sys::namespace::Namespace;
use crate::unit::few::Few;
use crate::unit::model::{
    CREDENTIALS_DIRECTORY, Container, IfMissing, NetworkMode, Pass, RootMode, Security, StandardInput, Unit,
    UserNamespace,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a plan must know of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The flat tree of the image.
    pub rootfs: HostTree,
    /// The range that the manager allocated to the unit, for `user_namespace = "auto"`.
    pub range: IdRange,
    /// A directory of the host for this unit alone, on the disk of the store.
    pub directory: PathBuf,
    /// The directory of the store, for its volumes.
    pub store: PathBuf,
    /// The trees of images that the unit mounts, by the targets.
    pub images: BTreeMap<PathBuf, HostTree>,
    /// By the sources of its binds: a directory above that containers can write.
    pub shared: BTreeMap<PathBuf, PathBuf>,
    /// What these and its root are copies of, where the unit shares no file.
    pub private: Option<PrivateTrees>,
    /// What of the manager's variables is passed, and lines of `environment_file`, in their order.
    pub environment: Vec<String>,
    /// Where the unified control group hierarchy is mounted.
    pub hierarchy: PathBuf,
    /// The directory of the control group: of the scope that is about to be made, or, to join, of the container.
    /// `None` where that of the scope cannot be known beforehand.
    pub group: Option<PathBuf>,
    /// `INVOCATION_ID`.
    pub invocation: String,
    /// The nodes of devices that the unit names by their drivers.
    pub device_groups: BTreeMap<String, Vec<PathBuf>>,
    /// What `security.seccomp_profile` names.
    pub profile: Option<Profile>,
    /// The version of the kernel.
    pub kernel: Kernel,
    /// Its security modules.
    pub modules: BTreeSet<LabelModule>,
    /// The journal's socket for streams.
    pub journal: PathBuf,
    /// What the container is told of itself and of the host.
    pub identity: Identity,
    /// Where the host has credentials.
    pub credentials: CredentialStores,
    /// Programs for a root that has a size, which is the unit's.
    pub root_size: RootSize,
    /// Where the payload's output goes.
    pub output: Output,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Neither the unit nor the image say what to run.
    #[error("neither the unit nor its image has a command; set container.command")]
    NoCommand,
    /// A capability that does not exist.
    #[error("security.capabilities: there is no {name}, see capabilities(7)")]
    Capability {
        /// The wrong name.
        name: String,
    },
    /// The image wants a working directory that is no absolute path.
    #[error("the image's working directory {path:?} is not absolute; set container.working_directory")]
    WorkingDirectory {
        /// As the image has it.
        path: String,
    },
    /// The image wants a volume where none can be.
    #[error("the image wants a volume at {path:?}, where nothing can be mounted: use an image without it")]
    ImageVolume {
        /// As the image has it.
        path: String,
    },
    /// The seccomp profile of the unit does not work.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It is larger than the kernel takes.
    #[error(
        "the seccomp profile makes more than the 4096 instructions that the kernel takes: shorten security.seccomp_profile"
    )]
    ProfileSize,
    /// A label for a security module that the host does not have.
    #[error("security.{key}: {module} is not in use on this host; begin it with \"-\" to do without it")]
    Module {
        /// The key.
        key: &'static str,
        /// The security module.
        module: &'static str,
    },
    /// An image to be mounted whose tree is not known.
    #[error("the image for {} is not in the store", path.display())]
    Image {
        /// Where it was to be mounted.
        path: PathBuf,
    },
}

/// How a connection is called that a container was made for, systemd.socket(5) `FileDescriptorName=`.
const CONNECTION: &str = "connection";

/// Plans the start of a container. The sockets to pass are those of the unit with `pass = "fd"`, in the order
/// of their names, or the connection that it was made for.
///
/// # Errors
/// When unit and image together say nothing that could be run.
pub fn plan(
    unit: &Unit,
    container: &Container,
    image: &ImageConfig,
    facts: &HostFacts,
) -> Result<Plan, PlanError> {
    let mut execute = execute(container, image, facts)?;
    let is_booted = system::is_booted(container, &execute.command);
    let delegation = if is_booted { Delegation::Subtree } else { Delegation::None };
    let mounts = mounts::plan(unit, container, image, facts, delegation)?;
    let ids = ids(container.security.user_namespace, facts.range);
    let told = identity::plan(container, &facts.identity, ids.map_or(0, |range| range.base), delegation);
    // The root comes first: the container waits for it longest.
    let stands = [mounts.stands, told.stands].concat();
    let root = HostStep::Root {
        lower: facts.rootfs.clone(),
        changes: changes(container, facts, stands),
        size: container.root_size.map(|bytes| RootSize { bytes, ..facts.root_size.clone() }),
    };
    let mut host: Vec<HostStep> = facts.private.iter().cloned().map(HostStep::Private).collect();
    host.push(root);
    host.extend(standard::devices());
    host.extend(mounts.host);
    host.extend(told.host);
    let credentials = (!container.credentials.is_empty()).then(|| {
        let (unit, stores) = (unit.name.to_string(), facts.credentials.clone());
        let read = HostStep::Credentials { unit, stores, credentials: container.credentials.clone() };
        (read, Step::Credentials { target: CREDENTIALS_DIRECTORY.into(), user: execute.user.clone() })
    });
    let (read, given) = credentials.unzip();
    host.extend(read);
    if facts.output == Output::Journal {
        host.extend([standard::STDOUT, standard::JOURNAL].map(|tree| HostStep::Journal {
            tree: tree.to_owned(),
            socket: facts.journal.clone(),
            identifier: unit.name.stem().to_owned(),
            unit: unit.name.scope(),
        }));
    }
    let mut inside = standard::made_first(&container.security);
    let is_seen = facts.group.is_none() && delegation == Delegation::None;
    inside.extend(is_seen.then(standard::control_group));
    inside.extend(mounts.made);
    inside.extend(told.made);
    inside.push(Step::EnterRoot);
    inside.extend(standard::placed(facts.output));
    // While nothing of the unit's or the image's can be in the place of the kernel's files.
    inside.extend(settings(container, ids));
    inside.extend(mounts.placed);
    inside.extend(told.placed);
    inside.extend(given);
    inside.push(Step::Seal(identity::HOST.into()));
    inside.extend(standard::closed(&container.security.unmask_paths));
    inside.extend(closed(&container.security));
    inside.extend(standard::processes_alone(&container.security));
    execute.output = facts.output;
    if container.has_init() {
        execute.first = First::Init;
    }
    Ok(Plan {
        group: facts.group.as_ref().map(|directory| scope_group(directory, container)),
        delegation,
        hierarchy: facts.hierarchy.clone(),
        ids,
        namespaces: namespaces(container.network),
        settings: namespace_settings(container),
        host,
        inside,
        pause: if container.commands.hold_the_payload() { Pause::Prepared } else { Pause::None },
        execute,
    })
}

/// What a root has on disk that is of no use once the container has ended: the changes of an ephemeral one, the stands
/// of one that cannot be written. A start empties it; who removes it at the end spares the next start the time.
pub fn passing(root: RootMode, directory: &Path) -> PathBuf {
    let [ephemeral, stand] = PASSING;
    directory.join(if root == RootMode::ReadOnly { stand } else { ephemeral })
}

/// All names of that.
pub const PASSING: [&str; 2] = ["ephemeral", "stand"];

/// What `exec` was asked to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Instead of the container's user.
    pub user: Option<String>,
    /// Instead of the container's working directory.
    pub working_directory: Option<PathBuf>,
    /// Added to the container's environment.
    pub environment: Vec<String>,
}

/// Plans a further program in a running container, with the same privileges as its payload.
///
/// # Errors
/// As [`plan`], and when there is no command.
pub fn join(
    container: &Container,
    image: &ImageConfig,
    facts: &HostFacts,
    command: &Command,
) -> Result<Join, PlanError> {
    if command.words.is_empty() {
        return Err(PlanError::NoCommand);
    }
    let mut asked = container.clone();
    asked.entrypoint = Some(Vec::new());
    asked.command = Some(command.words.clone());
    asked.then.clear();
    asked.sockets = Few::default();
    asked.user = command.user.clone().or(asked.user);
    asked.working_directory = command.working_directory.clone().or(asked.working_directory);
    let identity = Identity { notify: None, ..facts.identity.clone() };
    let mut execute = execute(&asked, image, &HostFacts { identity, ..facts.clone() })?;
    execute.output = Output::Passed;
    execute.sockets.clear();
    execute.standard_input = StandardInput::Null;
    for line in &command.environment {
        set(&mut execute.environment, line);
    }
    let mut namespaces = vec![Namespace::Mount, Namespace::Process];
    namespaces.extend(self::namespaces(container.network));
    if container.security.user_namespace != UserNamespace::Host {
        namespaces.insert(0, Namespace::User);
    }
    Ok(Join { group: facts.group.clone(), namespaces, execute })
}

fn ids(namespace: UserNamespace, range: IdRange) -> Option<IdRange> {
    match namespace {
        UserNamespace::Auto => Some(range),
        UserNamespace::Range { base, length } => Some(IdRange { base, length }),
        UserNamespace::Host => None,
    }
}

fn namespaces(network: NetworkMode) -> Vec<Namespace> {
    match network {
        NetworkMode::Host => vec![Namespace::ControlGroup, Namespace::Hostname, Namespace::Ipc],
        NetworkMode::Private | NetworkMode::None => {
            vec![Namespace::ControlGroup, Namespace::Hostname, Namespace::Ipc, Namespace::Network]
        }
    }
}

fn namespace_settings(container: &Container) -> Vec<NamespaceSetting> {
    let loopback = (container.network == NetworkMode::Private).then_some(NamespaceSetting::Loopback);
    [NamespaceSetting::Hostname(container.hostname.clone())].into_iter().chain(loopback).collect()
}

/// The kernel's settings: the unit's, and that all groups may ping(8) in a network of the container's own, for which a
/// new network asks for `CAP_NET_RAW`: icmp(7).
fn settings(container: &Container, ids: Option<IdRange>) -> impl Iterator<Item = Step> {
    const PING: &str = "net/ipv4/ping_group_range";
    let own = &container.security.sysctl;
    let last = ids.map_or(i32::MAX.cast_unsigned(), |ids| ids.length - 1);
    let pings = container.network == NetworkMode::Private && !own.contains_key(PING);
    let ping = pings.then(|| Step::Setting { path: PING.into(), value: format!("0 {last}") });
    let setting =
        |(path, value): (&String, &String)| Step::Setting { path: path.into(), value: value.clone() };
    ping.into_iter().chain(own.iter().map(setting))
}

/// What the unit hides and protects.
fn closed(security: &Security) -> impl Iterator<Item = Step> {
    let links = Links::Follow;
    let masked = security.mask_paths.iter().map(move |path| Step::Mask { path: path.clone(), links });
    let protected = security.read_only_paths.iter();
    masked.chain(protected.map(move |path| Step::Protect { path: path.clone(), links }))
}

/// Limits that are `max` until they are set: systemd.resource-control(5) and the kernel's cgroup-v2.rst.
fn scope_group(directory: &Path, container: &Container) -> ScopeGroup {
    let resources = &container.resources;
    let limits = [
        ("cpu.max", resources.cpu_quota_per_sec_usec),
        ("memory.high", resources.memory_high),
        ("memory.max", resources.memory_max),
        ("memory.swap.max", resources.memory_swap_max),
        ("pids.max", resources.tasks_max),
    ];
    let limited = limits.into_iter().filter(|(_, limit)| limit.is_some_and(|limit| limit != u64::MAX));
    let mut limits: Vec<String> = limited.map(|(file, _)| file.to_owned()).collect();
    if !resources.allowed_cpus.is_empty() {
        limits.push("cpuset.cpus".to_owned());
    }
    ScopeGroup { directory: directory.to_owned(), limits }
}

fn changes(container: &Container, facts: &HostFacts, stands: Vec<Stand>) -> Changes {
    match container.root {
        RootMode::Ephemeral => Changes::Discard(passing(container.root, &facts.directory)),
        RootMode::Persistent => Changes::Keep(facts.directory.join("persistent")),
        RootMode::ReadOnly => Changes::Refuse {
            directory: passing(container.root, &facts.directory),
            stands: standard::STANDS.iter().map(Stand::directory).chain(stands).collect(),
        },
    }
}

fn execute(container: &Container, image: &ImageConfig, facts: &HostFacts) -> Result<Execute, PlanError> {
    let passed = |pass| container.sockets.iter().filter(move |(_, socket)| socket.pass == pass);
    let capabilities = capabilities(&container.security)?;
    let standard_input = standard_input(container, facts);
    let mut sockets: Vec<String> = passed(Pass::Fd).map(|(name, _)| name.clone()).collect();
    sockets.extend(container.accepted.iter().map(|_| CONNECTION.to_owned()));
    if standard_input == StandardInput::Socket {
        sockets.clear();
    }
    Ok(Execute {
        command: command(container, image)?,
        then: container.then.iter().map(|words| with_entrypoint(container, image, words)).collect(),
        success_exit_status: container.success_exit_status.clone(),
        stop_signal: stop_signal(container, image).unwrap_or(libc::SIGTERM),
        environment: environment(container, image, facts),
        user: container.user.clone().unwrap_or_else(|| image.user.clone()),
        hidden: container.security.mask_paths.iter().cloned().collect(),
        first: First::Payload,
        working_directory: working_directory(container, image)?,
        settings: (*container.process).clone(),
        system_calls: system_calls(container, &capabilities, facts)?,
        capabilities,
        ambient: ambient(&container.security),
        labels: labels(&container.security, &facts.modules)?,
        new_privileges: match container.security.no_new_privileges {
            true => NewPrivileges::Never,
            false => NewPrivileges::Allowed,
        },
        output: Output::Passed,
        standard_input,
        sockets,
        binds: if passed(Pass::Swap).next().is_some() { Binds::Manager } else { Binds::Kernel },
    })
}

/// Streams of somebody who waits for the container's end come before a socket.
fn standard_input(container: &Container, facts: &HostFacts) -> StandardInput {
    match facts.output {
        Output::Journal => container.standard_input,
        Output::Passed => StandardInput::Null,
    }
}

fn labels(security: &Security, modules: &BTreeSet<LabelModule>) -> Result<Vec<Label>, PlanError> {
    let wanted = [
        (LabelModule::Apparmor, &security.apparmor_profile),
        (LabelModule::Selinux, &security.selinux_label),
    ];
    let mut labels = Vec::new();
    for (module, label) in wanted {
        let Some(label) = label else { continue };
        if modules.contains(&module) {
            labels.push(Label { module, name: label.name.clone(), missing: label.missing });
        } else if label.missing == IfMissing::Fail {
            let (key, module) = match module {
                LabelModule::Apparmor => ("apparmor_profile", "AppArmor"),
                LabelModule::Selinux => ("selinux_label", "SELinux"),
            };
            return Err(PlanError::Module { key, module });
        }
    }
    Ok(labels)
}

fn system_calls(
    container: &Container,
    capabilities: &[String],
    facts: &HostFacts,
) -> Result<SystemCalls, PlanError> {
    let Some(profile) = &facts.profile else {
        return Ok(SystemCalls::Filter(container.security.system_calls.clone()));
    };
    let rules = profile.resolve(Circumstances { capabilities, kernel: facts.kernel });
    let calls = SystemCalls::Profile(rules?);
    if filter::fits(&calls) { Ok(calls) } else { Err(PlanError::ProfileSize) }
}

/// As with other engines, a unit that has its own entrypoint does not get the image's command.
fn command(container: &Container, image: &ImageConfig) -> Result<Vec<String>, PlanError> {
    let no_words = Vec::new();
    let image_words = if container.entrypoint.is_some() { &no_words } else { &image.command };
    let words = container.command.as_ref().unwrap_or(image_words);
    let command = with_entrypoint(container, image, words);
    match command.first() {
        Some(program) if !program.is_empty() => Ok(command),
        _ => Err(PlanError::NoCommand),
    }
}

fn with_entrypoint(container: &Container, image: &ImageConfig, words: &[String]) -> Vec<String> {
    let entrypoint = container.entrypoint.as_ref().unwrap_or(&image.entrypoint);
    [entrypoint.as_slice(), words].concat()
}

/// The unit's or the image's, where one says something.
pub fn stop_signal(container: &Container, image: &ImageConfig) -> Option<i32> {
    container.stop_signal.or_else(|| image.stop_signal())
}

fn working_directory(container: &Container, image: &ImageConfig) -> Result<PathBuf, PlanError> {
    let path = match (&container.working_directory, image.working_directory.as_str()) {
        (Some(path), _) => path.clone(),
        (None, "") => PathBuf::from("/"),
        (None, path) => PathBuf::from(path),
    };
    match path.is_absolute() {
        true => Ok(path),
        false => Err(PlanError::WorkingDirectory { path: path.display().to_string() }),
    }
}

fn capabilities(security: &Security) -> Result<Vec<String>, PlanError> {
    let names = capabilities_of(security);
    match names.iter().find(|name| capability::bit(name).is_none()) {
        Some(name) => Err(PlanError::Capability { name: name.clone() }),
        None => Ok(names),
    }
}

/// The names of the capabilities that a container has, in their order.
pub fn capabilities_of(security: &Security) -> Vec<String> {
    let default = || capability::DEFAULT.iter().map(|name| (*name).to_owned()).collect();
    let mut names = security.capabilities.clone().unwrap_or_else(default);
    names.extend(security.add_capabilities.iter().cloned());
    names.retain(|name| !security.drop_capabilities.contains(name));
    names.into_iter().collect()
}

/// What a payload that is not root holds: what the unit names, and nothing of the default set.
fn ambient(security: &Security) -> Vec<String> {
    let named = security.capabilities.iter().flatten().chain(&security.add_capabilities);
    let named: BTreeSet<&String> = named.filter(|name| !security.drop_capabilities.contains(*name)).collect();
    named.into_iter().cloned().collect()
}

/// Later lines win: the image's, files, the unit's, ours.
fn environment(container: &Container, image: &ImageConfig, facts: &HostFacts) -> Vec<String> {
    let mut lines = Vec::new();
    let is_unset = |line: &String| container.unset_environment.iter().any(|name| name == name_of(line));
    let of_image = image.environment.iter().filter(|line| !is_reserved(line) && !is_unset(line));
    for line in of_image.chain(&facts.environment) {
        set(&mut lines, line);
    }
    for (name, value) in &container.environment {
        set(&mut lines, &format!("{name}={value}"));
    }
    set(&mut lines, "container=sampan");
    if let Some(id) = facts.identity.machine_id {
        set(&mut lines, &format!("container_uuid={id}"));
    }
    set(&mut lines, &format!("INVOCATION_ID={}", facts.invocation));
    if let Some(accepted) = &container.accepted {
        let (address, port) = accepted.peer.remote();
        lines.retain(|line| !matches!(name_of(line), "REMOTE_ADDR" | "REMOTE_PORT"));
        lines.extend(address.map(|address| format!("REMOTE_ADDR={address}")));
        lines.extend(port.map(|port| format!("REMOTE_PORT={port}")));
    }
    if !container.credentials.is_empty() {
        set(&mut lines, &format!("CREDENTIALS_DIRECTORY={CREDENTIALS_DIRECTORY}"));
    }
    if facts.identity.notify.is_some() {
        set(&mut lines, &format!("NOTIFY_SOCKET={NOTIFY}"));
        if let Some(time) = container.watchdog {
            // Without WATCHDOG_PID any process of the container may do it, sd_watchdog_enabled(3).
            set(&mut lines, &format!("WATCHDOG_USEC={}", time.as_micros()));
        }
    }
    lines
}

/// What a service believes of its manager must not come from an image.
fn is_reserved(line: &str) -> bool {
    let name = name_of(line);
    name.starts_with("LISTEN_")
        || name.starts_with("WATCHDOG_")
        || matches!(name, "NOTIFY_SOCKET" | "container_uuid" | "CREDENTIALS_DIRECTORY" | "INVOCATION_ID" | "")
}

fn set(lines: &mut Vec<String>, line: &str) {
    lines.retain(|known| name_of(known) != name_of(line));
    lines.push(line.to_owned());
}

fn name_of(line: &str) -> &str {
    line.split('=').next().unwrap_or_default()
}
