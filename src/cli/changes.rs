//! Changes of units as they happen, from this manager and from its successors: each is subscribed to anew.

use super::client::Client;
use super::error::CliError;
use futures_util::StreamExt;
use tokio::sync::watch;
use zbus::MessageStream;
use zbus::proxy::OwnerChangedStream;

/// Changes, of which those that come together are one.
#[derive(Debug)]
pub struct Changes {
    /// Marked at each change; counts managers that came or left.
    managers: watch::Receiver<u32>,
    /// Up to which of them this connection has subscribed.
    subscribed: u32,
}

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the manager cannot be reached.
    pub async fn new(client: &Client) -> Result<Self, CliError> {
        let (signals, owners) = tokio::try_join!(client.unit_signals(), client.owners())?;
        let (sender, managers) = watch::channel(0);
        drop(tokio::spawn(take(signals, owners, sender)));
        client.subscribe().await?;
        Ok(Self { managers, subscribed: 0 })
    }

    /// How many managers have come or left.
    pub fn managers(&self) -> u32 {
        self.subscribed
    }

    /// Waits for a change, or for another manager, of which anything may be different.
    ///
    /// # Errors
    /// When the bus goes away, or there is no other manager.
    pub async fn next(&mut self, client: &Client) -> Result<(), CliError> {
        let left = |_| CliError::Left { action: "wait for units".to_owned() };
        self.managers.changed().await.map_err(left)?;
        let managers = *self.managers.borrow_and_update();
        if self.subscribed != managers {
            client.subscribe().await?;
            self.subscribed = managers;
        }
        Ok(())
    }
}

/// Takes signals all the time: what nobody takes holds up the connection.
async fn take(
    mut signals: MessageStream,
    mut owners: OwnerChangedStream<'static>,
    changes: watch::Sender<u32>,
) {
    loop {
        let came = tokio::select! {
            signal = signals.next() => signal.map(|_| 0),
            owner = owners.next() => owner.map(|_| 1),
        };
        let Some(more) = came else { return };
        changes.send_modify(|managers| *managers += more);
    }
}
