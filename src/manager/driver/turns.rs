//! When the parts of a launch wait for each other.

use crate::launch::spawn::Origin;
use std::path::Path;
use tokio::sync::Notify;

/// What is waited for.
#[derive(Default)]
pub(super) struct Turns {
    /// The launcher may be moved to the scope.
    pub(super) movable: Notify,
    /// The scope is there.
    pub(super) attached: Notify,
}

impl Turns {
    /// Those of the launch of such a launcher.
    pub(super) fn of(origin: Origin) -> Self {
        let turns = Self::default();
        if origin == Origin::Spare {
            turns.movable.notify_one();
        }
        turns
    }

    /// Waits until journald can know whose run this is, by this link. The control group is there before: lines that are
    /// written by then have no id of the run, which `logs --invocation` looks for.
    pub(super) async fn known_to_journal(&self, link: &Path) {
        if link.symlink_metadata().is_err() {
            self.attached.notified().await;
        }
    }
}
