//! Numbers of schedulers, and the architectures that processes can take a machine for.

use super::written::{Numbers, ValueError, Written, number_within};
use crate::unit::model::Personality;

/// A nice value, nice(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nice(pub i32);

impl Written for Nice {
    const EXPECTED: &'static str = "a number from -20 to 19";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let help = "write a number from -20, which gets most, to 19";
        number_within(text, -20..=19, "no nice value", help).map(Self)
    }
}

/// A priority in real time, sched(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealtimePriority(pub u32);

impl Written for RealtimePriority {
    const EXPECTED: &'static str = "a number from 1 to 99";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let help = "write a number from 1 to 99, which comes first";
        number_within(text, 1..=99, "no priority in real time", help).map(Self)
    }
}

/// A priority of ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoPriority(pub u32);

impl Written for IoPriority {
    const EXPECTED: &'static str = "a number from 0 to 7";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let help = "write a number from 0, which comes first, to 7";
        number_within(text, 0..=7, "no priority of input and output", help).map(Self)
    }
}

impl Written for Personality {
    const EXPECTED: &'static str = "an architecture such as \"x86\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let [native, narrow] = Self::ALL.map(Self::word);
        Self::ALL.into_iter().find(|one| one.word() == text).ok_or_else(|| {
            ValueError::new(format!("this machine cannot be taken for \"{text}\""))
                .with_help(format!("it is \"{native}\", and can be \"{narrow}\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert!(Nice::read("-20").is_ok() && Nice::read("19").is_ok());
        assert!(Nice::read("-21").is_err() && Nice::read("20").is_err());
        assert!(RealtimePriority::read("0").is_err() && RealtimePriority::read("99").is_ok());
        assert!(IoPriority::read("8").is_err() && IoPriority::read("0").is_ok());
        assert_eq!(Personality::read(Personality::Narrow.word()).unwrap(), Personality::Narrow);
        assert!(Personality::read("vax").is_err());
    }
}
