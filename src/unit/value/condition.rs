//! Values of conditions: comparisons, versions, and the words that systemd.unit(5) knows.

use super::written::{Numbers, ValueError, Written};
use super::{AbsolutePath, Bytes};
use crate::unit::model::{Comparison, Firmware, Role, SecurityModule, VersionTest, Virtualization};
use crate::unit::suggest;

/// A value that must hold, or must not with `!`, or is one of several with `|` before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// What is tested.
    pub value: T,
    /// Without a `!`.
    pub expected: bool,
    /// With a `|`.
    pub role: Role,
    /// As written.
    pub text: String,
}

impl<T: Written> Written for Stated<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const NUMBERS: Numbers = T::NUMBERS;

    fn read(text: &str) -> Result<Self, ValueError> {
        let (role, rest) = match text.strip_prefix('|') {
            Some(rest) => (Role::Alternative, rest.trim_start()),
            None => (Role::Needed, text),
        };
        // "!=" is a comparison.
        let negated = rest.strip_prefix('!').filter(|rest| !rest.starts_with('='));
        let (expected, rest) = negated.map_or((true, rest), |rest| (false, rest.trim_start()));
        Ok(Self { value: T::read(rest)?, expected, role, text: text.to_owned() })
    }

    fn of_boolean(value: bool) -> Option<Self> {
        let text = value.to_string();
        Some(Self { value: T::of_boolean(value)?, expected: true, role: Role::Needed, text })
    }
}

/// A word of some kind: not empty, and without spaces and what would be read as something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(pub String);

impl Written for Word {
    const EXPECTED: &'static str = "a word";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        match text.is_empty() || text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            true => Err(ValueError::new(format!("\"{}\" is not one word", text.escape_debug()))),
            false => Ok(Self(text.to_owned())),
        }
    }
}

/// Words with spaces between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Written for Words {
    const EXPECTED: &'static str = "words such as \"cpu memory\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        match words.is_empty() {
            true => Err(ValueError::new("there is no word")),
            false => Ok(Self(words)),
        }
    }
}

/// The name of a credential or a module: one part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(pub String);

impl Written for FileName {
    const EXPECTED: &'static str = "a name without \"/\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let valid = !text.contains('/') && text != "." && text != "..";
        Word::read(text).ok().filter(|_| valid).map(|word| Self(word.0)).ok_or_else(|| {
            ValueError::new(format!("\"{}\" is not a name", text.escape_debug()))
                .with_help("write it without \"/\"")
        })
    }
}

/// An absolute path with wildcards, glob(7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(pub String);

impl Written for PathPattern {
    const EXPECTED: &'static str = "an absolute path, with * and ?";

    fn read(text: &str) -> Result<Self, ValueError> {
        AbsolutePath::read(text)?;
        match glob::Pattern::new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(ValueError::new(format!("\"{text}\" is not a pattern: {}", error.msg))),
        }
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YesNo(pub bool);

impl Written for YesNo {
    const EXPECTED: &'static str = "true or false";

    fn read(text: &str) -> Result<Self, ValueError> {
        boolean(text)
            .map(Self)
            .ok_or_else(|| ValueError::new(format!("\"{text}\" is neither true nor false")))
    }

    fn of_boolean(value: bool) -> Option<Self> {
        Some(Self(value))
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" => Some(true),
        "false" | "no" => Some(false),
        _ => None,
    }
}

const COMPARISONS: [(&str, Comparison); 8] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("!=", Comparison::NotEqual),
    ("<>", Comparison::NotEqual),
    ("==", Comparison::Equal),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// A comparison at the beginning of a text, and the rest.
fn comparison(text: &str) -> (Option<Comparison>, &str) {
    let found =
        COMPARISONS.iter().find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)));
    found.map_or((None, text), |(comparison, rest)| (Some(comparison), rest.trim_start()))
}

/// `>= 1G`; a size alone is a minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeTest(pub Comparison, pub u64);

impl Written for SizeTest {
    const EXPECTED: &'static str = "a size such as \">= 1G\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let (comparison, rest) = comparison(text);
        Ok(Self(comparison.unwrap_or(Comparison::GreaterOrEqual), Bytes::read(rest)?.0))
    }
}

/// `>= 4`; a number alone is a minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountTest(pub Comparison, pub u64);

impl Written for CountTest {
    const EXPECTED: &'static str = "a number such as \">= 4\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let (comparison, rest) = comparison(text);
        let number = rest.parse().map_err(|_| ValueError::new(format!("\"{rest}\" is not a number")))?;
        Ok(Self(comparison.unwrap_or(Comparison::GreaterOrEqual), number))
    }
}

/// `>=6.1 <7`, `6.1.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionTests(pub Vec<VersionTest>);

impl Written for VersionTests {
    const EXPECTED: &'static str = "versions such as \">=6.1 <7\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let mut tests = Vec::new();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let (comparison, version) = comparison(word);
            // A space may follow the sign.
            let version = if version.is_empty() { words.next().unwrap_or_default() } else { version };
            if version.is_empty() {
                return Err(ValueError::new(format!("no version follows \"{word}\"")));
            }
            tests.push(version_test(comparison, version)?);
        }
        match tests.is_empty() {
            true => Err(ValueError::new("there is no version")),
            false => Ok(Self(tests)),
        }
    }
}

fn version_test(comparison: Option<Comparison>, version: &str) -> Result<VersionTest, ValueError> {
    match comparison {
        Some(comparison) => Ok(VersionTest::Compares(comparison, version.to_owned())),
        None => match glob::Pattern::new(version) {
            Ok(_) => Ok(VersionTest::Matches(version.to_owned())),
            Err(error) => Err(ValueError::new(format!("\"{version}\" is not a pattern: {}", error.msg))),
        },
    }
}

/// `ID=debian VERSION_ID>=12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsReleaseTests(pub Vec<(String, VersionTest)>);

impl Written for OsReleaseTests {
    const EXPECTED: &'static str = "fields such as \"ID=debian VERSION_ID>=12\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let mut tests = Vec::new();
        for word in text.split_whitespace() {
            let end = word.find(['<', '>', '=', '!']).unwrap_or(word.len());
            let (field, rest) = word.split_at(end);
            match comparison(rest) {
                (Some(comparison), version) if !field.is_empty() => {
                    tests.push((field.to_owned(), VersionTest::Compares(comparison, version.to_owned())));
                }
                _ => {
                    return Err(ValueError::new(format!("\"{word}\" compares no field"))
                        .with_help("os-release(5) lists them: ID=debian, VERSION_ID>=12"));
                }
            }
        }
        match tests.is_empty() {
            true => Err(ValueError::new("there is no field")),
            false => Ok(Self(tests)),
        }
    }
}

/// One of words, or an error that says which was meant.
fn one_of<T: Clone>(text: &str, what: &str, words: &[(&str, T)]) -> Result<T, ValueError> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(value.clone());
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(ValueError::new(format!("\"{text}\" is not {what}")).with_help(suggest::help(text, &known)))
}

impl Written for Firmware {
    const EXPECTED: &'static str = "\"uefi\" or \"device-tree\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        one_of(text, "a firmware", &[("uefi", Self::Uefi), ("device-tree", Self::DeviceTree)])
    }
}

impl Written for SecurityModule {
    const EXPECTED: &'static str = "a security technology such as \"apparmor\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let words = [
            ("selinux", Self::Selinux),
            ("apparmor", Self::Apparmor),
            ("tomoyo", Self::Tomoyo),
            ("smack", Self::Smack),
            ("ima", Self::Ima),
            ("uefi-secureboot", Self::UefiSecureboot),
            ("tpm2", Self::Tpm2),
        ];
        one_of(text, "a security technology", &words)
    }
}

/// Kinds of systemd-detect-virt(1): machines, then containers.
pub const MACHINES: [&str; 19] = [
    "qemu",
    "kvm",
    "amazon",
    "zvm",
    "vmware",
    "microsoft",
    "oracle",
    "powervm",
    "xen",
    "bochs",
    "uml",
    "parallels",
    "bhyve",
    "qnx",
    "acrn",
    "apple",
    "sre",
    "google",
    "vm-other",
];
/// See [`MACHINES`].
pub const CONTAINERS: [&str; 11] = [
    "openvz",
    "lxc",
    "lxc-libvirt",
    "systemd-nspawn",
    "docker",
    "podman",
    "rkt",
    "wsl",
    "proot",
    "pouch",
    "container-other",
];

impl Written for Virtualization {
    const EXPECTED: &'static str = "true, false, \"vm\", \"container\" or a kind such as \"kvm\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        if let Some(any) = boolean(text) {
            return Ok(Self::Any(any));
        }
        let kinds =
            [("vm", Self::Machine), ("container", Self::Container), ("private-users", Self::PrivateUsers)];
        let named = MACHINES.iter().chain(&CONTAINERS).map(|word| (*word, Self::Named((*word).to_owned())));
        one_of(text, "a kind of virtualization", &kinds.into_iter().chain(named).collect::<Vec<_>>())
    }

    fn of_boolean(value: bool) -> Option<Self> {
        Some(Self::Any(value))
    }
}

/// A processor, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture(pub String);

impl Written for Architecture {
    const EXPECTED: &'static str = "an architecture such as \"x86-64\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        const WORDS: [&str; 16] = [
            "native",
            "x86",
            "x86-64",
            "arm",
            "arm64",
            "arm-be",
            "arm64-be",
            "ppc",
            "ppc64",
            "ppc64-le",
            "riscv32",
            "riscv64",
            "s390",
            "s390x",
            "loongarch64",
            "mips64-le",
        ];
        let meant = match text {
            "amd64" | "x86_64" => Some("x86-64"),
            "aarch64" => Some("arm64"),
            "ppc64le" => Some("ppc64-le"),
            _ => None,
        };
        match meant {
            Some(meant) => Err(ValueError::new(format!("\"{text}\" is not an architecture"))
                .with_help(format!("did you mean \"{meant}\"?"))),
            None => one_of(text, "an architecture", &WORDS.map(|word| (word, word.to_owned()))).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_negated_and_one_of_several() {
        let read = |text: &str| Stated::<AbsolutePath>::read(text).map(|it| (it.role, it.expected));
        assert_eq!(read("/a"), Ok((Role::Needed, true)));
        assert_eq!(read("!/a"), Ok((Role::Needed, false)));
        assert_eq!(read("|! /a"), Ok((Role::Alternative, false)));
        assert!(read("!|/a").is_err() && read("!!/a").is_err() && read("|").is_err());
        let different = Stated::<CountTest>::read("!=3").unwrap();
        assert!(different.expected && different.value == CountTest(Comparison::NotEqual, 3));
    }

    #[test]
    fn comparisons_are_read() {
        assert_eq!(SizeTest::read("1G"), Ok(SizeTest(Comparison::GreaterOrEqual, 1 << 30)));
        assert_eq!(SizeTest::read("< 1G"), Ok(SizeTest(Comparison::Less, 1 << 30)));
        assert_eq!(CountTest::read("4"), Ok(CountTest(Comparison::GreaterOrEqual, 4)));
        assert!(CountTest::read(">").is_err() && CountTest::read("-1").is_err());
        let versions = VersionTests::read(">= 6.1 <7 6.*").unwrap().0;
        assert_eq!(versions[0], VersionTest::Compares(Comparison::GreaterOrEqual, "6.1".to_owned()));
        assert_eq!(versions[2], VersionTest::Matches("6.*".to_owned()));
        assert!(VersionTests::read("").is_err() && VersionTests::read(">=").is_err());
        let fields = OsReleaseTests::read("ID=debian VERSION_ID>=12").unwrap().0;
        assert_eq!(fields[1].0, "VERSION_ID");
        assert!(OsReleaseTests::read("debian").is_err() && OsReleaseTests::read("=12").is_err());
    }

    #[test]
    fn words_are_systemds() {
        assert_eq!(Architecture::read("amd64").unwrap_err().help(), "did you mean \"x86-64\"?");
        assert_eq!(Virtualization::read("yes"), Ok(Virtualization::Any(true)));
        assert!(Virtualization::read("kmv").unwrap_err().help().contains("kvm"));
        assert!(SecurityModule::read("aparmor").unwrap_err().help().contains("apparmor"));
    }
}
