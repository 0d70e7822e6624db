//! Tests of what needs a systemd run themselves again inside a private host.

use super::host::Host;
use std::fs;

/// Tells a test program that it runs inside.
const INSIDE: &str = "SAMPAN_TEST_INSIDE";

/// Whether this program runs inside a private host.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program inside a private host, with these arguments; it must succeed.
pub fn run_again(arguments: &[&str]) {
    let host = Host::boot();
    let program = std::env::current_exe().expect("a test program knows its path");
    fs::copy(program, host.shared().join("test")).expect("the host's directory can be written");
    let variable = format!("{INSIDE}=1");
    let words = [&["env", variable.as_str(), "/srv/test"], arguments].concat();
    host.succeed(&words);
}
