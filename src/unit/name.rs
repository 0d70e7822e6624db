//! Names of units: `web.container`, the template `web@.container`, its instance `web@blue.container`.
//!
//! The grammar is stricter than systemd.unit(5)'s, so that a name can stand in a path, a scope and a
//! hostname: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 200 bytes in all. An instance can have colons as well, since that of
//! a connection is called by its addresses.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a unit is, told by the last part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitKind {
    /// A container and its sockets.
    Container,
    /// A synchronization point that groups others. One that no file of ours defines is systemd's.
    Target,
    /// A unit of systemd's that one of ours depends on.
    Native,
}

/// The target that the manager starts at boot; it exists without a file.
pub const DEFAULT_TARGET: &str = "default.target";

/// Types of units of systemd's that one of ours may depend on, beside targets.
pub const NATIVE: &[&str] =
    &["service", "socket", "mount", "automount", "swap", "path", "timer", "slice", "scope", "device"];

/// Why a string is no unit name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The characters or the length are wrong.
    #[error("\"{0}\" is not a valid unit name: use letters, digits, \"_\", \".\" and \"-\"")]
    Invalid(String),
    /// The suffix is none of ours.
    #[error("\"{0}\" has no unit type: a name ends in .container or .target")]
    Kind(String),
}

/// The name of a unit, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName {
    /// Shared: many who know of a unit have its name.
    full: Arc<str>,
    kind: UnitKind,
}

/// Longest name, so that `sampan-NAME.scope` and a drop-in directory fit in systemd's and the kernel's 255.
const LENGTH_MAX: usize = 200;

/// How the instance ends under which a container is known that has a successor.
const RETIRED: &str = ":retired";

/// Longest prefix of a unit with an instance for each connection: `@N-[ADDRESS]:PORT-[ADDRESS]:PORT.container` fits
/// after it, without the brackets.
pub const LISTENER_LENGTH_MAX: usize = 80;

impl UnitName {
    /// Reads a full name such as `web.container`.
    ///
    /// # Errors
    /// When the characters, the length or the suffix are not those of a unit.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (stem, suffix) = text.rsplit_once('.').ok_or_else(|| NameError::Kind(text.to_owned()))?;
        let kind = match suffix {
            "container" => UnitKind::Container,
            "target" => UnitKind::Target,
            _ => return Err(NameError::Kind(text.to_owned())),
        };
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        let instance_valid = instance.is_none_or(|instance| instance.bytes().all(is_instance_byte));
        if text.len() > LENGTH_MAX || !is_prefix(prefix) || !instance_valid {
            return Err(NameError::Invalid(text.to_owned()));
        }
        Ok(Self { full: text.into(), kind })
    }

    /// Reads the name of a unit that another one depends on: one of ours, or one of systemd's.
    ///
    /// # Errors
    /// When it is neither.
    pub fn of_dependency(text: &str) -> Result<Self, NameError> {
        Self::parse(text).or_else(|error| match text.rsplit_once('.') {
            Some((stem, suffix)) if is_native_stem(stem) && is_native_suffix(suffix, &error) => {
                Ok(Self { full: text.into(), kind: UnitKind::Native })
            }
            _ => Err(error),
        })
    }

    /// Reads a name as typed on a command line, where `web` means `web.container`. What systemd-escape(1) made of
    /// it is taken as well: `web\x40blue`.
    ///
    /// # Errors
    /// As [`UnitName::parse`].
    pub fn from_command_line(text: &str) -> Result<Self, NameError> {
        if let Some(plain) = unescaped(text) {
            return Self::from_command_line(&plain);
        }
        match Self::parse(text) {
            Err(NameError::Kind(_)) => Self::parse(&format!("{text}.container")),
            result => result,
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The type, told by the suffix.
    pub fn kind(&self) -> UnitKind {
        self.kind
    }

    /// The name without its type suffix: `web@blue`.
    pub fn stem(&self) -> &str {
        self.full.rsplit_once('.').map_or(self.as_str(), |(stem, _)| stem)
    }

    /// The type without a dot: `container`.
    pub fn suffix(&self) -> &str {
        self.full.rsplit_once('.').map_or("", |(_, suffix)| suffix)
    }

    /// What stands before `@`, or the whole stem.
    pub fn prefix(&self) -> &str {
        self.stem().split('@').next().unwrap_or_default()
    }

    /// What stands between `@` and the suffix; `None` for a plain name and for a template.
    pub fn instance(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance).filter(|instance| !instance.is_empty())
    }

    /// Whether this is a template (`web@.container`), which cannot run itself.
    pub fn is_template(&self) -> bool {
        self.stem().ends_with('@')
    }

    /// The template of an instance.
    pub fn template(&self) -> Option<Self> {
        self.instance()?;
        Some(Self { full: format!("{}@.{}", self.prefix(), self.suffix()).into(), kind: self.kind })
    }

    /// The instance of a template that has this name for it.
    pub fn of_instance(&self, instance: &str) -> Option<Self> {
        let full = format!("{}@{instance}.{}", self.prefix(), self.suffix());
        Self::parse(&full).ok().filter(|name| self.is_template() && !name.is_template())
    }

    /// An instance of a template, which cannot be loaded itself; any other name as it is.
    #[must_use]
    pub fn sample(&self) -> Self {
        self.of_instance("instance").unwrap_or_else(|| self.clone())
    }

    /// The instance of a plain unit for a connection.
    pub fn of_connection(&self, instance: &str) -> Option<Self> {
        let full = format!("{}@{instance}.{}", self.stem(), self.suffix());
        Self::parse(&full).ok().filter(|name| self.instance().is_none() && !name.is_template())
    }

    /// What the container of this unit is called while its successor is there already: `web@:retired`, of an instance
    /// `web@blue:retired`. `None` where that is too long, and for a template or what is called so itself.
    pub fn retired(&self) -> Option<Self> {
        if self.is_template() || self.kind != UnitKind::Container || self.successor().is_some() {
            return None;
        }
        let at = if self.instance().is_some() { "" } else { "@" };
        Self::parse(&format!("{}{at}{RETIRED}.{}", self.stem(), self.suffix())).ok()
    }

    /// The unit whose container this name is of, where it is that of one that has been retired.
    pub fn successor(&self) -> Option<Self> {
        let stem = self.stem().strip_suffix(RETIRED)?;
        let stem = stem.strip_suffix('@').unwrap_or(stem);
        Self::parse(&format!("{stem}.{}", self.suffix())).ok()
    }

    /// The systemd scope that a container of this name runs in. Scopes have no instances, systemd.unit(5): a
    /// colon, which no prefix of ours has, stands for the `@`.
    pub fn scope(&self) -> String {
        format!("sampan-{}.scope", self.stem().replacen('@', ":", 1))
    }

    /// The container whose scope this is.
    pub fn of_scope(scope: &str) -> Option<Self> {
        let stem = scope.strip_prefix("sampan-")?.strip_suffix(".scope")?;
        let name = Self::parse(&format!("{}.container", stem.replacen(':', "@", 1))).ok()?;
        (name.scope() == scope).then_some(name)
    }

    /// The file that defines the unit, inside a directory of the search path.
    pub fn file_name(&self) -> String {
        format!("{}.toml", self.full)
    }
}

/// The text with `\xNN` undone; `None` where it has none, or a wrong one.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split(r"\x");
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        plain.push(char::from(u8::from_str_radix(part.get(..2)?, 16).ok()?));
        plain.push_str(&part[2..]);
    }
    (plain != text).then_some(plain)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn is_instance_byte(byte: u8) -> bool {
    is_name_byte(byte) || byte == b':'
}

fn is_prefix(prefix: &str) -> bool {
    prefix.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && prefix.bytes().all(is_name_byte)
}

/// systemd.unit(5): longer names and more characters than ours.
fn is_native_stem(stem: &str) -> bool {
    let valid = |byte: u8| is_name_byte(byte) || matches!(byte, b':' | b'\\' | b'@');
    !stem.is_empty() && !stem.starts_with('@') && stem.len() < 255 - 10 && stem.bytes().all(valid)
}

/// The name of a target that cannot be ours can be systemd's.
fn is_native_suffix(suffix: &str, error: &NameError) -> bool {
    NATIVE.contains(&suffix) || suffix == "target" && matches!(error, NameError::Invalid(_))
}

impl fmt::Display for UnitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.full)
    }
}

impl TryFrom<String> for UnitName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::of_dependency(&text)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.full.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name = UnitName::parse("web@blue.container").unwrap();
        assert_eq!((name.prefix(), name.instance(), name.stem()), ("web", Some("blue"), "web@blue"));
        assert_eq!(name.template().unwrap().as_str(), "web@.container");
        assert_eq!(name.scope(), "sampan-web:blue.scope");
        assert!(UnitName::parse("web@.container").unwrap().is_template());
        assert_eq!(UnitName::from_command_line("web.v2").unwrap().as_str(), "web.v2.container");
    }

    #[test]
    fn an_instance_for_a_connection_is_called_by_its_addresses() {
        let listener = UnitName::parse("echo.container").unwrap();
        let name = listener.of_connection("0-127.0.0.1:7-127.0.0.1:40000").unwrap();
        assert_eq!(name.as_str(), "echo@0-127.0.0.1:7-127.0.0.1:40000.container");
        assert_eq!(name.scope(), "sampan-echo:0-127.0.0.1:7-127.0.0.1:40000.scope");
        assert_eq!(UnitName::of_scope(&name.scope()), Some(name));
        let longest = UnitName::parse(&format!("{}.container", "x".repeat(LISTENER_LENGTH_MAX))).unwrap();
        let address = "fe80:1234:1234:1234:1234:1234:1234:1234:65535";
        let name = longest.of_connection(&format!("{}-{address}-{address}", u32::MAX)).unwrap();
        assert_eq!(UnitName::of_scope(&name.scope()), Some(name));
        assert!(UnitName::parse("a:b.container").is_err(), "a plain name has no colon");
    }

    #[test]
    fn what_has_a_successor_is_called_by_it() {
        for (name, retired, scope) in [
            ("web.container", "web@:retired.container", "sampan-web::retired.scope"),
            ("web@blue.container", "web@blue:retired.container", "sampan-web:blue:retired.scope"),
        ] {
            let name = UnitName::parse(name).unwrap();
            let old = name.retired().unwrap();
            assert_eq!((old.as_str(), old.scope().as_str()), (retired, scope));
            assert_eq!(UnitName::of_scope(scope).as_ref(), Some(&old));
            assert_eq!((old.successor(), old.retired(), name.successor()), (Some(name), None, None));
        }
        assert_eq!(UnitName::parse("web.target").unwrap().retired(), None);
    }

    #[test]
    fn dependencies_may_be_native_units() {
        let kind = |text: &str| UnitName::of_dependency(text).map(|name| name.kind()).ok();
        assert_eq!(kind("nginx.service"), Some(UnitKind::Native));
        assert_eq!(kind(r"dev-disk-by\x2dlabel-data.device"), Some(UnitKind::Native));
        assert_eq!(kind("getty@tty1.service"), Some(UnitKind::Native));
        assert_eq!(kind("network-online.target"), Some(UnitKind::Target));
        assert_eq!(kind("a:b.target"), Some(UnitKind::Native));
        assert_eq!(kind("a b.service"), None);
        assert_eq!(kind("../a.service"), None);
        assert_eq!(kind("nginx.servce"), None);
        assert!(UnitName::parse("nginx.service").is_err(), "it is no unit of ours");
    }

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        for text in [
            "../x.container",
            "a/b.container",
            ".container",
            "-a.container",
            "a\n.container",
            "a@../b.container",
        ] {
            assert!(UnitName::parse(text).is_err(), "{text}");
        }
    }
}
