//! A container whose standard streams are ours, or a terminal of its own. It ends with us, and we with it.

use super::{introduce, transient, unstarted};
use crate::cli::changes::Changes;
use crate::cli::client::Client;
use crate::cli::error::{CliError, FAILURE};
use crate::cli::exec::{
    CLD_EXITED, CLD_KILLED, Leash, Pty, Signals, Streams, Terminal, Typing, Wanted, exit_status,
};
use crate::cli::jobs::{JobWatch, explain, why};
use crate::cli::lifecycle::Operation;
use crate::cli::output::complain;
use crate::cli::unit_properties::{Ending, UnitProperties};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::signal::unix::{SignalKind, signal};
use zbus::Fd;

/// So many signals and it is stopped, however deaf.
const SIGNALS_MAX: usize = 3;

/// A container that is run.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// The manager.
    pub client: &'a Client,
    /// The unit that is made.
    pub unit: &'a str,
    /// Whether its name is not told.
    pub quiet: bool,
}

/// What the container has for standard streams.
enum Ends {
    Terminal { pty: Pty, inner: OwnedFd },
    Streams(Streams, Typing),
}

impl Ends {
    fn open(wanted: Wanted) -> Result<Self, CliError> {
        Ok(match wanted {
            Wanted::Terminal => {
                let (pty, inner) = Pty::open()?;
                Self::Terminal { pty, inner }
            }
            Wanted::Streams => {
                let (streams, typing) = Streams::open()?;
                Self::Streams(streams, typing)
            }
        })
    }

    fn theirs(&self) -> [BorrowedFd<'_>; 3] {
        match self {
            Self::Terminal { inner, .. } => [inner.as_fd(), inner.as_fd(), inner.as_fd()],
            Self::Streams(streams, _) => streams.theirs(),
        }
    }
}

impl Session<'_> {
    /// Starts it, and answers with its exit status once it has ended.
    pub async fn run(self, definition: &str, wanted: Wanted) -> Result<u8, CliError> {
        let mut signals = Signals::new()?;
        let mut watch = JobWatch::new(self.client).await?;
        let ends = Ends::open(wanted)?;
        let leash = Leash::new()?;
        let descriptors = ends.theirs().into_iter().chain([leash.theirs.as_fd()]).map(Fd::from).collect();
        let job = watch.during(transient(self.client, self.unit, definition, descriptors)).await?;
        watch.add(job, self.unit);
        let started = tokio::select! {
            started = watch.wait(self.client, Operation::Start) => started?,
            // The end of the leash takes the start back.
            number = signals.next() => return Ok(exit_status(CLD_KILLED, i32::from(number))),
        };
        if let Some(job) = started.iter().find(|job| !job.is_success()) {
            return Ok(unstarted(&explain(self.client, job).await));
        }
        if !self.quiet && wanted == Wanted::Terminal {
            introduce(self.unit, wanted);
        }
        match ends {
            Ends::Terminal { pty, inner } => {
                let terminal = pty.begin()?;
                let ended = self.until_ended(leash, signals, Some(&terminal)).await;
                // Our end of the inner side is closed first, so that what is left to read has an end.
                drop(inner);
                terminal.close();
                ended
            }
            Ends::Streams(streams, typing) => {
                typing.begin();
                let ended = self.until_ended(leash, signals, None).await;
                streams.close();
                ended
            }
        }
    }

    async fn until_ended(
        self,
        leash: Leash,
        mut signals: Signals,
        terminal: Option<&Terminal>,
    ) -> Result<u8, CliError> {
        let (mut leash, mut caught) = (Some(leash), 0);
        let mut resized = signal(SignalKind::window_change()).map_err(CliError::of_signals)?;
        let mut changes = Changes::new(self.client).await?;
        let mut managers = changes.managers();
        loop {
            if managers != changes.managers() {
                // Another manager has found the container, but not who waits for it.
                managers = changes.managers();
                leash = Some(self.hold_again().await?);
            }
            if let Some(status) = self.ending().await? {
                return Ok(status);
            }
            loop {
                tokio::select! {
                    change = changes.next(self.client) => {
                        change?;
                        break;
                    }
                    number = signals.next() => {
                        caught += 1;
                        match (&leash, terminal) {
                            // Our own terminal is gone, or we are told to end.
                            (_, Some(_)) => return Ok(exit_status(CLD_KILLED, i32::from(number))),
                            (Some(leash), _) if caught < SIGNALS_MAX => leash.signal(number),
                            _ => leash = None,
                        }
                    }
                    _ = resized.recv() => terminal.into_iter().for_each(Terminal::resize),
                    () = left(terminal) => return Err(CliError::LeftTerminal),
                }
            }
        }
    }

    /// The exit status, once it has ended.
    async fn ending(self) -> Result<Option<u8>, CliError> {
        let unit = self.client.unit(self.unit).await?;
        if !unit.exists() {
            let unit = self.unit;
            complain(&format!("It is not known how {unit} ended: see \"sampanctl logs {unit}\"."));
            return Ok(Some(FAILURE));
        }
        if !unit.active_state.is_down() || unit.job != 0 {
            return Ok(None);
        }
        if let Some(why) = why(&unit) {
            complain(&format!("{}: {why}.", self.unit));
        }
        Ok(Some(status(&unit)))
    }

    async fn hold_again(self) -> Result<Leash, CliError> {
        let leash = Leash::new()?;
        // One that has ended meanwhile is seen next.
        let _: zbus::Result<()> =
            self.client.call("HoldUnit", &(self.unit, Fd::from(leash.theirs.as_fd()))).await;
        Ok(leash)
    }
}

async fn left(terminal: Option<&Terminal>) {
    match terminal {
        Some(terminal) => terminal.left().await,
        None => std::future::pending().await,
    }
}

/// That of its main process; where there was none, failure.
fn status(unit: &UnitProperties) -> u8 {
    let number = |number: i64| i32::try_from(number).unwrap_or(i32::from(FAILURE));
    match unit.exec_main {
        Some(Ending::Exited(code)) => exit_status(CLD_EXITED, number(code)),
        Some(Ending::Killed(signal) | Ending::Dumped(signal)) => exit_status(CLD_KILLED, number(signal)),
        None => FAILURE,
    }
}
