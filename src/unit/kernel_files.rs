//! Files of `/proc` and `/sys`: which of them containers do not get, and which they may set.

use std::path::{Path, PathBuf};

/// Parts that tell of the host, or steer it.
pub const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Parts that may be read.
pub const PROTECTED: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Whether every container has this hidden or cannot write it.
pub fn is_closed(path: &Path) -> bool {
    MASKED.iter().chain(&PROTECTED).any(|closed| path.as_os_str() == *closed)
}

/// Whose a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingOf {
    /// The container's own, always.
    Container,
    /// That of its network, which may be the host's.
    Network,
    /// The name that another key sets.
    Hostname,
    /// The host's.
    Host,
}

/// A setting by its path below `/proc/sys`, namespaces(7).
pub fn setting_of(path: &Path) -> SettingOf {
    const IPC: [&str; 9] = [
        "kernel/auto_msgmni",
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shm_rmid_forced",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
    ];
    let is = |known: &str| path.as_os_str() == known;
    if path.starts_with("net") {
        SettingOf::Network
    } else if path.starts_with("fs/mqueue") || is("kernel/domainname") || IPC.iter().any(|known| is(known)) {
        SettingOf::Container
    } else if is("kernel/hostname") {
        SettingOf::Hostname
    } else {
        SettingOf::Host
    }
}

/// The path below `/proc/sys` of a name as sysctl(8) takes it: whichever of "." and "/" comes first separates.
pub fn setting_path(name: &str) -> Option<PathBuf> {
    let first = name.find(['.', '/'])?;
    let swap = |letter: char| match letter {
        '.' => '/',
        '/' => '.',
        letter => letter,
    };
    let path: String = match name[first..].starts_with('.') {
        true => name.chars().map(swap).collect(),
        false => name.to_owned(),
    };
    let whole = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    (whole && plain).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sysctl_reads_them() {
        for (name, path) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            ("net/ipv4/conf/eth0.100/forwarding", Some("net/ipv4/conf/eth0.100/forwarding")),
            ("net.ipv4.conf.eth0/100.forwarding", Some("net/ipv4/conf/eth0.100/forwarding")),
            ("net", None),
            ("net..x", None),
            ("net/../kernel/x", None),
            (".net.x", None),
            ("net.a b", None),
        ] {
            assert_eq!(setting_path(name), path.map(PathBuf::from), "{name}");
        }
    }

    #[test]
    fn settings_belong_to_namespaces() {
        for (path, owner) in [
            ("net/core/somaxconn", SettingOf::Network),
            ("kernel/shmmax", SettingOf::Container),
            ("fs/mqueue/msg_max", SettingOf::Container),
            ("kernel/hostname", SettingOf::Hostname),
            ("vm/swappiness", SettingOf::Host),
            ("network/x", SettingOf::Host),
        ] {
            assert_eq!(setting_of(Path::new(path)), owner, "{path}");
        }
    }
}
