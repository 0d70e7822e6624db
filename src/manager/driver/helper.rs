//! A container without a payload, for commands of a unit whose own container has ended: the same root, mounts, limits
//! and name. What it holds is joined; it ends with the last command.

use super::commands::{Commands, Inhabited};
use super::control::{Control, failure, io_failure, process_of, step_failure, unlaunched};
use super::launch::scope_request;
use super::live::{LiveRun, Parent, Process};
use super::prepare::{Ends, prepare};
use super::turns::Turns;
use crate::launch::protocol::{Order, Report};
use crate::launch::step::{Output, Pause};
use crate::manager::machine::Failure;
use crate::systemd::SystemdError;
use crate::systemd::manager::{HostState, ScopeRequest, Systemd};
use crate::unit::model::Stage;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// How long systemd may take to notice that a scope is empty, before it is asked to stop it.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Such a container.
pub(super) struct Helper {
    pub(super) inhabited: Inhabited,
    held: Held,
}

/// All of it that must end.
struct Held {
    /// With its end the launcher ends.
    control: Control,
    live: LiveRun,
    scope: String,
    systemd: Systemd,
    ephemeral: Option<PathBuf>,
}

impl Helper {
    /// Makes one. One that a manager before has made for this ended with it.
    pub(super) async fn begin(commands: &Commands, stage: Stage) -> Result<Self, Failure> {
        let (unit, container) = (&commands.unit, commands.container()?);
        let hands = &commands.hands;
        leave_scope(&hands.systemd, &unit.name.scope()).await;
        let ends = Ends { notify: None, output: Output::Journal };
        let mut prepared = prepare(unit, container, hands, ends)?;
        prepared.plan.pause = Pause::Prepared;
        let launch = hands.launcher.spawn(&prepared.plan, &[]);
        let launch = launch.map_err(|error| unlaunched(&error))?;
        let control = Control::new(launch)?;
        let first = (control.pid(), control.process()?);
        let mut request = scope_request(unit, container, &prepared.facts, hands.slice.clone(), first);
        request.description = format!("{} of {}", stage.key(), unit.name);
        let held = Held {
            control,
            live: LiveRun::new(0),
            scope: request.name.clone(),
            systemd: hands.systemd.clone(),
            ephemeral: prepared.facts.ephemeral,
        };
        let turns = Turns::of(held.control.origin());
        match held.until_prepared(request, &turns).await {
            Ok((pid, pidfd)) => {
                Ok(Self { inhabited: Inhabited { pid, pidfd, invocation: prepared.invocation }, held })
            }
            Err(failure) => {
                held.end().await;
                Err(failure)
            }
        }
    }

    /// Leaves nothing of it.
    pub(super) async fn end(self) {
        self.held.end().await;
    }
}

impl Held {
    /// Waits until it is whole, in its scope.
    async fn until_prepared(&self, request: ScopeRequest, turns: &Turns) -> Result<(u32, OwnedFd), Failure> {
        let scope = async {
            turns.movable.notified().await;
            let started = match self.systemd.start_scope(&request).await {
                Err(SystemdError::Refused { .. }) if self.systemd.is_stopping().await => {
                    let last = ScopeRequest { after: Vec::new(), host: HostState::GoingDown, ..request };
                    self.systemd.start_scope(&last).await
                }
                started => started,
            };
            started.map_err(|error| failure(error.to_string(), 0))?;
            self.control.order(&Order::Attached);
            Ok(())
        };
        let ((), ()) = tokio::try_join!(biased; self.hear_out(turns), scope)?;
        let process = self.live.process.get();
        let process = process.ok_or_else(|| failure("sampan-launch: ended without a word".into(), 0))?;
        let pidfd = process.pidfd.try_clone().map_err(|error| io_failure("pidfd", &error))?;
        Ok((process.pid, pidfd))
    }

    async fn hear_out(&self, turns: &Turns) -> Result<(), Failure> {
        while let Some((report, descriptors)) = self.control.receive().await? {
            match report {
                Report::Ready => turns.movable.notify_one(),
                Report::Started { pid, .. } => {
                    let pidfd = process_of(pid, descriptors)?;
                    // The cell is as new as the container.
                    let _ = self.live.process.set(Process { pid, pidfd, parent: Parent::Manager });
                }
                Report::Prepared => return Ok(()),
                Report::Mounted { .. } | Report::Output { .. } | Report::Notifier | Report::Executed => {}
                Report::Failed(error) => return Err(step_failure(&error)),
            }
        }
        Err(failure("sampan-launch: ended without a word".into(), 0))
    }

    async fn end(self) {
        let Self { control, live, scope, systemd, ephemeral } = self;
        control.end().await;
        if live.process.get().is_some() {
            live.kill();
            live.wait().await;
        }
        leave_scope(&systemd, &scope).await;
        if let Some(directory) = ephemeral {
            super::discard::discard(&directory);
        }
    }
}

/// Waits until the name of a scope is free.
pub(super) async fn leave_scope(systemd: &Systemd, scope: &str) {
    let removed = tokio::time::timeout(REMOVAL_TIMEOUT, systemd.wait_removed(scope)).await;
    // A scope without a process that systemd has not noticed, or one that still has others.
    if removed.is_err()
        && let Err(error) = systemd.give_up_scope(scope).await
    {
        tracing::warn!("{error}, continuing");
    }
}
