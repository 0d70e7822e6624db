//! What to do about a step that failed, where that follows from the step and the error.

use super::protocol::StepError;
use rustix::io::Errno;

/// A hint, if there is a useful one.
pub fn hint(error: &StepError) -> Option<&'static str> {
    Some(match (error.step.as_str(), Errno::from_raw_os_error(error.errno)) {
        ("open bind", Errno::NOENT) => "make it, or begin the mount's source with \"-\" to do without it",
        ("map ids of bind", Errno::INVAL | Errno::PERM) => {
            "its file system, or one mounted below it, cannot map ids: use the options \"noidmap\" or \"norbind\""
        }
        ("mount", Errno::NOTDIR) => "a directory cannot be mounted on a file, nor a file on a directory",
        ("mount", Errno::ISDIR) => "a file cannot be mounted on a directory",
        ("mount", Errno::NOENT) => "a symbolic link of the image on the way leads nowhere",
        ("mount", Errno::ROFS) => {
            "the place to mount at is missing, and what is there cannot be written: make it in the image"
        }
        ("mount", Errno::XDEV) => "a link of the image leads to the kernel's files: mount at another path",
        ("mount", Errno::LOOP) => "the image has a symbolic link where there must be none",
        ("mount root", Errno::NOENT) => "\"sampanctl fsck --repair\" restores what is missing in the store",
        ("execute", Errno::NOENT) => {
            "the program, or the interpreter it names, is not in the image: set container.command or entrypoint"
        }
        ("execute", Errno::ACCESS) => "the file may not be executed by the container's user",
        ("execute", Errno::NOEXEC) => {
            "it is no program of this machine's architecture, and no script with \"#!\""
        }
        ("resolve user", Errno::SRCH) => "the image has no such user or group: set container.user",
        ("resolve group", Errno::SRCH) => {
            "the image has no such group: correct container.supplementary_groups"
        }
        ("set sysctl", Errno::NOENT) => "this kernel has no such setting: correct security.sysctl",
        ("set sysctl", Errno::INVAL) => "the kernel takes no such value: correct security.sysctl",
        ("set sysctl", Errno::ACCESS | Errno::PERM) => {
            "this kernel lets the host alone set it: leave it out of security.sysctl"
        }
        ("set CPU affinity", Errno::INVAL) => "the host has none of these: correct resources.cpu_affinity",
        ("set limits", Errno::PERM) => "the kernel allows no more: lower it in resources.limits",
        ("change directory", Errno::NOTDIR) => "set container.working_directory",
        (_, Errno::NOSPC) => "the file system is full",
        (_, Errno::DQUOT) => "the quota is used up",
        _ => return None,
    })
}
