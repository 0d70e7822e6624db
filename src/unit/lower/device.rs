//! `security.devices` as meant.

use crate::unit::model::{Device, DeviceSource, IfMissing};
use crate::unit::report::Report;
use crate::unit::value::{DeviceRule, DeviceSource as Written, Text};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What every container has in `/dev`.
const OURS: [&str; 15] = [
    "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
    "urandom", "zero", "console",
];

/// The devices; what is wrong is reported.
pub fn lower(rules: &[Text<DeviceRule>], report: &mut Report<'_>) -> Vec<Device> {
    let mut targets = BTreeSet::new();
    let mut devices = Vec::new();
    for (index, Text(rule)) in rules.iter().enumerate() {
        let mut wrong = |message: String, help: &str| {
            report.item_error(&["security", "devices"], index, message, help);
        };
        let source = match &rule.source {
            Written::Group(name) => DeviceSource::Group(name.clone()),
            Written::Node { path, target } => {
                if let Some(path) = [path, target].into_iter().find(|path| !is_below_dev(path)) {
                    wrong(
                        format!("{} is not below /dev", path.display()),
                        "devices are there, inside and outside",
                    );
                    continue;
                }
                if is_ours(target) {
                    wrong(format!("every container has its own {}", target.display()), "leave it out");
                    continue;
                }
                if !targets.insert(target.clone()) {
                    wrong(format!("{} is named twice", target.display()), "leave one out");
                    continue;
                }
                DeviceSource::Node { path: path.clone(), target: target.clone() }
            }
        };
        let missing = if rule.may_be_missing { IfMissing::Ignore } else { IfMissing::Fail };
        devices.push(Device { source, access: rule.access.clone(), missing });
    }
    devices
}

fn is_below_dev(path: &Path) -> bool {
    path.strip_prefix("/dev").is_ok_and(|rest| rest.components().next().is_some())
}

fn is_ours(target: &Path) -> bool {
    OURS.iter().any(|name| target.starts_with(PathBuf::from("/dev").join(name)))
}
