//! `sampan-proxy`: moves bytes between the sockets of one unit and its server, in the container's network. Started with
//! the container.
//!
//! Its configuration is JSON on standard input ([`Configuration`]); the listening sockets follow the standard streams,
//! from descriptor 3 on, in the order of the configuration, and where that says so a pidfd of the container. Once all servers listen it writes `listening` to standard output
//! and closes it. SIGTERM has it accept nobody any more and end when all clients have left.
#![forbid(unsafe_code)]

use anyhow::Context as _;
use sampan::proxy::configuration::Configuration;
use sampan::proxy::{self, Notice};
use sampan::sys::descriptor;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sampan-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    let configuration: Configuration =
        serde_json::from_reader(std::io::stdin().lock()).context("configuration on standard input")?;
    let sockets = descriptor::take_inherited(configuration.descriptors()).context("passed sockets")?;
    let report = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).context("standard output")?;
    let null = File::options().read(true).write(true).open("/dev/null").context("/dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("standard input")?;
    rustix::stdio::dup2_stdout(&null).context("standard output")?;
    drop(null);
    proxy::run(configuration, sockets, report, Box::new(tell)).map_err(Into::into)
}

/// sd-daemon(3): a line that the journal takes as a warning.
fn tell(notice: &Notice) {
    // Where nobody can be told, clients are served all the same.
    let _ = std::io::stderr().write_all(format!("<4>{notice}\n").as_bytes());
}
