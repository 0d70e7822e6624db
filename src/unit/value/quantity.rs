//! Times, sizes and shares, as systemd writes them: systemd.time(7) and systemd.resource-control(5).

use super::written::{Numbers, ValueError, Written, number_within};
use crate::unit::suggest;
use std::fmt;
use std::time::Duration;

/// A time span; `None` is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan(pub Option<Duration>);

/// As systemd prints it, to the millisecond: `1h 2min 3.456s`, `29ms`, `120us`.
impl fmt::Display for TimeSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(span) = self.0 else { return formatter.write_str("infinity") };
        if span < Duration::from_millis(1) {
            return write!(formatter, "{}us", span.as_micros());
        }
        let (mut rest, mut separator) = (span.as_secs(), "");
        for (unit, name) in [(604_800, "w"), (86_400, "d"), (3600, "h"), (60, "min")] {
            if rest >= unit {
                write!(formatter, "{separator}{}{name}", rest / unit)?;
                (rest, separator) = (rest % unit, " ");
            }
        }
        match (rest, span.subsec_millis()) {
            (0, 0) => Ok(()),
            (0, milliseconds) => write!(formatter, "{separator}{milliseconds}ms"),
            (seconds, 0) => write!(formatter, "{separator}{seconds}s"),
            (seconds, milliseconds) => {
                let decimals = format!("{milliseconds:03}");
                write!(formatter, "{separator}{seconds}.{}s", decimals.trim_end_matches('0'))
            }
        }
    }
}

/// Units of time in nanoseconds, systemd.time(7).
const TIME_UNITS: &[(&[&str], u64)] = &[
    (&["nsec", "ns"], 1),
    (&["usec", "us", "µs", "μs"], 1_000),
    (&["msec", "ms"], 1_000_000),
    (&["seconds", "second", "sec", "s", ""], 1_000_000_000),
    (&["minutes", "minute", "min", "m"], 60_000_000_000),
    (&["hours", "hour", "hr", "h"], 3_600_000_000_000),
    (&["days", "day", "d"], 86_400_000_000_000),
    (&["weeks", "week", "w"], 604_800_000_000_000),
    (&["months", "month", "M"], 2_629_800_000_000_000),
    (&["years", "year", "y"], 31_557_600_000_000_000),
];

impl Written for TimeSpan {
    const EXPECTED: &'static str = "a time span such as \"5min 20s\"";
    const NUMBERS: Numbers = Numbers::Decimal;

    fn read(text: &str) -> Result<Self, ValueError> {
        let wrong = || {
            let error = ValueError::new(format!("\"{text}\" is not a time span"));
            let meant = meant(text).filter(|meant| Self::read(meant).is_ok());
            error.with_help(meant.map_or_else(
                || "write it as in systemd.time(7): \"100ms\", \"5min 20s\", \"infinity\", or a number of seconds".to_owned(),
                |meant| format!("did you mean \"{meant}\"?"),
            ))
        };
        if text.trim() == "infinity" {
            return Ok(Self(None));
        }
        let mut rest = text.trim();
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (amount, after) = number(rest).ok_or_else(wrong)?;
            let word_end = after.find(|character: char| !character.is_alphabetic()).unwrap_or(after.len());
            let (word, after) = after.split_at(word_end);
            let unit = TIME_UNITS.iter().find(|(words, _)| words.contains(&word)).ok_or_else(wrong)?.1;
            total = amount.times(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
            rest = after.trim_start();
        }
        if text.trim().is_empty() { Err(wrong()) } else { Ok(Self(Some(Duration::from_nanos(total)))) }
    }
}

/// A decimal number: `whole` and `fraction / scale`.
struct Decimal {
    whole: u64,
    fraction: u64,
    scale: u64,
}

impl Decimal {
    fn times(&self, unit: u64) -> Option<u64> {
        let fraction = u128::from(self.fraction) * u128::from(unit) / u128::from(self.scale);
        self.whole.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
    }
}

/// Splits a decimal number off, and the blanks after it.
fn number(text: &str) -> Option<(Decimal, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let mut decimal = Decimal { whole: whole.parse().ok()?, fraction: 0, scale: 1 };
    let mut rest = rest;
    if let Some(after) = rest.strip_prefix('.') {
        let (fraction, after) = after.split_at(digits(after));
        if fraction.is_empty() || fraction.len() > 18 {
            return None;
        }
        decimal.fraction = fraction.parse().ok()?;
        decimal.scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        rest = after;
    }
    Some((decimal, rest.trim_start()))
}

/// What other programs mean by "no limit".
const NO_LIMIT: &[&str] = &["-1", "forever", "inf", "infinite", "max", "never", "none", "unlimited"];

/// A quantity as it was probably meant, where it is written as in other programs or languages; not all that comes of
/// it can be read.
fn meant(text: &str) -> Option<String> {
    let plain = text.trim().to_ascii_lowercase();
    let is_near = || suggest::nearest(&plain, ["infinity"]).is_some();
    if NO_LIMIT.contains(&plain.as_str()) || is_near() {
        return Some("infinity".to_owned());
    }
    let meant = text.trim().trim_end_matches('.').replace(',', ".").replace('_', "");
    // ISO 8601
    let span = meant.strip_prefix("PT").map(|span| span.to_ascii_lowercase());
    Some(span.unwrap_or(meant)).filter(|meant| meant != text)
}

/// A number of bytes; `u64::MAX` is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Written for Bytes {
    const EXPECTED: &'static str = "a size such as \"256M\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let wrong = || {
            let error = ValueError::new(format!("\"{text}\" is not a size"));
            // 256MB, 1GiB, 512m, 10 GBytes
            let amount = text.trim().trim_end_matches("ytes").trim_end_matches("yte");
            let short = amount.trim_end_matches(['b', 'B']).trim_end_matches('i').to_ascii_uppercase();
            let candidates = [Some(short), meant(text), meant(amount.trim_end_matches(['b', 'B']))];
            let is_meant = |word: &String| word != text && !word.is_empty() && Self::read(word).is_ok();
            match candidates.into_iter().flatten().find(is_meant) {
                Some(short) => error.with_help(format!("did you mean \"{short}\"?")),
                None => error.with_help(
                    "write a number of bytes, or one with K, M, G or T (powers of 1024), or \"infinity\"",
                ),
            }
        };
        if text.trim() == "infinity" {
            return Ok(Self(u64::MAX));
        }
        let (amount, suffix) = number(text.trim()).ok_or_else(wrong)?;
        let unit: u64 = match suffix {
            "" | "B" => 1,
            "K" => 1 << 10,
            "M" => 1 << 20,
            "G" => 1 << 30,
            "T" => 1 << 40,
            "P" => 1 << 50,
            "E" => 1 << 60,
            _ => return Err(wrong()),
        };
        amount.times(unit).filter(|bytes| *bytes < u64::MAX).map(Self).ok_or_else(wrong)
    }
}

/// A share of one CPU, in microseconds for each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentage(pub u64);

impl Written for Percentage {
    const EXPECTED: &'static str = "a share of one CPU such as \"50%\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let wrong = || {
            ValueError::new(format!("\"{text}\" is not a share of a CPU"))
                .with_help("write it with a percent sign: \"50%\" is half a CPU, \"200%\" is two")
        };
        if text == "infinity" {
            return Ok(Self(u64::MAX));
        }
        let (amount, rest) = number(text.trim()).ok_or_else(wrong)?;
        let microseconds =
            amount.times(10_000).filter(|value| rest == "%" && *value > 0).ok_or_else(wrong)?;
        Ok(Self(microseconds))
    }
}

/// A share of time, as a part of `u32::MAX`: so org.freedesktop.systemd1(5) has `ManagedOOMMemoryPressureLimit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressureLimit(pub u32);

impl Written for PressureLimit {
    const EXPECTED: &'static str = "a share of time such as \"60%\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        const WHOLE: u64 = 10_000;
        let share = match number(text.trim()) {
            Some((amount, "%")) => amount.times(WHOLE / 100).filter(|share| *share <= WHOLE),
            _ => None,
        };
        let part =
            share.and_then(|share| u32::try_from((share * u64::from(u32::MAX) + WHOLE / 2) / WHOLE).ok());
        part.map(Self).ok_or_else(|| {
            ValueError::new(format!("\"{text}\" is not a share of time"))
                .with_help("write it with a percent sign, from \"0%\" to \"100%\"")
        })
    }
}

/// How much in a second, of bytes or operations; `u64::MAX` is infinity. Powers of 1000, as of other measures of
/// devices: systemd.resource-control(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

impl Written for Rate {
    const EXPECTED: &'static str = "how much in a second, such as \"5M\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let unit = |suffix: &str| match suffix {
            "" => Some(1),
            "K" => Some(1_000),
            "M" => Some(1_000_000),
            "G" => Some(1_000_000_000),
            "T" => Some(1_000_000_000_000),
            _ => None,
        };
        let rate = match text.trim() {
            "infinity" => Some(u64::MAX),
            text => number(text).and_then(|(amount, suffix)| amount.times(unit(suffix)?)),
        };
        rate.filter(|rate| *rate > 0).map(Self).ok_or_else(|| {
            ValueError::new(format!("\"{text}\" is no rate")).with_help(
                "write a number for each second, or one with K, M, G or T (powers of 1000), or \"infinity\"",
            )
        })
    }
}

/// A weight from 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(pub u64);

impl Written for Weight {
    const EXPECTED: &'static str = "a weight from 1 to 10000";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        number_within(text, 1..=10_000, "not a weight", "weights are numbers from 1 to 10000").map(Self)
    }
}

/// How many processes and threads; `u64::MAX` is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskLimit(pub u64);

impl Written for TaskLimit {
    const EXPECTED: &'static str = "a number of tasks or \"infinity\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        if text == "infinity" {
            return Ok(Self(u64::MAX));
        }
        let help = "write a number from 1 to 4194304, or \"infinity\"";
        number_within(text, 1..=4_194_304, "not a number of tasks", help).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_time_are_parts_of_the_largest_number() {
        for (text, part) in [("0%", 0), ("50%", 2_147_483_648), ("12.5%", 536_870_912), ("100%", u32::MAX)] {
            assert_eq!(PressureLimit::read(text).unwrap().0, part, "{text}");
        }
        for text in ["", "60", "101%", "-1%", "60 per cent", "0.6"] {
            assert!(PressureLimit::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_spans_are_those_of_systemd() {
        for (text, milliseconds) in [
            ("90", 90_000),
            ("100ms", 100),
            ("5min 20s", 320_000),
            ("1h30min", 5_400_000),
            ("1.5", 1_500),
            ("2 days", 172_800_000),
            (" 3 s ", 3_000),
            ("0", 0),
            ("1M", 2_629_800_000),
        ] {
            assert_eq!(TimeSpan::read(text).unwrap().0, Some(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(TimeSpan::read("infinity").unwrap().0, None);
        for text in ["", "s", "5 parsecs", "-1", "1.", "5s 3x", "99999999999y", "é"] {
            assert!(TimeSpan::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in
            [("256M", 256 << 20), ("1.5K", 1536), ("0", 0), ("4096", 4096), ("infinity", u64::MAX)]
        {
            assert_eq!(Bytes::read(text).unwrap().0, bytes, "{text}");
        }
        for text in ["", "256MB", "256m", "50%", "-1", "17E", "K"] {
            assert!(Bytes::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_powers_of_1000() {
        for (text, rate) in [("5M", 5_000_000), ("1.5K", 1_500), ("100", 100), ("infinity", u64::MAX)] {
            assert_eq!(Rate::read(text).unwrap().0, rate, "{text}");
        }
        for text in ["", "0", "5MB", "5m", "-1", "M"] {
            assert!(Rate::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_and_weights_have_bounds() {
        assert_eq!(Percentage::read("50%").unwrap().0, 500_000);
        assert_eq!(Percentage::read("150%").unwrap().0, 1_500_000);
        assert_eq!(Percentage::read("infinity").unwrap().0, u64::MAX);
        assert!(Percentage::read("0%").is_err() && Percentage::read("50").is_err());
        assert!(Weight::read("100").is_ok() && Weight::read("0").is_err() && Weight::read("10001").is_err());
        assert_eq!(TaskLimit::read("infinity").unwrap().0, u64::MAX);
        assert!(TaskLimit::read("0").is_err() && TaskLimit::read("10%").is_err());
    }
}
