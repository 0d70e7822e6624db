//! Who wants to hear of changes. Signals are sent while there is anybody; one that leaves the bus is forgotten.

use super::error::BusError;
use futures_util::StreamExt;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tokio::sync::Notify;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::{BusName, UniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream};

/// Connections of one user that may subscribe. Root has as many as it wants.
const CONNECTIONS_MAX: usize = 32;

/// The connections that have subscribed.
#[derive(Debug)]
pub(super) struct Subscribers {
    connection: Connection,
    bus: DBusProxy<'static>,
    /// With the user of each.
    names: RefCell<BTreeMap<String, u32>>,
    changed: Notify,
}

/// Why nobody is listened for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The last subscriber is gone.
    OfSubscribers,
    /// The bus is.
    OfConnection,
}

impl Subscribers {
    /// Nobody.
    pub(super) async fn new(connection: &Connection) -> zbus::Result<Self> {
        let bus = DBusProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        Ok(Self { connection: connection.clone(), bus, names: RefCell::default(), changed: Notify::new() })
    }

    /// Whether there is anybody.
    pub(super) fn exist(&self) -> bool {
        !self.names.borrow().is_empty()
    }

    /// All of them, and whose they are.
    pub(super) fn all(&self) -> Vec<(String, u32)> {
        self.names.borrow().iter().map(|(name, user)| (name.clone(), *user)).collect()
    }

    /// Adds a connection of a user.
    pub(super) fn add(&self, name: &str, user: u32) -> Result<(), BusError> {
        let mut names = self.names.borrow_mut();
        if names.contains_key(name) {
            return Err(BusError::AlreadySubscribed("This connection has subscribed already.".into()));
        }
        if user != 0 && names.values().filter(|other| **other == user).count() >= CONNECTIONS_MAX {
            return Err(BusError::LimitsExceeded(format!(
                "{CONNECTIONS_MAX} connections of user {user} have subscribed already."
            )));
        }
        names.insert(name.to_owned(), user);
        self.changed.notify_one();
        Ok(())
    }

    /// Removes a connection.
    pub(super) fn remove(&self, name: &str) -> Result<(), BusError> {
        if self.names.borrow_mut().remove(name).is_none() {
            return Err(BusError::NotSubscribed("This connection has not subscribed.".into()));
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Forgets all: their bus is gone.
    pub(super) fn clear(&self) {
        self.names.borrow_mut().clear();
    }

    /// Forgets those that leave the bus, until the connection ends. While there is no subscriber the bus is not
    /// listened to, so that an idle daemon is not woken. `left` is called when the last one has left.
    pub(super) async fn watch(&self, left: impl Fn()) {
        loop {
            while !self.exist() {
                self.changed.notified().await;
            }
            let leaving = match self.listen().await {
                Ok(leaving) => leaving,
                Err(error) => return tracing::warn!("bus: {error}, signals are sent to nobody"),
            };
            // One that left before we listened is not told of. Meanwhile others leave: nobody asks them to wait.
            let (end, ()) = tokio::join!(self.forget_leaving(leaving), self.forget_absent());
            if end == End::OfConnection {
                return;
            }
            left();
        }
    }

    /// Until there is no subscriber left.
    async fn forget_leaving(&self, mut leaving: MessageStream) -> End {
        while self.exist() {
            tokio::select! {
                message = leaving.next() => {
                    let Some(Ok(message)) = message else { return End::OfConnection };
                    if let Ok((name, _, _)) = message.body().deserialize::<(&str, &str, &str)>() {
                        self.names.borrow_mut().remove(name);
                    }
                }
                () = self.changed.notified() => {}
            }
        }
        End::OfSubscribers
    }

    async fn listen(&self) -> zbus::Result<MessageStream> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender("org.freedesktop.DBus");
        let rule = rule.member("NameOwnerChanged").arg(2, "").build()?;
        MessageStream::for_match_rule(rule, &self.connection, None).await
    }

    async fn forget_absent(&self) {
        let names: Vec<String> = self.names.borrow().keys().cloned().collect();
        for name in names {
            let Ok(unique) = UniqueName::try_from(name.as_str()) else { continue };
            if matches!(self.bus.name_has_owner(BusName::Unique(unique)).await, Ok(false)) {
                self.names.borrow_mut().remove(&name);
            }
        }
    }
}
