//! Several things at a time: layers of an image, each read by threads of its own.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most lanes, so that memory stays bounded on machines with many processors.
const LANES_MAX: usize = 4;

/// Does `work` on each item, on as many at a time as there are processors, and returns the results in the order
/// of the items. After a failure nothing new is begun; the first item that failed gives the error.
///
/// # Errors
/// When `work` fails.
pub(super) fn each<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let lanes = std::thread::available_parallelism().map_or(1, NonZero::get).min(LANES_MAX).min(items.len());
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let lane = || {
        while !failed.load(Ordering::Relaxed) {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { return };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((position, result));
        }
    };
    std::thread::scope(|scope| {
        (1..lanes).for_each(|_| drop(scope.spawn(lane)));
        lane();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_the_first_error_is_told() {
        let numbers: Vec<u32> = (0..100).collect();
        let doubled: Result<Vec<u32>, ()> = each(&numbers, |number| Ok(number * 2));
        assert_eq!(doubled.unwrap(), (0..100).map(|number| number * 2).collect::<Vec<_>>());
        let failed: Result<Vec<u32>, u32> = each(&numbers, |number| Err(*number));
        assert_eq!(failed.unwrap_err(), 0);
        assert_eq!(each(&[], |(): &()| Ok::<(), ()>(())).unwrap().len(), 0);
    }
}
