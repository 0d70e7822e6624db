//! Errors of system calls: their words as of strerror(3) alone, to which the standard library adds numbers, and whom
//! they are about.

use rustix::io::Errno;
use std::io;

/// Whether an error of accept(2) is one of the connection that would have come, or a firewall's, and the next one may be
/// taken.
pub fn is_of_connection(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::INTR
            | Errno::PERM
            | Errno::TIMEDOUT
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
    )
}

/// The words for an error.
pub fn words(error: &io::Error) -> String {
    without_numbers(&error.to_string())
}

/// A text without the numbers of the errors that it tells.
pub fn without_numbers(text: &str) -> String {
    const MARK: &str = " (os error ";
    let mut parts = text.split(MARK);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => words.push_str(rest),
            _ => words.extend([MARK, part]),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_left_out() {
        let error = io::Error::from_raw_os_error(13);
        assert_eq!(words(&error), "Permission denied");
        assert_eq!(
            without_numbers(&format!("a: {error}, b: {error}.")),
            "a: Permission denied, b: Permission denied."
        );
        assert_eq!(without_numbers("text (os error x) more"), "text (os error x) more");
    }
}
