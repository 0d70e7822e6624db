//! How the kernel schedules the calling process, and which machine it takes its own for: sched_setscheduler(2),
//! ioprio_set(2), personality(2).

use std::io;

/// Whether children begin with the default policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFork {
    /// They have their parent's.
    Inherit,
    /// They begin with the default, `SCHED_RESET_ON_FORK`.
    Reset,
}

/// Sets policy, by its number of linux/sched.h, and priority.
///
/// # Errors
/// As sched_setscheduler(2).
pub fn set_policy(policy: i32, priority: u32, on_fork: OnFork) -> io::Result<()> {
    let flag = if on_fork == OnFork::Reset { libc::SCHED_RESET_ON_FORK } else { 0 };
    let priority = libc::c_int::try_from(priority).unwrap_or(libc::c_int::MAX);
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the call reads the parameters, which outlive it; 0 is the caller.
    done(unsafe { libc::sched_setscheduler(0, policy | flag, &raw const parameters) }.into())
}

/// Sets the class of input and output, by its number of linux/ioprio.h, and the priority in it.
///
/// # Errors
/// As ioprio_set(2).
pub fn set_io(class: u32, priority: u32) -> io::Result<()> {
    const PROCESS: libc::c_int = 1;
    const CALLER: libc::c_int = 0;
    const CLASS_SHIFT: u32 = 13;
    // SAFETY: the call takes numbers alone.
    done(unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, CALLER, class << CLASS_SHIFT | priority) })
}

/// Sets the execution domain, by its number of linux/personality.h.
///
/// # Errors
/// As personality(2).
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: the call takes a number alone.
    done(unsafe { libc::personality(libc::c_ulong::from(domain)) }.into())
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_what_it_is_given() {
        std::thread::spawn(|| {
            set_policy(3, 0, OnFork::Inherit).unwrap();
            set_policy(3, 0, OnFork::Reset).unwrap();
            let policy = libc::SCHED_BATCH | libc::SCHED_RESET_ON_FORK;
            // SAFETY: the call takes a number alone.
            assert_eq!(unsafe { libc::sched_getscheduler(0) }, policy);
            assert_eq!(set_policy(3, 1, OnFork::Reset).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            set_io(3, 0).unwrap();
            assert!(set_io(5, 0).is_err());
            set_personality(8).unwrap();
            assert_ne!(rustix::system::uname().machine(), c"x86_64");
        })
        .join()
        .unwrap();
    }
}
