//! A server that has the held socket and accepts nobody: one that cannot work with a socket that it has not made.
//!
//! Of each bind(2) that was answered, the first client is waited for, and when it has had time enough it is looked
//! whether it was accepted. Where no client comes, nothing happens; a server that accepts is not looked at again.

use super::Manager;
use crate::socket::queue::Queue;
use crate::sys::readiness;
use crate::unit::model::{Listen, Pass};
use crate::unit::name::UnitName;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a client of a server that works may wait. One that has just bound its socket may not be ready for it yet.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for the first client of a socket.
#[derive(Debug)]
pub(super) struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Manager {
    /// The server of a unit has got the socket of this name: begins to look whether it serves.
    pub(super) fn watch_queue(&mut self, unit: &UnitName, socket: &str) {
        let Some(live) = self.runs.get(unit) else { return };
        let (run, notes, name) = (live.number(), self.notes.clone(), socket.to_owned());
        let Some(open) = self.sockets.find(unit, socket) else { return };
        let listen = open.held.socket().listen.clone();
        if open.held.socket().pass != Pass::Swap || !listen.connects() {
            return;
        }
        let Ok(descriptor) = open.held.as_fd().try_clone_to_owned() else { return };
        let unit = unit.clone();
        open.unserved = Some(Watch(tokio::task::spawn_local(async move {
            if has_stuck(descriptor, &listen).await.unwrap_or(false) {
                // The receiver lives as long as the loop.
                let _ = notes.send(super::Note::Unserved(unit, run, name));
            }
        })));
    }

    /// Tells of a client that waits, unless nobody could have accepted it.
    pub(super) fn tell_unserved(&mut self, unit: &UnitName, run: u64, socket: &str) {
        let Some(live) = self.runs.get(unit).filter(|live| live.number() == run) else { return };
        if live.over.get() || live.stopping.get() {
            return;
        }
        if self.is_frozen(live) {
            self.watch_queue(unit, socket);
            return;
        }
        tracing::warn!(
            SAMPAN_UNIT = %unit,
            "{unit}: A client of socket.{socket} has waited for {} s: the server was given the socket when it bound it, \
             and accepts nobody. One that serves only the socket that it has made itself is reached with pass = \"proxy\"",
            PATIENCE.as_secs()
        );
    }
}

/// Waits for a client, and some time more; whether it waits still.
async fn has_stuck(descriptor: OwnedFd, listen: &Listen) -> std::io::Result<bool> {
    // Later clients wake nobody.
    drop(readiness::watch_in_time(&descriptor).await?.readable().await?);
    drop(descriptor);
    let before = Queue::of(listen)?;
    tokio::time::sleep(PATIENCE).await;
    Ok(Queue::of(listen)?.is_stuck_since(&before))
}
