//! Installing seccomp filters, seccomp(2): plain ones and one whose decisions are asked of a listener.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// One instruction of classic BPF, `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip when true.
    pub if_true: u8,
    /// Instructions to skip when false.
    pub if_false: u8,
    /// The operand.
    pub operand: u32,
}

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
const NEW_LISTENER: libc::c_ulong = 1 << 3;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

/// Installs a filter for the calling thread and its children to come.
///
/// # Errors
/// `EACCES` without `no_new_privs` and `CAP_SYS_ADMIN`; `EINVAL` when it is not a valid program.
pub fn install(program: &[Instruction]) -> io::Result<()> {
    set_filter(program, 0).map(drop)
}

/// Installs a filter with `SECCOMP_RET_USER_NOTIF` in it; gives the descriptor on which to answer.
///
/// # Errors
/// As [`install`]; `EBUSY` when there is such a filter already.
pub fn install_with_listener(program: &[Instruction]) -> io::Result<OwnedFd> {
    let listener = match set_filter(program, NEW_LISTENER | WAIT_KILLABLE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => set_filter(program, NEW_LISTENER)?,
        result => result?,
    };
    // SAFETY: with this flag the call gives a new descriptor that nobody else knows of. It closes on exec.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

fn set_filter(program: &[Instruction], flags: libc::c_ulong) -> io::Result<RawFd> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `Instruction` has the layout of sock_filter (asserted in a test), the length is the slice's, and
    // the kernel copies the program without writing to it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match RawFd::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_has_the_layout_of_the_kernels() {
        assert_eq!(size_of::<Instruction>(), size_of::<libc::sock_filter>());
        assert_eq!(align_of::<Instruction>(), align_of::<libc::sock_filter>());
    }

    #[test]
    fn a_filter_holds_for_its_thread() {
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            // Everything is allowed but for a call without a program, which is no valid filter.
            install(&[Instruction { code: 0x06, if_true: 0, if_false: 0, operand: 0x7fff_0000 }]).unwrap();
            assert_eq!(install(&[]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        })
        .join()
        .unwrap();
    }
}
