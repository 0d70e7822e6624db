//! The host goes down.

use super::job::{JobKind, JobResult, Order, Tenure};
use super::{Machine, Standing};
use crate::unit::name::UnitName;

impl Machine {
    /// Stops everything in the reverse of its order; no job is in the way of that.
    pub(super) fn shut_down(&mut self) {
        self.standing = Standing::ShuttingDown;
        let others = self.jobs.values().filter(|job| job.kind != JobKind::Stop);
        for id in others.map(|job| job.id).collect::<Vec<_>>() {
            self.finish_job(id, JobResult::Canceled);
        }
        let up = self.units.iter().filter(|(_, managed)| !managed.phase.is_down());
        for unit in up.map(|(name, _)| name.clone()).collect::<Vec<UnitName>>() {
            self.install_job(&unit, JobKind::Stop, Order::Kept, Tenure::Irreversible);
        }
        self.break_waiting_cycles();
    }
}
