//! Work on the entries of a tree by several threads.

use std::num::NonZero;

/// Does `work` on parts of `items` at the same time, as many as there are processors, and returns the results in
/// order. A part is a run of neighbours, so that threads rarely meet in a directory.
pub(super) fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let length = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = items.chunks(length).map(|part| scope.spawn(|| work(part))).collect();
        let join = |part: std::thread::ScopedJoinHandle<'_, R>| match part.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        parts.into_iter().map(join).collect()
    })
}
