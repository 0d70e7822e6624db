//! Times of the calendar, systemd.time(7): read once, and asked for the next time that they name.

mod next;
mod read;

use super::written::{ValueError, Written};
use crate::unit::suggest;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A calendar event such as `Mon..Fri *-*-* 08:00:00`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Calendar {
    text: String,
    /// Days of the week, bit 0 is Monday; none: all.
    weekdays: u8,
    year: Component,
    month: Component,
    day: Component,
    /// Whether days count from the end of the month.
    end_of_month: bool,
    hour: Component,
    minute: Component,
    /// In microseconds.
    second: Component,
    /// `None`: that of the host.
    zone: Option<TimeZone>,
}

/// What one part of a date or a time can be: one of the ranges, or anything where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Component(Vec<Range>);

/// `start`, `start/repeat`, `start..stop`, or `start..stop/repeat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u64,
    stop: Option<u64>,
    /// 0: `start` only.
    repeat: u64,
}

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

impl Calendar {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Written for Calendar {
    const EXPECTED: &'static str = "a time of the calendar such as \"daily\" or \"Mon 08:00\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        if let Some(calendar) = read::calendar(text) {
            return Ok(calendar);
        }
        let error = ValueError::new(format!("\"{text}\" is not a time of the calendar"));
        Err(match meant(text) {
            Some(near) => error.with_help(format!("did you mean \"{near}\"?")),
            None => error.with_help("\"systemd-analyze calendar\" checks them: \"daily\", \"Mon..Fri 08:00\", \"*-*-01 03:00:00\""),
        })
    }
}

/// What a text was meant to be, where it is near to one that can be read: blanks too many, the short form of
/// another word, a step of "*", fields of crontab(5).
fn meant(text: &str) -> Option<String> {
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let stepped = plain.replace("*/", "0/");
    let near = suggest::nearest(text, SHORT.iter().copied()).map(str::to_owned);
    let candidates = [near, Some(plain), Some(stepped), crontab(text)];
    candidates.into_iter().flatten().find(|meant| meant != text && read::calendar(meant).is_some())
}

/// `30 4 * * *`, as cron has it: minutes and hours only, for what follows counts otherwise.
fn crontab(text: &str) -> Option<String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, "*"] = fields.as_slice() else { return None };
    let own = |field: &str| field.replace("*/", "0/").replace('-', "..");
    let [minute, hour, day, month] = [minute, hour, day, month].map(|field| own(field));
    Some(match (day.as_str(), month.as_str()) {
        ("*", "*") => format!("{hour}:{minute}"),
        _ => format!("*-{month}-{day} {hour}:{minute}"),
    })
}

impl TryFrom<String> for Calendar {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text).map_err(|error| error.message().to_owned())
    }
}

impl From<Calendar> for String {
    fn from(calendar: Calendar) -> Self {
        calendar.text
    }
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
            let calendar = Calendar::read(text).unwrap();
            let kept = serde_json::to_string(&calendar).unwrap();
            assert_eq!(serde_json::from_str::<Calendar>(&kept).unwrap(), calendar, "{text}");
        }
        for text in ["", "dayly", "whenever", "25:00", "*-13-01", "Mon Tue Wed", "08", "1h", "Mon 8"] {
            assert!(Calendar::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_meant_is_told() {
        for (text, meant) in [
            ("dayly", "daily"),
            (" daily", "daily"),
            ("*:*/15", "*:0/15"),
            ("30 4 * * *", "4:30"),
            ("*/5 * * * *", "*:0/5"),
            ("0 3 1 * *", "*-*-1 3:0"),
        ] {
            let error = Calendar::read(text).unwrap_err();
            assert_eq!(error.help(), format!("did you mean \"{meant}\"?"), "{text}");
        }
    }
}
