//! When the parts of a launch wait for each other.

use crate::launch::step::Plan;
use tokio::sync::Notify;

/// What is waited for.
pub(super) struct Turns {
    /// The launcher may be moved to the scope.
    pub(super) movable: Notify,
    /// The scope is there.
    pub(super) attached: Notify,
}

impl Turns {
    /// Of a launch that begins.
    pub(super) fn new(plan: &Plan) -> Self {
        let turns = Self { movable: Notify::new(), attached: Notify::new() };
        if plan.is_movable() {
            turns.movable.notify_one();
        }
        turns
    }
}
