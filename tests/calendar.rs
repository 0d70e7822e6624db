//! Calendar expressions come to what systemd-analyze(1) says of them, on this machine.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sampan::unit::value::{Calendar, Written};
use std::process::Command;
use std::time::Duration;

const ITERATIONS: usize = 5;

/// Days with a step have an end here: without one, systemd 252 passes over the first days of some months.
const GOOD: &[&str] = &[
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
    "DAILY",
    "Mon",
    "MON",
    "mon-fri",
    "Mon,",
    "Mon..Wed,Fri 8:5",
    "Mon..Sun",
    "Mon,Tue,Wed",
    "Tue-Fri,Sun 10:00",
    "Monday,  *-*-* 00:00",
    "Mon  10:00",
    "Sat,Sun 12:34:56",
    "*-*-*",
    "*-*",
    "Mon *-*",
    "12-24",
    "*-*-1..31/7",
    "*~01",
    "*-02~07/1",
    "*-*~01..07",
    "*-*~3/2",
    "*-*~5/4",
    "*-*~28",
    "*-*~1..28",
    "*-*~28/27",
    "*-*~1..3/2",
    "*-*~1..1",
    "*-*-27/4",
    "*-11/1-1",
    "*-*-31",
    "*-*-1..31",
    "*-*-31..31",
    "*-02-29",
    "Mon *-02-29",
    "*-02-30",
    "*-02~01",
    "Fri *-*~07/1 18:00",
    "Mon *-05~07/1",
    "Wed *-1",
    "*-1,7-1,15",
    "*-*-* *:*:*",
    "*:*",
    "*:0/15",
    "*:0/59",
    "*:0/15,5,10",
    "*:1..5/2",
    "*:1..5/7",
    "*:1..58/2",
    "*:58..59",
    "*:59..59",
    "22..23:00",
    "23..23:00",
    "1..3,5..7:0",
    "0010:00",
    "02:30",
    "*:30",
    "0/2:30",
    "03:00",
    "01:59:59",
    "*:15,45",
    "*:*:0/2.5",
    "*:*:59.5",
    "*:*:59.999999",
    "*:*:59/0.5",
    "*:*:0..59",
    "*:*:0..0.5/0.1",
    "00:00:0.5..1.5",
    "00:00:10..20/3.3",
    "08:05:40.5/1",
    "00:00:00.1234567",
    "@0",
    "@1395716396",
    "@4102444800",
    "Mon @5",
    "@5 UTC",
    "70-1-1",
    "99-1-1",
    "69-1-1",
    "0-1-1",
    "2..5-1-1",
    "2000,5-1-1",
    "2199-1-1",
    "2199..2199-1-1",
    "2198/1-1-1",
    "1970..2199-*-*",
    "2027,2029-06-15 08:00",
    "2026/2-*-1",
    "2028-02-29 23:59:59",
    "daily UTC",
    "daily Europe/Berlin",
    "hourly Europe/Berlin",
    "Mon UTC",
    "*-*-1 UTC",
    "*-*-* 00:00:00 EET",
    "02:30 America/New_York",
    "00:00 America/Sao_Paulo",
    "*:0/20 Australia/Lord_Howe",
    "12:00 Asia/Kathmandu",
];

const BAD: &[&str] = &[
    "",
    " ",
    "dayly",
    " daily ",
    "daily ",
    "whenever",
    "*",
    "*:*/2",
    "*/2:00",
    "*-*-0/5",
    "*:70",
    "*:5..3",
    "*:0/60",
    "*:30/40",
    "*:60",
    "24:00",
    "*-13-1",
    "*:0/0",
    "*:0/00",
    "*-*~29",
    "*-*~30",
    "*-*~1..29",
    "*-*~28/28",
    "*-*~0",
    "*-*~1/31",
    "*-*~5/5",
    "*-*~3..1",
    "*-2~29",
    "*-*-27/5",
    "*-11/2-1",
    "22/2:00",
    "23/1:00",
    "*:59/1",
    "*:*:59/1",
    "*:*:58.5/1.5",
    "*:*:59..59",
    "*:*:0.5..0.7",
    "*:*:*/2",
    "*:*:0/.5",
    "*:*:1.",
    "*-*-* *:*:59.9999999",
    "2199/1-1-1",
    "2200-01-01",
    "1969-01-01",
    "100-1-1",
    "*-*-31..2",
    "1,2,3",
    "10",
    "10-10-10-10",
    "1.5-1-1",
    "08:5.5",
    "1-1-1 1",
    "10:00:00:00",
    "1000000000000:00",
    "Fri..Mon",
    "Sun..Mon",
    "Mon..",
    "Mon ..Tue",
    "Mon.Tue",
    "Mon,,Tue",
    ",Mon",
    "Mon~5",
    "Mon*-*-*",
    "Mon10:00",
    "Mon Tue",
    "Mon 8",
    "mondays",
    "Thurs",
    "tues",
    "@",
    "@-1",
    "@1395716396.5",
    "@253402300800",
    "@5 10:00",
    "~01",
    "Mon *-1..3,7-*/2",
    "*-*-* 10:00  UTC",
    "monthly  UTC",
    "08:00 +02:00",
    "daily europe/berlin",
    "daily Berlin",
    "1h",
    "5min",
    "25:00",
    "*-01~31",
    "every day",
];

/// What systemd says of many expressions: the next times of each, in seconds since 1970.
fn asked(expressions: &[&str], base: &str, zone: &str) -> Vec<Vec<i64>> {
    let output = Command::new("systemd-analyze")
        .args(["calendar", &format!("--iterations={ITERATIONS}"), "--base-time", base, "--"])
        .args(expressions)
        .envs([("TZ", zone), ("LC_ALL", "C.UTF-8"), ("SYSTEMD_COLORS", "0")])
        .output()
        .expect("systemd-analyze is needed: install the package systemd");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut answers: Vec<Vec<i64>> = Vec::new();
    for line in text.lines() {
        let (label, value) = line.split_once(": ").unwrap_or((line, ""));
        if label.trim() == "Normalized form" {
            answers.push(Vec::new());
            continue;
        }
        // Whatever the zone is, one line of each time is in UTC: "Sat 2026-11-21 12:00:00 UTC".
        let Some((_, moment)) = value.strip_suffix(" UTC").and_then(|moment| moment.split_once(' ')) else {
            continue;
        };
        if let Ok(moment) = moment.parse::<DateTime>() {
            answers.last_mut().unwrap().push(moment.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second());
        }
    }
    answers
}

fn own(text: &str, base: Timestamp, zone: &TimeZone) -> Vec<i64> {
    let calendar = Calendar::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut base = Duration::from_secs(u64::try_from(base.as_second()).unwrap());
    let next = || {
        base = calendar.next(base, zone)?;
        i64::try_from(base.as_secs()).ok()
    };
    std::iter::from_fn(next).take(ITERATIONS).collect()
}

#[test]
fn the_next_times_are_those_of_systemd() {
    let bases = [
        "2026-11-21 12:00:00 UTC",
        "2026-03-28 23:10:00 UTC",
        "2026-03-29 00:59:59 UTC",
        "2026-10-24 22:00:00 UTC",
        "2026-12-31 23:59:59 UTC",
        "2028-02-28 13:37:11 UTC",
        "1999-12-31 22:00:00 UTC",
    ];
    let mut different = Vec::new();
    for zone_name in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"] {
        let zone = TimeZone::get(zone_name).unwrap();
        for base in bases {
            let plain: DateTime = base.trim_end_matches(" UTC").parse().unwrap();
            let start = plain.to_zoned(TimeZone::UTC).unwrap().timestamp();
            let answers = asked(GOOD, base, zone_name);
            assert_eq!(answers.len(), GOOD.len());
            for (text, theirs) in GOOD.iter().zip(answers) {
                let ours = own(text, start, &zone);
                if ours != theirs {
                    different.push(format!(
                        "\"{text}\" after {base} in {zone_name}: {ours:?}, systemd {theirs:?}"
                    ));
                }
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn what_systemd_refuses_is_refused() {
    for text in BAD {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(["calendar", "--", text]).output();
        let theirs = output.expect("systemd-analyze is needed: install the package systemd").status;
        assert!(!theirs.success(), "systemd takes \"{text}\"");
        assert!(Calendar::read(text).is_err(), "\"{text}\"");
    }
}
