//! The command line of Sampan.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    sampan::cli::main(std::env::args_os().collect())
}
