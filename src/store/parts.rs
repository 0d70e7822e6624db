//! Work on the entries of a tree by several threads.

use std::num::NonZero;

/// How many parts to make: as many as there are processors.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Parts of a list that is in memory.
pub(super) fn of<T>(items: &[T]) -> Vec<&[T]> {
    items.chunks(items.len().div_ceil(threads()).max(1)).collect()
}

/// Does `work` on all parts at the same time, and returns the results in order. A part should be a run of
/// neighbours, so that threads rarely meet in a directory.
pub(super) fn each<T: Send, R: Send>(parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || work(part))).collect();
        let join = |part: std::thread::ScopedJoinHandle<'_, R>| match part.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        parts.into_iter().map(join).collect()
    })
}
