//! What the processes of a container begin with, and the kernel's settings for them, as meant.

use super::scheduling;
use crate::unit::kernel_files::{SettingOf, is_closed, setting_of, setting_path};
use crate::unit::model::{
    Bind, BindDepth, BindOwners, Limit, LimitKind, Mount, MountSource, NetworkMode, ProcessSettings,
};
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, LimitsTable};
use crate::unit::value::{ProcessLimit, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub fn settings(file: &ContainerFile, report: &mut Report<'_>) -> ProcessSettings {
    let (container, resources) = (&file.container, &file.resources);
    ProcessSettings {
        supplementary_groups: container
            .supplementary_groups
            .iter()
            .map(|Text(group)| group.0.clone())
            .collect(),
        umask: container.umask.clone().map(|Text(mode)| mode.0),
        limits: limits(&resources.limits),
        cpu_affinity: resources.cpu_affinity.clone().map(|Text(cpus)| cpus.0).unwrap_or_default(),
        oom_score_adjust: resources.oom_score_adjust.clone().map(|Text(score)| score.0),
        cpu_scheduling: scheduling::of_processors(resources, report),
        io_scheduling: scheduling::of_disks(resources, report),
        personality: container.personality.clone().map(|Text(personality)| personality),
        memory_merge: resources.memory_ksm.unwrap_or_default(),
    }
}

/// The file that tzset(3) reads is the host's, where the unit does not mount one by itself.
pub fn timezone(file: &ContainerFile, mounts: &mut BTreeMap<PathBuf, Mount>) {
    const LOCAL_TIME: &str = "/etc/localtime";
    let Some(Text(zone)) = &file.container.timezone else { return };
    let path = match zone.0.as_str() {
        "local" => PathBuf::from(LOCAL_TIME),
        zone => Path::new("/usr/share/zoneinfo").join(zone),
    };
    // Anybody may read it, and not every file system of a host can map ids.
    let bind = Bind { owners: BindOwners::Unmapped, depth: BindDepth::One, ..Bind::new(path) };
    mounts.entry(LOCAL_TIME.into()).or_insert_with(|| Mount::new(MountSource::Bind(bind)).read_only());
}

fn limits(table: &LimitsTable) -> BTreeMap<LimitKind, Limit> {
    [
        (LimitKind::AddressSpace, &table.address_space),
        (LimitKind::Core, &table.core),
        (LimitKind::Cpu, &table.cpu),
        (LimitKind::Data, &table.data),
        (LimitKind::Fsize, &table.fsize),
        (LimitKind::Locks, &table.locks),
        (LimitKind::Memlock, &table.memlock),
        (LimitKind::Msgqueue, &table.msgqueue),
        (LimitKind::Nice, &table.nice),
        (LimitKind::Nofile, &table.nofile),
        (LimitKind::Nproc, &table.nproc),
        (LimitKind::Rss, &table.rss),
        (LimitKind::Rtprio, &table.rtprio),
        (LimitKind::Rttime, &table.rttime),
        (LimitKind::Sigpending, &table.sigpending),
        (LimitKind::Stack, &table.stack),
    ]
    .into_iter()
    .filter_map(|(kind, written)| {
        let Text(ProcessLimit(soft, hard)) = written.clone()?;
        Some((kind, Limit { soft, hard }))
    })
    .collect()
}

/// Files below `/proc/sys` and what is written there; only what is the container's own.
pub fn sysctl(file: &ContainerFile, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let network = file.network.mode.clone().map(|Text(mode)| mode).unwrap_or_default();
    let mut settings = BTreeMap::new();
    for (name, Text(value)) in &file.security.sysctl {
        let way = ["security", "sysctl", name];
        let Some(path) = setting_path(name) else {
            report.error(
                &way,
                format!("\"{name}\" is not the name of a sysctl"),
                "\"sysctl -aN\" lists them",
            );
            continue;
        };
        match setting_of(&path) {
            SettingOf::Container => {}
            SettingOf::Network if network != NetworkMode::Host => {}
            SettingOf::Network => {
                let help = "set it in sysctl.d(5), or give the container a network of its own";
                report.error(&way, format!("with the host's network \"{name}\" is the host's"), help);
                continue;
            }
            SettingOf::Hostname => {
                report.error(&way, "the name of the host is set by another key", "use network.hostname");
                continue;
            }
            SettingOf::Host => {
                let help = "set it in sysctl.d(5)";
                report.error(&way, format!("\"{name}\" is no setting of a container, but of the host"), help);
                continue;
            }
        }
        if settings.insert(path.display().to_string(), value.0.clone()).is_some() {
            report.error(&way, format!("\"{name}\" is another spelling of one above"), "leave one out");
        }
    }
    settings
}

pub fn mask_paths(file: &ContainerFile, report: &mut Report<'_>) -> BTreeSet<PathBuf> {
    for (index, Text(path)) in file.security.mask_paths.iter().enumerate() {
        if ["/", "/dev", "/proc"].iter().any(|needed| path.0.as_os_str() == *needed) {
            let message = format!("no program works without {}", path.0.display());
            report.item_error(
                &["security", "mask_paths"],
                index,
                message,
                "name what is to be hidden below it",
            );
        }
    }
    file.security.mask_paths.iter().map(|Text(path)| path.0.clone()).collect()
}

pub fn unmask_paths(file: &ContainerFile, report: &mut Report<'_>) -> BTreeSet<PathBuf> {
    for (index, Text(path)) in file.security.unmask_paths.iter().enumerate() {
        if !is_closed(&path.0) {
            let message = format!("{} is neither hidden nor protected by itself", path.0.display());
            let help = "sampan.container(5) lists what is";
            report.item_error(&["security", "unmask_paths"], index, message, help);
        }
    }
    file.security.unmask_paths.iter().map(|Text(path)| path.0.clone()).collect()
}
