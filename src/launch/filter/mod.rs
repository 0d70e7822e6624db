//! The seccomp filter of a container, by default or as its unit says.
//!
//! Calls of another architecture (also x32) and calls nobody knows yet get `ENOSYS`, so that programs fall back;
//! known and dangerous ones `EPERM`. clone3(2) gets `ENOSYS` since its flags cannot be seen: C libraries
//! then use clone(2), whose flags can.

mod rules;

use super::profile::Namespaces;
use super::step::SystemCalls;
use crate::sys::seccomp::Instruction;
use crate::sys::seccomp_program::{
    ALLOW, JUMP_ANY_BIT, JUMP_EQUAL, JUMP_GREATER_OR_EQUAL, REFUSE, UNKNOWN, argument, by_number, give, load,
    number_of, only_native, unless_skip, when,
};
use crate::sys::syscalls::{
    AF_ALG, AF_VSOCK, ALLOWED, ALLOWED_HERE, REFUSED, REFUSED_HERE, SYS_clone, SYS_clone3,
    SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, SYS_ioctl, SYS_personality, SYS_setns,
    SYS_socket, SYS_unshare, TIOCLINUX, TIOCSTI, c_long,
};
use crate::unit::system_calls::{CallBase, SystemCallFilter};
use std::collections::BTreeMap;
use std::str::FromStr as _;
use syscalls::Sysno;

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

/// Calls of x32 have this bit in their numbers, and the architecture of others.
const X32: u32 = 0x4000_0000;
/// The largest program that the kernel takes, `BPF_MAXINSNS`.
const SIZE_MAX: usize = 4096;

/// The filters of a container, to be installed in this order. The strictest verdict holds, whatever the order.
pub fn all(calls: &SystemCalls) -> Vec<Vec<Instruction>> {
    match calls {
        SystemCalls::Filter(filter) => vec![of(filter)],
        SystemCalls::Profile(rules) => vec![floor(rules.namespaces), rules::compile(rules)],
    }
}

/// Whether the kernel takes them.
pub fn fits(calls: &SystemCalls) -> bool {
    all(calls).iter().all(|program| program.len() <= SIZE_MAX)
}

/// What no profile allows: calls of another architecture, input forged on a terminal, sockets that reach the page
/// cache or the hypervisor, and io_uring, with which the filters see nothing of that; and new namespaces, where the
/// container does not have `CAP_SYS_ADMIN`.
fn floor(namespaces: Namespaces) -> Vec<Instruction> {
    let mut program = only_native(UNKNOWN);
    program.extend([unless_skip(JUMP_GREATER_OR_EQUAL, X32), give(UNKNOWN)]);
    program.extend(when(SYS_socket, &refuse_values(argument(0), &FAMILIES)));
    program.extend(when(SYS_ioctl, &refuse_values(argument(1), &REQUESTS)));
    for call in [SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register] {
        program.extend(when(call, &[give(REFUSE)]));
    }
    if namespaces == Namespaces::Refused {
        program.extend(when(SYS_clone, &refuse_bits(argument(0), NEW_NAMESPACES)));
        program.extend(when(SYS_clone3, &[give(UNKNOWN)]));
        for call in [SYS_unshare, SYS_setns] {
            program.extend(when(call, &[give(REFUSE)]));
        }
    }
    program.push(give(ALLOW));
    program
}

/// The filter of a unit that has no profile.
fn of(filter: &SystemCallFilter) -> Vec<Instruction> {
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
    program.extend(by_number(&verdicts, UNKNOWN));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::seccomp_program::{NATIVE, run};

    fn verdict(call: c_long, arguments: [u64; 2]) -> u32 {
        run(&default(), NATIVE, call, &arguments)
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
        let verdict = |program: &[Instruction], call, first| run(program, NATIVE, call, &[first, 0]);
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
        assert_eq!(run(&more, 0x4000_0003, 1, &[0, 0]), UNKNOWN, "whatever the list, no other architecture");
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
        assert_eq!(run(&default(), 0x4000_0003, 1, &[0, 0]), UNKNOWN);
        assert_eq!(verdict(0x4000_0000 | libc::SYS_read, [0, 0]), UNKNOWN);
    }

    #[test]
    fn no_profile_goes_below_the_floor() {
        let own = floor(Namespaces::Refused);
        for (call, first, verdict) in [
            (SYS_socket, libc::AF_ALG as u64, REFUSE),
            (SYS_socket, libc::AF_INET as u64, ALLOW),
            (SYS_clone, libc::CLONE_NEWNET as u64, REFUSE),
            (SYS_clone, libc::SIGCHLD as u64, ALLOW),
            (SYS_clone3, 0, UNKNOWN),
            (SYS_setns, 0, REFUSE),
            (SYS_io_uring_setup, 0, REFUSE),
            (libc::SYS_mount, 0, ALLOW),
            (0x4000_0000 | libc::SYS_read, 0, UNKNOWN),
        ] {
            assert_eq!(run(&own, NATIVE, call, &[first]), verdict, "{call}");
        }
        assert_eq!(run(&own, NATIVE, SYS_ioctl, &[0, 1 << 40 | TIOCSTI]), REFUSE);
        assert_eq!(run(&own, 0x4000_0003, 1, &[]), UNKNOWN);
        assert_eq!(run(&floor(Namespaces::AsProfile), NATIVE, SYS_unshare, &[]), ALLOW);
    }
}
