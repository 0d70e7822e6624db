//! What a container uses, read from its control group, cgroups(7).

use crate::paths::Paths;
use crate::sys::process;
use std::fs;
use std::path::{Path, PathBuf};

/// Usage of a control group; `None` where the host has no such controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes, page cache included.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Time on processors.
    pub cpu_nanoseconds: Option<u64>,
}

impl Usage {
    /// The usage of the control group that a process is in.
    pub fn of(paths: &Paths, pid: u32) -> Option<Self> {
        let directory = directory(paths, pid)?;
        let cpu = fs::read_to_string(directory.join("cpu.stat")).ok();
        Some(Self {
            memory: number(&directory.join("memory.current")),
            tasks: number(&directory.join("pids.current")),
            cpu_nanoseconds: cpu.as_deref().and_then(usage_usec).map(|usec| usec.saturating_mul(1000)),
        })
    }
}

/// The directory of the control group of a process.
pub fn directory(paths: &Paths, pid: u32) -> Option<PathBuf> {
    let group = process::control_group(pid).ok()?;
    Some(mount(paths).join(group.trim_start_matches('/')))
}

/// The processes of the control group of a process, and of those below it.
pub fn processes(paths: &Paths, pid: u32) -> Vec<u32> {
    let mut open: Vec<PathBuf> = directory(paths, pid).into_iter().collect();
    let mut processes = Vec::new();
    while let Some(group) = open.pop() {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        processes.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        let entries = fs::read_dir(&group).into_iter().flatten().flatten();
        open.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    processes
}

/// Where the unified hierarchy is: beside version 1 hierarchies systemd mounts it at `unified`.
pub fn mount(paths: &Paths) -> PathBuf {
    let beside = paths.control_groups().join("unified");
    if beside.is_dir() { beside } else { paths.control_groups() }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn usage_usec(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().ok()
}
