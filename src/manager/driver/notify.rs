//! What a payload says of itself, sd_notify(3).

use super::Note;
use super::control::{errno, failure, io_failure};
use super::launch::RunTask;
use super::live::LiveRun;
use crate::manager::accounting;
use crate::manager::machine::{Event, Failure};
use crate::paths::Paths;
use crate::sys::{process, readiness};
use crate::systemd::notify_server::{Notification, NotifyListener, Rest};
use crate::unit::name::UnitName;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// The longest pause before a payload is heard again.
const RECOVERY_MAX: Duration = Duration::from_millis(200);

/// The receiving side of a payload's sd_notify(3).
pub(super) struct NotifyServer {
    pub(super) listener: NotifyListener,
    readiness: AsyncFd<OwnedFd>,
}

pub(super) fn bind_notify(paths: &Paths, unit: &UnitName) -> Result<NotifyServer, Failure> {
    let listener =
        NotifyListener::bind(paths, unit).map_err(|error| failure(error.to_string(), errno(&error)))?;
    attend(listener)
}

/// The same with the socket that an earlier manager has made.
pub(super) fn adopt_notify(paths: &Paths, unit: &UnitName, socket: OwnedFd) -> Result<NotifyServer, Failure> {
    attend(NotifyListener::adopt(paths, unit, socket))
}

fn attend(listener: NotifyListener) -> Result<NotifyServer, Failure> {
    let readiness = readiness::watch(&listener).map_err(|error| io_failure("notify socket", &error))?;
    Ok(NotifyServer { listener, readiness })
}

impl LiveRun {
    /// Keeps a copy of the descriptor at hand.
    pub(super) fn keep_notify(&self, server: &NotifyServer) {
        if let Ok(copy) = server.listener.as_fd().try_clone_to_owned() {
            // A run has one, so the cell is empty.
            let _ = self.notify.set(copy);
        }
    }
}

impl RunTask {
    pub(super) async fn listen_to(&self, server: Option<&NotifyServer>) {
        let Some(server) = server else { return std::future::pending().await };
        let (unit, run) = (self.unit(), self.live.number());
        let mut lied = false;
        while let Ok(mut readable) = server.readiness.readable().await {
            let begun = Instant::now();
            let heard = server.listener.receive().unwrap_or_default();
            for notification in heard.said {
                let what = match notification {
                    Notification::MainPid(inside) => match self.process_of(inside) {
                        Some(pid) => Notification::MainPid(pid),
                        None if lied => continue,
                        None => {
                            lied = true;
                            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: MAINPID={inside} is not its process");
                            continue;
                        }
                    },
                    other => other,
                };
                self.tell(Event::Notified { unit: unit.clone(), run, what });
            }
            if heard.rest == Rest::Nothing {
                readable.clear_ready();
            }
            self.recover(begun).await;
        }
    }

    /// What was heard has been dealt with. A payload that says more than anybody could want to know gets a fifth of
    /// this loop's time, and waits for its turn.
    async fn recover(&self, begun: Instant) {
        const WORTH_IT: Duration = Duration::from_millis(1);
        let (sender, written) = oneshot::channel();
        self.note(Note::Written(sender));
        let _ = written.await;
        let pause = begun.elapsed() * 4;
        if pause > WORTH_IT {
            tokio::time::sleep(pause.min(RECOVERY_MAX)).await;
        }
    }

    /// The process of the container that has a number in its own pid namespace.
    fn process_of(&self, inside: u32) -> Option<u32> {
        let first = self.live.process.get()?.pid;
        accounting::processes(&self.paths, first)
            .into_iter()
            .find(|pid| process::numbers(*pid).last() == Some(&inside))
    }
}
