//! Raw system calls that rustix lacks, each with the argument why this call is sound. Takes borrowed and gives
//! owned descriptors; nothing here knows what a container is.

pub mod clone;
pub mod execute;
pub mod mount;
pub mod namespace;
pub mod pidfd;
pub mod seccomp;
pub mod session;
pub mod syscalls;
