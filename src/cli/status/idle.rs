//! The line of `status` on who uses a container that may sleep, and when it does.

use super::render::Surroundings;
use crate::cli::text::{escaped, time};
use crate::cli::unit_properties::UnitProperties;

/// What keeps it awake, or how long it has been idle and what comes of it.
pub fn line(unit: &UnitProperties, around: &Surroundings) -> String {
    let ago = time::ago(around.now.saturating_sub(unit.idle_since));
    let asleep = || format!("asleep for {}", ago.replace(" ago", ""));
    let until = |moment: u64| time::left(moment, around.now).replace(" left", "");
    match (unit.in_use_by.as_slice(), unit.next_sleep, unit.next_idle_stop) {
        ([], 0, 0) if unit.sub_state == "frozen" => asleep(),
        ([], 0, 0) => String::new(),
        ([], 0, stop) => format!("{}; stopped in {}", asleep(), until(stop)),
        ([], sleep, _) => {
            let action = if unit.idle_action == "freeze" { "frozen" } else { "stopped" };
            format!("last used {ago}; {action} in {}", until(sleep))
        }
        (uses, ..) => {
            let uses: Vec<_> = uses.iter().map(|one| escaped(one)).collect();
            format!("no: {}", uses.join(", "))
        }
    }
}
