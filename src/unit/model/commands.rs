//! Commands around a payload: before and after its start and its stop, systemd.service(5) `ExecStartPre=` and so on.

use serde::{Deserialize, Serialize};

/// When commands are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before all others: whether there is to be a start.
    Condition,
    /// Before the payload.
    StartPre,
    /// When the container is ready.
    StartPost,
    /// In place of a bare stop signal, which follows.
    Stop,
    /// When nothing of the container is left.
    StopPost,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Condition, Self::StartPre, Self::StartPost, Self::Stop, Self::StopPost];

    /// The key of the unit file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Condition => "exec_condition",
            Self::StartPre => "exec_start_pre",
            Self::StartPost => "exec_start_post",
            Self::Stop => "exec_stop",
            Self::StopPost => "exec_stop_post",
        }
    }

    /// systemd's word, as in its sub-states.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::StartPre => "start-pre",
            Self::StartPost => "start-post",
            Self::Stop => "stop",
            Self::StopPost => "stop-post",
        }
    }
}

/// The commands of a container, each list in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commands {
    /// `container.exec_condition`
    pub condition: Vec<ExecCommand>,
    /// `container.exec_start_pre`
    pub start_pre: Vec<ExecCommand>,
    /// `container.exec_start_post`
    pub start_post: Vec<ExecCommand>,
    /// `container.exec_stop`
    pub stop: Vec<ExecCommand>,
    /// `container.exec_stop_post`
    pub stop_post: Vec<ExecCommand>,
}

impl Commands {
    /// Those of one stage.
    pub fn of(&self, stage: Stage) -> &[ExecCommand] {
        match stage {
            Stage::Condition => &self.condition,
            Stage::StartPre => &self.start_pre,
            Stage::StartPost => &self.start_post,
            Stage::Stop => &self.stop,
            Stage::StopPost => &self.stop_post,
        }
    }

    /// Whether there are any of a stage.
    pub fn has(&self, stage: Stage) -> bool {
        !self.of(stage).is_empty()
    }

    /// Whether something is to be run in the container before its payload.
    pub fn hold_the_payload(&self) -> bool {
        let mut before = self.condition.iter().chain(&self.start_pre);
        before.any(|command| command.place == Place::Container)
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecCommand {
    /// The program and its arguments; no shell reads them.
    pub words: Vec<String>,
    /// Where it runs.
    pub place: Place,
    /// As whom, where not as the payload, or on the host as root.
    pub user: Option<String>,
    /// What its failure means.
    pub failure: OnFailure,
}

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In the container.
    Container,
    /// Outside, as a service of systemd's.
    Host,
}

/// What the failure of a command means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The start or the stop fails with it.
    Counts,
    /// Nothing: `-` before the program.
    Ignored,
}
