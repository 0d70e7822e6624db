//! Merging equal pages of memory, `PR_SET_MEMORY_MERGE` of prctl(2).

use std::io;

/// Has the kernel merge equal pages of this process, and of all that come from it.
///
/// # Errors
/// `EINVAL` where the kernel has no KSM or is older than 6.4, `EPERM` without CAP_SYS_RESOURCE.
pub fn enable() -> io::Result<()> {
    const PR_SET_MEMORY_MERGE: libc::c_int = 67;
    const UNUSED: libc::c_ulong = 0;
    const ON: libc::c_ulong = 1;
    // SAFETY: this option takes numbers alone; the last three must be 0.
    match unsafe { libc::prctl(PR_SET_MEMORY_MERGE, ON, UNUSED, UNUSED, UNUSED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_or_the_kernel_has_none() {
        const PR_GET_MEMORY_MERGE: libc::c_int = 68;
        let enabled = enable();
        // SAFETY: this option takes zeros alone, and answers with a number.
        match unsafe { libc::prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) } {
            -1 => assert_eq!(enabled.unwrap_err().raw_os_error(), Some(libc::EINVAL)),
            on => {
                enabled.unwrap();
                assert_eq!(on, 1);
            }
        }
    }
}
