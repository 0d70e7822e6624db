//! Versions by the specification of the UAPI group ("Version Format Specification"), as systemd compares them.

use crate::unit::model::VersionTest;
use std::cmp::Ordering;

/// Whether a version is as wanted.
pub(super) fn holds(test: &VersionTest, version: &str) -> bool {
    match test {
        VersionTest::Compares(comparison, wanted) => comparison.holds(compare(version, wanted)),
        VersionTest::Matches(pattern) => {
            glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(version))
        }
    }
}

/// Part by part: what separates counts in the order `~`, the end, `-`, `^`, `.`; numbers are more than letters.
pub(super) fn compare(one: &str, two: &str) -> Ordering {
    let (mut one, mut two) = (valid(one), valid(two));
    loop {
        let order = rank(one).cmp(&rank(two));
        if order.is_ne() || one.is_empty() {
            return order;
        }
        if rank(one) < Rank::Text {
            (one, two) = (&one[1..], &two[1..]);
            continue;
        }
        let digits = one.starts_with(|letter: char| letter.is_ascii_digit());
        let (first, second) = (part(one, digits), part(two, digits));
        let order = if digits { numbers(first, second) } else { first.cmp(second) };
        if order.is_ne() {
            return order;
        }
        (one, two) = (valid(&one[first.len()..]), valid(&two[second.len()..]));
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Before,
    End,
    Revision,
    After,
    Point,
    Text,
    Number,
}

fn rank(version: &str) -> Rank {
    match version.bytes().next() {
        None => Rank::End,
        Some(b'~') => Rank::Before,
        Some(b'-') => Rank::Revision,
        Some(b'^') => Rank::After,
        Some(b'.') => Rank::Point,
        Some(byte) if byte.is_ascii_digit() => Rank::Number,
        Some(_) => Rank::Text,
    }
}

/// The rest from the first character that counts.
fn valid(version: &str) -> &str {
    version.trim_start_matches(|letter: char| !(letter.is_ascii_alphanumeric() || "~-^.".contains(letter)))
}

fn part(version: &str, digits: bool) -> &str {
    let belongs = |letter: char| if digits { letter.is_ascii_digit() } else { letter.is_ascii_alphabetic() };
    let end = version.find(|letter| !belongs(letter)).unwrap_or(version.len());
    &version[..end]
}

/// Of any length.
fn numbers(one: &str, two: &str) -> Ordering {
    let (one, two) = (one.trim_start_matches('0'), two.trim_start_matches('0'));
    one.len().cmp(&two.len()).then_with(|| one.cmp(two))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::Comparison;
    use proptest::prelude::*;

    #[test]
    fn versions_have_the_order_of_the_specification() {
        let sorted = [
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        for (one, two) in [("6.1.0", "6.1.00"), ("1_2", "1+2"), ("", "")] {
            assert_eq!(compare(one, two), Ordering::Equal, "{one} {two}");
        }
        let at_least = |version: &str| VersionTest::Compares(Comparison::GreaterOrEqual, version.to_owned());
        assert!(holds(&at_least("6.1"), "6.12.5-amd64") && !holds(&at_least("6.13"), "6.12.5-amd64"));
        assert!(holds(&VersionTest::Matches("6.12.*".to_owned()), "6.12.5-amd64"));
    }

    proptest! {
        #[test]
        fn any_two_have_an_order(one: String, two: String) {
            prop_assert_eq!(compare(&one, &two), compare(&two, &one).reverse());
        }
    }
}
