//! Words with rules: paths, modes, signals, capabilities, accounts, slices, host names.

use super::written::{Numbers, ValueError, Written};
use crate::unit::model::ExitStatus;
use crate::unit::{exit_status, signal, suggest};
use std::path::PathBuf;
use std::str::FromStr;

/// linux/limits.h
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// An absolute path without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbsolutePath(pub PathBuf);

impl Written for AbsolutePath {
    const EXPECTED: &'static str = "an absolute path";

    fn read(text: &str) -> Result<Self, ValueError> {
        if !text.starts_with('/') {
            return Err(ValueError::new(format!("\"{text}\" is not an absolute path"))
                .with_help("begin it with \"/\""));
        }
        if text.split('/').any(|part| part == "." || part == "..") {
            return Err(ValueError::new(format!("\"{text}\" has a \".\" or \"..\" in it"))
                .with_help("write the path without it"));
        }
        if text.len() >= PATH_MAX || text.split('/').any(|part| part.len() > NAME_MAX) {
            return Err(ValueError::new(format!("\"{text}\" is too long for a path"))
                .with_help("a path has less than 4096 bytes, and each name in it at most 255"));
        }
        Ok(Self(PathBuf::from(text).components().collect()))
    }
}

/// An access mode in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Written for Mode {
    const EXPECTED: &'static str = "an access mode in octal such as \"0660\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match u32::from_str_radix(text, 8) {
            Ok(mode) if digits && mode <= 0o7777 => Ok(Self(mode)),
            _ => Err(ValueError::new(format!("\"{text}\" is not an access mode"))
                .with_help("write it in octal, such as \"0660\"")),
        }
    }
}

/// A signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalNumber(pub i32);

impl Written for SignalNumber {
    const EXPECTED: &'static str = "a signal such as \"SIGTERM\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        signal::number(text).map(Self).ok_or_else(|| {
            let error = ValueError::new(format!("\"{text}\" is not a signal"));
            match signal::suggestion(text) {
                Some(near) => error.with_help(format!("did you mean \"{near}\"?")),
                None => error.with_help("write it as in signal(7), such as \"SIGTERM\" or \"SIGRTMIN+3\""),
            }
        })
    }
}

impl Written for ExitStatus {
    const EXPECTED: &'static str = "an exit code or a signal such as 75, \"NAMESPACE\" or \"SIGUSR1\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        if let Ok(code) = text.parse::<u8>() {
            return Ok(Self::Code(i32::from(code)));
        }
        match signal::number(text) {
            Some(signal) if !text.starts_with(|first: char| first.is_ascii_digit()) => {
                Ok(Self::Signal(signal))
            }
            _ => exit_status::number(text).map(|code| Self::Code(i32::from(code))).ok_or_else(|| {
                ValueError::new(format!("\"{text}\" is neither an exit code nor a signal")).with_help(
                    "write a number from 0 to 255, its name in systemd.exec(5), such as \"NAMESPACE\", or a signal \
                     by its name, such as \"SIGUSR1\"",
                )
            }),
        }
    }
}

/// The name of a capability.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CapabilityName(pub String);

impl Written for CapabilityName {
    const EXPECTED: &'static str = "a capability such as \"CAP_NET_BIND_SERVICE\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        if caps::Capability::from_str(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        let error = ValueError::new(format!("\"{text}\" is not a capability"));
        if text.eq_ignore_ascii_case("all") {
            let help = "name each that is needed, capabilities(7); capabilities = [] is none of them";
            return Err(error.with_help(help));
        }
        if text.contains([',', ' ', '|']) {
            return Err(error.with_help("write each as an item of its own"));
        }
        let names: Vec<String> =
            caps::all().iter().map(|name| name.to_string().replace("CAP_", "")).collect();
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Err(match suggest::nearest(short, names.iter().map(String::as_str)) {
            Some(near) => error.with_help(format!("did you mean \"CAP_{near}\"?")),
            None => error.with_help("capabilities(7) lists them"),
        })
    }
}

/// A user, a group, or `user:group`, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(pub String);

impl Written for Account {
    const EXPECTED: &'static str = "a user such as \"33:33\" or \"www-data\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let valid = |part: &str| {
            !part.is_empty()
                && !part.starts_with('-')
                && part.len() <= 256
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-$".contains(&byte))
                && (part.bytes().any(|byte| !byte.is_ascii_digit())
                    || part.parse::<u32>().is_ok_and(|id| id != u32::MAX))
        };
        let parts: Vec<&str> = text.split(':').collect();
        if parts.len() <= 2 && parts.iter().copied().all(valid) {
            return Ok(Self(text.to_owned()));
        }
        Err(ValueError::new(format!("\"{text}\" is not a user"))
            .with_help("write a name or number, and a group after \":\""))
    }
}

/// A slice of systemd's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceName(pub String);

impl Written for SliceName {
    const EXPECTED: &'static str = "a slice such as \"sampan.slice\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let stem = text.strip_suffix(".slice").unwrap_or_default();
        let valid = stem == "-"
            || !stem.is_empty()
                && !stem.starts_with('-')
                && !stem.ends_with('-')
                && !stem.contains("--")
                && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-:\\".contains(&byte));
        if valid && text.len() <= 255 {
            return Ok(Self(text.to_owned()));
        }
        Err(ValueError::new(format!("\"{text}\" is not the name of a slice")).with_help(
            "write it as in systemd.slice(5), such as \"web.slice\", or \"web-db.slice\" for one in that",
        ))
    }
}

/// A host name, hostname(7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName(pub String);

impl Written for HostName {
    const EXPECTED: &'static str = "a host name";

    fn read(text: &str) -> Result<Self, ValueError> {
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if text.len() <= 64 && text.split('.').all(label) {
            return Ok(Self(text.to_owned()));
        }
        Err(ValueError::new(format!("\"{text}\" is not a host name"))
            .with_help("use letters, digits, \"-\" and \".\", at most 64 characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_plain() {
        assert_eq!(AbsolutePath::read("/a//b/").unwrap().0, PathBuf::from("/a/b"));
        for text in ["a", "", "/a/../b", "/./a", "/a/."] {
            assert!(AbsolutePath::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_read_strictly_and_a_slip_gets_a_hint() {
        assert_eq!(Mode::read("0660").unwrap().0, 0o660);
        assert!(Mode::read("+660").is_err() && Mode::read("0999").is_err() && Mode::read("77777").is_err());
        let error = CapabilityName::read("net_bind_servce").unwrap_err();
        assert_eq!(error.help(), "did you mean \"CAP_NET_BIND_SERVICE\"?");
        for text in ["33:33", "www-data", "root:adm"] {
            assert!(Account::read(text).is_ok(), "{text}");
        }
        for text in ["", ":", "a:b:c", "4294967295", "99999999999", "a b", "-x"] {
            assert!(Account::read(text).is_err(), "{text}");
        }
        assert!(SliceName::read("sampan-web.slice").is_ok() && SliceName::read("web").is_err());
        assert!(HostName::read("blog.example.org").is_ok() && HostName::read("a_b").is_err());
    }
}
