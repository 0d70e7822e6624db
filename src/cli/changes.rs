//! Changes of units as they happen, from this manager and from its successors: each is subscribed to anew.

use super::client::{Client, Heard, Listener};
use super::error::CliError;
use tokio::sync::watch;

/// What the manager tells of units that have changed.
const CHANGED: &str = "interface='org.freedesktop.DBus.Properties',path_namespace='/org/sampan1/unit'";

/// Changes, of which those that come together are one.
#[derive(Debug)]
pub struct Changes {
    /// Marked at each change; counts managers that have left.
    left: watch::Receiver<u32>,
    /// After which of them this connection has subscribed.
    subscribed: u32,
}

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn new(client: &Client) -> Result<Self, CliError> {
        let listener = client.listen(&[CHANGED]).await?;
        let (sender, left) = watch::channel(0);
        drop(tokio::spawn(take(listener, sender)));
        Ok(Self { left, subscribed: 0 })
    }

    /// How many managers have left.
    pub fn managers(&self) -> u32 {
        self.subscribed
    }

    /// Waits for a change, or for the successor of a manager that has left, of which anything may be different.
    ///
    /// # Errors
    /// When the bus goes away, or there is no successor.
    pub async fn next(&mut self, client: &Client) -> Result<(), CliError> {
        let gone = |_| CliError::Left { action: "wait for units".to_owned() };
        self.left.changed().await.map_err(gone)?;
        let left = *self.left.borrow_and_update();
        if self.subscribed != left {
            client.subscribe().await?;
            self.subscribed = left;
        }
        Ok(())
    }
}

/// Takes signals all the time: what nobody takes holds up the connection.
async fn take(mut listener: Listener, changes: watch::Sender<u32>) {
    while let Some(heard) = listener.next().await {
        let left = match heard {
            Heard::Signal(_) => 0,
            Heard::Left => 1,
        };
        changes.send_modify(|managers| *managers += left);
    }
}
