//! Words of a unit file that say where something is: networks, id ranges, other units.

use super::model::{NetworkMode, UserNamespace};
use super::name::{NATIVE, NameError, UnitKind, UnitName};
use super::suggest;
use super::value::{ValueError, Written};
use std::fmt;

impl Written for NetworkMode {
    const EXPECTED: &'static str = "\"private\", \"host\" or \"none\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        match text {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            _ if text.starts_with("container:") || text.ends_with(".network") => {
                Err(ValueError::new(format!("network mode \"{text}\" is not supported yet"))
                    .with_help("supported are \"private\", \"host\" and \"none\"; a socket needs no network"))
            }
            _ => Err(unknown(text, &["private", "host", "none"])),
        }
    }
}

/// What owns files that belong to nobody of the host (systemd's `UIDS-GIDS` document): those of the store.
const FOREIGN: std::ops::Range<u32> = 2_147_352_576..2_147_418_112;
/// devpts(5) has the group `tty`.
const IDS_MIN: u32 = 6;

impl Written for UserNamespace {
    const EXPECTED: &'static str = "\"auto\", \"host\" or a range such as \"524288:65536\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        match text {
            "auto" => return Ok(Self::Auto),
            "host" => return Ok(Self::Host),
            _ => {}
        }
        let Some((base, length)) = text.split_once(':') else {
            let error = ValueError::new(format!("unknown value \"{text}\""));
            return Err(error.with_help("use \"auto\", \"host\" or a range such as \"524288:65536\""));
        };
        match (base.parse::<u32>(), length.parse::<u32>()) {
            (Ok(0), _) => Err(ValueError::new("a range that begins at 0 would hold the host's root")
                .with_help("write \"host\" if that is what you want")),
            (Ok(_), Ok(length @ 0..IDS_MIN)) => {
                Err(ValueError::new(format!("a container cannot do with {length} ids"))
                    .with_help("its terminals belong to the group 5: write 65536, or 6 at least"))
            }
            (Ok(base), Ok(length)) if base < FOREIGN.end && base.saturating_add(length) > FOREIGN.start => {
                Err(ValueError::new("ids of this range own the files of all images")
                    .with_help("2147352576 to 2147418111 are for that, see sampan-images(7)"))
            }
            (Ok(base), Ok(length)) if base.checked_add(length).is_some() => Ok(Self::Range { base, length }),
            _ => Err(ValueError::new(format!("\"{text}\" is not a range of ids"))
                .with_help("write the first id and how many, such as \"524288:65536\"")),
        }
    }
}

fn unknown(text: &str, words: &[&str]) -> ValueError {
    ValueError::new(format!("unknown value \"{text}\"")).with_help(suggest::help(text, words))
}

/// A unit that another one depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// One of ours, or one of systemd's.
    Unit(UnitName),
    /// One of a type that is not ours yet.
    Later(String),
}

impl fmt::Display for Dependency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(name) => name.fmt(formatter),
            Self::Later(name) => formatter.write_str(name),
        }
    }
}

/// Types of units that are not ours yet.
const LATER: &[&str] = &["network"];

/// Targets of systemd that people order after, systemd.special(7); `default.target` is ours.
const NATIVE_TARGETS: &[&str] = &[
    "basic.target",
    "cryptsetup.target",
    "emergency.target",
    "getty.target",
    "graphical.target",
    "local-fs-pre.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "paths.target",
    "remote-fs-pre.target",
    "remote-fs.target",
    "rescue.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "swap.target",
    "sysinit.target",
    "time-set.target",
    "time-sync.target",
    "timers.target",
];

impl Written for Dependency {
    const EXPECTED: &'static str = "the name of a unit such as \"db.container\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        match UnitName::of_dependency(text) {
            Ok(name) if name.is_template() => Err(ValueError::new(format!("\"{text}\" is a template"))
                .with_help(format!(
                    "name an instance, such as \"{}@blue.{}\"",
                    name.prefix(),
                    name.suffix()
                ))),
            Ok(name) => Ok(Self::Unit(name)),
            Err(NameError::Kind(_)) => later(text),
            Err(error @ NameError::Invalid(_)) => Err(ValueError::new(error.to_string())),
        }
    }
}

fn later(text: &str) -> Result<Dependency, ValueError> {
    let bare = text.trim().rsplit('/').next().unwrap_or_default();
    let bare = bare.strip_suffix(".toml").unwrap_or(bare);
    if text.contains(|letter: char| letter == '/' || letter.is_whitespace()) {
        let named = [bare.to_owned(), format!("{bare}.container")];
        let error = ValueError::new(format!("\"{text}\" is not the name of a unit"));
        return Err(match named.into_iter().find(|name| UnitName::of_dependency(name).is_ok()) {
            Some(name) => error.with_help(format!("did you mean \"{name}\"?")),
            None => error.with_help("write it with its type, such as \"db.container\""),
        });
    }
    match text.rsplit_once('.') {
        Some((stem, suffix)) if LATER.contains(&suffix) && !stem.is_empty() => {
            Ok(Dependency::Later(text.to_owned()))
        }
        Some((name, "toml")) if UnitName::of_dependency(name).is_ok() => {
            let error = ValueError::new(format!("\"{text}\" is the name of a file"));
            Err(error.with_help(format!("did you mean \"{name}\"?")))
        }
        Some((stem, suffix)) => {
            let error = ValueError::new(format!("\"{text}\" has no known unit type"));
            Err(
                match suggest::nearest(
                    suffix,
                    ["container", "target"].into_iter().chain(NATIVE.iter().chain(LATER).copied()),
                ) {
                    Some(near) => error.with_help(format!("did you mean \"{stem}.{near}\"?")),
                    None => error.with_help(format!("write it with its type, such as \"{text}.container\"")),
                },
            )
        }
        None if text.is_empty() => Err(ValueError::new("the name of a unit is empty")
            .with_help("write one such as \"db.container\"; what is no instance has no \"%i\"")),
        None => Err(ValueError::new(format!("\"{text}\" has no unit type"))
            .with_help(format!("did you mean \"{text}.container\"?"))),
    }
}

/// Whether a unit is known to be systemd's. A target that is not may still be, where no file of ours has its
/// name.
pub fn is_native(name: &UnitName) -> bool {
    name.kind() == UnitKind::Native || NATIVE_TARGETS.contains(&name.as_str())
}

/// A unit that `enable` makes depend on another one: ours, or systemd's; may be a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallTarget(pub UnitName);

impl Written for InstallTarget {
    const EXPECTED: &'static str = "the name of a unit such as \"default.target\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        match UnitName::of_dependency(text) {
            Ok(name) if name.kind() == UnitKind::Native => Ok(Self(name)),
            _ if NATIVE_TARGETS.contains(&text) => {
                UnitName::parse(text).map(Self).map_err(|error| ValueError::new(error.to_string()))
            }
            _ => InstallName::read(text).map(|name| Self(name.0)).map_err(|error| match text.contains('.') {
                false if !text.is_empty() => error.with_help(format!("did you mean \"{text}.target\"?")),
                _ => error,
            }),
        }
    }
}

/// A unit of ours that `enable` deals with; may be a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallName(pub UnitName);

impl Written for InstallName {
    const EXPECTED: &'static str = "the name of a unit such as \"default.target\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        if NATIVE_TARGETS.contains(&text) {
            return Err(ValueError::new(format!("\"{text}\" is a target of systemd's"))
                .with_help("sampand starts \"default.target\" at boot: write that"));
        }
        match UnitName::of_dependency(text) {
            Ok(name) if name.kind() == UnitKind::Native => {
                Err(ValueError::new(format!("\"{name}\" is not a unit of Sampan")))
            }
            Ok(name) => Ok(Self(name)),
            Err(NameError::Kind(_)) => match later(text)? {
                Dependency::Later(name) => {
                    Err(ValueError::new(format!("\"{name}\" is not a unit of Sampan")))
                }
                Dependency::Unit(name) => Ok(Self(name)),
            },
            Err(error @ NameError::Invalid(_)) => Err(ValueError::new(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_networks_are_read() {
        assert_eq!(
            UserNamespace::read("524288:65536").unwrap(),
            UserNamespace::Range { base: 524_288, length: 65_536 }
        );
        for text in ["2147352575:2", "2147418111:1", "0:65536", "4294967295:2", "1:0", "x", "1"] {
            assert!(UserNamespace::read(text).is_err(), "{text}");
        }
        assert!(NetworkMode::read("container:db").is_err() && NetworkMode::read("lan.network").is_err());
    }

    #[test]
    fn dependencies_are_ours_or_native() {
        let native = |text: &str| match Dependency::read(text) {
            Ok(Dependency::Unit(name)) => Some(is_native(&name)),
            _ => None,
        };
        assert_eq!(native("db.container"), Some(false));
        assert_eq!(native("network-online.target"), Some(true));
        assert_eq!(native("a.service"), Some(true));
        assert!(matches!(Dependency::read("lan.network"), Ok(Dependency::Later(_))));
        for text in ["db", "db.contaner", "x@.container", ".service", ""] {
            assert!(Dependency::read(text).is_err(), "{text}");
        }
        assert!(
            InstallName::read("multi-user.target").is_err() && InstallName::read("default.target").is_ok()
        );
    }
}
