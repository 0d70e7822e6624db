//! Times as systemd.time(7) writes them: `Sat 2026-11-21 05:08:05 UTC`, `3min ago`, `1min 2.345s`.

use crate::unit::value::TimeSpan;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// As systemd has it: 30.44 and 365.25 days.
const MONTH: u64 = 2_629_800 * SECOND;
const YEAR: u64 = 31_557_600 * SECOND;

/// Microseconds since 1970, now.
pub fn now() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default()
}

/// A time in the local zone; empty for 0, which means never.
pub fn timestamp(microseconds: u64, zone: &TimeZone) -> String {
    let time = i64::try_from(microseconds).ok().filter(|time| *time != 0);
    match time.and_then(|time| Timestamp::from_microsecond(time).ok()) {
        Some(time) => time.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string(),
        None => String::new(),
    }
}

/// How long ago: the two largest units, fewer the longer it is.
pub fn ago(span: u64) -> String {
    let both = |first: u64, second: u64, names: [&str; 2]| {
        let (large, small) = (span / first, span % first / second);
        let plural = |count: u64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
        match small {
            0 => format!("{} ago", plural(large, names[0])),
            _ => format!("{} {} ago", plural(large, names[0]), plural(small, names[1])),
        }
    };
    match span {
        YEAR.. => both(YEAR, MONTH, ["year", "month"]),
        MONTH.. => both(MONTH, DAY, ["month", "day"]),
        WEEK.. => both(WEEK, DAY, ["week", "day"]),
        span if span >= 2 * DAY => format!("{} days ago", span / DAY),
        span if span >= 25 * HOUR => format!("1 day {}h ago", (span - DAY) / HOUR),
        span if span >= 6 * HOUR => format!("{}h ago", span / HOUR),
        HOUR.. => format!("{}h {}min ago", span / HOUR, span % HOUR / MINUTE),
        span if span >= 5 * MINUTE => format!("{}min ago", span / MINUTE),
        MINUTE.. => format!("{}min {}s ago", span / MINUTE, span % MINUTE / SECOND),
        SECOND.. => format!("{}s ago", span / SECOND),
        MILLISECOND.. => format!("{}ms ago", span / MILLISECOND),
        1.. => format!("{span}us ago"),
        0 => "now".to_owned(),
    }
}

/// How long it is until a moment: as [`ago`].
pub fn left(moment: u64, now: u64) -> String {
    match moment.checked_sub(now) {
        Some(0) => "now".to_owned(),
        Some(span) => ago(span).replace(" ago", " left"),
        None => ago(now - moment),
    }
}

/// A length of time to the millisecond: `1h 2min 3.456s`, `29ms`, `120us`.
pub fn span(microseconds: u64) -> String {
    TimeSpan(Some(Duration::from_micros(microseconds))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_systemctl_prints_them() {
        assert_eq!(timestamp(1_795_237_685_123_456, &TimeZone::UTC), "Sat 2026-11-21 05:08:05 UTC");
        assert_eq!(timestamp(0, &TimeZone::UTC), "");
    }

    #[test]
    fn ages_have_at_most_two_units() {
        for (span, text) in [
            (0, "now"),
            (2 * SECOND, "2s ago"),
            (200 * SECOND, "3min 20s ago"),
            (17 * MINUTE, "17min ago"),
            (65 * MINUTE, "1h 5min ago"),
            (26 * HOUR, "1 day 2h ago"),
            (8 * DAY, "1 week 1 day ago"),
            (YEAR + 2 * MONTH, "1 year 2 months ago"),
        ] {
            assert_eq!(ago(span), text);
        }
    }

    #[test]
    fn spans_are_exact_to_the_millisecond() {
        assert_eq!(span(120), "120us");
        assert_eq!(span(29_900), "29ms");
        assert_eq!(span(62_345_678), "1min 2.345s");
        assert_eq!(span(3_600_000_000), "1h");
    }
}
