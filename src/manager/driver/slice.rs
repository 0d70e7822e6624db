//! What systemd is to do for the scope of a container, as far as it can for so many: which slice it goes to, and
//! who is its controller.

use super::Manager;
use crate::systemd::manager::{DEFAULT_SLICE, Keeper};

/// systemd looks at all that is in a slice whenever something begins or ends there, so a slice has no more of our
/// scopes than this.
const SCOPES_MAX: usize = 64;

/// The most scopes that have this program as their controller. systemd watches the bus for each one's, and dbus-daemon(1)
/// throws systemd off the bus with the 513th watch (`max_match_rules_per_connection`); others need theirs.
const CONTROLLED_MAX: usize = 256;

impl Manager {
    /// Who is to end a scope that systemd is to stop.
    pub(super) fn choose_keeper(&self) -> Keeper {
        let controlled = self.runs.values().filter(|live| live.is_controlled()).count();
        if controlled < CONTROLLED_MAX { Keeper::Manager } else { Keeper::Systemd }
    }

    /// The slice that a unit names, or the first of ours with space. All are in the first, and so within its limits.
    pub(super) fn choose_slice(&self, named: Option<&str>) -> String {
        match named {
            Some(named) => named.to_owned(),
            None => with_space(self.runs.values().filter_map(|live| live.slice.get())),
        }
    }
}

/// The first slice that has space, where these are taken: `sampan.slice`, `sampan-2.slice`, ….
fn with_space<'a>(taken: impl Iterator<Item = &'a String>) -> String {
    let mut counts = std::collections::HashMap::<&str, usize>::new();
    taken.for_each(|slice| *counts.entry(slice).or_default() += 1);
    let first = std::iter::once(DEFAULT_SLICE.to_owned());
    let mut slices = first.chain((2_u32..).map(|number| format!("sampan-{number}.slice")));
    let free = slices.find(|slice| counts.get(slice.as_str()).is_none_or(|count| *count < SCOPES_MAX));
    free.unwrap_or_else(|| DEFAULT_SLICE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_filled_one_after_the_other() {
        let mut taken = Vec::new();
        for _ in 0..3 * SCOPES_MAX {
            taken.push(with_space(taken.iter()));
        }
        let count = |slice: &str| taken.iter().filter(|one| *one == slice).count();
        assert_eq!(["sampan.slice", "sampan-2.slice", "sampan-3.slice"].map(count), [SCOPES_MAX; 3]);
        taken.remove(SCOPES_MAX);
        assert_eq!(with_space(taken.iter()), "sampan-2.slice", "what has ended makes space");
    }
}
