//! The way to systemd: one connection to the bus at a time, and a new one when that ends. systemd may also
//! leave the bus alone, when it executes itself again; then the connection stays.

use super::SystemdError;
use super::properties::ProcessProperty;
use super::proxy::{ManagerProxy, SERVICE};
use super::signals::{End, Hub, Loss, Signals, SystemdEvent};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::proxy::CacheProperties;

/// Longest wait for systemd, whatever it is asked for.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// Between attempts to reach the bus again: the first pause and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How many calls wait for their answers at a time: dbus-daemon(1) allows 128 by itself
/// (`max_replies_per_connection`), and fails those that are more.
const CALLS_MAX: usize = 100;

/// systemd on one connection, from its coming to its leaving.
#[derive(Debug, Clone)]
pub(super) struct Session {
    connection: Connection,
    manager: ManagerProxy<'static>,
    turns: Arc<Semaphore>,
    pub(super) process: ProcessProperty,
    /// Tells it from those before and after.
    number: u64,
}

impl Session {
    /// One call to systemd, as soon as not too many others wait for their answers.
    pub(super) async fn ask<T>(&self, call: impl AsyncFnOnce(&ManagerProxy<'static>) -> T) -> T {
        let _turn = self.turns.acquire().await;
        call(&self.manager).await
    }

    /// One call to the bus itself or to another object of systemd's, as [`Self::ask`].
    pub(super) async fn ask_over<T>(&self, call: impl AsyncFnOnce(&Connection) -> T) -> T {
        let _turn = self.turns.acquire().await;
        call(&self.connection).await
    }

    /// The name of this end of the connection.
    pub(super) fn name(&self) -> &str {
        self.connection.unique_name().map(|name| name.as_str()).unwrap_or_default()
    }
}

/// The session of now, and who listens. `None` while there is none.
#[derive(Debug)]
pub(super) struct Link {
    session: watch::Sender<Option<Session>>,
    pub(super) hub: Hub,
}

impl Link {
    /// Connects, and from then on keeps connected.
    pub(super) async fn open() -> Result<Arc<Self>, SystemdError> {
        let link = Arc::new(Self { session: watch::Sender::new(None), hub: Hub::default() });
        let signals = link.begin(None, 0).await?;
        tokio::spawn(keep(link.clone(), signals));
        Ok(link)
    }

    /// Whether there is a session now.
    pub(super) fn is_up(&self) -> bool {
        self.session.borrow().is_some()
    }

    /// A session that is not `former`, as soon as there is one.
    pub(super) async fn session(&self, former: Option<&Session>) -> Session {
        let mut changes = self.session.subscribe();
        let is_new = |session: &Option<Session>| {
            session
                .as_ref()
                .is_some_and(|session| former.is_none_or(|former| former.number != session.number))
        };
        match changes.wait_for(is_new).await.map(|session| session.clone()) {
            Ok(Some(session)) => session,
            // The sender lives as long as the link.
            _ => std::future::pending().await,
        }
    }

    /// What comes of some work on a session; `None` as soon as that ends before, since what systemd tells from then
    /// on is not for it.
    pub(super) async fn during<T>(&self, session: &Session, work: impl Future<Output = T>) -> Option<T> {
        let mut changes = self.session.subscribe();
        let is_other = |now: &Option<Session>| now.as_ref().is_none_or(|now| now.number != session.number);
        tokio::select! {
            biased;
            result = work => Some(result),
            _ = changes.wait_for(is_other) => None,
        }
    }

    /// The session on a connection, and the unique name that systemd has there.
    async fn meet(
        &self,
        connection: Connection,
        there: Option<&Connection>,
        number: u64,
    ) -> zbus::Result<(Session, String)> {
        let bus = DBusProxy::new(&connection).await?;
        if there.is_none() {
            self.hub.set_matches(&bus).await?;
        }
        let owner = bus.get_name_owner(SERVICE.try_into()?).await?.to_string();
        let manager =
            ManagerProxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
        subscribe(&manager).await?;
        let process = ProcessProperty::of_version(&manager.version().await?);
        let turns = Arc::new(Semaphore::new(CALLS_MAX));
        Ok((Session { connection, manager, turns, process, number }, owner))
    }

    /// Begins a session, on a connection that is there or on a new one.
    async fn begin(&self, there: Option<&Connection>, number: u64) -> Result<Signals, SystemdError> {
        let begin = async {
            let connection = match there {
                Some(connection) => connection.clone(),
                None => Connection::system().await?,
            };
            let mut signals = Signals::of(&connection);
            let (session, owner) = signals.during(self.meet(connection, there, number)).await?;
            self.session.send_replace(Some(session));
            Ok::<_, zbus::Error>(signals.of_owner(owner))
        };
        match tokio::time::timeout(DEADLINE, begin).await {
            Ok(result) => result.map_err(|error| SystemdError::Connect { reason: error.to_string() }),
            Err(_) => Err(SystemdError::Connect { reason: "no answer within 30 s".to_owned() }),
        }
    }
}

/// A systemd that has executed itself again remembers its subscribers.
async fn subscribe(manager: &ManagerProxy<'_>) -> zbus::Result<()> {
    match manager.subscribe().await {
        Err(zbus::Error::MethodError(name, ..)) if name.ends_with(".AlreadySubscribed") => Ok(()),
        result => result,
    }
}

/// Hands signals on, over one session after the other.
async fn keep(link: Arc<Link>, mut signals: Signals) {
    let mut number = 0;
    loop {
        let end = signals.hand_on(&link.hub).await;
        let former = link.session.send_replace(None).map(|session| session.connection);
        let (loss, there) = match end {
            End::Connection => (Loss::Bus, None),
            End::Systemd => (Loss::Systemd, former),
        };
        link.hub.publish_event(SystemdEvent::Lost(loss));
        number += 1;
        signals = begin_again(&link, there, number).await;
        link.hub.publish_event(SystemdEvent::Regained(loss));
    }
}

async fn begin_again(link: &Link, mut there: Option<Connection>, number: u64) -> Signals {
    let mut pause = PAUSES.0;
    loop {
        match link.begin(there.as_ref(), number).await {
            Ok(signals) => return signals,
            Err(error) => tracing::debug!("{error}"),
        }
        // The bus may follow systemd.
        there = there.filter(|connection| !connection.is_closed());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
