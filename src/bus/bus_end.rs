//! Our end of one connection to the bus, and what is known there of those who call. It is gone with the connection;
//! the next one has another.

use super::access::Access;
use super::ledger::Ledger;
use super::subscribers::Subscribers;
use super::wire;
use std::rc::Rc;
use zbus::fdo::{DBusProxy, RequestNameFlags};
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

/// One connection on which we have our name.
pub(super) struct BusEnd {
    pub(super) connection: Connection,
    pub(super) access: Access,
    pub(super) subscribers: Subscribers,
    pub(super) ledger: Ledger,
}

impl BusEnd {
    /// Connects to the system bus and takes our name; from now on clients find us, by these calls.
    pub(super) async fn connect() -> zbus::Result<(Rc<Self>, MessageStream)> {
        let connection = Connection::system().await?;
        // What we ask ourselves has a connection of its own: its answers must not wait behind calls.
        let asking = Connection::system().await?;
        let rule = MatchRule::builder().msg_type(Type::MethodCall).build()?;
        let calls = MessageStream::for_match_rule(rule, &connection, None).await?;
        let end = Self {
            access: Access::new(&asking).await?,
            subscribers: Subscribers::new(&asking).await?,
            ledger: Ledger::new(&connection, &asking).await?,
            connection: connection.clone(),
        };
        let bus = DBusProxy::new(&connection).await?;
        bus.request_name(wire::BUS_NAME.try_into()?, RequestNameFlags::DO_NOT_QUEUE).await?;
        Ok((Rc::new(end), calls))
    }
}
