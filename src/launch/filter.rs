//! The seccomp filter of a container, by default or as its unit says, and the one that lets the manager answer bind(2).
//!
//! Calls of another architecture (also x32) and calls nobody knows yet get `ENOSYS`, so that programs fall back;
//! known and dangerous ones `EPERM`. clone3(2) gets `ENOSYS` since its flags cannot be seen: C libraries
//! then use clone(2), whose flags can.

use crate::sys::seccomp::Instruction;
use crate::sys::syscalls::{
    AF_ALG, AF_VSOCK, ALLOWED, ALLOWED_HERE, ENOSYS, EPERM, REFUSED, REFUSED_HERE, SYS_bind, SYS_clone,
    SYS_clone3, SYS_ioctl, SYS_personality, SYS_socket, SYS_unshare, TIOCLINUX, TIOCSTI, c_long,
};
use crate::unit::system_calls::{CallBase, SystemCallFilter};
use std::collections::BTreeMap;
use std::str::FromStr as _;
use syscalls::Sysno;

/// `struct seccomp_data`: number, architecture, then arguments from offset 16; the low half of one stands first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

// linux/bpf_common.h and linux/seccomp.h
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const ASK: u32 = 0x7fc0_0000;
const REFUSE: u32 = ERRNO | EPERM as u32;
const UNKNOWN: u32 = ERRNO | ENOSYS as u32;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// `CLONE_NEW*` in the flags of clone(2).
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// `AF_ALG` (page-cache writes through splice(2)) and `AF_VSOCK` (the hypervisor is no peer of a container).
const FAMILIES: [u32; 2] = [AF_ALG as u32, AF_VSOCK as u32];
/// Input forged on a terminal. The kernel looks at 32 bits of the request only, and so do we.
const REQUESTS: [u32; 2] = [TIOCSTI as u32, TIOCLINUX as u32];
/// PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Calls whose arguments decide.
const LOOKED_INTO: [c_long; 4] = [SYS_clone, SYS_socket, SYS_ioctl, SYS_personality];

/// The filter of a container.
pub fn of(filter: &SystemCallFilter) -> Vec<Instruction> {
    let verdicts = verdicts(filter);
    let allowed = |call| verdicts.get(&number_of(call)) == Some(&ALLOW);
    let mut program = only_native(UNKNOWN);
    // Calls that the table refuses are not looked into.
    if !allowed(SYS_unshare) && allowed(SYS_clone) {
        program.extend(when(SYS_clone, &refuse_bits(argument(0), NEW_NAMESPACES)));
    }
    if allowed(SYS_socket) {
        program.extend(when(SYS_socket, &refuse_values(argument(0), &FAMILIES)));
    }
    if allowed(SYS_ioctl) {
        program.extend(when(SYS_ioctl, &refuse_values(argument(1), &REQUESTS)));
    }
    if allowed(SYS_personality) && !filter.allowed.contains("personality") {
        program.extend(when(SYS_personality, &allow_values(argument(0), &PERSONALITIES)));
    }
    program.extend(by_number(&verdicts));
    program
}

/// What each call gets that gets something else than `ENOSYS`.
fn verdicts(filter: &SystemCallFilter) -> BTreeMap<u32, u32> {
    let mut verdicts = BTreeMap::new();
    match filter.base {
        CallBase::Default => {
            verdicts.extend(ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (number_of(*call), ALLOW)));
            verdicts.extend(LOOKED_INTO.map(|call| (number_of(call), ALLOW)));
            verdicts.extend(REFUSED.iter().chain(REFUSED_HERE).map(|call| (number_of(*call), REFUSE)));
        }
        CallBase::Nothing => verdicts.extend(Sysno::iter().filter_map(|call| Some((number(call)?, REFUSE)))),
    }
    for (calls, verdict) in [(&filter.allowed, ALLOW), (&filter.refused, REFUSE)] {
        // What another architecture has is no call of this one.
        let numbers = calls.iter().filter_map(|name| number(Sysno::from_str(name).ok()?));
        verdicts.extend(numbers.map(|number| (number, verdict)));
    }
    if verdicts.get(&number_of(SYS_unshare)) != Some(&ALLOW) {
        verdicts.remove(&number_of(SYS_clone3));
    }
    verdicts
}

fn number(call: Sysno) -> Option<u32> {
    u32::try_from(call.id()).ok()
}

#[cfg(test)]
fn default() -> Vec<Instruction> {
    of(&SystemCallFilter::default())
}

/// The filter that asks about bind(2).
pub fn binds() -> Vec<Instruction> {
    let mut program = only_native(ALLOW);
    program.extend(when(SYS_bind, &[give(ASK)]));
    program.push(give(ALLOW));
    program
}

fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, if_true: 0, if_false: 0, operand: offset }
}

fn give(verdict: u32) -> Instruction {
    Instruction { code: RETURN, if_true: 0, if_false: 0, operand: verdict }
}

/// Skips the next instruction unless the accumulator meets the condition.
fn unless_skip(code: u16, operand: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 1, operand }
}

fn number_of(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Leaves the number of the call in the accumulator.
fn only_native(otherwise: u32) -> Vec<Instruction> {
    let is_native = Instruction { code: JUMP_EQUAL, if_true: 1, if_false: 0, operand: NATIVE };
    vec![load(ARCHITECTURE), is_native, give(otherwise), load(NUMBER)]
}

/// A block that decides one call for good; others skip it.
fn when(call: c_long, block: &[Instruction]) -> Vec<Instruction> {
    let skip = u8::try_from(block.len()).unwrap_or(u8::MAX);
    let test = Instruction { code: JUMP_EQUAL, if_true: 0, if_false: skip, operand: number_of(call) };
    [&[test], block].concat()
}

fn refuse_bits(offset: u32, bits: u32) -> Vec<Instruction> {
    vec![load(offset), unless_skip(JUMP_ANY_BIT, bits), give(REFUSE), give(ALLOW)]
}

fn refuse_values(offset: u32, values: &[u32]) -> Vec<Instruction> {
    decide_values(offset, values, REFUSE, ALLOW)
}

fn allow_values(offset: u32, values: &[u32]) -> Vec<Instruction> {
    decide_values(offset, values, ALLOW, REFUSE)
}

fn decide_values(offset: u32, values: &[u32], found: u32, otherwise: u32) -> Vec<Instruction> {
    let mut block = vec![load(offset)];
    for value in values {
        block.extend([unless_skip(JUMP_EQUAL, *value), give(found)]);
    }
    block.push(give(otherwise));
    block
}

/// Numbers lie in long runs of one verdict: a run costs two instructions.
fn by_number(verdicts: &BTreeMap<u32, u32>) -> Vec<Instruction> {
    let last = verdicts.keys().next_back().copied().unwrap_or(0);
    let verdict = |number| verdicts.get(&number).copied().unwrap_or(UNKNOWN);
    let mut program = Vec::new();
    for number in 1..=last + 1 {
        if verdict(number) != verdict(number - 1) {
            let beyond =
                Instruction { code: JUMP_GREATER_OR_EQUAL, if_true: 1, if_false: 0, operand: number };
            program.extend([beyond, give(verdict(number - 1))]);
        }
    }
    program.push(give(UNKNOWN));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel does.
    fn run(program: &[Instruction], architecture: u32, call: c_long, arguments: [u64; 2]) -> u32 {
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
                        16 => arguments[0] as u32,
                        24 => arguments[1] as u32,
                        other => panic!("{other}"),
                    };
                    continue;
                }
                JUMP_EQUAL => accumulator == one.operand,
                JUMP_GREATER_OR_EQUAL => accumulator >= one.operand,
                JUMP_ANY_BIT => accumulator & one.operand != 0,
                other => panic!("{other}"),
            };
            at += usize::from(if test { one.if_true } else { one.if_false });
        }
    }

    fn verdict(call: c_long, arguments: [u64; 2]) -> u32 {
        run(&default(), NATIVE, call, arguments)
    }

    #[test]
    fn each_call_gets_the_verdict_of_its_list() {
        for call in ALLOWED.iter().chain(ALLOWED_HERE) {
            assert_eq!(verdict(*call, [0, 0]), ALLOW, "{call}");
        }
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert_eq!(verdict(*call, [0, 0]), REFUSE, "{call}");
        }
        assert_eq!(verdict(libc::SYS_clone3, [0, 0]), UNKNOWN);
        assert_eq!(verdict(9999, [0, 0]), UNKNOWN);
        assert!(default().len() < 4096);
    }

    #[test]
    fn a_unit_changes_what_is_allowed() {
        let filter = |items: &[&str]| {
            let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
            of(&SystemCallFilter::read(&items).unwrap())
        };
        let verdict = |program: &[Instruction], call, first| run(program, NATIVE, call, [first, 0]);
        let narrow = filter(&["@basic-io", "@process"]);
        assert_eq!(verdict(&narrow, libc::SYS_read, 0), ALLOW);
        assert_eq!(verdict(&narrow, libc::SYS_execve, 0), ALLOW);
        assert_eq!(verdict(&narrow, libc::SYS_mkdir, 0), REFUSE);
        assert_eq!(verdict(&narrow, SYS_socket, libc::AF_INET as u64), REFUSE);
        assert_eq!(verdict(&narrow, 9999, 0), UNKNOWN);
        assert_eq!(verdict(&narrow, SYS_clone, libc::CLONE_NEWUSER as u64), REFUSE);
        let spaces = filter(&["@system-service", "unshare"]);
        assert_eq!(verdict(&spaces, SYS_clone, libc::CLONE_NEWUSER as u64), ALLOW);
        let less = filter(&["~@chown", "~ptrace"]);
        assert_eq!(verdict(&less, libc::SYS_chown, 0), REFUSE);
        assert_eq!(verdict(&less, libc::SYS_ptrace, 0), REFUSE);
        assert_eq!(verdict(&less, libc::SYS_mount, 0), REFUSE);
        assert_eq!(verdict(&less, SYS_socket, libc::AF_ALG as u64), REFUSE);
        assert_eq!(verdict(&less, SYS_clone, libc::CLONE_NEWUSER as u64), REFUSE);
        let more = filter(&["@system-service", "@keyring"]);
        assert_eq!(verdict(&more, libc::SYS_keyctl, 0), ALLOW);
        assert_eq!(verdict(&more, libc::SYS_io_uring_setup, 0), REFUSE);
        assert_eq!(run(&more, 0x4000_0003, 1, [0, 0]), UNKNOWN, "whatever the list, no other architecture");
        assert_eq!(verdict(&more, 0x4000_0000 | libc::SYS_read, 0), UNKNOWN);
        for program in [narrow, less, more, filter(&["~@privileged", "~@obsolete", "~@debug"])] {
            assert!(program.len() < 4096);
        }
    }

    #[test]
    fn arguments_are_looked_at() {
        assert_eq!(verdict(SYS_clone, [libc::SIGCHLD as u64, 0]), ALLOW);
        assert_eq!(verdict(SYS_clone, [libc::CLONE_NEWUSER as u64, 0]), REFUSE);
        assert_eq!(verdict(SYS_socket, [libc::AF_INET as u64, 0]), ALLOW);
        assert_eq!(verdict(SYS_socket, [libc::AF_ALG as u64, 0]), REFUSE);
        assert_eq!(verdict(SYS_socket, [libc::AF_VSOCK as u64, 0]), REFUSE);
        assert_eq!(verdict(SYS_ioctl, [0, libc::FIONREAD]), ALLOW);
        assert_eq!(verdict(SYS_ioctl, [0, TIOCSTI | 1 << 40]), REFUSE);
        assert_eq!(verdict(SYS_personality, [0xffff_ffff, 0]), ALLOW);
        assert_eq!(verdict(SYS_personality, [0x004_0000, 0]), REFUSE);
    }

    #[test]
    fn other_architectures_are_unknown() {
        assert_eq!(run(&default(), 0x4000_0003, 1, [0, 0]), UNKNOWN);
        assert_eq!(verdict(0x4000_0000 | libc::SYS_read, [0, 0]), UNKNOWN);
    }

    #[test]
    fn only_bind_is_asked_about() {
        assert_eq!(run(&binds(), NATIVE, SYS_bind, [0, 0]), ASK);
        assert_eq!(run(&binds(), NATIVE, libc::SYS_listen, [0, 0]), ALLOW);
    }
}
