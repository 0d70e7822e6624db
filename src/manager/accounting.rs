//! What a container uses, read from its control group, cgroups(7) and the kernel's cgroup-v2.

use crate::paths::Paths;
use crate::sys::process;
use crate::unit::name::UnitName;
use std::fs;
use std::path::{Path, PathBuf};

/// Stands for "not known" where a number must be given.
pub const UNKNOWN: u64 = u64::MAX;

/// Usage of a control group; `None` where the host has no such controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory.
    pub memory: Memory,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// The most of them: `pids.max`.
    pub tasks_max: Option<u64>,
    /// Time on processors.
    pub cpu_nanoseconds: Option<u64>,
    /// Block devices.
    pub io: Io,
    /// `running`, `frozen`, or empty where there is no control group.
    pub freezer: &'static str,
}

/// Bytes charged to a control group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of them: `memory.current`.
    pub total: Option<u64>,
    /// The most that it ever was: `memory.peak`, Linux 5.19.
    pub peak: Option<u64>,
    /// Swapped out.
    pub swap: Option<u64>,
    /// Private: heaps and stacks.
    pub anonymous: Option<u64>,
    /// Contents of files. Of a file that containers share, only the first that read it is charged.
    pub page_cache: Option<u64>,
    /// The part of the page cache that is mapped into processes.
    pub mapped: Option<u64>,
    /// Shared memory and tmpfs.
    pub shared: Option<u64>,
    /// The kernel's own, for this control group: `kernel`, Linux 5.18.
    pub kernel: Option<u64>,
}

/// Totals of `io.stat` over all devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Io {
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub write_bytes: Option<u64>,
    /// Reads.
    pub read_operations: Option<u64>,
    /// Writes.
    pub write_operations: Option<u64>,
}

impl Usage {
    /// The usage of the control group that a process is in.
    pub fn of(paths: &Paths, pid: u32) -> Option<Self> {
        Some(Self::of_group(&directory(paths, pid)?))
    }

    /// The usage of the control group in this directory.
    pub fn of_group(directory: &Path) -> Self {
        let table = |name: &str| Table(fs::read_to_string(directory.join(name)).unwrap_or_default());
        Self {
            memory: Memory::of(directory, &table("memory.stat")),
            tasks: number(&directory.join("pids.current")),
            tasks_max: number(&directory.join("pids.max")),
            cpu_nanoseconds: table("cpu.stat").value("usage_usec").map(|usec| usec.saturating_mul(1000)),
            io: Io::of(&table("io.stat"), directory),
            freezer: if is_frozen(directory) { "frozen" } else { "running" },
        }
    }
}

impl Memory {
    /// The memory of the control group in this directory.
    pub fn of_group(directory: &Path) -> Self {
        let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        Self::of(directory, &Table(stat))
    }

    /// Contents of files on disks: the page cache without shared memory, which the kernel counts among it.
    pub fn files(&self) -> Option<u64> {
        self.page_cache.map(|cache| cache.saturating_sub(self.shared.unwrap_or_default()))
    }

    /// The part of the files that processes have mapped. Mapped shared memory is counted as mapped, too, so that this is
    /// at most all files.
    pub fn in_use(&self) -> Option<u64> {
        self.mapped.zip(self.files()).map(|(mapped, files)| mapped.min(files))
    }

    /// The rest of the files.
    pub fn idle_cache(&self) -> Option<u64> {
        self.files().zip(self.in_use()).map(|(files, mapped)| files - mapped)
    }

    fn of(directory: &Path, stat: &Table) -> Self {
        Self {
            total: number(&directory.join("memory.current")),
            peak: number(&directory.join("memory.peak")),
            swap: number(&directory.join("memory.swap.current")),
            anonymous: stat.value("anon"),
            page_cache: stat.value("file"),
            mapped: stat.value("file_mapped"),
            shared: stat.value("shmem"),
            kernel: stat.value("kernel"),
        }
    }
}

impl Io {
    /// A group that has not touched a device has an empty `io.stat`: that is nothing, and not unknown.
    fn of(stat: &Table, directory: &Path) -> Self {
        let counted = directory.join("io.stat").exists();
        let sum = |key: &str| counted.then(|| stat.sum(key));
        Self {
            read_bytes: sum("rbytes"),
            write_bytes: sum("wbytes"),
            read_operations: sum("rios"),
            write_operations: sum("wios"),
        }
    }
}

/// A file of lines `KEY VALUE`, or of lines with `KEY=VALUE` pairs.
struct Table(String);

impl Table {
    fn value(&self, key: &str) -> Option<u64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line?.trim().parse().ok()
    }

    fn sum(&self, key: &str) -> u64 {
        let pairs = self.0.split_whitespace().filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        pairs.filter_map(|value| value.parse::<u64>().ok()).fold(0, u64::saturating_add)
    }
}

/// The directory of the control group of the container that a process is in: of its scope, though the container may
/// have divided that.
pub fn directory(paths: &Paths, pid: u32) -> Option<PathBuf> {
    Some(mount(paths).join(scope_of(&process::control_group(pid).ok()?)))
}

/// The directory of the control group that a process is in itself. In one above it that the container has divided,
/// no other process can be.
pub fn group_of(paths: &Paths, pid: u32) -> Option<PathBuf> {
    let group = process::control_group(pid).ok()?;
    Some(mount(paths).join(group.trim_start_matches('/')))
}

/// A control group down to the first scope of a container: what is below is that container's. A group that is in none
/// is told whole.
pub fn scope_of(group: &str) -> &str {
    let group = group.trim_start_matches('/');
    let ends = group.match_indices('/').map(|(place, _)| place).chain([group.len()]);
    let mut above = ends.map(|end| &group[..end]);
    let is_scope =
        |path: &&str| path.rsplit('/').next().is_some_and(|name| UnitName::of_scope(name).is_some());
    above.find(is_scope).unwrap_or(group)
}

/// The directory of the control group of a scope, which a process is in or below.
pub fn scope(paths: &Paths, pid: u32, scope: &str) -> Option<PathBuf> {
    let group = group_of(paths, pid)?;
    let above = group.ancestors().find(|group| group.file_name().is_some_and(|name| name == scope));
    above.map(Path::to_owned)
}

/// How often the kernel has killed in a control group, or below it, for want of memory; `None` where it does not
/// count that.
pub fn oom_kills(directory: &Path) -> Option<u64> {
    Table(fs::read_to_string(directory.join("memory.events")).ok()?).value("oom_kill")
}

/// The control group of a process, and those below it.
pub fn groups(paths: &Paths, pid: u32) -> Vec<PathBuf> {
    directory(paths, pid).map(|directory| groups_below(&directory)).unwrap_or_default()
}

/// Whether a control group has others below it.
pub fn is_divided(directory: &Path) -> bool {
    groups_below(directory).len() > 1
}

/// A control group and those below it.
fn groups_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut next = 0;
    while let Some(group) = found.get(next) {
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
        found.extend(below);
        next += 1;
    }
    found
}

/// The processes of the control group of a process, and of those below it.
pub fn processes(paths: &Paths, pid: u32) -> Vec<u32> {
    directory(paths, pid).map(|directory| processes_below(&directory)).unwrap_or_default()
}

/// The processes of a control group, and of those below it.
pub fn processes_below(directory: &Path) -> Vec<u32> {
    let read = |group: PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let lists: Vec<String> = groups_below(directory).into_iter().map(read).collect();
    lists.iter().flat_map(|list| list.lines()).filter_map(|line| line.parse().ok()).collect()
}

/// All CPU time of a control group in microseconds, `cpu.stat`, which the kernel counts without a controller, too.
pub fn cpu_usec(directory: &Path) -> Option<u64> {
    Table(fs::read_to_string(directory.join("cpu.stat")).ok()?).value("usage_usec")
}

/// Whether all processes of a control group stand still.
pub fn is_frozen(directory: &Path) -> bool {
    Table(fs::read_to_string(directory.join("cgroup.events")).unwrap_or_default()).value("frozen") == Some(1)
}

/// Where the unified hierarchy is: beside version 1 hierarchies systemd mounts it at `unified`.
pub fn mount(paths: &Paths) -> PathBuf {
    let beside = paths.control_groups().join("unified");
    if beside.is_dir() { beside } else { paths.control_groups() }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_where_its_container_begins() {
        let scope = "sampan.slice/sampan-web.scope";
        for below in ["", "/init.scope", "/system.slice/sampan-db.scope"] {
            assert_eq!(scope_of(&format!("/{scope}{below}")), scope);
        }
        assert_eq!(scope_of("/user.slice/session-1.scope"), "user.slice/session-1.scope");
    }

    #[test]
    fn files_of_control_groups_are_read() {
        let stat = Table("anon 4096\nfile 8192\nfile_mapped 100\n".into());
        assert_eq!(["anon", "file", "shmem"].map(|key| stat.value(key)), [Some(4096), Some(8192), None]);
        let io =
            Table("8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=5 wbytes=1 rios=1 wios=1\n".into());
        assert_eq!((io.sum("rbytes"), io.sum("wbytes"), io.sum("rios"), io.sum("wios")), (15, 21, 2, 3));
    }
}
