//! What containers use at one moment, and what they used between two.

use crate::manager::accounting::{Usage, mount};
use crate::paths::Paths;
use crate::unit::name::UnitName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Slices lie in each other at most so deep.
const DEPTH_MAX: usize = 8;

/// What one container uses; `None` where the host does not count it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    /// The unit.
    pub unit: String,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Of one processor.
    pub cpu_percent: f64,
    /// Bytes, page cache included.
    pub memory: Option<u64>,
    /// Bytes of heaps and stacks.
    pub memory_private: Option<u64>,
    /// Bytes of files that are mapped into its processes, which other containers may use, too, and of shared memory.
    pub memory_shared: Option<u64>,
    /// Bytes of the other contents of files, which the kernel keeps as long as nobody needs the memory.
    pub memory_page_cache: Option<u64>,
    /// Bytes read in a second.
    pub io_read_per_second: Option<u64>,
    /// Bytes written in a second.
    pub io_write_per_second: Option<u64>,
}

/// The usage of all containers.
#[derive(Debug)]
pub struct Sample {
    taken: Instant,
    units: BTreeMap<String, Usage>,
}

impl Sample {
    /// Reads the control groups of all scopes of ours.
    pub fn take(paths: &Paths) -> Self {
        let mut units = BTreeMap::new();
        find(&mount(paths), 0, &mut units);
        Self { taken: Instant::now(), units }
    }

    /// What each container uses, and did since an earlier sample.
    pub fn since(&self, before: &Self) -> Vec<Row> {
        let seconds = self.taken.duration_since(before.taken).as_secs_f64().max(0.001);
        let row = |(unit, usage): (&String, &Usage)| {
            let earlier = before.units.get(unit);
            let grown = |pick: fn(&Usage) -> Option<u64>| {
                let (now, then) = (pick(usage)?, earlier.and_then(pick)?);
                // A unit that was started again counts from nothing.
                Some(now.saturating_sub(then) as f64 / seconds)
            };
            let per_second = |pick| grown(pick).map(|bytes| bytes as u64);
            Row {
                unit: unit.clone(),
                tasks: usage.tasks,
                cpu_percent: grown(|usage| usage.cpu_nanoseconds).unwrap_or_default() / 10_000_000.0,
                memory: usage.memory.total,
                memory_private: usage.memory.anonymous,
                memory_shared: usage
                    .memory
                    .in_use()
                    .map(|used| used.saturating_add(usage.memory.shared.unwrap_or(0))),
                memory_page_cache: usage.memory.idle_cache(),
                io_read_per_second: per_second(|usage| usage.io.read_bytes),
                io_write_per_second: per_second(|usage| usage.io.write_bytes),
            }
        };
        self.units.iter().map(row).collect()
    }
}

fn find(directory: &Path, depth: usize, units: &mut BTreeMap<String, Usage>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        match UnitName::of_scope(name) {
            Some(unit) => drop(units.insert(unit.to_string(), Usage::of_group(&entry.path()))),
            None if name.ends_with(".slice") && depth < DEPTH_MAX => find(&entry.path(), depth + 1, units),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn scopes_are_found_in_slices_and_measured_between_samples() {
        let root = tempfile::tempdir().unwrap();
        let scope = root.path().join("sys/fs/cgroup/sampan.slice/sampan-web:a.scope");
        fs::create_dir_all(&scope).unwrap();
        let write = |name: &str, text: &str| fs::write(scope.join(name), text).unwrap();
        write("cpu.stat", "usage_usec 1000000\n");
        write("memory.current", "4096\n");
        write("memory.stat", "anon 1024\nfile 2048\nfile_mapped 512\nshmem 256\n");
        let paths = Paths::new(root.path());
        let mut before = Sample::take(&paths);
        write("cpu.stat", "usage_usec 1500000\n");
        let now = Sample::take(&paths);
        before.taken = now.taken - Duration::from_secs(1);
        let rows = now.since(&before);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].unit.as_str(), rows[0].cpu_percent.round()), ("web@a.container", 50.0));
        assert_eq!(
            [rows[0].memory, rows[0].memory_private, rows[0].memory_shared, rows[0].memory_page_cache],
            [4096, 1024, 768, 1280].map(Some)
        );
    }
}
