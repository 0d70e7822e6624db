//! How much clients have not read. The bus keeps what a client leaves unread, on our account: once that account is
//! full, the bus takes nothing more from us for anybody. So a client that leaves too much is given nothing more
//! until it has read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use zbus::fdo::StatsProxy;
use zbus::names::{BusName, UniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant, Variant};

/// After so many bytes of answers the bus is asked what is left of them.
const CHECK_EVERY: usize = 1 << 20;

/// What a client may leave unread; the bus has 127 MiB for all of them, dbus-daemon(1) `max_incoming_bytes`.
const UNREAD_MAX: u32 = 4 << 20;

/// Clients that are remembered at the same time.
const CLIENTS_MAX: usize = 512;

/// Bytes of answers by client since the bus was asked about it.
#[derive(Debug)]
pub(super) struct Ledger {
    stats: StatsProxy<'static>,
    sent: RefCell<BTreeMap<Rc<str>, usize>>,
}

impl Ledger {
    /// An empty one.
    pub(super) async fn new(connection: &Connection) -> zbus::Result<Self> {
        let stats = StatsProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        Ok(Self { stats, sent: RefCell::default() })
    }

    /// Notes an answer.
    pub(super) fn note(&self, client: &str, bytes: usize) {
        let mut sent = self.sent.borrow_mut();
        if let Some(total) = sent.get_mut(client) {
            *total = total.saturating_add(bytes);
            return;
        }
        if sent.len() >= CLIENTS_MAX {
            // Those that are close to being asked about stay.
            sent.retain(|_, total| *total > CHECK_EVERY / 2);
        }
        sent.insert(Rc::from(client), bytes);
    }

    /// Whether a client has read enough of its answers to be given another one.
    pub(super) async fn may_answer(&self, client: &str) -> bool {
        if self.sent.borrow().get(client).is_none_or(|total| *total < CHECK_EVERY) {
            return true;
        }
        match self.unread(client).await {
            Some(unread) if unread > UNREAD_MAX => false,
            // A bus without these statistics ends the connections of those that do not read, by itself.
            _ => {
                self.sent.borrow_mut().remove(client);
                true
            }
        }
    }

    /// What the bus keeps for a client; `None` where it does not say or there is no such client.
    async fn unread(&self, client: &str) -> Option<u32> {
        let name = BusName::Unique(UniqueName::try_from(client).ok()?);
        let reply = self.stats.inner().call_method("GetConnectionStats", &(name,)).await.ok()?;
        let stats: BTreeMap<String, OwnedVariant> = reply.body().deserialize().ok()?;
        match **stats.get("OutgoingBytes")? {
            Variant::U32(bytes) => Some(bytes),
            _ => None,
        }
    }
}
