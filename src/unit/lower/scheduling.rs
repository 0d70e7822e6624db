//! How processes are scheduled, as meant.

use crate::unit::model::{CpuScheduling, IoScheduling};
use crate::unit::report::Report;
use crate::unit::schema::ResourcesTable;
use crate::unit::value::{IoPriority, RealtimePriority, Text};

/// sched(7): policies in real time have priorities, and no others.
pub fn of_processors(table: &ResourcesTable, report: &mut Report<'_>) -> CpuScheduling {
    const LOWEST: u32 = 1;
    let policy = table.cpu_scheduling_policy.unwrap_or_default();
    let priority = match (&table.cpu_scheduling_priority, policy.is_realtime()) {
        (Some(Text(RealtimePriority(priority))), true) => *priority,
        (None, true) => LOWEST,
        (None, false) => 0,
        (Some(_), false) => {
            let way = ["resources", "cpu_scheduling_priority"];
            let message = format!("the policy \"{}\" has no priorities", policy.word());
            report.error(
                &way,
                message,
                "write cpu_scheduling_policy = \"fifo\" or \"rr\", or \"nice\" instead",
            );
            0
        }
    };
    CpuScheduling {
        nice: table.nice.as_ref().map_or(0, |Text(nice)| nice.0),
        policy,
        priority,
        reset_on_fork: table.cpu_scheduling_reset_on_fork.unwrap_or_default(),
    }
}

pub fn of_disks(table: &ResourcesTable, report: &mut Report<'_>) -> Option<IoScheduling> {
    let (class, priority) = (table.io_scheduling_class, &table.io_scheduling_priority);
    if let (Some(class), Some(_)) = (class, priority)
        && !class.has_priorities()
    {
        let way = ["resources", "io_scheduling_priority"];
        report.error(&way, format!("the class \"{}\" has no priorities", class.word()), "leave it out");
    }
    (class.is_some() || priority.is_some()).then(|| IoScheduling {
        class: class.unwrap_or(IoScheduling::DEFAULT.class),
        priority: priority
            .as_ref()
            .map_or(IoScheduling::DEFAULT.priority, |Text(IoPriority(number))| *number),
    })
}
