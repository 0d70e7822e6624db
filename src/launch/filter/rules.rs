//! The rules of a profile as a program.

use crate::launch::profile::{CallRule, CallRules, Condition, Test, Verdict};
use crate::sys::seccomp::Instruction;
use crate::sys::seccomp_program::{
    ALLOW, AND, ERRNO, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, UNKNOWN, argument, by_number,
    give, load, only_native,
};
use std::collections::BTreeMap;
use std::str::FromStr as _;
use syscalls::Sysno;

/// Where a jump of one condition leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// The next instruction.
    Next,
    /// The next condition, or the verdict.
    Met,
    /// The next rule.
    Unmet,
}

/// An instruction whose jumps have names.
struct Draft(Instruction, To, To);

/// The program: rules with conditions in their order, then a table for the rest.
pub fn compile(rules: &CallRules) -> Vec<Instruction> {
    let mut conditional: BTreeMap<u32, Vec<&CallRule>> = BTreeMap::new();
    let mut verdicts: BTreeMap<u32, u32> = BTreeMap::new();
    for rule in &rules.rules {
        for number in rule.names.iter().filter_map(|name| number(name)) {
            if rule.conditions.is_empty() {
                let verdict = code(rule.verdict);
                // What two rules say differently, the stricter one decides, as between filters.
                verdicts
                    .entry(number)
                    .and_modify(|known| *known = stricter(*known, verdict))
                    .or_insert(verdict);
            } else {
                conditional.entry(number).or_default().push(rule);
            }
        }
    }
    let default = code(rules.default);
    let mut program = only_native(UNKNOWN);
    for (number, rules) in &conditional {
        let rest = verdicts.get(number).copied().unwrap_or(default);
        let block: Vec<Instruction> = rules.iter().flat_map(|rule| of(rule)).chain([give(rest)]).collect();
        let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
        program.push(Instruction { code: JUMP_EQUAL, if_true: 1, if_false: 0, operand: *number });
        program.push(Instruction { code: JUMP, if_true: 0, if_false: 0, operand: length });
        program.extend(block);
    }
    // A call that is newer than the profile is not known, so that C libraries take an older one.
    let newest = verdicts.keys().chain(conditional.keys()).max().copied().unwrap_or_default();
    for number in 0..=newest {
        verdicts.entry(number).or_insert(default);
    }
    let newer = if matches!(rules.default, Verdict::Errno(_)) { UNKNOWN } else { default };
    program.extend(by_number(&verdicts, newer));
    program
}

fn number(name: &str) -> Option<u32> {
    u32::try_from(Sysno::from_str(name).ok()?.id()).ok()
}

/// linux/seccomp.h
fn code(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Allow => ALLOW,
        Verdict::Log => 0x7ffc_0000,
        Verdict::Trace(data) => 0x7ff0_0000 | u32::from(data),
        Verdict::Errno(number) => ERRNO | u32::from(number),
        Verdict::Trap => 0x0003_0000,
        Verdict::KillThread => 0,
        Verdict::KillProcess => 0x8000_0000,
    }
}

/// The kernel compares them as numbers with a sign, and the least one holds.
fn stricter(one: u32, other: u32) -> u32 {
    if one.cast_signed() <= other.cast_signed() { one } else { other }
}

fn of(rule: &CallRule) -> Vec<Instruction> {
    let parts: Vec<Vec<Draft>> = rule.conditions.iter().map(draft).collect();
    let mut left: usize = parts.iter().map(Vec::len).sum();
    let mut program = Vec::with_capacity(left + 1);
    for part in parts {
        let mut left_of_part = part.len();
        for Draft(instruction, if_true, if_false) in part {
            left -= 1;
            left_of_part -= 1;
            let skip = |to| {
                let count = match to {
                    To::Next => 0,
                    To::Met => left_of_part,
                    // The verdict, too.
                    To::Unmet => left + 1,
                };
                // Six conditions of seven instructions fit.
                u8::try_from(count).unwrap_or(u8::MAX)
            };
            program.push(Instruction { if_true: skip(if_true), if_false: skip(if_false), ..instruction });
        }
    }
    program.push(give(code(rule.verdict)));
    program
}

/// A comparison of 64 bits in halves, the upper one first.
fn draft(condition: &Condition) -> Vec<Draft> {
    let low = argument(u32::from(condition.argument));
    let plain = |instruction| Draft(instruction, To::Next, To::Next);
    let test = |code, operand, if_true, if_false| {
        Draft(Instruction { code, if_true: 0, if_false: 0, operand }, if_true, if_false)
    };
    let (met, unmet) = (To::Met, To::Unmet);
    let equal = |value: u64, if_equal, otherwise| {
        vec![
            plain(load(low + 4)),
            test(JUMP_EQUAL, upper(value), To::Next, otherwise),
            plain(load(low)),
            test(JUMP_EQUAL, lower(value), if_equal, otherwise),
        ]
    };
    let above = |value: u64, last, if_above, otherwise| {
        vec![
            plain(load(low + 4)),
            test(JUMP_GREATER, upper(value), if_above, To::Next),
            test(JUMP_EQUAL, upper(value), To::Next, otherwise),
            plain(load(low)),
            test(last, lower(value), if_above, otherwise),
        ]
    };
    match condition.test {
        Test::Equal(value) => equal(value, met, unmet),
        Test::NotEqual(value) => equal(value, unmet, met),
        Test::Greater(value) => above(value, JUMP_GREATER, met, unmet),
        Test::GreaterOrEqual(value) => above(value, JUMP_GREATER_OR_EQUAL, met, unmet),
        Test::Less(value) => above(value, JUMP_GREATER_OR_EQUAL, unmet, met),
        Test::LessOrEqual(value) => above(value, JUMP_GREATER, unmet, met),
        Test::Masked { mask, value } => {
            let and = |operand| plain(Instruction { code: AND, if_true: 0, if_false: 0, operand });
            vec![
                plain(load(low + 4)),
                and(upper(mask)),
                test(JUMP_EQUAL, upper(value), To::Next, unmet),
                plain(load(low)),
                and(lower(mask)),
                test(JUMP_EQUAL, lower(value), met, unmet),
            ]
        }
    }
}

fn upper(value: u64) -> u32 {
    lower(value >> 32)
}

#[expect(clippy::cast_possible_truncation, reason = "the other half is looked at apart")]
fn lower(value: u64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::profile::Namespaces;
    use crate::sys::seccomp_program::{NATIVE, run};
    use proptest::prelude::*;

    fn rules(default: Verdict, rules: Vec<CallRule>) -> Vec<Instruction> {
        compile(&CallRules { default, rules, namespaces: Namespaces::Refused })
    }

    fn rule(verdict: Verdict, conditions: Vec<Condition>) -> CallRule {
        CallRule { names: vec!["socket".to_owned(), "no_such_call".to_owned()], verdict, conditions }
    }

    fn holds(test: Test, argument: u64) -> bool {
        match test {
            Test::Equal(value) => argument == value,
            Test::NotEqual(value) => argument != value,
            Test::Less(value) => argument < value,
            Test::LessOrEqual(value) => argument <= value,
            Test::Greater(value) => argument > value,
            Test::GreaterOrEqual(value) => argument >= value,
            Test::Masked { mask, value } => argument & mask == value,
        }
    }

    fn number() -> impl Strategy<Value = u64> {
        let near = prop::sample::select(vec![0, 1, 2, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX]);
        prop_oneof![near, any::<u64>()]
    }

    fn condition() -> impl Strategy<Value = Condition> {
        (0..6u8, number(), number(), 0..7).prop_map(|(argument, value, mask, kind)| {
            let test = match kind {
                0 => Test::Equal(value),
                1 => Test::NotEqual(value),
                2 => Test::Less(value),
                3 => Test::LessOrEqual(value),
                4 => Test::Greater(value),
                5 => Test::GreaterOrEqual(value),
                _ => Test::Masked { mask, value: value & mask },
            };
            Condition { argument, test }
        })
    }

    proptest! {
        #[test]
        fn arguments_are_compared_as_wide_as_they_are(
            first in prop::collection::vec(condition(), 1..6),
            second in prop::collection::vec(condition(), 1..3),
            arguments in prop::collection::vec(number(), 6),
        ) {
            let met = |conditions: &[Condition]| {
                conditions.iter().all(|condition| holds(condition.test, arguments[usize::from(condition.argument)]))
            };
            let expected = match () {
                () if met(&first) => Verdict::Allow,
                () if met(&second) => Verdict::Log,
                () => Verdict::Errno(7),
            };
            let program =
                rules(Verdict::Errno(7), vec![rule(Verdict::Allow, first.clone()), rule(Verdict::Log, second.clone())]);
            prop_assert_eq!(run(&program, NATIVE, libc::SYS_socket, &arguments), code(expected));
        }
    }

    #[test]
    fn what_no_rule_names_gets_the_default_and_what_is_newer_is_unknown() {
        let listed = rules(Verdict::Errno(1), vec![rule(Verdict::Allow, vec![])]);
        assert_eq!(run(&listed, NATIVE, libc::SYS_socket, &[]), ALLOW);
        assert_eq!(run(&listed, NATIVE, libc::SYS_read, &[]), ERRNO | 1);
        assert_eq!(run(&listed, NATIVE, libc::SYS_openat2, &[]), UNKNOWN);
        let killed = rules(Verdict::KillProcess, vec![]);
        assert_eq!(run(&killed, NATIVE, libc::SYS_openat2, &[]), 0x8000_0000);
        let both = rules(Verdict::Log, vec![rule(Verdict::Allow, vec![]), rule(Verdict::Trap, vec![])]);
        assert_eq!(run(&both, NATIVE, libc::SYS_socket, &[]), 0x0003_0000);
        assert_eq!(run(&both, 0x4000_0003, libc::SYS_socket, &[]), UNKNOWN);
    }
}
