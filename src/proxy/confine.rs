//! What the proxy gives up before it takes a client: it reads none of the bytes that it moves, but who found a fault
//! in it would be in a process that can do no more than move bytes.

use crate::sys::seccomp::{self, Instruction};
use crate::sys::seccomp_program::{
    ALLOW, JUMP_ANY_BIT, JUMP_EQUAL, REFUSE, UNKNOWN, argument, by_number, give, load, number_of,
    only_native, unless_skip, when,
};
use crate::sys::syscalls::{
    AF_INET, AF_INET6, AF_UNIX, F_SETPIPE_SZ, PROT_EXEC, PROXY, SYS_fcntl, SYS_mmap, SYS_mprotect, SYS_socket,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities};
use std::io;

/// Leaves this process with its descriptors, sockets to connect, pipes and memory. Must be called while there is one
/// thread: these are a thread's properties.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn confine() -> io::Result<()> {
    raise_descriptors()?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    seccomp::install(&filter())
}

/// Two for each connection, and two more for each pipe: as many as are allowed.
fn raise_descriptors() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn filter() -> Vec<Instruction> {
    let mut program = only_native(UNKNOWN);
    let mut families = vec![load(argument(0))];
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        families.extend([unless_skip(JUMP_EQUAL, family.cast_unsigned()), give(ALLOW)]);
    }
    families.push(give(REFUSE));
    program.extend(when(SYS_socket, &families));
    let size =
        [load(argument(1)), unless_skip(JUMP_EQUAL, F_SETPIPE_SZ.cast_unsigned()), give(ALLOW), give(REFUSE)];
    program.extend(when(SYS_fcntl, &size));
    // No memory becomes a program.
    let no_program =
        [load(argument(2)), unless_skip(JUMP_ANY_BIT, PROT_EXEC.cast_unsigned()), give(REFUSE), give(ALLOW)];
    program.extend(when(SYS_mmap, &no_program));
    program.extend(when(SYS_mprotect, &no_program));
    program.extend(by_number(&PROXY.iter().map(|call| (number_of(*call), ALLOW)).collect(), REFUSE));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::seccomp_program::{NATIVE, run};
    use crate::sys::syscalls::{AF_ALG, ALLOWED, c_long};

    #[test]
    fn sockets_and_pipes_are_all_that_there_is() {
        let verdict = |call: c_long, arguments: &[u64]| run(&filter(), NATIVE, call, arguments);
        for family in [AF_INET, AF_INET6, AF_UNIX] {
            assert_eq!(verdict(SYS_socket, &[family as u64, 1, 0]), ALLOW);
        }
        assert_eq!(verdict(SYS_socket, &[AF_ALG as u64, 1, 0]), REFUSE);
        assert_eq!(verdict(SYS_mmap, &[0, 4096, 3, 0x22]), ALLOW);
        assert_eq!(verdict(SYS_mmap, &[0, 4096, 5, 0x22]), REFUSE);
        assert_eq!(run(&filter(), 0x4000_0003, PROXY[0], &[]), UNKNOWN);
        // What every container may do, and the proxy not: open files, execute programs, send signals.
        let refused = ALLOWED.iter().filter(|call| verdict(**call, &[0; 6]) == REFUSE).count();
        assert!(refused > ALLOWED.len() - PROXY.len() - 3, "{refused}");
    }
}
