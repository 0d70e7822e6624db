//! `sampan-launch`: performs one launch plan, then becomes the payload. Started by `sampand` only.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match sampan::launch::run::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
