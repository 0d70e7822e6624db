//! All raw system calls and every `unsafe` block, each behind a safe function that takes and gives owned or
//! borrowed descriptors.

pub mod descriptor;
pub mod process;
pub mod seccomp_notify;
pub mod sock_diag;
