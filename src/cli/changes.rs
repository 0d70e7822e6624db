//! Changes of units as they happen, from this manager and from its successors: each is subscribed to anew.

use super::client::{Client, Heard, Listener};
use super::error::CliError;
use tokio::sync::watch;

/// What the manager tells of units that have changed.
const CHANGED: &str = "interface='org.freedesktop.DBus.Properties',path_namespace='/org/sampan1/unit'";

/// Changes, of which those that come together are one.
#[derive(Debug)]
pub struct Changes {
    /// Marked at each change; whether the manager has left that told them.
    left: watch::Receiver<bool>,
    /// How many managers have left.
    managers: u32,
}

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn new(client: &Client) -> Result<Self, CliError> {
        Ok(Self { left: listen(client).await?, managers: 0 })
    }

    /// How many managers have left.
    pub fn managers(&self) -> u32 {
        self.managers
    }

    /// Waits for a change, or for the successor of a manager that has left, of which anything may be different.
    ///
    /// # Errors
    /// When the bus goes away, or there is no successor.
    pub async fn next(&mut self, client: &Client) -> Result<(), CliError> {
        let gone = |_| CliError::Left { action: "wait for units".to_owned() };
        self.left.changed().await.map_err(gone)?;
        if *self.left.borrow_and_update() {
            self.left = listen(client).await?;
            self.managers += 1;
        }
        Ok(())
    }
}

async fn listen(client: &Client) -> Result<watch::Receiver<bool>, CliError> {
    let listener = client.listen(&[CHANGED]).await?;
    let (sender, left) = watch::channel(false);
    drop(tokio::spawn(take(listener, sender)));
    Ok(left)
}

/// Takes signals all the time, as long as the manager is there: what nobody takes holds up the connection.
async fn take(mut listener: Listener, changes: watch::Sender<bool>) {
    while let Some(heard) = listener.next().await {
        let has_left = matches!(heard, Heard::Left);
        // Nobody may wait any more.
        if changes.send(has_left).is_err() || has_left {
            return;
        }
    }
}
