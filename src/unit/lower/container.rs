//! `[container]`, `[security]` and `[network]` as meant.

use super::{accept, commands, credential, device, health, idle, life, process, resources, timer};
use crate::unit::model::{
    Container, EnvironmentFile, IfMissing, ImageSource, Init, Mount, NetworkMode, Pass, PullPolicy, RootMode,
    Security, ServiceType, Socket, StartOn, UserNamespace,
};
use crate::unit::name::UnitName;
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, ContainerTable};
use crate::unit::suggest;
use crate::unit::system_calls::SystemCallFilter;
use crate::unit::value::{AbsolutePath, CapabilityName, Text, TimeSpan, VariableName, Written};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub const RESTART_DELAY: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(90);
const WATCHDOG_SIGNAL: i32 = Signal::ABORT.as_raw();
/// sethostname(2) takes no more bytes.
const HOSTNAME_MAX: usize = 64;

/// `None` when there is no image; what else is wrong is only reported.
pub fn lower(
    name: &UnitName,
    file: &ContainerFile,
    sockets: BTreeMap<String, Socket>,
    mounts: BTreeMap<PathBuf, Mount>,
    report: &mut Report<'_>,
) -> Option<Container> {
    let table = &file.container;
    contradictions(file, report);
    useless_pull(table, report);
    let environment_file = environment_files(table, report);
    let (resources, security) = (resources::resources(&file.resources, report), security(file, report));
    let root_size = root_size(table, report);
    let timer = timer::lower(file, report);
    let (command, then) = commands::payload(file, report);
    accept::check(name, file, &sockets, report);
    let accepts = accept::is_meant(&sockets);
    let image = image(table, report)?;
    Some(Container {
        image,
        entrypoint: table.entrypoint.clone(),
        command,
        then,
        user: table.user.clone().map(|Text(user)| user.0),
        working_directory: table.working_directory.clone().map(|Text(path)| path.0),
        stop_signal: table.stop_signal.clone().map(|Text(signal)| signal.0),
        pull: table.pull.unwrap_or_default(),
        environment: table.environment.clone(),
        environment_file,
        pass_environment: variables(&table.pass_environment),
        unset_environment: variables(&table.unset_environment),
        init: table.init.clone().map(|Text(init)| init).unwrap_or_default(),
        labels: table.labels.clone(),
        machine_id: table.machine_id.clone().map(|Text(id)| id.0),
        process: process::settings(file, report).into(),
        standard_input: accept::standard_input(table, &sockets, report),
        kind: table.kind.unwrap_or_default(),
        root: table.root.unwrap_or_default(),
        share: table.share.unwrap_or(true),
        root_size,
        ready: life::ready(table),
        restart: table.restart.unwrap_or_default(),
        restart_delay: span(&table.restart_delay, Some(RESTART_DELAY)).unwrap_or(Duration::MAX),
        restart_steps: table.restart_steps.unwrap_or_default(),
        restart_delay_max: span(&table.restart_delay_max, None),
        success_exit_status: life::statuses(&table.success_exit_status),
        restart_prevent_exit_status: life::statuses(&table.restart_prevent_exit_status),
        restart_force_exit_status: life::statuses(&table.restart_force_exit_status),
        start_limit: life::start_limit(table),
        trigger_limit: life::trigger_limit(&file.activation, accept::trigger_limit(&sockets)),
        start_timeout: start_timeout(table),
        stop_timeout: timeout(&table.stop_timeout, Some(TIMEOUT)),
        runtime_max: span(&table.runtime_max, None),
        runtime_randomized_extra: span(&table.runtime_randomized_extra, None).unwrap_or_default(),
        watchdog: life::watchdog(table),
        watchdog_signal: table.watchdog_signal.clone().map_or(WATCHDOG_SIGNAL, |Text(signal)| signal.0),
        commands: commands::lower(table, report).into(),
        reload: life::reload(table),
        remain_after_exit: table.remain_after_exit.unwrap_or_default(),
        health: health::lower(file, report).map(Box::new),
        sockets: sockets.into_iter().map(|(name, socket)| (name, Arc::new(socket))).collect(),
        accepted: None,
        start: if accepts { StartOn::Socket } else { timer::start(file, timer.as_ref()) },
        idle: idle::lower(file, report),
        timer: timer.map(Box::new),
        resources: resources.into(),
        security: security.into(),
        network: file.network.mode.clone().map(|Text(mode)| mode).unwrap_or_default(),
        hostname: match &file.network.hostname {
            Some(Text(name)) => name.0.clone(),
            None => name.prefix().chars().take(HOSTNAME_MAX).collect(),
        },
        mounts,
        credentials: credential::lower(file, report),
    })
}

fn image(table: &ContainerTable, report: &mut Report<'_>) -> Option<ImageSource> {
    if report.tree().find(&["container"]).is_none() {
        let mut others = report.tree().table().into_iter().flat_map(|table| table.keys());
        if others.any(|table| suggest::nearest(table, ["container"]).is_some()) {
            return None;
        }
        report.error(
            &[],
            "there is no [container] table",
            "a container needs at least [container] with \"image\"",
        );
        return None;
    }
    report.missing(&["container"], "image", "write image = \"docker.io/library/NAME:TAG\"");
    table.image.clone().map(|Text(image)| image)
}

/// A file system is larger than the little that it needs for itself.
const ROOT_SIZE_MIN: u64 = 16 << 20;
/// Larger files do not fit into ext4(5).
const ROOT_SIZE_MAX: u64 = 16 << 40;

fn root_size(table: &ContainerTable, report: &mut Report<'_>) -> Option<u64> {
    let Text(size) = table.root_size.as_ref()?;
    let way = ["container", "root_size"];
    if table.root == Some(RootMode::ReadOnly) {
        report.error(
            &way,
            "a root that cannot be written has no size",
            "a tmpfs has one by its option \"size=\"",
        );
    } else if size.0 < ROOT_SIZE_MIN {
        report.error(&way, "a root has 16M at least", "leave it out for one as large as the disk");
    } else if (ROOT_SIZE_MAX + 1..u64::MAX).contains(&size.0) {
        report.error(&way, "a root has 16T at most", "leave it out for one as large as the disk");
    }
    Some(size.0).filter(|size| *size != u64::MAX)
}

/// A pull of what no registry has.
fn useless_pull(table: &ContainerTable, report: &mut Report<'_>) {
    let Some(Text(image)) = &table.image else { return };
    let way = ["container", "pull"];
    match (image, table.pull) {
        (ImageSource::Id(_) | ImageSource::Directory(_), Some(pull)) if pull != PullPolicy::Never => {
            let message = "\"pull\" has no effect: only an image that is given by its name can be pulled";
            report.warning(&way, message, "leave it out");
        }
        (ImageSource::Reference(name), Some(PullPolicy::Always)) if name.starts_with("localhost/") => {
            let message = "an image below localhost/ is imported, no registry has it: each start would fail";
            report.error(&way, message, "use pull = \"never\", or the image's name in its registry");
        }
        (ImageSource::Reference(name), Some(PullPolicy::Newer)) if name.starts_with("localhost/") => {
            let message = "an image below localhost/ is imported, no registry has it";
            report.warning(&way, message, "use pull = \"never\"");
        }
        _ => {}
    }
}

fn contradictions(file: &ContainerFile, report: &mut Report<'_>) {
    let table = &file.container;
    life::contradictions(table, report);
    life::trigger_interval(&file.activation, report);
    if file.activation.start == Some(StartOn::Socket) && !has_sockets(report) {
        let message = "start = \"socket\" without a socket would never start the container";
        report.error(&["activation", "start"], message, "add a [socket.NAME] with \"listen\"");
    }
    proxied_network(file, report);
    let hosts_ids = matches!(file.security.user_namespace, Some(Text(UserNamespace::Host)));
    if hosts_ids && matches!(table.init, Some(Text(Init::System))) {
        let message = "a system with the host's ids could lift its own limits";
        report.error(
            &["container", "init"],
            message,
            "leave user_namespace out, which gives it ids of its own",
        );
    }
    if table.labels.contains_key("") {
        report.error(&["container", "labels", ""], "a label has no name", "leave it out");
    }
    for name in table.environment.keys() {
        environment_name(name, report);
    }
    let entrypoint = table.entrypoint.as_deref().filter(|words| !words.is_empty());
    if let Some((message, help)) = entrypoint.and_then(commands::no_program) {
        report.item_error(&["container", "entrypoint"], 0, message, help);
    }
}

/// A proxy and its server share a network in which the address of the socket is free.
fn proxied_network(file: &ContainerFile, report: &mut Report<'_>) {
    let mode = file.network.mode.as_ref().map(|Text(mode)| *mode).unwrap_or_default();
    let proxied = file.socket.values().any(|socket| matches!(socket.pass, Some(Text(Pass::Proxy))));
    if proxied && mode != NetworkMode::Private {
        let message = "a socket with pass = \"proxy\" needs a network of the container's own";
        let help = "write mode = \"private\", or use pass = \"fd\" or \"swap\"";
        report.error(&["network", "mode"], message, help);
    }
}

/// Faulty sockets have been left out of the file, but are in the tree.
pub fn has_sockets(report: &Report<'_>) -> bool {
    let table = report.tree().find(&["socket"]).and_then(|entry| entry.node.table());
    table.is_some_and(|table| !table.is_empty())
}

fn environment_name(name: &str, report: &mut Report<'_>) {
    const OURS: &[&str] = &[
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "CREDENTIALS_DIRECTORY",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ];
    let way = ["container", "environment", name];
    let strange = |letter: char| letter == '=' || letter.is_whitespace() || letter.is_control();
    if name.is_empty() || name.contains(strange) || name.starts_with(|first: char| first.is_ascii_digit()) {
        let message = format!("\"{}\" is not the name of a variable", name.escape_debug());
        report.error(&way, message, "it has neither blanks nor \"=\", and does not begin with a digit");
    } else if OURS.contains(&name) {
        report.error(&way, format!("{name} is set by Sampan alone"), "leave it out");
    }
}

fn environment_files(table: &ContainerTable, report: &mut Report<'_>) -> Vec<EnvironmentFile> {
    let mut files = Vec::new();
    for (index, text) in table.environment_file.iter().enumerate() {
        let (path, missing) = match text.strip_prefix('-') {
            Some(path) => (path, IfMissing::Ignore),
            None => (text.as_str(), IfMissing::Fail),
        };
        match AbsolutePath::read(path) {
            Ok(path) => files.push(EnvironmentFile { path: path.0, missing }),
            Err(error) => {
                report.item_error(&["container", "environment_file"], index, error.message(), error.help());
            }
        }
    }
    files
}

pub fn span(written: &Option<Text<TimeSpan>>, default: Option<Duration>) -> Option<Duration> {
    match written {
        Some(Text(TimeSpan(span))) => *span,
        None => default,
    }
}

/// The start of a job lasts until its end, which only its author can bound: systemd.service(5), `TimeoutStartSec=`.
fn start_timeout(table: &ContainerTable) -> Option<Duration> {
    let default = match table.kind.unwrap_or_default() {
        ServiceType::Oneshot => None,
        ServiceType::Exec | ServiceType::Notify => Some(TIMEOUT),
    };
    timeout(&table.start_timeout, default)
}

/// To systemd 0 is no limit.
fn timeout(written: &Option<Text<TimeSpan>>, default: Option<Duration>) -> Option<Duration> {
    span(written, default).filter(|time| !time.is_zero())
}

fn variables(names: &[Text<VariableName>]) -> Vec<String> {
    names.iter().map(|Text(name)| name.0.clone()).collect()
}

fn security(file: &ContainerFile, report: &mut Report<'_>) -> Security {
    let table = &file.security;
    let names = |names: &Vec<Text<CapabilityName>>| -> BTreeSet<String> {
        names.iter().map(|Text(name)| name.0.clone()).collect()
    };
    for (index, Text(dropped)) in table.drop_capabilities.iter().enumerate() {
        if table.add_capabilities.iter().any(|Text(added)| added == dropped) {
            let message = format!("{} is both added and dropped", dropped.0);
            report.item_error(&["security", "drop_capabilities"], index, message, "leave one out");
        }
    }
    if table.seccomp_profile.is_some() && !table.system_call_filter.is_empty() {
        let message = "\"seccomp_profile\" and \"system_call_filter\" both say which calls are made";
        report.error(&["security", "seccomp_profile"], message, "leave one out");
    }
    Security {
        user_namespace: table.user_namespace.clone().map(|Text(mode)| mode).unwrap_or_default(),
        capabilities: table.capabilities.as_ref().map(names),
        add_capabilities: names(&table.add_capabilities),
        drop_capabilities: names(&table.drop_capabilities),
        no_new_privileges: table.no_new_privileges.unwrap_or(true),
        protect_proc: table.protect_proc.unwrap_or_default(),
        proc_subset: table.proc_subset.unwrap_or_default(),
        system_calls: system_calls(&table.system_call_filter, report),
        seccomp_profile: table.seccomp_profile.clone().map(|Text(path)| path.0),
        devices: device::lower(&table.devices, report),
        read_only_paths: table.read_only_paths.iter().map(|Text(path)| path.0.clone()).collect(),
        mask_paths: process::mask_paths(file, report),
        unmask_paths: process::unmask_paths(file, report),
        sysctl: process::sysctl(file, report),
        apparmor_profile: table.apparmor_profile.clone().and_then(|Text(profile)| profile.0),
        selinux_label: table.selinux_label.clone().and_then(|Text(label)| label.0),
    }
}

fn system_calls(items: &[String], report: &mut Report<'_>) -> SystemCallFilter {
    SystemCallFilter::read(items).unwrap_or_else(|errors| {
        for (index, error) in errors {
            let way = ["security", "system_call_filter"];
            report.item_error(&way, index, error.message(), error.help());
        }
        SystemCallFilter::default()
    })
}
