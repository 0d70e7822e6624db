//! What keeps a container from the host, in the words of `[security]`.

use super::Read::{Flag, List, Text, Words};
use super::{Entry, Look, untold};
use crate::launch::plan::capabilities_of;
use crate::unit::model::{Device, IfMissing, Security, SecurityLabel};
use std::path::Path;

pub(super) const TABLE: &[Entry] = &[
    untold("CapabilityBoundingSet", List(|look| of(look).map(capabilities_of).unwrap_or_default())),
    untold("NoNewPrivileges", Flag(|look| of(look).is_some_and(|own| own.no_new_privileges))),
    untold("ProtectProc", Text(|look| of(look).map_or("", |own| own.protect_proc.word()).to_owned())),
    untold("ProcSubset", Text(|look| of(look).map_or("", |own| own.proc_subset.word()).to_owned())),
    untold("SystemCallFilter", List(|look| of(look).map(filter).unwrap_or_default())),
    untold("SeccompProfile", Text(|look| of(look).and_then(profile).unwrap_or_default())),
    untold("AppArmorProfile", Text(|look| label(of(look).and_then(|own| own.apparmor_profile.as_ref())))),
    untold("SELinuxContext", Text(|look| label(of(look).and_then(|own| own.selinux_label.as_ref())))),
    untold("DeviceAllow", List(|look| all(look, |own| own.devices.iter().map(device).collect()))),
    untold("ReadOnlyPaths", List(|look| all(look, |own| own.read_only_paths.iter().map(path).collect()))),
    untold("MaskPaths", List(|look| all(look, |own| own.mask_paths.iter().map(path).collect()))),
    untold("UnmaskPaths", List(|look| all(look, |own| own.unmask_paths.iter().map(path).collect()))),
    untold("Sysctl", Words(|look| of(look).map(|own| own.sysctl.clone()).unwrap_or_default())),
];

fn of<'a>(look: &Look<'a>) -> Option<&'a Security> {
    look.container().map(|container| &*container.security)
}

fn all(look: &Look<'_>, list: fn(&Security) -> Vec<String>) -> Vec<String> {
    of(look).map(list).unwrap_or_default()
}

fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn profile(security: &Security) -> Option<String> {
    security.seccomp_profile.as_ref().map(path)
}

/// Those that the default filter does not have, and with "~" those that are taken from it.
fn filter(security: &Security) -> Vec<String> {
    let calls = &security.system_calls;
    calls.allowed.iter().cloned().chain(calls.refused.iter().map(|call| format!("~{call}"))).collect()
}

fn label(label: Option<&SecurityLabel>) -> String {
    label.map(|label| format!("{}{}", sign(label.missing), label.name)).unwrap_or_default()
}

fn device(device: &Device) -> String {
    format!("{}{} {}", sign(device.missing), device.specifier(), device.access)
}

/// With "-" it may be missing.
fn sign(missing: IfMissing) -> &'static str {
    match missing {
        IfMissing::Ignore => "-",
        IfMissing::Fail => "",
    }
}
