//! Profiles of seccomp as Docker, Podman and the OCI runtime specification write them, in JSON: from the text to
//! rules that hold for one container. What is not understood is an error with its place in the file.

use crate::image::json;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use syscalls::Errno;

/// The largest file that is read; that of Docker has 20 KiB.
pub const SIZE_MAX: u64 = 1 << 20;
/// `MAX_ERRNO` of the kernel.
const ERRNO_MAX: u32 = 4095;
const EPERM: u16 = 1;

#[cfg(target_arch = "x86_64")]
const NATIVE: [&str; 2] = ["SCMP_ARCH_X86_64", "amd64"];
#[cfg(target_arch = "aarch64")]
const NATIVE: [&str; 2] = ["SCMP_ARCH_AARCH64", "arm64"];

/// A profile as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    path: PathBuf,
    written: Written,
}

/// Why a profile does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It is no JSON, or has something else than a profile has.
    #[error("seccomp profile {}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// It says what cannot be done.
    #[error("seccomp profile {}: {message}", path.display())]
    Meaning {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// What a container may do by its profile, in the words of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRules {
    /// What calls get for which there is no rule.
    pub default: Verdict,
    /// The first with all conditions met decides; those without conditions come last.
    pub rules: Vec<CallRule>,
    /// Whether there can be new namespaces.
    pub namespaces: Namespaces,
}

/// Whether the container's programs make and enter namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespaces {
    /// They cannot.
    Refused,
    /// As the profile says.
    AsProfile,
}

/// What some calls get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRule {
    /// Names; those that the kernel of this machine does not have mean nothing.
    pub names: Vec<String>,
    /// What they get.
    pub verdict: Verdict,
    /// All must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What a call gets, seccomp(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// `SECCOMP_RET_ALLOW`
    Allow,
    /// `SECCOMP_RET_LOG`
    Log,
    /// `SECCOMP_RET_TRACE`
    Trace(u16),
    /// `SECCOMP_RET_ERRNO`
    Errno(u16),
    /// `SECCOMP_RET_TRAP`
    Trap,
    /// `SECCOMP_RET_KILL_THREAD`
    KillThread,
    /// `SECCOMP_RET_KILL_PROCESS`
    KillProcess,
}

/// A condition on an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its place, from 0 to 5.
    pub argument: u8,
    /// What holds of it.
    pub test: Test,
}

/// A comparison of 64 bits without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// `SCMP_CMP_EQ`
    Equal(u64),
    /// `SCMP_CMP_NE`
    NotEqual(u64),
    /// `SCMP_CMP_LT`
    Less(u64),
    /// `SCMP_CMP_LE`
    LessOrEqual(u64),
    /// `SCMP_CMP_GT`
    Greater(u64),
    /// `SCMP_CMP_GE`
    GreaterOrEqual(u64),
    /// `SCMP_CMP_MASKED_EQ`
    Masked {
        /// The bits that count.
        mask: u64,
        /// What they are.
        value: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object with defaultAction")]
struct Written {
    default_action: Action,
    default_errno_ret: Option<u32>,
    default_errno: Option<ErrnoName>,
    architectures: Option<Vec<Architecture>>,
    arch_map: Option<Vec<Architectures>>,
    syscalls: Option<Vec<Rule>>,
    flags: Option<Vec<Flag>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Architectures {
    architecture: Architecture,
    #[serde(rename = "subArchitectures")]
    _others: Option<Vec<Architecture>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: Action,
    errno_ret: Option<u32>,
    errno: Option<ErrnoName>,
    args: Option<Vec<Argument>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: u64,
    value: u64,
    value_two: Option<u64>,
    op: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<Kernel>,
}

/// A version of the kernel: its first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Kernel(pub u32, pub u32);

impl TryFrom<String> for Kernel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut numbers = text.split(['.', '-', '+']).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err(format!("\"{text}\" is not a version of the kernel, such as \"4.8\"")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Action {
    Allow,
    Log,
    Trace,
    Errno,
    Trap,
    KillThread,
    KillProcess,
}

impl TryFrom<String> for Action {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "SCMP_ACT_ALLOW" => Self::Allow,
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_TRACE" => Self::Trace,
            "SCMP_ACT_ERRNO" => Self::Errno,
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KillThread,
            "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            "SCMP_ACT_NOTIFY" => {
                return Err("SCMP_ACT_NOTIFY is not supported: there is no agent that would be asked".into());
            }
            _ => return Err(format!("there is no action \"{text}\"")),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    Masked,
}

/// Flags of seccomp(2) that change nothing for a process of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Flag {
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    ThreadSync,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Architecture(String);

impl TryFrom<String> for Architecture {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.starts_with("SCMP_ARCH_") {
            true => Ok(Self(text)),
            false => Err(format!("\"{text}\" is not an architecture, such as \"{}\"", NATIVE[0])),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct ErrnoName(u16);

impl TryFrom<String> for ErrnoName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let numbers = 1..=u16::try_from(ERRNO_MAX).unwrap_or(u16::MAX);
        let mut found = numbers.filter(|number| Errno::new(i32::from(*number)).name() == Some(text.as_str()));
        found.next().map(Self).ok_or_else(|| format!("there is no error \"{text}\", errno(3)"))
    }
}

/// What of a container and its host decides which rules hold.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Names of its capabilities.
    pub capabilities: &'a [String],
    /// The version of the kernel.
    pub kernel: Kernel,
}

impl Profile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// With the place of what is wrong.
    pub fn read(path: &Path, text: &[u8]) -> Result<Self, ProfileError> {
        let syntax = |error: serde_json::Error| ProfileError::Syntax {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
            message: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        };
        json::check(text).map_err(syntax)?;
        Ok(Self { path: path.to_owned(), written: serde_json::from_slice(text).map_err(syntax)? })
    }

    /// The rules that hold for a container.
    ///
    /// # Errors
    /// When it is for other machines, or contradicts itself.
    pub fn resolve(&self, circumstances: Circumstances<'_>) -> Result<CallRules, ProfileError> {
        let refused = |message: String| ProfileError::Meaning { path: self.path.clone(), message };
        self.check_architecture().map_err(refused)?;
        let written = &self.written;
        let default = verdict(written.default_action, written.default_errno, written.default_errno_ret)
            .map_err(refused)?;
        let mut rules = Vec::new();
        for (index, rule) in written.syscalls.iter().flatten().enumerate() {
            let numbered = |message| refused(format!("rule {}: {message}", index + 1));
            rules.extend(rule.resolve(circumstances).map_err(numbered)?);
        }
        let rules_the_kernel = circumstances.capabilities.iter().any(|name| name == "CAP_SYS_ADMIN");
        let namespaces = if rules_the_kernel { Namespaces::AsProfile } else { Namespaces::Refused };
        Ok(CallRules { default, rules, namespaces })
    }

    fn check_architecture(&self) -> Result<(), String> {
        let is_own = |architecture: &Architecture| architecture.0 == NATIVE[0];
        let has_own = match (&self.written.architectures, &self.written.arch_map) {
            (Some(_), Some(_)) => return Err("it has both \"architectures\" and \"archMap\"".to_owned()),
            (Some(listed), None) if !listed.is_empty() => listed.iter().any(is_own),
            (None, Some(map)) if !map.is_empty() => map.iter().any(|entry| is_own(&entry.architecture)),
            _ => true,
        };
        if has_own {
            Ok(())
        } else {
            Err(format!("it is for other machines: it does not have {}", NATIVE[0]))
        }
    }
}

fn verdict(action: Action, name: Option<ErrnoName>, number: Option<u32>) -> Result<Verdict, String> {
    let errno = match (name, number) {
        (Some(ErrnoName(number)), _) => number,
        (None, None) => EPERM,
        (None, Some(number)) => u16::try_from(number)
            .ok()
            .filter(|_| number <= ERRNO_MAX)
            .ok_or_else(|| format!("{number} is no error number: the largest is {ERRNO_MAX}"))?,
    };
    Ok(match action {
        Action::Allow => Verdict::Allow,
        Action::Log => Verdict::Log,
        Action::Trace => Verdict::Trace(errno),
        Action::Errno => Verdict::Errno(errno),
        Action::Trap => Verdict::Trap,
        Action::KillThread => Verdict::KillThread,
        Action::KillProcess => Verdict::KillProcess,
    })
}

impl Rule {
    /// None where it does not hold; several where it names an argument more than once: then one of the conditions is
    /// enough, as with other engines.
    fn resolve(&self, circumstances: Circumstances<'_>) -> Result<Vec<CallRule>, String> {
        let names = match (&self.name, &self.names) {
            (Some(_), Some(names)) if !names.is_empty() => {
                return Err("it has both \"name\" and \"names\"".to_owned());
            }
            (Some(name), _) => vec![name.clone()],
            (None, Some(names)) => names.clone(),
            (None, None) => return Err("it has no \"names\"".to_owned()),
        };
        let verdict = verdict(self.action, self.errno, self.errno_ret)?;
        let conditions: Vec<Condition> =
            self.args.iter().flatten().map(Argument::condition).collect::<Result<_, _>>()?;
        let included = self.includes.as_ref().is_none_or(|filter| filter.includes(circumstances));
        let excluded = self.excludes.as_ref().is_some_and(|filter| filter.excludes(circumstances));
        if !included || excluded {
            return Ok(Vec::new());
        }
        let twice = conditions.iter().enumerate().any(|(index, condition)| {
            conditions[..index].iter().any(|before| before.argument == condition.argument)
        });
        let rule = |conditions| CallRule { names: names.clone(), verdict, conditions };
        Ok(match twice {
            true => conditions.into_iter().map(|condition| rule(vec![condition])).collect(),
            false => vec![rule(conditions)],
        })
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition, String> {
        let argument = u8::try_from(self.index).ok().filter(|index| *index < 6);
        let argument =
            argument.ok_or_else(|| format!("a call has no argument {}: the last is 5", self.index))?;
        let value = self.value;
        let test = match self.op {
            Operator::Equal => Test::Equal(value),
            Operator::NotEqual => Test::NotEqual(value),
            Operator::Less => Test::Less(value),
            Operator::LessOrEqual => Test::LessOrEqual(value),
            Operator::Greater => Test::Greater(value),
            Operator::GreaterOrEqual => Test::GreaterOrEqual(value),
            Operator::Masked => Test::Masked { mask: value, value: self.value_two.unwrap_or_default() },
        };
        Ok(Condition { argument, test })
    }
}

impl Filter {
    fn is_here(&self) -> Option<bool> {
        let arches = self.arches.as_ref().filter(|arches| !arches.is_empty())?;
        Some(arches.iter().any(|arch| arch == NATIVE[1]))
    }

    fn includes(&self, circumstances: Circumstances<'_>) -> bool {
        let held = |name| circumstances.capabilities.contains(name);
        self.caps.iter().flatten().all(held)
            && self.is_here() != Some(false)
            && self.min_kernel.is_none_or(|least| circumstances.kernel >= least)
    }

    fn excludes(&self, circumstances: Circumstances<'_>) -> bool {
        let held = |name| circumstances.capabilities.contains(name);
        self.caps.iter().flatten().any(held)
            || self.is_here() == Some(true)
            || self.min_kernel.is_some_and(|least| circumstances.kernel >= least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHOUT: Circumstances<'_> = Circumstances { capabilities: &[], kernel: Kernel(6, 1) };

    fn read(text: &str) -> Result<CallRules, String> {
        let profile = Profile::read(Path::new("/p.json"), text.as_bytes());
        profile.and_then(|profile| profile.resolve(WITHOUT)).map_err(|error| error.to_string())
    }

    fn with_rule(rule: &str) -> Result<CallRules, String> {
        read(&format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\"syscalls\": [{rule}]}}"))
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("", "/p.json:1:0: EOF while parsing a value"),
            ("{}", "/p.json:1:2: missing field `defaultAction`"),
            ("{\"defaultAction\": \"SCMP_ACT_ALOW\"}", "/p.json:1:34: there is no action \"SCMP_ACT_ALOW\""),
            (
                "{\"defaultAction\": \"SCMP_ACT_KILL\",\n\"default\": 1}",
                ": unknown field `default`, expected",
            ),
            (
                "{\"defaultAction\": \"SCMP_ACT_KILL\", \"defaultAction\": \"SCMP_ACT_ALLOW\"}",
                ": the key \"defaultAction\" stands twice",
            ),
            ("{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 4096}", "4096 is no error number"),
            (
                "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [\"SCMP_ARCH_S390\"]}",
                "it is for other machines",
            ),
            (
                "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [\"amd64\"]}",
                "is not an architecture",
            ),
            (
                "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [], \"archMap\": []}",
                "both \"architectures\" and \"archMap\"",
            ),
            (
                "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"listenerPath\": \"/x\"}",
                "unknown field `listenerPath`",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        for (rule, told) in [
            ("{\"action\": \"SCMP_ACT_ALLOW\"}", "rule 1: it has no \"names\""),
            (
                "{\"names\": [\"read\"], \"action\": \"SCMP_ACT_NOTIFY\"}",
                ": SCMP_ACT_NOTIFY is not supported",
            ),
            (
                "{\"name\": \"a\", \"names\": [\"b\"], \"action\": \"SCMP_ACT_LOG\"}",
                "both \"name\" and \"names\"",
            ),
            (
                "{\"names\": [], \"action\": \"SCMP_ACT_LOG\", \"args\": [{\"index\": 6, \"value\": 0, \"op\": \"SCMP_CMP_EQ\"}]}",
                "a call has no argument 6",
            ),
            (
                "{\"names\": [], \"action\": \"SCMP_ACT_LOG\", \"args\": [{\"index\": 0, \"value\": -1, \"op\": \"SCMP_CMP_EQ\"}]}",
                ":2:",
            ),
            (
                "{\"names\": [], \"action\": \"SCMP_ACT_ERRNO\", \"errno\": \"ENOTHING\"}",
                "no error \"ENOTHING\"",
            ),
            (
                "{\"names\": [], \"action\": \"SCMP_ACT_LOG\", \"includes\": {\"minKernel\": \"new\"}}",
                "not a version of the kernel",
            ),
        ] {
            let error = with_rule(rule).unwrap_err();
            assert!(error.contains(told), "{rule}: {error}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn rules_hold_for_capabilities_machines_and_kernels() {
        let rule = |filter: &str| {
            let text = format!("{{\"names\": [\"chroot\"], \"action\": \"SCMP_ACT_ALLOW\", {filter}}}");
            with_rule(&text).unwrap().rules.len()
        };
        for (filter, count) in [
            ("\"includes\": {}, \"excludes\": {}", 1),
            ("\"includes\": {\"caps\": [\"CAP_SYS_CHROOT\"]}", 0),
            ("\"excludes\": {\"caps\": [\"CAP_SYS_CHROOT\"]}", 1),
            ("\"includes\": {\"arches\": [\"s390x\"]}", 0),
            (&format!("\"includes\": {{\"arches\": [\"{}\"]}}", NATIVE[1]), 1),
            (&format!("\"excludes\": {{\"arches\": [\"{}\"]}}", NATIVE[1]), 0),
            ("\"includes\": {\"minKernel\": \"4.8\"}", 1),
            ("\"includes\": {\"minKernel\": \"6.2\"}", 0),
            ("\"excludes\": {\"minKernel\": \"4.8\"}", 0),
            ("\"args\": null, \"includes\": {\"caps\": null}", 1),
        ] {
            assert_eq!(rule(filter), count, "{filter}");
        }
    }

    #[test]
    fn conditions_on_one_argument_are_alternatives() {
        let condition =
            |index, value| format!("{{\"index\": {index}, \"value\": {value}, \"op\": \"SCMP_CMP_EQ\"}}");
        let rule = |args: &[String]| {
            let text = format!(
                "{{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{}]}}",
                args.join(",")
            );
            with_rule(&text).unwrap().rules
        };
        assert_eq!(rule(&[condition(0, 1), condition(1, 2)]).len(), 1);
        assert_eq!(rule(&[condition(0, 1), condition(0, 2)]).len(), 2);
    }
}
