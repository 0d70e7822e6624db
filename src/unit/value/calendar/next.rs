//! The next time that an expression names.
//!
//! The fields are looked for as on a clock on the wall. What such a clock shows twice, where it is set back, counts
//! once; what it never shows, where it is set forward, is left out: systemd does the same.

use super::read::{SECOND, YEARS};
use super::{Calendar, Component, Range};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::time::Duration;

const MINUTE: u64 = 60 * SECOND;

impl Calendar {
    /// The first moment after another one, both since 1970; `None`: there is none. Where the expression names no
    /// zone, the clock on the wall is that of `local`.
    pub fn next(&self, after: Duration, local: &TimeZone) -> Option<Duration> {
        let zone = self.zone.as_ref().unwrap_or(local);
        let after = Timestamp::from_microsecond(i64::try_from(after.as_micros()).ok()?).ok()?;
        let from = Timestamp::from_microsecond(after.as_microsecond().checked_add(1)?).ok()?;
        let mut from = zone.to_datetime(from);
        loop {
            let found = self.next_civil(from)?;
            let at = |offset: jiff::tz::Offset| offset.to_timestamp(found).ok();
            let moment = match zone.to_ambiguous_timestamp(found).offset() {
                AmbiguousOffset::Unambiguous { offset } => at(offset)?,
                AmbiguousOffset::Fold { before, after: later } => match at(before)? {
                    first if first > after => first,
                    _ => at(later)?,
                },
                // The clock shows a later time there, from which on it is looked for.
                AmbiguousOffset::Gap { before, .. } => {
                    from = zone.to_datetime(at(before)?);
                    continue;
                }
            };
            if moment > after {
                return u64::try_from(moment.as_microsecond()).ok().map(Duration::from_micros);
            }
            // The clock was set back since.
            from = found.checked_add(jiff::Span::new().microseconds(1)).ok()?;
        }
    }

    /// The first match at or after what a clock shows.
    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut lowest = from.time();
        loop {
            let found = self.next_date(date)?;
            if found != date {
                (date, lowest) = (found, Time::midnight());
            }
            if let Some(time) = self.next_time(lowest) {
                return Some(date.to_datetime(time));
            }
            (date, lowest) = (date.tomorrow().ok()?, Time::midnight());
        }
    }

    fn next_date(&self, from: Date) -> Option<Date> {
        let (_, last_year) = YEARS.into_inner();
        let mut year = u64::try_from(from.year()).ok()?;
        let mut month = whole(from.month());
        let mut day = whole(from.day());
        loop {
            let found = self.year.next(year, last_year)?;
            if found != year {
                (year, month, day) = (found, 1, 1);
            }
            while let Some(found) = self.month.next(month, 12) {
                if found != month {
                    (month, day) = (found, 1);
                }
                let first = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
                if let Some(date) = self.next_day(first, day) {
                    return Some(date);
                }
                (month, day) = (month + 1, 1);
            }
            (year, month, day) = (year + 1, 1, 1);
        }
    }

    /// The first day of a month that matches and is not before another one.
    fn next_day(&self, first: Date, from: u64) -> Option<Date> {
        let last = whole(first.days_in_month());
        (from..=last).filter(|day| self.names_day(*day, last)).find_map(|day| {
            let date = first.with().day(i8::try_from(day).ok()?).build().ok()?;
            let weekday = date.weekday().to_monday_zero_offset();
            (self.weekdays == 0 || self.weekdays & (1 << weekday) != 0).then_some(date)
        })
    }

    fn names_day(&self, day: u64, last: u64) -> bool {
        if !self.end_of_month {
            return self.day.next(day, last) == Some(day);
        }
        // The last day of the month is 1.
        let before_end = |day: u64| (last + 1).checked_sub(day);
        let mirrored = |range: &Range| {
            let (start, stop) = (before_end(range.start)?, range.stop.map(before_end));
            Some(match stop {
                Some(stop) => Range { start: stop?, stop: Some(start), ..*range },
                None => Range { start, ..*range },
            })
        };
        let days = Component(self.day.0.iter().filter_map(mirrored).collect());
        self.day.0.is_empty() || (!days.0.is_empty() && days.next(day, last) == Some(day))
    }

    /// The first time of a day at or after another one.
    fn next_time(&self, from: Time) -> Option<Time> {
        let micros = whole(from.second()) * SECOND
            + u64::try_from(from.subsec_nanosecond()).unwrap_or_default() / 1_000;
        let (mut hour, mut minute, mut micro) = (whole(from.hour()), whole(from.minute()), micros);
        while let Some(found) = self.hour.next(hour, 23) {
            if found != hour {
                (hour, minute, micro) = (found, 0, 0);
            }
            while let Some(found) = self.minute.next(minute, 59) {
                if found != minute {
                    (minute, micro) = (found, 0);
                }
                if let Some(found) = self.second.next(micro, MINUTE - 1) {
                    return time(hour, minute, found);
                }
                (minute, micro) = (minute + 1, 0);
            }
            (hour, minute, micro) = (hour + 1, 0, 0);
        }
        None
    }
}

fn time(hour: u64, minute: u64, micro: u64) -> Option<Time> {
    let nanosecond = i32::try_from(micro % SECOND * 1_000).ok()?;
    let second = i8::try_from(micro / SECOND).ok()?;
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, second, nanosecond).ok()
}

fn whole(field: i8) -> u64 {
    u64::try_from(field).unwrap_or_default()
}

impl Component {
    /// The smallest value that it has and that is not below `from` nor above `last`.
    fn next(&self, from: u64, last: u64) -> Option<u64> {
        let next = match self.0.as_slice() {
            [] => Some(from),
            ranges => ranges.iter().filter_map(|range| range.next(from)).min(),
        };
        next.filter(|next| *next <= last)
    }
}

impl Range {
    fn next(&self, from: u64) -> Option<u64> {
        let next = match from.checked_sub(self.start) {
            None | Some(0) => self.start,
            Some(_) if self.repeat == 0 => return None,
            Some(past) => self.start + past.next_multiple_of(self.repeat),
        };
        (next <= self.stop.unwrap_or(u64::MAX)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::value::Written;
    use proptest::prelude::*;

    fn part(last: u64, first: u64) -> impl Strategy<Value = String> {
        let number = first..=last;
        prop_oneof![
            3 => Just("*".to_owned()),
            3 => number.clone().prop_map(|number| number.to_string()),
            1 => (number.clone(), number.clone()).prop_map(|(one, other)| format!("{one},{other}")),
            1 => (number.clone(), number.clone())
                .prop_filter("one second is no range", |(one, other)| one != other)
                .prop_map(|(one, other)| format!("{}..{}", one.min(other), one.max(other))),
            1 => (number, 1..=last).prop_map(move |(start, step)| {
                let step = step.min(last - start).max(1);
                if start + step > last { start.to_string() } else { format!("{start}/{step}") }
            }),
        ]
    }

    prop_compose! {
        fn expression()(
            days in prop_oneof![3 => Just(""), 1 => Just("Mon..Fri "), 1 => Just("Sun "), 1 => Just("Tue,Sat ")],
            month in part(12, 1),
            day in part(28, 1),
            end in prop_oneof![4 => Just('-'), 1 => Just('~')],
            hour in part(23, 0),
            minute in part(59, 0),
            second in part(59, 0),
        ) -> String {
            // Steps before the end of a month are counted the other way.
            let day = if end == '~' { day.split('/').next().unwrap_or("*").to_owned() } else { day };
            format!("{days}*-{month}{end}{day} {hour}:{minute}:{second}")
        }
    }

    fn seconds(calendar: &Calendar, after: u64, zone: &TimeZone) -> Option<u64> {
        calendar.next(Duration::from_secs(after), zone).map(|next| next.as_secs())
    }

    proptest! {
        #[test]
        fn the_next_match_is_after_the_base_and_is_the_first(
            text in expression(),
            base in 0_u64..4_000_000_000,
            steps in proptest::collection::vec(0.0_f64..1.0, 8),
        ) {
            let calendar = Calendar::read(&text).unwrap();
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            let Some(next) = seconds(&calendar, base, &zone) else { return Ok(()) };
            prop_assert!(next > base);
            let shown = zone.to_datetime(Timestamp::from_second(next as i64).unwrap());
            prop_assert_eq!(calendar.next_civil(shown), Some(shown), "{} does not match", shown);
            // From anywhere in between it is the next one, too.
            for step in steps {
                let between = (base + ((next - base) as f64 * step) as u64).min(next - 1);
                let shown = zone.to_datetime(Timestamp::from_second(between as i64).unwrap());
                if !zone.to_ambiguous_timestamp(shown).is_ambiguous() {
                    prop_assert_eq!(seconds(&calendar, between, &zone), Some(next));
                }
            }
            // What is passed over shows no time that matches, unless the clock shows that twice.
            for before in (base + 1..next).rev().take(90) {
                let moment = Timestamp::from_second(before as i64).unwrap();
                let shown = zone.to_datetime(moment);
                let twice = zone.to_ambiguous_timestamp(shown).is_ambiguous();
                prop_assert!(twice || calendar.next_civil(shown) != Some(shown), "{} matches", shown);
            }
        }
    }

    #[test]
    fn clocks_that_are_set_forward_and_back() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let next = |text: &str, base: &str| {
            let base: Timestamp = base.parse().unwrap();
            let calendar = Calendar::read(text).unwrap();
            let next = seconds(&calendar, base.as_second() as u64, &zone).unwrap();
            Timestamp::from_second(next as i64).unwrap().to_string()
        };
        assert_eq!(next("02:30", "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00Z", "no such time that night");
        assert_eq!(next("02:30", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(next("02:30", "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z", "once that night");
        assert_eq!(next("*:0/15", "2026-10-25T01:10:00Z"), "2026-10-25T01:15:00Z");
        assert_eq!(next("hourly", "2026-03-29T00:30:00Z"), "2026-03-29T01:00:00Z");
    }

    #[test]
    fn fractions_of_seconds_and_ends() {
        let next = |text: &str, base: u64| {
            Calendar::read(text).unwrap().next(Duration::from_micros(base), &TimeZone::UTC)
        };
        assert_eq!(next("*:*:0/2.5", 0), Some(Duration::from_millis(2500)));
        assert_eq!(next("*:*:0/2.5", 57_500_000), Some(Duration::from_secs(60)));
        assert_eq!(next("@10", 9_999_999), Some(Duration::from_secs(10)));
        assert_eq!(next("@10", 10_000_000), None);
        assert_eq!(next("*-02-30", 0), None);
    }
}
