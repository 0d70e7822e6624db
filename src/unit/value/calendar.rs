//! Times of the calendar, systemd.time(7): checked for their form; what they come to is systemd's matter.

use super::written::{ValueError, Written};

/// A calendar event such as `Mon..Fri *-*-* 08:00:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar(pub String);

const SHORT: &[&str] = &[
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "semi-annually",
    "biannually",
    "bi-annually",
    "annually",
    "anually",
    "yearly",
];

const DAYS: &[&str] = &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Written for Calendar {
    const EXPECTED: &'static str = "a time of the calendar such as \"daily\" or \"Mon 08:00\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        if is_calendar(text) {
            return Ok(Self(text.to_owned()));
        }
        let error = ValueError::new(format!("\"{text}\" is not a time of the calendar"));
        Err(match crate::unit::suggest::nearest(text, SHORT.iter().copied()) {
            Some(near) => error.with_help(format!("did you mean \"{near}\"?")),
            None => error.with_help("\"systemd-analyze calendar\" checks them: \"daily\", \"Mon..Fri 08:00\", \"*-*-01 03:00:00\""),
        })
    }
}

fn is_calendar(text: &str) -> bool {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if words.len() == 1 && SHORT.contains(&text.trim().to_ascii_lowercase().as_str()) {
        return true;
    }
    if words.first().is_some_and(|word| is_weekdays(word)) {
        words.remove(0);
        if words.is_empty() {
            return true;
        }
    }
    if words.len() > 1 && words.last().is_some_and(|zone| is_zone(zone)) {
        words.pop();
    }
    match words.as_slice() {
        [time] if time.contains(':') => is_time(time),
        [date] => is_date(date),
        [date, time] => is_date(date) && is_time(time),
        _ => false,
    }
}

fn is_weekdays(word: &str) -> bool {
    let is_day = |day: &str| {
        let day = day.to_ascii_lowercase();
        day.len() >= 3 && DAYS.iter().any(|known| *known == day || known[..3] == day)
    };
    word.trim_end_matches(',').split(',').all(|part| part.split("..").all(is_day))
}

fn is_zone(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic()) && !word.contains(':')
}

fn is_date(word: &str) -> bool {
    let parts: Vec<&str> = word.split(['-', '~']).collect();
    match parts.as_slice() {
        [year, month, day] => {
            is_numbers(year, 1970..=2200) && is_numbers(month, 1..=12) && is_numbers(day, 1..=31)
        }
        [month, day] => is_numbers(month, 1..=12) && is_numbers(day, 1..=31),
        _ => word.strip_prefix('@').is_some_and(|seconds| seconds.parse::<u64>().is_ok()),
    }
}

fn is_time(word: &str) -> bool {
    let parts: Vec<&str> = word.split(':').collect();
    match parts.as_slice() {
        [hour, minute] => is_numbers(hour, 0..=23) && is_numbers(minute, 0..=59),
        [hour, minute, second] => {
            let whole = second.split('.').next().unwrap_or_default();
            is_numbers(hour, 0..=23) && is_numbers(minute, 0..=59) && is_numbers(whole, 0..=59)
        }
        _ => false,
    }
}

/// `*`, or numbers with commas between, each perhaps a range or with a step.
fn is_numbers(text: &str, range: std::ops::RangeInclusive<u32>) -> bool {
    let number = |text: &str| text.parse::<u32>().is_ok_and(|number| range.contains(&number));
    text.split(',').all(|part| {
        let (part, step) = part.split_once('/').map_or((part, None), |(part, step)| (part, Some(step)));
        let stepped = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0));
        stepped && (part == "*" || part.split("..").all(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_calendar_are_those_of_systemd() {
        for text in [
            "daily",
            "Mon",
            "Mon,Tue *-*-* 08:00:00",
            "Mon..Fri 08:00",
            "*-*-01",
            "2026-11-21 12:00",
            "*:0/15",
            "Sat *-*-1..7 18:00:00",
            "*-02~01",
            "08:05:40 Europe/Berlin",
            "12-24",
        ] {
            assert!(Calendar::read(text).is_ok(), "{text}");
        }
        for text in ["", "dayly", "whenever", "25:00", "*-13-01", "Mon Tue Wed", "08", "1h", "Mon 8"] {
            assert!(Calendar::read(text).is_err(), "{text}");
        }
    }
}
