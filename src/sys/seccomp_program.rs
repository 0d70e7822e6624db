//! Programs of classic BPF for seccomp(2): the words they are made of.

use super::seccomp::Instruction;
use super::syscalls::{ENOSYS, EPERM, SYS_bind, c_long};
use std::collections::BTreeMap;

// `struct seccomp_data`: number, architecture, then arguments from offset 16; the low half of one stands first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// Where an argument is.
pub const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

// linux/bpf_common.h and linux/seccomp.h
const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;
/// Skips as many instructions as the operand says.
pub const JUMP: u16 = 0x05;
/// Whether the accumulator is the operand.
pub const JUMP_EQUAL: u16 = 0x15;
/// Whether it is greater.
pub const JUMP_GREATER: u16 = 0x25;
/// Whether it is not less.
pub const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
/// Whether they have a bit in common.
pub const JUMP_ANY_BIT: u16 = 0x45;
/// Keeps the bits of the operand.
pub const AND: u16 = 0x54;
/// `SECCOMP_RET_ALLOW`
pub const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO`, without the number.
pub const ERRNO: u32 = 0x0005_0000;
/// `SECCOMP_RET_USER_NOTIF`
pub const ASK: u32 = 0x7fc0_0000;
/// The call is known, and not allowed.
pub const REFUSE: u32 = ERRNO | EPERM as u32;
/// As from a kernel that does not have the call.
pub const UNKNOWN: u32 = ERRNO | ENOSYS as u32;

/// `AUDIT_ARCH_` of this machine.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_` of this machine.
#[cfg(target_arch = "aarch64")]
pub const NATIVE: u32 = 0xc000_00b7;

/// Puts four bytes of the call into the accumulator.
pub fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, if_true: 0, if_false: 0, operand: offset }
}

/// Ends with a verdict.
pub fn give(verdict: u32) -> Instruction {
    Instruction { code: RETURN, if_true: 0, if_false: 0, operand: verdict }
}

/// Skips the next instruction unless the accumulator meets the condition.
pub fn unless_skip(code: u16, operand: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 1, operand }
}

/// The number of a call.
pub fn number_of(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Leaves the number of the call in the accumulator.
pub fn only_native(otherwise: u32) -> Vec<Instruction> {
    let is_native = Instruction { code: JUMP_EQUAL, if_true: 1, if_false: 0, operand: NATIVE };
    vec![load(ARCHITECTURE), is_native, give(otherwise), load(NUMBER)]
}

/// A block that decides one call for good; others skip it.
pub fn when(call: c_long, block: &[Instruction]) -> Vec<Instruction> {
    let skip = u8::try_from(block.len()).unwrap_or(u8::MAX);
    let test = Instruction { code: JUMP_EQUAL, if_true: 0, if_false: skip, operand: number_of(call) };
    [&[test], block].concat()
}

/// What each call gets. Numbers lie in long runs of one verdict, which are searched by halves: the kernel runs the
/// program for every number that there is when it installs it.
pub fn by_number(verdicts: &BTreeMap<u32, u32>, otherwise: u32) -> Vec<Instruction> {
    let last = verdicts.keys().next_back().copied().unwrap_or(0);
    let numbers = (0..=last).map(|number| (number, verdicts.get(&number).copied().unwrap_or(otherwise)));
    let mut runs: Vec<_> = numbers.chain([(last + 1, otherwise)]).collect();
    runs.dedup_by_key(|(_, verdict)| *verdict);
    decide(&runs)
}

/// By the first number of each run.
fn decide(runs: &[(u32, u32)]) -> Vec<Instruction> {
    match runs {
        [] => Vec::new(),
        [(_, verdict)] => vec![give(*verdict)],
        _ => {
            let (below, above) = runs.split_at(runs.len() / 2);
            [from(above[0].0, &decide(below)), decide(above)].concat()
        }
    }
}

/// Skips a block from this number on.
fn from(number: u32, block: &[Instruction]) -> Vec<Instruction> {
    let test =
        |if_true, if_false| Instruction { code: JUMP_GREATER_OR_EQUAL, if_true, if_false, operand: number };
    let skip = match u8::try_from(block.len()) {
        Ok(length) => vec![test(length, 0)],
        // Only an unconditional jump goes that far.
        Err(_) => {
            let operand = u32::try_from(block.len()).unwrap_or(u32::MAX);
            vec![test(0, 1), Instruction { code: JUMP, if_true: 0, if_false: 0, operand }]
        }
    };
    [&skip, block].concat()
}

/// The filter that asks a listener about bind(2); calls of another architecture's table pass.
pub fn binds() -> Vec<Instruction> {
    let mut program = only_native(ALLOW);
    program.extend(when(SYS_bind, &[give(ASK)]));
    program.push(give(ALLOW));
    program
}

/// Runs a program as the kernel does.
#[cfg(test)]
pub fn run(program: &[Instruction], architecture: u32, call: c_long, arguments: &[u64]) -> u32 {
    let half = |offset: u32| {
        let argument = arguments.get((offset as usize - 16) / 8).copied().unwrap_or_default();
        if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
    };
    let (mut accumulator, mut at) = (0, 0);
    loop {
        let one = program[at];
        at += 1;
        let test = match one.code {
            RETURN => return one.operand,
            LOAD => {
                accumulator = match one.operand {
                    NUMBER => number_of(call),
                    ARCHITECTURE => architecture,
                    offset => half(offset),
                };
                continue;
            }
            AND => {
                accumulator &= one.operand;
                continue;
            }
            JUMP => {
                at += one.operand as usize;
                continue;
            }
            JUMP_EQUAL => accumulator == one.operand,
            JUMP_GREATER => accumulator > one.operand,
            JUMP_GREATER_OR_EQUAL => accumulator >= one.operand,
            JUMP_ANY_BIT => accumulator & one.operand != 0,
            other => panic!("{other}"),
        };
        at += usize::from(if test { one.if_true } else { one.if_false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bind_is_asked_about() {
        assert_eq!(run(&binds(), NATIVE, SYS_bind, &[0, 0]), ASK);
        assert_eq!(run(&binds(), NATIVE, libc::SYS_listen, &[0, 0]), ALLOW);
        assert_eq!(run(&binds(), 0, SYS_bind, &[0, 0]), ALLOW, "another architecture's table");
    }
}
