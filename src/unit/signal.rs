//! Signals by name or number, signal(7).

use super::suggest;
use rustix::process::Signal;

/// Names as in signal(7), without `SIG`. Of one number the first is shown.
const NAMES: &[(&str, Signal)] = &[
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("BUS", Signal::BUS),
    ("CHLD", Signal::CHILD),
    ("CLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("IO", Signal::IO),
    ("IOT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("POLL", Signal::IO),
    ("PROF", Signal::PROF),
    ("PWR", Signal::POWER),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STKFLT", Signal::STKFLT),
    ("STOP", Signal::STOP),
    ("SYS", Signal::SYS),
    ("TERM", Signal::TERM),
    ("TRAP", Signal::TRAP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("VTALRM", Signal::VTALARM),
    ("WINCH", Signal::WINCH),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
];

/// The C library keeps the first two of the kernel's real-time signals for itself.
const REAL_TIME_MIN: i32 = 34;
const REAL_TIME_MAX: i32 = 64;

/// The number of a signal written as `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` or `SIGRTMAX-1`.
pub fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=REAL_TIME_MAX).contains(&number).then_some(number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(text);
    if let Some((_, signal)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(signal.as_raw());
    }
    let number = if let Some(offset) = name.strip_prefix("RTMIN") {
        REAL_TIME_MIN + offset_of(offset, '+')?
    } else {
        REAL_TIME_MAX - offset_of(name.strip_prefix("RTMAX")?, '-')?
    };
    (REAL_TIME_MIN..=REAL_TIME_MAX).contains(&number).then_some(number)
}

/// The same in upper or lower case, as Docker reads it.
pub fn number_in_any_case(text: &str) -> Option<i32> {
    number(&text.to_ascii_uppercase())
}

/// The name of a signal with `SIG`, or its number as text.
pub fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, signal)| signal.as_raw() == number) {
        Some((name, _)) => format!("SIG{name}"),
        None if number == REAL_TIME_MIN => "SIGRTMIN".to_owned(),
        None if (REAL_TIME_MIN..=REAL_TIME_MAX).contains(&number) => {
            format!("SIGRTMIN+{}", number - REAL_TIME_MIN)
        }
        None => number.to_string(),
    }
}

/// What was probably meant by a word that is no signal.
pub fn suggestion(word: &str) -> Option<String> {
    let bare = word.to_ascii_uppercase();
    let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
    let near = suggest::nearest(bare, NAMES.iter().map(|(name, _)| *name))?;
    Some(format!("SIG{near}"))
}

fn offset_of(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    text.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, expected) in [
            ("SIGTERM", Some(15)),
            ("QUIT", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SIGPOLL", Some(29)),
            ("0", None),
            ("65", None),
            ("SIGTREM", None),
            ("RTMIN+90", None),
            ("RTMIN-1", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        assert_eq!(suggestion("sigtrem").as_deref(), Some("SIGTERM"));
        for (number, expected) in [
            (15, "SIGTERM"),
            (6, "SIGABRT"),
            (17, "SIGCHLD"),
            (29, "SIGIO"),
            (34, "SIGRTMIN"),
            (37, "SIGRTMIN+3"),
            (33, "33"),
        ] {
            assert_eq!(name(number), expected);
        }
    }
}
