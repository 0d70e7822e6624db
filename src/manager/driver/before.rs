//! What is run before a payload: commands on the host before its container is made, so that they can make what it
//! mounts; from the first one inside on in their order, while the container waits.

use super::commands::{Commands, Hands, Inhabited, services_of_launch};
use super::launch::Broken;
use crate::unit::model::{Container, ExecCommand, Place, Stage};
use std::cell::Cell;

/// The commands of `exec_condition` and `exec_start_pre`.
pub(super) struct BeforePayload {
    commands: Commands,
    /// A run before, whose launch ended with a manager before.
    abandoned: Option<u64>,
    /// How many of all have been run.
    done: Cell<usize>,
}

impl BeforePayload {
    pub(super) fn new(commands: Commands, abandoned: Option<u64>) -> Self {
        Self { commands, abandoned, done: Cell::new(0) }
    }

    pub(super) fn hands(&self) -> &Hands {
        &self.commands.hands
    }

    /// Those on the host that come before all others.
    pub(super) async fn on_host(&self, start_pre_begun: impl Fn()) -> Result<(), Broken> {
        let unit = &self.commands.unit;
        if let Some(run) = self.abandoned {
            for services in services_of_launch(&unit.name, run) {
                if let Err(error) = self.commands.hands.systemd.end_services(&services).await {
                    tracing::warn!(SAMPAN_UNIT = %unit.name, "{error}, continuing");
                }
            }
        }
        let first = list(self.commands.container()?).take_while(|(_, command)| command.place == Place::Host);
        self.run(first.count(), None, start_pre_begun).await
    }

    /// The others, those inside by joining the container.
    pub(super) async fn inside(&self, at: &Inhabited, start_pre_begun: impl Fn()) -> Result<(), Broken> {
        self.run(usize::MAX, Some(at), start_pre_begun).await
    }

    async fn run(
        &self,
        end: usize,
        at: Option<&Inhabited>,
        start_pre_begun: impl Fn(),
    ) -> Result<(), Broken> {
        let all = list(self.commands.container()?).enumerate();
        for (index, ((stage, number), command)) in all.take(end).skip(self.done.get()) {
            if (stage, number) == (Stage::StartPre, 0) {
                start_pre_begun();
            }
            let performed = self.commands.perform((stage, number), command, at, None).await;
            performed.map_err(|failure| Broken::Command(stage, failure))?;
            self.done.set(index + 1);
        }
        Ok(())
    }

    /// Whether any has been run.
    pub(super) fn has_begun(&self) -> bool {
        self.done.get() > 0
    }

    /// Ends what was given up.
    pub(super) async fn end(&self) {
        self.commands.end().await;
    }
}

/// All of them in their order, each with its place in its stage.
fn list(container: &Container) -> impl Iterator<Item = ((Stage, usize), &ExecCommand)> {
    let stages = [Stage::Condition, Stage::StartPre].into_iter();
    stages.flat_map(|stage| {
        let own = container.commands.of(stage).iter().enumerate();
        own.map(move |(index, command)| ((stage, index), command))
    })
}
