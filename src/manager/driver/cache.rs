//! `page_cache_high`: the page cache that a container is charged with stays below a size.
//!
//! The kernel knows limits of all memory of a control group, and none of its page cache alone. So `memory.high` of
//! the group is kept at what it has beside page cache, plus the size: whoever reads or writes files beyond it gives
//! pages back that nobody uses, without a limit being hit and without anything being killed. Where the rest grows,
//! the kernel tells of it by `memory.events`, and `memory.high` follows. A container that is quiet wakes nobody.

use super::live::LiveRun;
use crate::manager::accounting::Memory;
use crate::unit::model::Resources;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Events come up to a hundred times a second while a container is at its limit; they are followed less often.
const REST: Duration = Duration::from_millis(20);

/// After more memory was needed it is looked after again, ever later, since the kernel does not tell when it is given
/// back: then the page cache could take its place.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(64);

/// A difference that is not worth a write.
const SLACK: u64 = 128 << 10;

/// What a run is to be kept below; `None`: nothing is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ceiling {
    /// Bytes of page cache.
    cache: Option<u64>,
    /// Bytes of all memory, as the unit wants it for itself.
    memory: Option<u64>,
}

impl Ceiling {
    fn of(resources: &Resources) -> Self {
        let finite = |limit: Option<u64>| limit.filter(|limit| *limit != u64::MAX);
        Self { cache: finite(resources.page_cache_high), memory: finite(resources.memory_high) }
    }

    /// Where `memory.high` has to be for a group that uses so much.
    fn memory_high(self, used: &Memory) -> u64 {
        let own = self.memory.unwrap_or(u64::MAX);
        let (Some(cache), Some(total), Some(files)) = (self.cache, used.total, used.files()) else {
            return own;
        };
        // What is read ahead comes before the kernel looks.
        let cache = cache.saturating_sub(cache / 8);
        own.min(total.saturating_sub(files).saturating_add(cache))
    }
}

/// Whether somebody keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Keeping {
    /// Nobody: nothing was ever set.
    #[default]
    Nobody,
    /// A task, to the end of the run or until it cannot.
    Task,
}

/// Begins to keep a run below what its unit says, or goes on with what it says now.
pub(super) fn keep_below(live: &Rc<LiveRun>, group: &Path, resources: &Resources) {
    live.ceiling.set(Ceiling::of(resources));
    live.pressure.notify_one();
    if resources.page_cache_high.is_some() && live.keeping.replace(Keeping::Task) == Keeping::Nobody {
        drop(tokio::task::spawn_local(keep(live.clone(), group.to_owned())));
    }
}

/// Ends with the group.
async fn keep(live: Rc<LiveRun>, group: PathBuf) {
    let mut next_look = None;
    while !live.over.get() {
        let (ceiling, place) = (live.ceiling.get(), group.clone());
        // To lower the limit is to wait until so much is given back.
        let adjusted = tokio::task::spawn_blocking(move || adjust(&place, ceiling)).await;
        next_look = match adjusted {
            Ok(Ok(Adjusted::Raised)) => Some(FIRST_LOOK),
            Ok(Ok(_)) => next_look.map(|look: Duration| look * 2).filter(|look| *look <= LAST_LOOK),
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound && !live.over.get() => {
                tracing::warn!("{}: cannot keep page_cache_high: {error}", group.display());
                // New limits of the unit have it tried again.
                live.keeping.set(Keeping::Nobody);
                return;
            }
            _ => return,
        };
        sleep(REST).await;
        match next_look {
            Some(look) => drop(timeout(look, live.pressure.notified()).await),
            None => live.pressure.notified().await,
        }
    }
}

/// What was done to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adjusted {
    Raised,
    Lowered,
    Left,
}

fn adjust(group: &Path, ceiling: Ceiling) -> io::Result<Adjusted> {
    let file = group.join("memory.high");
    let present = fs::read_to_string(&file)?.trim().parse().unwrap_or(u64::MAX);
    let wanted = ceiling.memory_high(&Memory::of_group(group));
    if wanted.abs_diff(present) <= SLACK {
        return Ok(Adjusted::Left);
    }
    fs::write(&file, if wanted == u64::MAX { "max".to_owned() } else { wanted.to_string() })?;
    Ok(if wanted > present { Adjusted::Raised } else { Adjusted::Lowered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::task::LocalSet;

    async fn until(what: &str, ready: impl Fn() -> bool) {
        let begun = Instant::now();
        while !ready() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn what_has_failed_begins_again_with_new_limits() {
        let directory = tempfile::tempdir().unwrap();
        let group = directory.path();
        let high = group.join("memory.high");
        fs::create_dir(&high).unwrap();
        fs::write(group.join("memory.current"), "1048576\n").unwrap();
        fs::write(group.join("memory.stat"), "anon 1048576\nfile 0\nshmem 0\n").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let live = Rc::new(LiveRun::new(1));
            let resources = Resources { page_cache_high: Some(8 << 20), ..Resources::default() };
            keep_below(&live, group, &resources);
            assert_eq!(live.keeping.get(), Keeping::Task);
            until("it fails", || live.keeping.get() == Keeping::Nobody).await;
            fs::remove_dir(&high).unwrap();
            fs::write(&high, "max\n").unwrap();
            keep_below(&live, group, &resources);
            let is_set = || fs::read_to_string(&high).is_ok_and(|high| high == (8 << 20).to_string());
            until("it is kept", is_set).await;
            live.over.set(true);
            live.pressure.notify_one();
        });
    }

    const M: u64 = 1 << 20;

    fn used(total: u64, page_cache: u64, shared: u64) -> Memory {
        Memory { total: Some(total), page_cache: Some(page_cache), shared: Some(shared), ..Memory::default() }
    }

    #[test]
    fn the_limit_leaves_room_for_everything_but_page_cache() {
        let ceiling = |cache, memory| Ceiling { cache, memory };
        let used = used(100 * M, 50 * M, 10 * M);
        assert_eq!(ceiling(Some(16 * M), None).memory_high(&used), (60 + 14) * M);
        assert_eq!(
            ceiling(Some(16 * M), Some(20 * M)).memory_high(&used),
            20 * M,
            "the unit's own limit holds"
        );
        assert_eq!(ceiling(None, Some(20 * M)).memory_high(&used), 20 * M);
        assert_eq!(ceiling(None, None).memory_high(&used), u64::MAX);
    }

    #[test]
    fn the_limit_follows_what_is_used() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(group.path().join(name), text).unwrap();
        let high = || fs::read_to_string(group.path().join("memory.high")).unwrap();
        let ceiling = Ceiling { cache: Some(8 * M), memory: None };
        write("memory.high", "max\n");
        write("memory.current", "10485760\n");
        write("memory.stat", "anon 1048576\nfile 9437184\nshmem 0\n");
        assert_eq!(adjust(group.path(), ceiling).unwrap(), Adjusted::Lowered);
        assert_eq!(high(), (8 * M).to_string());
        assert_eq!(adjust(group.path(), ceiling).unwrap(), Adjusted::Left);
        write("memory.current", "41943040\n");
        assert_eq!(adjust(group.path(), ceiling).unwrap(), Adjusted::Raised);
        assert_eq!(high(), (38 * M).to_string());
        write("memory.high", "max\n");
        assert_eq!(adjust(group.path(), Ceiling::default()).unwrap(), Adjusted::Left);
        fs::remove_file(group.path().join("memory.high")).unwrap();
        assert_eq!(adjust(group.path(), ceiling).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
