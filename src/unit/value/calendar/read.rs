//! The grammar of systemd.time(7), section "Calendar Events".

use super::{Calendar, Component, Range};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ops::RangeInclusive;

pub(super) const YEARS: RangeInclusive<u64> = 1970..=2199;
const MONTHS: RangeInclusive<u64> = 1..=12;
const DAYS: RangeInclusive<u64> = 1..=31;
/// Every month has as many before its end.
const DAYS_BEFORE_END: RangeInclusive<u64> = 1..=28;
const HOURS: RangeInclusive<u64> = 0..=23;
const MINUTES: RangeInclusive<u64> = 0..=59;
pub(super) const SECOND: u64 = 1_000_000;
const MICROSECONDS: RangeInclusive<u64> = 0..=60 * SECOND - 1;

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// How numbers of a part are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Whole,
    /// Seconds, with up to six digits behind the point that count.
    Fractions,
}

/// Reads one; `None` where it is none.
pub(super) fn calendar(text: &str) -> Option<Calendar> {
    let (plain, zone) = match text.rsplit_once(' ') {
        Some((plain, last)) => match zone(last) {
            Some(zone) => (plain, Some(zone)),
            None => (text, None),
        },
        None => (text, None),
    };
    let mut own = Calendar {
        text: text.to_owned(),
        weekdays: 0,
        year: Component::default(),
        month: Component::default(),
        day: Component::default(),
        end_of_month: false,
        hour: Component::default(),
        minute: Component::default(),
        second: Component::default(),
        zone,
    };
    if let Some(full) = shorthand(plain) {
        let rest = read_weekdays(&mut own, full)?;
        read_date_and_time(&mut own, rest)?;
    } else {
        let rest = read_weekdays(&mut own, plain)?;
        read_date_and_time(&mut own, rest)?;
    }
    own.is_valid().then_some(own)
}

/// A name of the database of time zones. What is of another form is no file that is looked for.
fn zone(word: &str) -> Option<TimeZone> {
    if word == "UTC" {
        return Some(TimeZone::UTC);
    }
    let begins = word.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_name = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    let zone = TimeZone::get((begins && is_name).then_some(word)?).ok()?;
    // The database of names is looked up without regard to case, and files are not.
    (zone.iana_name() == Some(word)).then_some(zone)
}

/// What one of the words for a whole expression stands for.
fn shorthand(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "minutely" => "*-*-* *:*:00",
        "hourly" => "*-*-* *:00:00",
        "daily" => "*-*-* 00:00:00",
        "weekly" => "Mon *-*-* 00:00:00",
        "monthly" => "*-*-01 00:00:00",
        "quarterly" => "*-01,04,07,10-01 00:00:00",
        "semiannually" | "semi-annually" | "biannually" | "bi-annually" => "*-01,07-01 00:00:00",
        "annually" | "anually" | "yearly" => "*-01-01 00:00:00",
        _ => return None,
    })
}

/// Takes days of the week off; the text itself where it begins with none.
fn read_weekdays<'a>(own: &mut Calendar, text: &'a str) -> Option<&'a str> {
    let Some((first, mut rest)) = weekday(text) else { return (!text.is_empty()).then_some(text) };
    let (mut first, mut in_range) = (first, false);
    let mut last = first;
    loop {
        if last < first {
            return None;
        }
        (first..=last).for_each(|day| own.weekdays |= 1 << day);
        let separator = rest.bytes().next();
        let after = rest.strip_prefix("..").or_else(|| rest.strip_prefix([',', '-']));
        match (separator, after) {
            (None, _) => return Some(rest),
            (Some(b' '), _) => return Some(rest.trim_start_matches(' ')),
            (Some(b','), Some(after)) => {
                rest = after;
                // A comma at the end is no matter.
                if rest.is_empty() || rest.starts_with(' ') {
                    return Some(rest.trim_start_matches(' '));
                }
                (first, rest) = weekday(rest)?;
                (last, in_range) = (first, false);
            }
            (_, Some(after)) if !in_range => {
                (last, rest) = weekday(after)?;
                in_range = true;
            }
            _ => return None,
        }
    }
}

fn weekday(text: &str) -> Option<(u8, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, rest) = text.split_at(length);
    let word = word.to_ascii_lowercase();
    let day = WEEKDAYS.iter().position(|day| *day == word || (word.len() == 3 && day.starts_with(&word)))?;
    Some((u8::try_from(day).ok()?, rest))
}

fn read_date_and_time(own: &mut Calendar, text: &str) -> Option<()> {
    let zero = || Component(vec![Range { start: 0, stop: None, repeat: 0 }]);
    if let Some(seconds) = text.strip_prefix('@') {
        return read_moment(own, seconds);
    }
    let rest = read_date(own, text)?;
    if rest.is_empty() {
        (own.hour, own.minute, own.second) = (zero(), zero(), zero());
        return Some(());
    }
    let (hour, rest) = component(rest, Numbers::Whole)?;
    let (minute, rest) = component(rest.strip_prefix(':')?, Numbers::Whole)?;
    (own.hour, own.minute) = (hour, minute);
    if rest.is_empty() {
        own.second = zero();
        return Some(());
    }
    let (second, rest) = component(rest.strip_prefix(':')?, Numbers::Fractions)?;
    own.second = second;
    rest.is_empty().then_some(())
}

/// Takes a date off, and the blanks after it; the text itself where it begins with a time.
fn read_date<'a>(own: &mut Calendar, text: &'a str) -> Option<&'a str> {
    if text.is_empty() {
        return Some(text);
    }
    let (first, rest) = component(text, Numbers::Whole)?;
    if rest.is_empty() || rest.starts_with(':') {
        return Some(text);
    }
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    own.end_of_month = rest.starts_with('~');
    let (second, rest) = component(rest.strip_prefix(['-', '~'])?, Numbers::Whole)?;
    if ends(rest) {
        (own.month, own.day) = (first, second);
        return Some(rest.trim_start_matches(' '));
    }
    if own.end_of_month {
        return None;
    }
    own.end_of_month = rest.starts_with('~');
    let (third, rest) = component(rest.strip_prefix(['-', '~'])?, Numbers::Whole)?;
    (own.year, own.month, own.day) = (first.with_centuries(), second, third);
    ends(rest).then(|| rest.trim_start_matches(' '))
}

/// `@1395716396`: seconds since 1970.
fn read_moment(own: &mut Calendar, seconds: &str) -> Option<()> {
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = digits.then(|| seconds.parse().ok())??;
    let moment = Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC);
    let one = |value: u64| Component(vec![Range { start: value, stop: None, repeat: 0 }]);
    let whole = |value: i8| u64::try_from(value).unwrap_or_default();
    own.year = one(u64::try_from(moment.year()).ok()?);
    (own.month, own.day) = (one(whole(moment.month())), one(whole(moment.day())));
    (own.hour, own.minute) = (one(whole(moment.hour())), one(whole(moment.minute())));
    own.second = one(whole(moment.second()) * SECOND);
    own.zone = Some(TimeZone::UTC);
    Some(())
}

/// Takes `*` or ranges with commas between off.
fn component(text: &str, numbers: Numbers) -> Option<(Component, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        let every_second = || Component(vec![Range { start: 0, stop: None, repeat: SECOND }]);
        let any = if numbers == Numbers::Fractions { every_second() } else { Component::default() };
        return Some((any, rest));
    }
    let mut ranges = Vec::new();
    let mut rest = text;
    loop {
        let (range, after) = range(rest, numbers)?;
        ranges.push(range);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() || after.starts_with([' ', '-', '~', ':']) => {
                return Some((Component(ranges), after));
            }
            None => return None,
        }
    }
}

fn range(text: &str, numbers: Numbers) -> Option<(Range, &str)> {
    let (start, mut rest) = number(text, numbers)?;
    let (mut stop, mut repeat) = (None, 0);
    if let Some(after) = rest.strip_prefix("..") {
        let (last, after) = number(after, numbers)?;
        (stop, rest) = (Some(last), after);
        repeat = if numbers == Numbers::Fractions { SECOND } else { 1 };
    }
    if let Some(after) = rest.strip_prefix('/') {
        (repeat, rest) = number(after, numbers)?;
        if repeat == 0 {
            return None;
        }
    } else if numbers == Numbers::Fractions && stop.is_some_and(|stop| start + repeat > stop) {
        return None;
    }
    Some((Range { start, stop, repeat }.shortened()?, rest))
}

fn number(text: &str, numbers: Numbers) -> Option<(u64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let whole: u64 = u64::from(whole.parse::<u32>().ok()?);
    if numbers == Numbers::Whole {
        return Some((whole, rest));
    }
    let micros = whole.checked_mul(SECOND)?;
    // Two points are those of a range.
    let Some(after) = rest.strip_prefix('.').filter(|after| !after.starts_with('.')) else {
        return Some((micros, rest));
    };
    let (fraction, rest) = after.split_at(digits(after));
    if fraction.is_empty() {
        return None;
    }
    let counted: u64 = format!("{fraction:0<6}")[..6].parse().ok()?;
    let rounded = u64::from(fraction.as_bytes().get(6).is_some_and(|digit| *digit >= b'5'));
    Some((micros + counted + rounded, rest))
}

impl Range {
    /// The same with the last value that it has as its stop.
    fn shortened(self) -> Option<Self> {
        let Some(stop) = self.stop else { return Some(self) };
        let length = stop.checked_sub(self.start)?;
        let stop = stop - length % self.repeat.max(1);
        let single = stop == self.start;
        Some(if single { Self { stop: None, repeat: 0, ..self } } else { Self { stop: Some(stop), ..self } })
    }

    fn is_within(self, bounds: &RangeInclusive<u64>) -> bool {
        let steps = self.repeat == 0 || self.stop.is_some() || bounds.contains(&(self.start + self.repeat));
        bounds.contains(&self.start) && self.stop.is_none_or(|stop| bounds.contains(&stop)) && steps
    }

    /// Steps go towards the end of the month, where the count is 1.
    fn is_within_before_end(self) -> bool {
        let steps = self.repeat == 0 || self.stop.is_some() || self.start > self.repeat;
        let stop = self.stop.is_none_or(|stop| DAYS_BEFORE_END.contains(&stop));
        DAYS_BEFORE_END.contains(&self.start) && stop && steps
    }
}

impl Component {
    /// Years of two digits are those from 1970 to 2069.
    fn with_centuries(mut self) -> Self {
        let full = |year: u64| match year {
            0..=69 => year + 2000,
            70..=99 => year + 1900,
            _ => year,
        };
        for range in &mut self.0 {
            range.start = full(range.start);
            range.stop = range.stop.map(full);
        }
        self
    }

    fn is_within(&self, bounds: &RangeInclusive<u64>) -> bool {
        self.0.iter().all(|range| range.is_within(bounds))
    }
}

impl Calendar {
    fn is_valid(&self) -> bool {
        let day = if self.end_of_month {
            self.day.0.iter().all(|range| range.is_within_before_end())
        } else {
            self.day.is_within(&DAYS)
        };
        day && self.year.is_within(&YEARS)
            && self.month.is_within(&MONTHS)
            && self.hour.is_within(&HOURS)
            && self.minute.is_within(&MINUTES)
            && self.second.is_within(&MICROSECONDS)
    }
}
