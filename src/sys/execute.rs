//! execve(2) of a path that is taken literally: no search, and no shell for files without a `#!`.

use std::ffi::{CStr, CString};
use std::io;

/// Becomes another program. Returns only on failure.
pub fn execute(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: the path ends in NUL; both arrays end in a null pointer and point to strings that end in NUL and
    // are borrowed until the call returns.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// As [`execute()`], with the path as the only argument and without environment, and without memory of its own: also in
/// the copy of a process that had more threads, any of which may have held a lock.
pub fn execute_plainly(path: &CStr) -> io::Error {
    let arguments = [path.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: the path ends in NUL; both arrays end in a null pointer and live until the call returns.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error() {
        let error = execute(c"/nonexistent", &[c"x".to_owned()], &[]);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(execute_plainly(c"/nonexistent").kind(), io::ErrorKind::NotFound);
    }
}
