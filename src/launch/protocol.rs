//! What the manager and a launcher say to each other, over one `SOCK_SEQPACKET` pair: the launcher's standard
//! input. Each packet is one JSON message; descriptors travel beside it as `SCM_RIGHTS`.
//!
//! ```text
//! manager               A: sampan-launch                H: its helper                 B: PID 1 of the container
//!    |                     | forks H, and waits ---------> | waits                       |
//!    | Separate ---------->| own namespaces -------------> | one that lends id maps      |
//!    | Begin + [plan, …] ->| watches for the control group |                             |
//!    |<- Ready ------------| the same, further namespaces->| id maps                     |
//!    | asks systemd for a  |                               | mounts that come from the   |
//!    | scope with A        | waits for the group           | host, journal               |
//!    |<- Started{pid} -----| clone3(CLONE_PARENT | CLONE_INTO_CGROUP | CLONE_NEWPID) --> |
//!    | writes the run down |                               | trees, as they are made --> | own mounts
//!    |<- Mounted ------------------------------------------| exits                       |
//!    |<- Prepared ------------------------------------------------------------------------ |  (with a pause)
//!    | Go ---------------->| waits for limits of the group |                             |
//!    |                     | Go -----------------------------------------------------> | drops all
//!    |<- Output + [FIFO, journal stream] -------------------------------------------------- |
//!    |<- Notifier + [seccomp listener] ---------------------------------------------------- |  (`pass = "swap"`)
//!    |<- Executed ---------| sees B's end of their pair close ---------------------------- | executes the payload
//!    | Attached ---------->| exits                         |                             |
//!    |<- end of file: all are done ------------------------------------------------------- |
//! ```
//!
//! systemd moves A, which it was asked for, to the scope, and for that the kernel waits out a grace period of RCU:
//! 10 ms and more on a host at rest (`cgroup_threadgroup_rwsem`). Meanwhile no process is born anywhere. So B is born
//! in the moment between systemd making the group and moving A: directly in the group, from an A that waits for it and
//! whose other namespaces are made already, so that the kernel has little left to do. B goes on to the payload when the
//! limits are written. Where the group is not found before, `Attached` says that A itself is in the scope by now, and B
//! is born beside it.
//!
//! What needs the host's privilege is done by H meanwhile, which is in no scope: A has given it up for its namespaces.
//! It begins when systemd can, which has the longer way to go; two processors are soon busy with all of this.
//!
//! The manager asks systemd once it has heard `Ready`: a fresh A that is moved before it watches misses that moment. One
//! that has waited for its plan watches long before systemd is as far, so that systemd is asked beside `Begin`.
//!
//! `Separate` comes before there is a plan, to an A that waits for one, and only to one whose container will have those
//! namespaces to itself: most have. All others enter theirs where `further namespaces` stands.
//!
//! The payload's standard output and error are a stream to the journal. A socket cannot be opened by its name
//! again, so `/dev/stdout` and `/dev/stderr` are a FIFO, and the manager moves what is written there to a second
//! stream: both come with `Output`, before the payload can open the one.
//!
//! To join a running container (`exec`), the container's pidfd and three standard streams come beside the plan;
//! B is born in the container's control group and enters its namespaces.
//!
//! Instead of any message `Failed` may come; then the launcher exits. B is a child of the manager's own
//! process (`CLONE_PARENT`), so that the manager learns its exit status with waitid(2).

use super::hint::{hint, hint_of_join};
use crate::sys::errno;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// systemd.exec(5), `EXIT_EXEC`: what B ends with where it has not got to the payload. Which step has failed is told by
/// [`Report::Failed`], and [`LaunchStatus`](super::status::LaunchStatus) has its status.
pub const UNSTARTED: i32 = 203;

/// From the manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Enter namespaces while there is no plan: it will be that of a container which has them to itself.
    Separate,
    /// Beside it: the sealed memfd of the plan, a pipe with secrets where the unit has some in its file, standard
    /// input, output and error where the plan wants them passed, then the sockets with `pass = "fd"` in the order of
    /// the plan.
    /// To join: the container's pidfd, then standard input, output and error.
    Begin,
    /// The manager has written down that the process exists: it may become the payload.
    Go,
    /// The scope is active: the launcher is in it, and no longer needed.
    Attached,
}

/// From the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The launcher can be moved to its scope.
    Ready,
    /// All mounts that come from the host are there.
    Mounted {
        /// When the root file system would have been, made before the others.
        rooted: Duration,
        /// When all were.
        mounted: Duration,
    },
    /// The first process of the container exists; beside it: its pidfd.
    Started {
        /// Its number as the manager sees it.
        pid: u32,
        /// How far the launcher had got, and when.
        #[serde(default)]
        times: Times,
    },
    /// The container is whole and waits for [`Order::Go`]; only where the plan has a pause.
    Prepared,
    /// Beside it: the FIFO `/dev/stdout`, open for both and nonblocking, so that it always has a reader and never
    /// an end; then a nonblocking stream to the journal for what is written to it.
    Output {
        /// When all of the container was there.
        whole: Duration,
    },
    /// Beside it: the descriptor of the seccomp listener for bind(2).
    Notifier,
    /// The payload has been executed, if nobody has said [`Report::Failed`] before. The end of file says the same: this
    /// comes where the launcher waits for systemd to move it.
    Executed,
    /// A step failed. The launcher has ended or is about to.
    Failed(StepError),
}

/// When the launcher had done what comes before the first process, on `CLOCK_BOOTTIME`. One that joins a container has
/// none of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// It had read its plan.
    pub begun: Duration,
    /// The control group of the scope was there.
    pub grouped: Duration,
}

/// Why a launch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// The step, in words of the plan: `execute`, `mount root`.
    pub step: String,
    /// The path or thing it was about.
    pub subject: String,
    /// The error number, errno(3).
    pub errno: i32,
}

impl std::error::Error for StepError {}

/// Step, subject and reason; and what to do, where that is known.
impl fmt::Display for StepError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with(hint(self)))
    }
}

impl StepError {
    /// The same of a command that joins a container.
    pub fn of_join(&self) -> String {
        self.with(hint_of_join(self))
    }

    fn with(&self, hint: Option<&str>) -> String {
        let Self { step, subject, errno } = self;
        let reason = match (step.as_str(), *errno) {
            // There is no error number for it, and that of processes says something else.
            ("resolve user", libc::ESRCH) => "The image's /etc/passwd has no such user".to_owned(),
            ("resolve group", libc::ESRCH) => "The image's /etc/group has no such group".to_owned(),
            (_, number) => errno::words(&std::io::Error::from_raw_os_error(number)),
        };
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{step}: {subject}: {reason}{hint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_step_subject_and_reason() {
        let error = StepError { step: "write".into(), subject: "/etc/hosts".into(), errno: 5 };
        assert_eq!(error.to_string(), "write: /etc/hosts: Input/output error");
        let error = StepError { step: "open bind".into(), subject: "/srv/x".into(), errno: 2 };
        assert!(error.to_string().starts_with("open bind: /srv/x: No such file or directory; make it, or"));
    }
}
