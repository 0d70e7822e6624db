//! What a process is given: names of variables, limits, processors, devices, labels.

use super::word::AbsolutePath;
use super::written::{Numbers, ValueError, Written, number_within};
use crate::unit::model::{IfMissing, Init, SecurityLabel};
use std::path::PathBuf;
use uuid::Uuid;

/// The name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableName(pub String);

impl Written for VariableName {
    const EXPECTED: &'static str = "the name of a variable such as \"HTTP_PROXY\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let valid = !text.is_empty()
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match valid {
            true => Ok(Self(text.to_owned())),
            false => Err(ValueError::new(format!("\"{text}\" is not the name of a variable"))
                .with_help("values are written in \"environment\"")),
        }
    }
}

/// A limit of setrlimit(2): soft and hard; `u64::MAX` is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimit(pub u64, pub u64);

impl Written for ProcessLimit {
    const EXPECTED: &'static str = "a limit such as 1024, \"1024:4096\" or \"infinity\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let one = |text: &str| match text {
            "infinity" => Some(u64::MAX),
            _ => super::Bytes::read(text).ok().map(|bytes| bytes.0),
        };
        match (one(soft), one(hard)) {
            (Some(soft), Some(hard)) if soft <= hard => Ok(Self(soft, hard)),
            (Some(_), Some(_)) => {
                Err(ValueError::new(format!("the soft limit of \"{text}\" is above the hard one"))
                    .with_help("write \"SOFT:HARD\""))
            }
            _ => Err(ValueError::new(format!("\"{text}\" is not a limit"))
                .with_help("write a number, \"SOFT:HARD\" or \"infinity\"")),
        }
    }
}

/// Numbers of processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet(pub Vec<u32>);

impl Written for CpuSet {
    const EXPECTED: &'static str = "processors such as \"0-3,8\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        const NUMBER_MAX: u32 = 8191;
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
            (first <= last && last <= NUMBER_MAX).then_some(first..=last)
        };
        let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
        let ranges: Option<Vec<_>> = parts.map(range).collect();
        // An empty string takes back what was set, as in systemd.exec(5).
        match ranges.filter(|ranges| text.is_empty() || !ranges.is_empty()) {
            Some(ranges) => Ok(Self(ranges.into_iter().flatten().collect())),
            None => Err(ValueError::new(format!("\"{text}\" names no processors"))
                .with_help("write their numbers, such as \"0-3,8\"")),
        }
    }
}

/// A device of the host, its path in the container, and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRule {
    /// Which.
    pub source: DeviceSource,
    /// `r`, `w` and `m`.
    pub access: String,
    /// Whether the container starts without it, too.
    pub may_be_missing: bool,
}

/// Which devices of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceSource {
    /// The one of a node.
    Node {
        /// The path on the host.
        path: PathBuf,
        /// The path in the container.
        target: PathBuf,
    },
    /// Those of a driver, as `DeviceAllow=` has them: `char-input`.
    Group(String),
}

impl DeviceSource {
    fn group(name: &str) -> Option<Self> {
        let driver = name.strip_prefix("char-").or_else(|| name.strip_prefix("block-"))?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        (!driver.is_empty() && driver.bytes().all(valid)).then(|| Self::Group(name.to_owned()))
    }
}

impl Written for DeviceRule {
    const EXPECTED: &'static str = "a device such as \"/dev/fuse:rwm\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let wrong = |help: &str| {
            Err(ValueError::new(format!("\"{text}\" is not a device")).with_help(help.to_owned()))
        };
        let (rest, may_be_missing) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let parts: Vec<&str> = rest.split(':').collect();
        let (source, target, access) = match parts.as_slice() {
            [source] => (*source, *source, "rwm"),
            [source, target] if target.starts_with('/') => (*source, *target, "rwm"),
            [source, access] => (*source, *source, *access),
            [source, target, access] => (*source, *target, *access),
            _ => return wrong("write \"/dev/HOST:/dev/CONTAINER:rwm\""),
        };
        let node = || {
            let (path, target) = (AbsolutePath::read(source).ok()?.0, AbsolutePath::read(target).ok()?.0);
            Some(DeviceSource::Node { path, target })
        };
        let Some(source) = DeviceSource::group(source).or_else(node) else {
            return wrong("write its path, such as \"/dev/fuse\"");
        };
        if access.is_empty() || !access.bytes().all(|byte| b"rwm".contains(&byte)) {
            return wrong("what may be done is \"r\", \"w\" and \"m\": \"/dev/fuse:rw\"");
        }
        Ok(Self { source, access: access.to_owned(), may_be_missing })
    }
}

/// An adjustment of the OOM killer, proc_pid_oom_score_adj(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomScore(pub i32);

impl Written for OomScore {
    const EXPECTED: &'static str = "a number from -1000 to 1000";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let help = "write a number from -1000 to 1000";
        number_within(text, -1000..=1000, "no adjustment of the OOM killer", help).map(Self)
    }
}

/// A time zone, as timedatectl(1) lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(pub String);

impl Written for TimeZone {
    const EXPECTED: &'static str = "a time zone such as \"Europe/Berlin\" or \"local\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
        };
        match text.split('/').all(part) {
            true => Ok(Self(text.to_owned())),
            false => Err(ValueError::new(format!("\"{text}\" is not a time zone"))
                .with_help("\"timedatectl list-timezones\" lists them; \"local\" is that of the host")),
        }
    }
}

/// machine-id(5)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineId(pub Uuid);

impl Written for MachineId {
    const EXPECTED: &'static str = "a machine id of 32 hexadecimal digits";

    fn read(text: &str) -> Result<Self, ValueError> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        match Uuid::try_parse(text).ok().filter(|id| is_plain && !id.is_nil()) {
            Some(id) => Ok(Self(id)),
            None => Err(ValueError::new(format!("\"{text}\" is not a machine id"))
                .with_help("\"systemd-id128 new\" makes one of 32 hexadecimal digits")),
        }
    }
}

impl Written for Init {
    const EXPECTED: &'static str = "true, false or \"system\"";
    const NUMBERS: Numbers = Numbers::Boolean;

    fn read(text: &str) -> Result<Self, ValueError> {
        match text {
            "system" => Ok(Self::System),
            _ => Err(ValueError::new(format!("\"{text}\" is no kind of init"))
                .with_help("write true for a minimal one, or \"system\" for an image that boots one")),
        }
    }

    fn of_boolean(value: bool) -> Option<Self> {
        Some(if value { Self::Minimal } else { Self::Payload })
    }
}

/// What is written to a file below `/proc/sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSetting(pub String);

impl Written for KernelSetting {
    const EXPECTED: &'static str = "a value such as 1 or \"1024 65535\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        match text.is_empty() || text.contains(|letter: char| letter.is_control() && letter != '\t') {
            true => Err(ValueError::new(format!("\"{}\" is no value of a sysctl", text.escape_debug()))),
            false => Ok(Self(text.to_owned())),
        }
    }
}

/// The label of a process for SELinux; `None` for the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelinuxLabel(pub Option<SecurityLabel>);

impl Written for SelinuxLabel {
    const EXPECTED: &'static str = "a label such as \"system_u:system_r:container_t:s0\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let label = security_label(text);
        let is_label = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_graphic())
                && name.split(':').take_while(|part| !part.is_empty()).count() >= 3
        };
        match label.as_ref().is_none_or(|label| is_label(&label.name)) {
            true => Ok(Self(label)),
            false => Err(ValueError::new(format!("\"{text}\" is not a label of SELinux"))
                .with_help("write it as \"USER:ROLE:TYPE:LEVEL\"")),
        }
    }
}

/// The name of an AppArmor profile; `None` for the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileName(pub Option<SecurityLabel>);

impl Written for ProfileName {
    const EXPECTED: &'static str = "the name of an AppArmor profile";

    fn read(text: &str) -> Result<Self, ValueError> {
        let label = security_label(text);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        match label.as_ref().is_none_or(|label| is_name(&label.name)) {
            true => Ok(Self(label)),
            false => Err(ValueError::new(format!("\"{text}\" is not the name of a profile"))
                .with_help("\"aa-status\" lists them")),
        }
    }
}

/// With "-" before it, it is not needed.
fn security_label(text: &str) -> Option<SecurityLabel> {
    let (name, missing) = match text.strip_prefix('-') {
        Some(name) => (name, IfMissing::Ignore),
        None => (text, IfMissing::Fail),
    };
    (!text.is_empty()).then(|| SecurityLabel { name: name.to_owned(), missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_strictly() {
        assert!(
            VariableName::read("A_1").is_ok()
                && VariableName::read("A=b").is_err()
                && VariableName::read("1").is_err()
        );
        assert_eq!(ProcessLimit::read("1024:infinity").unwrap(), ProcessLimit(1024, u64::MAX));
        assert!(ProcessLimit::read("2:1").is_err() && ProcessLimit::read("many").is_err());
        assert_eq!(CpuSet::read("0-2,5").unwrap().0, [0, 1, 2, 5]);
        assert!(CpuSet::read("").unwrap().0.is_empty(), "all of them");
        assert!(
            CpuSet::read("3-1").is_err() && CpuSet::read(",").is_err() && CpuSet::read("0-99999").is_err()
        );
        let node = DeviceSource::Node { path: "/dev/a".into(), target: "/dev/b".into() };
        assert_eq!(DeviceRule::read("/dev/a:/dev/b:r").unwrap().source, node);
        let group = DeviceRule::read("-char-input:r").unwrap();
        assert!(group.may_be_missing && group.source == DeviceSource::Group("char-input".to_owned()));
        assert!(DeviceRule::read("/dev/fuse:rwx").is_err() && DeviceRule::read("fuse").is_err());
        assert!(OomScore::read("-1001").is_err() && OomScore::read("-1000").is_ok());
        assert!(TimeZone::read("Europe/Berlin").is_ok() && TimeZone::read("../etc").is_err());
        assert!(MachineId::read(&"0".repeat(32)).is_err() && MachineId::read(&"a".repeat(32)).is_ok());
        assert!(SelinuxLabel::read("a:b").is_err() && SelinuxLabel::read("a:b:c:s0:c1,c2").is_ok());
        assert!(SelinuxLabel::read("-").is_err() && ProfileName::read("-").is_err());
        let optional = SecurityLabel { name: "web".into(), missing: IfMissing::Ignore };
        assert_eq!(ProfileName::read("-web").unwrap(), ProfileName(Some(optional)));
        assert_eq!(ProfileName::read("").unwrap(), ProfileName(None));
    }
}
