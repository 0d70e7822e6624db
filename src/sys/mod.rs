//! Every `unsafe` block and raw system call. Functions take `BorrowedFd` and give `OwnedFd`, close-on-exec from
//! birth; errors are those of the call.

pub mod allocator;
pub mod arrivals;
pub mod beside;
pub mod child;
pub mod clone;
pub mod descriptor;
pub mod epoll;
pub mod errno;
pub mod execute;
pub mod init;
pub mod loop_device;
pub mod memory_merge;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod packet_info;
pub mod pidfd;
pub mod process;
pub mod readiness;
pub mod removal;
pub mod rights;
pub mod scheduling;
pub mod seccomp;
pub mod seccomp_notify;
pub mod seccomp_program;
pub mod session;
pub mod signal_descriptor;
pub mod sock_diag;
pub mod socket;
pub mod syscalls;
