//! Names of capabilities, the set that containers get by default, and giving up all others.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};
use std::io;

/// What a container gets where its unit does not say: what servers that start as root and drop to a user need. Not
/// among them, as with Podman, are `CAP_AUDIT_WRITE` and `CAP_MKNOD`, which do nothing in a user namespace, and
/// `CAP_NET_RAW`, which opens packet sockets and all their code to programs that as a rule want no more than ping(8).
pub const DEFAULT: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
];

/// All names in the order of their numbers, capabilities(7).
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The bit of a capability; `None` when there is none of this name.
pub fn bit(name: &str) -> Option<u64> {
    NAMES.iter().position(|known| *known == name).map(|number| 1 << number)
}

/// The bits of capabilities; names that are none are passed over.
pub fn bits(names: &[String]) -> u64 {
    names.iter().filter_map(|name| bit(name)).fold(0, |all, one| all | one)
}

/// How capabilities reach the payload across execve(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Root: by its user id.
    Root,
    /// Another user: as ambient ones, where the unit names them.
    User,
}

/// Cuts the bounding set of the caller down to `keep`.
pub fn bound(keep: u64) -> io::Result<()> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            // The kernel knows no capability of this number, hence none above.
            Err(Errno::INVAL) => return Ok(()),
            Ok(true) if keep & one.bits() == 0 => remove_capability_from_bounding_set(one)?,
            result => drop(result?),
        }
    }
    Ok(())
}

/// Sets the other sets: inheritable and ambient are empty but for a user that is to hold something.
pub fn hold(keep: u64, holder: Holder) -> io::Result<()> {
    let keep = CapabilitySet::from_bits_retain(keep);
    let inheritable = if holder == Holder::User { keep } else { CapabilitySet::empty() };
    clear_ambient_capability_set()?;
    set_capabilities(None, CapabilitySets { effective: keep, permitted: keep, inheritable })?;
    for name in inheritable.iter() {
        configure_capability_in_ambient_set(name, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(1 << 21));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(bit("cap_chown"), None);
        // What /proc/PID/status of a container of Podman shows, too.
        let default = DEFAULT.iter().filter_map(|name| bit(name)).fold(0, |all, one| all | one);
        assert_eq!(default, 0x8004_05fb);
    }
}
