//! The memory of a container that stands still is given back, `memory.reclaim` of the kernel's cgroup-v2 (Linux 5.19):
//! page cache is dropped, and the rest goes to swap where there is one, first of all to zswap.

use super::super::sockets::milliseconds;
use crate::unit::name::UnitName;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Bytes in one go: who wakes waits for the end of one at most.
const STEP: u64 = 4 << 20;

/// Gives memory back on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Reclaim {
    given_up: Arc<AtomicBool>,
}

impl Reclaim {
    /// Begins.
    pub(super) fn begin(unit: UnitName, group: PathBuf) -> Self {
        let given_up = Arc::new(AtomicBool::new(false));
        let stop = given_up.clone();
        drop(tokio::task::spawn_blocking(move || reclaim(&unit, &group, &stop)));
        Self { given_up }
    }
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// The kernel says EAGAIN when nothing more can be had.
fn reclaim(unit: &UnitName, group: &Path, stop: &AtomicBool) {
    let begun = Instant::now();
    let (file, before) = (group.join("memory.reclaim"), used(group));
    let step = STEP.to_string();
    while !stop.load(Ordering::Relaxed) && used(group) > 0 && fs::write(&file, &step).is_ok() {}
    let given = before.saturating_sub(used(group)) >> 10;
    if given > 0 {
        let took = milliseconds(begun.elapsed());
        tracing::info!(SAMPAN_UNIT = %unit, "{unit}: {given}K of {}K given back in {took} ms.", before >> 10);
    }
}

fn used(group: &Path) -> u64 {
    let text = fs::read_to_string(group.join("memory.current")).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}
