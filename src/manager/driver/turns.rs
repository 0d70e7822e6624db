//! When the parts of a launch wait for each other.

use tokio::sync::Notify;

/// What is waited for.
#[derive(Default)]
pub(super) struct Turns {
    /// The launcher may be moved to the scope.
    pub(super) movable: Notify,
    /// The scope is there.
    pub(super) attached: Notify,
}
