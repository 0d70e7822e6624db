//! What to do about a step that failed, where that follows from the step and the error.

use super::protocol::StepError;
use rustix::io::Errno;

/// A hint, if there is a useful one.
pub fn hint(error: &StepError) -> Option<&'static str> {
    let (step, errno) = (error.step.as_str(), Errno::from_raw_os_error(error.errno));
    let of_subject = of_subject(step, errno, &error.subject);
    of_subject
        .or_else(|| of_trees(step, errno))
        .or_else(|| of_process(step, errno))
        .or_else(|| of_error(errno))
}

/// The same for a command that joins a container: what it runs, and as whom, is not what the unit's payload is.
pub fn hint_of_join(error: &StepError) -> Option<&'static str> {
    match (error.step.as_str(), Errno::from_raw_os_error(error.errno)) {
        ("execute", Errno::NOENT) => {
            Some("the program, or the interpreter it names, is not in the image: correct the command")
        }
        ("resolve user" | "resolve group", Errno::SRCH) => {
            Some("correct the command's user, or give its number")
        }
        ("change user", Errno::INVAL) => {
            Some("security.user_namespace has no such id: correct the command's user")
        }
        _ => hint(error),
    }
}

/// Where what it was about tells more than the step.
fn of_subject(step: &str, errno: Errno, subject: &str) -> Option<&'static str> {
    Some(match (step, errno) {
        ("open bind", Errno::NOENT) if subject.starts_with("/usr/share/zoneinfo/") => {
            "the host has no such time zone: correct container.timezone, or install tzdata on the host"
        }
        ("mount", Errno::PERM) if ["proc", "sysfs"].contains(&subject) => {
            "sampand does not see a whole one itself, as with ProtectProc=: see \"CONFINEMENT\" in sampand(8)"
        }
        ("execute", Errno::NOENT) if subject.contains(char::is_whitespace) => {
            "each word is a string of its own: [\"sleep\", \"10\"], or for a line of the shell [\"sh\", \"-c\", \"...\"]"
        }
        _ => return None,
    })
}

/// Of mounts, roots, volumes and credentials.
fn of_trees(step: &str, errno: Errno) -> Option<&'static str> {
    Some(match (step, errno) {
        ("open bind", Errno::LOOP) => {
            "symbolic links lead in a circle, or are in a directory that a container can write, where none is followed"
        }
        ("open bind", Errno::NOENT) => "make it, or begin the mount's source with \"-\" to do without it",
        ("open device", Errno::NOENT | Errno::NXIO) => {
            "begin it with \"-\" in security.devices to do without it, or load its driver"
        }
        ("open device", Errno::NODEV) => "it is no device: correct security.devices",
        ("map ids of bind", Errno::INVAL | Errno::PERM) => {
            "its file system, or one mounted below it, cannot map ids: use the options \"noidmap\" or \"norbind\""
        }
        ("copy mount", Errno::NOENT) => "the host lacks it, and every container has it",
        ("mount", Errno::INVAL) => "an option is not valid: an id of a tmpfs is one that the container has",
        ("mount", Errno::NOSPC) => {
            "the file system is full, or the host allows no more mounts: see fs.mount-max"
        }
        ("mount", Errno::NOTDIR) => {
            "what is there, or above it, is a file: a directory is mounted on a directory, a file on a file"
        }
        ("mount", Errno::ISDIR) => "a file cannot be mounted on a directory",
        ("mount", Errno::NOENT) => "a symbolic link of the image on the way leads nowhere",
        ("mount", Errno::ROFS) => {
            "the place to mount at is missing, and what is there cannot be written: make it in the image, or in the source of the mount above"
        }
        ("mount", Errno::XDEV) => "a link of the image leads to the kernel's files: mount at another path",
        ("mount", Errno::LOOP) => "symbolic links of the image are where none may be, or lead in a circle",
        ("mount root", Errno::INVAL) => {
            "its file system cannot map ids, or be below an overlay: put it on another, such as ext4 or xfs"
        }
        ("mount root" | "mount image" | "mount volume" | "protect" | "mask", Errno::NOSPC) => {
            "the file system is full, or the host allows no more mounts: see fs.mount-max"
        }
        ("mount root" | "mount image" | "discard changes" | "limit root" | "private image", Errno::ROFS) => {
            "the disk of the store cannot be written: mount(8) or the kernel's log tells why"
        }
        ("enter root", Errno::NOSPC) => "the host allows no more mounts: see fs.mount-max",
        ("mount root" | "discard changes", Errno::NOTDIR | Errno::PERM) => {
            "something else than Sampan has made or locked it: move it away"
        }
        ("limit root", Errno::EXIST) => {
            "the root has changes without a limit: leave container.root_size out, or move this directory away"
        }
        ("limit root", Errno::FBIG) => {
            "it is larger already, and a limit can only grow: raise container.root_size"
        }
        ("limit root", Errno::NOENT | Errno::PERM | Errno::NXIO) => {
            "a root with a size needs loop devices and e2fsprogs on the host: leave container.root_size out, or see to them"
        }
        ("limit root", Errno::IO) => "what this program says when it is run by hand tells why",
        ("mount root", Errno::NOENT) => "\"sampanctl fsck --repair\" restores what is missing in the store",
        ("load credential", Errno::NOENT) => {
            "make it, begin the path with \"-\" to do without it, or give a \"value\" in its stead"
        }
        ("load credential", Errno::FBIG) => "all credentials of a unit together have 1 MiB at most",
        ("load credential", Errno::NOTSUP) => "it is neither a file, a directory nor a socket",
        ("load credential", Errno::CONNREFUSED) => "nobody listens on this socket",
        ("load credential", Errno::NODATA) => "no file of the unit says it any more",
        ("load credential", Errno::INVAL) => "what is in a directory is named NAME_FILE, without \":\"",
        ("find credential", Errno::NOENT) => {
            "it was not passed to sampand.service, and is in no credential store: put it into /etc/credstore, or begin \
             the name with \"-\" to do without it"
        }
        ("find encrypted credential", Errno::NOENT) => {
            "it is in no store of encrypted credentials: put it into /etc/credstore.encrypted, or begin the name with \
             \"-\" to do without it"
        }
        ("decrypt credential", Errno::BADMSG) => {
            "it was encrypted for another name or another host, or has expired: \"systemd-creds decrypt --name=NAME \
             FILE -\" says which"
        }
        ("decrypt credential", Errno::NOENT) => "this host has no systemd-creds: it comes with systemd 250",
        ("give credentials to user", Errno::INVAL | Errno::OVERFLOW) => {
            "security.user_namespace has no such id for container.user"
        }
        (step, Errno::NOTDIR) if step.starts_with("volume ") && step.ends_with(": read") => {
            "the image has a file in this place, on which no volume can be mounted: mount at another, or a file by \"bind\""
        }
        (step, Errno::NOTDIR) if step.starts_with("volume ") => "what is there is no volume: move it away",
        _ => return None,
    })
}

/// Of the payload and its surroundings.
fn of_process(step: &str, errno: Errno) -> Option<&'static str> {
    Some(match (step, errno) {
        ("execute", Errno::NOENT) => {
            "the program, or the interpreter it names, is not in the image: set container.command or entrypoint"
        }
        ("execute", Errno::TOOBIG) => {
            "arguments and variables together are too long, or one of them is: see execve(2)"
        }
        ("execute", Errno::PERM) => {
            "its file has capabilities that the container lacks, see getcap(8), or security.system_call_filter refuses \
             execve"
        }
        ("execute", Errno::ACCESS) => "the file may not be executed by the container's user",
        ("execute", Errno::NOEXEC) => {
            "it is no program of this machine's architecture, and no script with \"#!\""
        }
        ("resolve user", Errno::SRCH) => "set container.user, which can be a number",
        ("resolve group", Errno::SRCH) => {
            "set container.user or supplementary_groups, where it can be a number"
        }
        ("set sysctl", Errno::NOENT) => "this kernel has no such setting: correct security.sysctl",
        ("set sysctl", Errno::INVAL) => "the kernel takes no such value: correct security.sysctl",
        ("set sysctl", Errno::ACCESS | Errno::PERM) => {
            "this kernel lets the host alone set it: leave it out of security.sysctl"
        }
        ("set AppArmor profile", Errno::NOENT) => {
            "no such profile is loaded: \"apparmor_parser --replace FILE\" loads one, \"aa-status\" lists them"
        }
        ("set SELinux label", Errno::INVAL) => "the host's policy has no such label",
        ("set AppArmor profile" | "set SELinux label", Errno::ACCESS | Errno::PERM) => {
            "the host's policy does not let sampand give it"
        }
        ("set CPU affinity", Errno::INVAL) => "the host has none of these: correct resources.cpu_affinity",
        ("set CPU scheduling", Errno::PERM) => {
            "the kernel gives this control group no time for it: leave out resources.cpu_scheduling_policy"
        }
        ("set OOM score", Errno::ACCESS) => {
            "the manager may not lower it, which needs CAP_SYS_RESOURCE: raise resources.oom_score_adjust"
        }
        ("set limits", Errno::PERM) => "the kernel allows no more: lower it in resources.limits",
        ("change directory", Errno::ROFS) => {
            "the image has no such directory, and its root cannot be written: set container.working_directory"
        }
        ("change directory", _) => "set container.working_directory",
        ("change user", Errno::INVAL) => "security.user_namespace has no such id: set container.user",
        ("resolve user", Errno::NOTSUP | Errno::FBIG) => "it is no plain file of at most 1 MiB",
        ("join keyring", Errno::DQUOT) => {
            "the user has as many keys as the host allows: raise kernel.keys.maxkeys and kernel.keys.maxbytes"
        }
        ("connect to journal", Errno::NOENT | Errno::CONNREFUSED) => {
            "the journal is not running: \"systemctl start systemd-journald.socket\""
        }
        ("enter namespace" | "map ids", Errno::NOSPC | Errno::USERS) => {
            "the host allows no more namespaces: see user.max_user_namespaces and its like in namespaces(7)"
        }
        ("enter namespace" | "map ids" | "start helper" | "start init", Errno::AGAIN) => {
            "there are as many processes as resources.tasks_max or the host allows"
        }
        ("begin", Errno::PERM | Errno::MFILE) | ("pass sockets", Errno::MFILE) => {
            "sampand has too few descriptors: raise LimitNOFILE= of sampand.service"
        }
        (
            "enter namespace" | "set hostname" | "raise loopback" | "enter root" | "drop privileges"
            | "filter" | "start session" | "pass sockets" | "start init" | "set personality"
            | "set I/O scheduling" | "set nice value",
            Errno::PERM | Errno::NOSYS,
        )
        | ("map ids" | "start helper", Errno::NOSYS) => {
            "sampand itself may not: see \"CONFINEMENT\" in sampand(8)"
        }
        _ => return None,
    })
}

/// Of any other step.
fn of_error(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::LOOP => "symbolic links on the way lead in a circle",
        Errno::NOSPC => "the file system is full",
        Errno::DQUOT => "the quota is used up",
        _ => return None,
    })
}
