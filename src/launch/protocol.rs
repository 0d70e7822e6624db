//! What the manager and a launcher say to each other, over one `SOCK_SEQPACKET` pair: the launcher's standard
//! input. Each packet is one JSON message; descriptors travel beside it as `SCM_RIGHTS`.
//!
//! ```text
//! manager                          launcher A (sampan-launch)          B: PID 1 of the container
//!    | Begin + [plan memfd, sockets…] ->|                                 |
//!    |                                  | clone3(CLONE_PARENT | CLONE_NEW…)
//!    |<- Started{pid} + [pidfd] --------|                                 |
//!    | asks systemd for the scope       | writes the id maps, mounts      | own mounts
//!    |<- Prepared ------------------------------------------------------- |   (A has exited)
//!    | Go ----------------------------------------------------------->    | cgroup namespace, journal, drops all
//!    |<- Notifier + [seccomp listener] ---------------------------------- |   (only with `pass = "swap"`)
//!    |<- end of file: the payload has been executed --------------------- |
//! ```
//!
//! To join a running container (`exec`) it is the same, with the container's pidfd and three standard streams
//! beside the plan; B then enters the container's namespaces, and `Go` says that it is in the scope.
//!
//! Instead of any message `Failed` may come; then the launcher exits. B is a child of the manager's own
//! process (`CLONE_PARENT`), so that the manager learns its exit status with waitid(2).

use serde::{Deserialize, Serialize};

/// From the manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Beside it: the sealed memfd of the plan, then the sockets with `pass = "fd"` in the order of the plan.
    /// To join: the container's pidfd, then standard input, output and error.
    Begin,
    /// The scope exists: go on to the payload.
    Go,
}

/// From the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The first process of the container exists; beside it: its pidfd.
    Started {
        /// Its number as the manager sees it.
        pid: u32,
    },
    /// All that needs no scope is done.
    Prepared,
    /// Beside it: the descriptor of the seccomp listener for bind(2).
    Notifier,
    /// A step failed. The launcher has ended or is about to.
    Failed(StepError),
}

/// Why a launch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {subject}: {}", strerror(*.errno))]
pub struct StepError {
    /// The step, in words of the plan: `execute`, `mount root`.
    pub step: String,
    /// The path or thing it was about.
    pub subject: String,
    /// The error number, errno(3).
    pub errno: i32,
}

/// The words of strerror(3) alone: the standard library adds the number.
fn strerror(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_step_subject_and_reason() {
        let error = StepError { step: "execute".into(), subject: "/bin/nope".into(), errno: 2 };
        assert_eq!(error.to_string(), "execute: /bin/nope: No such file or directory");
    }
}
