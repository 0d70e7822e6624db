//! The line of the status page about the health of a container.

use super::render::Surroundings;
use crate::cli::text::{Tone, escaped, time};
use crate::cli::unit_properties::UnitProperties;

/// `healthy (last check 3s ago)`; of a container that is not, also what the last check said.
pub(super) fn line(unit: &UnitProperties, around: &Surroundings) -> String {
    let tone = match unit.health_state.as_str() {
        "" => return String::new(),
        "healthy" => Tone::Good,
        "unhealthy" => Tone::Bad,
        _ => Tone::Moving,
    };
    let state = around.style.paint(tone, &unit.health_state);
    let mut details = Vec::new();
    if unit.health_timestamp != 0 {
        details.push(format!("last check {}", time::ago(around.now.saturating_sub(unit.health_timestamp))));
    }
    if unit.health_failing_streak != 0 {
        details.push(format!("{} failed in a row", unit.health_failing_streak));
    }
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    let is_quiet = unit.health_state == "healthy" && unit.health_failing_streak == 0;
    let output = unit.health_output.lines().map(str::trim).find(|line| !line.is_empty());
    match output.filter(|_| !is_quiet) {
        Some(line) => {
            format!("{state}{details}\n             {}{}", around.style.glyphs.last_branch(), escaped(line))
        }
        None => format!("{state}{details}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::Style;

    #[test]
    fn what_was_checked_is_told() {
        let around = Surroundings {
            style: Style::PLAIN,
            zone: jiff::tz::TimeZone::UTC,
            now: 5_000_000,
            main_name: None,
            processes: Vec::new(),
        };
        let healthy = UnitProperties {
            health_state: "healthy".to_owned(),
            health_timestamp: 2_000_000,
            health_output: "all is well".to_owned(),
            ..UnitProperties::default()
        };
        assert_eq!(line(&healthy, &around), "healthy (last check 3s ago)");
        let unhealthy = UnitProperties {
            health_state: "unhealthy".to_owned(),
            health_failing_streak: 4,
            health_output: "\nno answer\nmore".to_owned(),
            ..healthy
        };
        let text = "unhealthy (last check 3s ago, 4 failed in a row)\n             └─no answer";
        assert_eq!(line(&unhealthy, &around), text);
        assert_eq!(line(&UnitProperties::default(), &around), "");
    }
}
