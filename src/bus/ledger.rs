//! How much clients have not read. The bus keeps what a client leaves unread, on our account: once that account is
//! full, the bus takes nothing more from us for anybody. So a client that leaves too much is given nothing more
//! until it has read, and once many clients leave a little, each of them is, however little it left.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use zbus::fdo::StatsProxy;
use zbus::names::{BusName, UniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant, Variant};

/// After so many bytes of answers the bus is asked what is left of them.
const CHECK_EVERY: usize = 1 << 20;

/// What a client may leave unread.
const UNREAD_MAX: u32 = 4 << 20;

/// What all clients may leave unread before each may leave no more than [`LITTLE`]. The bus has 127 MiB for all of
/// them, dbus-daemon(1) `max_incoming_bytes`.
const ALL_UNREAD_MAX: u32 = 32 << 20;

/// What a client may leave unread while all of them leave much.
const LITTLE: u32 = 64 << 10;

/// For how long the bus is not asked again about what was too much.
const PAUSE: Duration = Duration::from_millis(100);

/// Clients that are remembered at the same time.
const CLIENTS_MAX: usize = 512;

/// Bytes of answers by client since the bus was asked about it.
#[derive(Debug)]
pub(super) struct Ledger {
    stats: StatsProxy<'static>,
    /// Our own name, on whose account all is.
    own: String,
    sent: RefCell<BTreeMap<Rc<str>, usize>>,
    /// Bytes to all of them, likewise.
    sent_to_all: Cell<usize>,
    /// As the bus said it at a time.
    space: Cell<(Space, Instant)>,
    /// Clients that had not read enough at a time.
    refused: RefCell<BTreeMap<Rc<str>, Instant>>,
}

/// What is left of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Enough.
    Much,
    /// Nothing for those that do not read.
    Little,
}

impl Ledger {
    /// An empty one. Answers go out over `answering`; the bus is asked over `asking`.
    pub(super) async fn new(answering: &Connection, asking: &Connection) -> zbus::Result<Self> {
        let stats = StatsProxy::builder(asking).cache_properties(CacheProperties::No).build().await?;
        let own = answering.unique_name().map(ToString::to_string).unwrap_or_default();
        Ok(Self {
            stats,
            own,
            sent: RefCell::default(),
            sent_to_all: Cell::default(),
            space: Cell::new((Space::Much, Instant::now())),
            refused: RefCell::default(),
        })
    }

    /// Notes a signal for everybody.
    pub(super) fn note_to_all(&self, bytes: usize) {
        self.sent_to_all.set(self.sent_to_all.get().saturating_add(bytes));
    }

    /// Notes an answer, or a signal for one client.
    pub(super) fn note(&self, client: &str, bytes: usize) {
        self.note_to_all(bytes);
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
        if self.refused.borrow().get(client).is_some_and(|at| at.elapsed() < PAUSE) {
            return false;
        }
        let (check_every, unread_max) = match self.space().await {
            Space::Much => (CHECK_EVERY, UNREAD_MAX),
            Space::Little => (0, LITTLE),
        };
        if self.sent.borrow().get(client).is_none_or(|total| *total < check_every) {
            return true;
        }
        match self.bytes(client, "OutgoingBytes").await {
            Some(unread) if unread > unread_max => {
                let mut refused = self.refused.borrow_mut();
                refused.retain(|_, at| at.elapsed() < PAUSE);
                refused.insert(Rc::from(client), Instant::now());
                false
            }
            // A bus without these statistics ends the connections of those that do not read, by itself.
            _ => {
                self.sent.borrow_mut().remove(client);
                true
            }
        }
    }

    /// What is left of the account.
    pub(super) async fn space(&self) -> Space {
        let (space, at) = self.space.get();
        let is_known = match space {
            Space::Much => self.sent_to_all.get() < CHECK_EVERY,
            Space::Little => at.elapsed() < PAUSE,
        };
        if is_known {
            return space;
        }
        self.sent_to_all.set(0);
        let space = match self.bytes(&self.own, "IncomingBytes").await {
            Some(unread) if unread > ALL_UNREAD_MAX => Space::Little,
            _ => Space::Much,
        };
        self.space.set((space, Instant::now()));
        space
    }

    /// A number that the bus keeps of a client; `None` where it does not say or there is no such client.
    async fn bytes(&self, client: &str, what: &str) -> Option<u32> {
        let name = BusName::Unique(UniqueName::try_from(client).ok()?);
        let reply = self.stats.inner().call_method("GetConnectionStats", &(name,)).await.ok()?;
        let stats: BTreeMap<String, OwnedVariant> = reply.body().deserialize().ok()?;
        match **stats.get(what)? {
            Variant::U32(bytes) => Some(bytes),
            _ => None,
        }
    }
}
