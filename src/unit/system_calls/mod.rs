//! `security.system_call_filter`: which system calls a container may make, in the words of systemd.exec(5).

mod groups;

use super::suggest;
use super::value::ValueError;
use groups::GROUPS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::str::FromStr as _;
use syscalls::Sysno;

/// The default filter of containers, as a group.
const SERVICE: &str = "@system-service";
/// What a list of allowed calls begins with.
const DEFAULT: &str = "@default";

/// All calls that there are, as a group.
const KNOWN: &str = "@known";

/// Calls that are allowed by their own names only, though systemd has them in a group: with io_uring, the other
/// filters of a container do not see what is done; with namespaces, a program gets at far more of the kernel.
const WITHHELD: [&str; 5] = ["io_uring_enter", "io_uring_register", "io_uring_setup", "setns", "unshare"];

/// What differs from the default filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemCallFilter {
    /// What holds for calls that are not named.
    pub base: CallBase,
    /// Names of calls that may be made.
    pub allowed: BTreeSet<String>,
    /// Names of calls that may not.
    pub refused: BTreeSet<String>,
}

/// What holds for calls that a filter does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallBase {
    /// As in the default filter.
    #[default]
    Default,
    /// They are refused.
    Nothing,
}

impl SystemCallFilter {
    /// Reads the items of a list. When the first begins with "~", the list takes away from the default filter;
    /// otherwise it says what is allowed, beside what every program needs.
    ///
    /// # Errors
    /// All items that are wrong, by their places.
    pub fn read(items: &[String]) -> Result<Self, Vec<(usize, ValueError)>> {
        let mut filter = Self::default();
        if items.first().is_some_and(|first| !first.starts_with('~')) {
            filter.base = CallBase::Nothing;
            filter.allow(&calls_of(DEFAULT));
        }
        let mut errors = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let (refuse, name) = match item.strip_prefix('~') {
                Some(name) => (true, name),
                None => (false, item.as_str()),
            };
            if let Err(error) = check(name) {
                errors.push((index, error));
            } else if name == SERVICE && !refuse {
                filter.base = CallBase::Default;
            } else if refuse && [SERVICE, KNOWN].contains(&name) {
                let error = ValueError::new(format!("\"{item}\" would leave nothing"));
                errors.push((index, error.with_help("name what is allowed instead")));
            } else if refuse {
                filter.refuse(&calls_of(name));
            } else {
                let mut calls = calls_of(name);
                calls.retain(|call| call == name || !WITHHELD.contains(&call.as_str()));
                filter.allow(&calls);
            }
        }
        if errors.is_empty() { Ok(filter) } else { Err(errors) }
    }

    fn allow(&mut self, calls: &BTreeSet<String>) {
        self.refused.retain(|call| !calls.contains(call));
        self.allowed.extend(calls.iter().cloned());
    }

    fn refuse(&mut self, calls: &BTreeSet<String>) {
        self.allowed.retain(|call| !calls.contains(call));
        self.refused.extend(calls.iter().cloned());
    }
}

/// The calls of a group and the groups in it, or the one call.
fn calls_of(name: &str) -> BTreeSet<String> {
    if name == KNOWN {
        return Sysno::iter().map(|call| call.name().to_owned()).collect();
    }
    match GROUPS.iter().find(|(group, _)| *group == name) {
        Some((_, items)) => items.split_whitespace().flat_map(calls_of).collect(),
        None => BTreeSet::from([name.to_owned()]),
    }
}

fn check(name: &str) -> Result<(), ValueError> {
    let is_group =
        |name: &str| [SERVICE, KNOWN].contains(&name) || GROUPS.iter().any(|(group, _)| *group == name);
    let listed =
        |name: &str| GROUPS.iter().any(|(_, items)| items.split_whitespace().any(|item| item == name));
    if is_group(name) || (!name.starts_with('@') && (listed(name) || Sysno::from_str(name).is_ok())) {
        return Ok(());
    }
    let error = ValueError::new(format!("there is no system call or group \"{name}\""));
    if name.contains(':') {
        return Err(error.with_help("what is refused fails with EPERM: leave out the error number"));
    }
    if name.starts_with('/') {
        return Err(error.with_help("a profile in a file is seccomp_profile = \"/PATH\""));
    }
    let groups = GROUPS.iter().map(|(group, _)| *group).chain([SERVICE, KNOWN]);
    let calls = Sysno::iter().map(|call| call.name());
    Err(match suggest::nearest(name, groups.chain(calls)) {
        Some(nearest) => error.with_help(format!("did you mean \"{nearest}\"?")),
        None => error.with_help("\"systemd-analyze syscall-filter\" lists groups and their calls"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(items: &[&str]) -> Result<SystemCallFilter, Vec<(usize, ValueError)>> {
        SystemCallFilter::read(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn lists_are_read_as_systemd_reads_them() {
        let allow = read(&["@network-io", "~bind"]).unwrap();
        assert_eq!(allow.base, CallBase::Nothing);
        assert!(allow.allowed.contains("execve") && allow.allowed.contains("connect"));
        assert!(!allow.allowed.contains("bind") && allow.refused.contains("bind"));
        let deny = read(&["~@privileged", "chown"]).unwrap();
        assert_eq!(deny.base, CallBase::Default);
        assert!(deny.refused.contains("init_module") && !deny.refused.contains("chown"));
        let service = read(&["@system-service", "~@mount", "@keyring"]).unwrap();
        assert!(service.base == CallBase::Default && service.refused.contains("mount"));
        assert!(service.allowed.contains("keyctl"));
        let process = read(&["@process", "@aio"]).unwrap();
        assert!(WITHHELD.iter().all(|call| !process.allowed.contains(*call)));
        let known = read(&["@known", "~@mount"]).unwrap();
        assert!(known.allowed.contains("bpf") && !known.allowed.contains("mount"));
        assert!(WITHHELD.iter().all(|call| !known.allowed.contains(*call)));
        assert!(read(&["unshare"]).unwrap().allowed.contains("unshare"));
        assert_eq!(read(&[]).unwrap(), SystemCallFilter::default());
    }

    #[test]
    fn what_is_not_known_is_named() {
        let errors = read(&["@mont", "opennat", "~@system-service", "read:EPERM", "/etc/x.json", "~@known"]);
        let errors = errors.unwrap_err();
        assert_eq!(errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(errors[0].1.help(), "did you mean \"@mount\"?");
        assert_eq!(errors[1].1.help(), "did you mean \"openat\"?");
    }

    #[test]
    fn groups_hold_calls_and_groups_that_are_known() {
        for (group, items) in GROUPS {
            assert!(
                items.split_whitespace().all(|item| !item.starts_with('@') || check(item).is_ok()),
                "{group}"
            );
        }
    }
}
