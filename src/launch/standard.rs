//! What every container finds: its `/proc`, `/sys` and `/dev`, and which parts of them are hidden.

use super::step::{Attribute, Filesystem, HostStep, HostTree, Links, Output, Step};
use crate::unit::kernel_files::{MASKED, PROTECTED};
use crate::unit::model::{IfMissing, ProcSubset, ProtectProc, Security};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Device nodes of the host that anybody may use.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// Links that programs expect in `/dev`.
const LINKS: [(&str, &str); 3] =
    [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/ptmx", "pts/ptmx")];

/// Directories that mounts of every container stand on.
pub const STANDS: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The tree that becomes standard output and error.
pub const STDOUT: &str = "stdout";
/// The tree for what is written to `/dev/stdout` by name.
pub const JOURNAL: &str = "journal";

/// The tree of a `/proc` of processes alone.
const PROCESSES: &str = "processes";

const PAGE: u64 = 4096;
const FILES_MIN: u64 = 16;
/// More than any host has memory for: 0 would be no limit.
const FILES_MAX: u64 = 1 << 40;
/// `/dev` and `/dev/shm`, bytes.
const SIZE: u64 = 64 << 20;

/// What file systems are that nobody is to run anything from.
pub const CLOSED: [Attribute; 3] = [Attribute::NoSetuid, Attribute::NoDevices, Attribute::NoExecute];

fn filesystem(name: &str, options: &[(&str, &str)], attributes: &[Attribute]) -> Filesystem {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Filesystem { name: name.to_owned(), options, attributes: attributes.to_vec() }
}

fn make(tree: &str, filesystem: Filesystem) -> Step {
    Step::Make { tree: tree.to_owned(), filesystem }
}

/// Puts a tree where nothing of the image may lead astray.
pub fn attach(tree: &str, target: &str) -> Step {
    let missing = IfMissing::Fail;
    Step::Attach { tree: tree.to_owned(), target: target.into(), links: Links::Refuse, missing }
}

/// An empty directory that cannot be written, to hide another.
pub fn nothing() -> Filesystem {
    filesystem(
        "tmpfs",
        &[("mode", "0555"), ("nr_blocks", "1")],
        &[&CLOSED[..], &[Attribute::ReadOnly]].concat(),
    )
}

/// A file system in memory, of a size as tmpfs(5) has it.
pub fn memory(size: &str, mode: &str, attributes: &[Attribute]) -> Filesystem {
    filesystem("tmpfs", &[("mode", mode), ("size", size)], attributes)
}

/// A file system in memory of so many bytes, and one file for each page, as the kernel has it for half of the memory,
/// tmpfs(5): where only the bytes are limited, empty files take the kernel's memory without end.
pub fn limited_memory(size: u64, mode: &str, attributes: &[Attribute]) -> Filesystem {
    let files = (size / PAGE).clamp(FILES_MIN, FILES_MAX);
    let options = [("mode", mode), ("size", &size.to_string()), ("nr_inodes", &files.to_string())];
    filesystem("tmpfs", &options, attributes)
}

/// No place of a container allows devices but those of ours: a node that root makes there cannot be opened.
///
/// File systems to be made before anything of the image is looked at, and while the host's are still in sight:
/// the kernel wants to see them there before it makes new ones in a user namespace.
pub fn made_first(security: &Security) -> Vec<Step> {
    let mut made = vec![
        make("proc", processes(security.protect_proc, ProcSubset::All)),
        make("dev", limited_memory(SIZE, "0755", &[Attribute::NoSetuid, Attribute::NoDevices])),
        make(
            "pts",
            filesystem(
                "devpts",
                &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")],
                &[Attribute::NoSetuid, Attribute::NoExecute],
            ),
        ),
        make("mqueue", filesystem("mqueue", &[], &CLOSED)),
        make("shm", limited_memory(SIZE, "1777", &CLOSED)),
    ];
    if security.proc_subset == ProcSubset::Pid {
        made.push(make(PROCESSES, processes(security.protect_proc, ProcSubset::Pid)));
    }
    made
}

/// A `/proc`, proc(5).
fn processes(protect: ProtectProc, subset: ProcSubset) -> Filesystem {
    let hidden = (protect != ProtectProc::Default).then(|| ("hidepid", protect.word()));
    let alone = (subset == ProcSubset::Pid).then(|| ("subset", subset.word()));
    let options: Vec<_> = hidden.into_iter().chain(alone).collect();
    filesystem("proc", &options, &CLOSED)
}

/// Covers the `/proc` in which the kernel's settings are made, once they are.
pub fn processes_alone(security: &Security) -> Option<Step> {
    (security.proc_subset == ProcSubset::Pid).then(|| attach(PROCESSES, "/proc"))
}

/// The container's view of its own control group, for one whose directory is not known beforehand.
pub fn control_group() -> Step {
    make("cgroup", filesystem("cgroup2", &[], &[&CLOSED[..], &[Attribute::ReadOnly]].concat()))
}

/// `/sys`: of the own network namespace from inside, of the host's from outside.
pub fn sysfs() -> Filesystem {
    filesystem("sysfs", &[], &[&CLOSED[..], &[Attribute::ReadOnly]].concat())
}

/// Whether every container has this device.
pub fn has_device(node: &Path) -> bool {
    DEVICES.iter().any(|name| node == Path::new("/dev").join(name)) || node == Path::new("/dev/ptmx")
}

/// Copies of the host's device nodes.
pub fn devices() -> impl Iterator<Item = HostStep> {
    DEVICES.iter().map(|name| HostStep::Clone {
        tree: (*name).to_owned(),
        source: HostTree { path: Path::new("/dev").join(name), id_base: 0 },
        attributes: vec![Attribute::NoSetuid, Attribute::NoExecute],
    })
}

/// Puts all of it into the new root.
pub fn placed(output: Output) -> Vec<Step> {
    let mut steps = vec![attach("proc", "/proc"), attach("sys", "/sys"), attach("dev", "/dev")];
    steps.push(attach("cgroup", "/sys/fs/cgroup"));
    steps.extend([attach("pts", "/dev/pts"), attach("mqueue", "/dev/mqueue"), attach("shm", "/dev/shm")]);
    steps.extend(DEVICES.iter().map(|name| attach(name, &format!("/dev/{name}"))));
    let link = |(path, to): &(&str, &str)| Step::Link { path: path.into(), to: to.into() };
    match output {
        // No link to /proc/self/fd/1: that is a socket, and open(2) of a socket fails with ENXIO.
        Output::Journal => {
            steps.push(Step::Fifo { tree: "output".to_owned(), path: "/dev/stdout".into() });
            steps.push(link(&("/dev/stderr", "stdout")));
        }
        Output::Passed => {
            let streams = [("/dev/stdout", "/proc/self/fd/1"), ("/dev/stderr", "/proc/self/fd/2")];
            steps.extend(streams.iter().map(link));
        }
    }
    steps.extend(LINKS.iter().map(link));
    steps
}

/// Hides and protects, once everything is in its place.
pub fn closed(but: &BTreeSet<PathBuf>) -> impl Iterator<Item = Step> {
    let of = move |paths: &'static [&str]| paths.iter().map(PathBuf::from).filter(|path| !but.contains(path));
    let links = Links::Refuse;
    let masked = of(&MASKED).map(move |path| Step::Mask { path, links });
    masked.chain(of(&PROTECTED).map(move |path| Step::Protect { path, links }))
}
