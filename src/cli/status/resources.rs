//! What a container uses, as `status` tells it.

use crate::cli::text::{quantity::bytes, time};
use crate::cli::unit_properties::{Memory, UnitProperties};

/// Labels and values, in the order of the page; what is not known is left out.
pub fn lines(unit: &UnitProperties) -> Vec<(&'static str, String)> {
    let up = !unit.active_state.is_down();
    let usage = [
        ("IP", traffic(unit.ip_ingress_bytes, unit.ip_egress_bytes, ["in", "out"])),
        ("IO", traffic(unit.io_read_bytes, unit.io_write_bytes, ["read", "written"])),
        ("Root", root(unit)),
        ("Tasks", if up { tasks(unit) } else { String::new() }),
        ("Memory", memory(&unit.memory, up)),
        ("CPU", unit.cpu_usage_nsec.map(|time| time::span(time / 1000)).unwrap_or_default()),
    ];
    usage.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn traffic(first: Option<u64>, second: Option<u64>, words: [&str; 2]) -> String {
    match (first, second) {
        (Some(first), Some(second)) if first + second > 0 => {
            format!("{} {}, {} {}", bytes(first), words[0], bytes(second), words[1])
        }
        _ => String::new(),
    }
}

fn root(unit: &UnitProperties) -> String {
    match (unit.root_used, unit.root_size) {
        (Some(used), Some(size)) => format!("{} (limit: {})", bytes(used), bytes(size)),
        _ => String::new(),
    }
}

fn tasks(unit: &UnitProperties) -> String {
    match (unit.tasks_current, unit.tasks_max) {
        (None, _) => String::new(),
        (Some(count), None) => count.to_string(),
        (Some(count), Some(limit)) => format!("{count} (limit: {limit})"),
    }
}

/// The sum as systemctl has it, with limits and peak; below it what it is made of, since of shared images the page
/// cache is charged to whoever read it first.
fn memory(memory: &Memory, up: bool) -> String {
    let listed = |parts: &[(&str, Option<u64>)]| {
        let parts = parts.iter().filter_map(|(name, value)| Some(format!("{name}: {}", bytes((*value)?))));
        parts.collect::<Vec<_>>()
    };
    let Some(current) = memory.current.filter(|_| up) else {
        return memory
            .peak
            .filter(|peak| *peak > 0)
            .map(|peak| format!("{} (peak)", bytes(peak)))
            .unwrap_or_default();
    };
    let swapped = memory.swap.filter(|swap| *swap > 0);
    let limits = listed(&[
        ("high", memory.high),
        ("max", memory.max),
        ("swap max", memory.swap_max),
        ("peak", memory.peak),
        ("swap", swapped),
    ]);
    let limits = if limits.is_empty() { String::new() } else { format!(" ({})", limits.join(" ")) };
    // Pages of shared memory count as page cache, too, cgroup-v2's memory.stat.
    let cache = memory.page_cache.map(|cache| cache.saturating_sub(memory.shared.unwrap_or_default()));
    let file = memory.mapped.map(|mapped| mapped.min(cache.unwrap_or(mapped)));
    let parts = listed(&[
        ("private", memory.anonymous),
        ("shared", memory.shared.filter(|shared| *shared > 0)),
        ("mapped files", file),
        ("page cache", cache.zip(file).map(|(cache, file)| cache - file)),
        ("kernel", memory.kernel),
    ]);
    let parts = if parts.is_empty() { String::new() } else { format!("\n             {}", parts.join(", ")) };
    format!("{}{limits}{parts}", bytes(current))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::unit_properties::ActiveState;

    #[test]
    fn memory_is_told_by_its_kinds() {
        let used = Memory {
            current: Some(50 << 20),
            peak: Some(60 << 20),
            high: Some(200 << 20),
            max: Some(256 << 20),
            anonymous: Some(20 << 20),
            page_cache: Some(28 << 20),
            mapped: Some(8 << 20),
            shared: Some(1 << 20),
            kernel: Some(2 << 20),
            ..Memory::default()
        };
        insta::assert_snapshot!(memory(&used, true), @r"
        50.0M (high: 200.0M max: 256.0M peak: 60.0M)
                     private: 20.0M, shared: 1.0M, mapped files: 8.0M, page cache: 19.0M, kernel: 2.0M
        ");
        assert_eq!(memory(&used, false), "60.0M (peak)");
        assert_eq!(memory(&Memory { current: Some(2_560_000), ..Memory::default() }, true), "2.4M");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let unit = UnitProperties {
            active_state: ActiveState::Active,
            tasks_current: Some(2),
            io_read_bytes: Some(4096),
            io_write_bytes: Some(0),
            ip_ingress_bytes: Some(0),
            ip_egress_bytes: Some(0),
            ..UnitProperties::default()
        };
        let told: Vec<String> =
            lines(&unit).iter().map(|(label, value)| format!("{label}: {value}")).collect();
        assert_eq!(told, ["IO: 4.0K read, 0B written", "Tasks: 2"]);
    }
}
