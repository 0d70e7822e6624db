//! systemd's signals, read by one task and handed to whoever waits. One match per kind of signal is set for
//! each connection, and one for each native unit that is watched.

use super::native::UnitState;
use super::proxy::{SERVICE, UNIT_INTERFACE};
use futures_util::{Stream, StreamExt};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Write;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

/// What systemd tells about scopes without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemdEvent {
    /// Somebody asks systemd to stop a scope, and systemd asks us, its controller, to do it.
    RequestStop {
        /// `sampan-web.scope`.
        scope: String,
    },
    /// A job for a scope begins. systemd forgets the controller of a scope when that leaves the bus, so that this
    /// is all that the manager's successor hears of a stop.
    JobQueued {
        /// `sampan-web.scope`.
        scope: String,
        /// The job.
        job: QueuedJob,
    },
    /// The scope is gone.
    ScopeRemoved {
        /// `sampan-web.scope`.
        scope: String,
    },
    /// The scope's result changed from success: `oom-kill`, `timeout`, `resources`, ….
    Result {
        /// `sampan-web.scope`.
        scope: String,
        /// As the property `Result` has it.
        result: String,
    },
    /// A native unit that is watched has changed.
    Unit {
        /// `nginx.service`.
        unit: String,
        /// What it is now.
        state: UnitState,
    },
    /// systemd has read its unit files again.
    Reloaded,
    /// systemd cannot be reached, and what it tells meanwhile is lost.
    Lost(Loss),
    /// It is there again.
    Regained(Loss),
}

/// A job of systemd, that it can be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob(pub(super) OwnedObjectPath);

/// Who left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The bus did, and systemd has forgotten who controls its scopes.
    Bus,
    /// systemd did, to execute itself again: `systemctl daemon-reexec`.
    Systemd,
}

/// One signal, as far as this room cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// A job ended.
    JobRemoved { job: OwnedObjectPath, unit: String, result: String },
    /// Any of the public ones.
    Event(SystemdEvent),
}

impl Signal {
    fn unit(&self) -> Option<&str> {
        match self {
            Self::JobRemoved { unit, .. } => Some(unit),
            Self::Event(
                SystemdEvent::RequestStop { scope }
                | SystemdEvent::JobQueued { scope, .. }
                | SystemdEvent::ScopeRemoved { scope }
                | SystemdEvent::Result { scope, .. },
            ) => Some(scope),
            Self::Event(SystemdEvent::Unit { unit, .. }) => Some(unit),
            Self::Event(SystemdEvent::Reloaded | SystemdEvent::Lost(_) | SystemdEvent::Regained(_)) => None,
        }
    }
}

/// Events, as a stream that does not end.
#[derive(Debug)]
pub struct Events(UnboundedReceiver<Signal>);

impl Stream for Events {
    type Item = SystemdEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SystemdEvent>> {
        loop {
            match self.0.poll_recv(context) {
                Poll::Ready(Some(Signal::Event(event))) => return Poll::Ready(Some(event)),
                Poll::Ready(Some(Signal::JobRemoved { .. })) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Which signals a listener wants.
#[derive(Debug)]
enum Topic {
    /// Those about one unit.
    Unit(String),
    /// All.
    All,
}

#[derive(Debug)]
struct Listener {
    topic: Topic,
    sender: UnboundedSender<Signal>,
}

/// Everybody who waits for a signal, over all connections.
#[derive(Debug, Default)]
pub(super) struct Hub {
    listeners: Mutex<Vec<Listener>>,
    /// Native units that are watched.
    watched: Mutex<BTreeSet<String>>,
}

impl Hub {
    /// Asks a new connection for all signals that this room needs.
    pub(super) async fn set_matches(&self, bus: &DBusProxy<'_>) -> zbus::Result<()> {
        for rule in rules()? {
            bus.add_match_rule(rule).await?;
        }
        let watched = lock(&self.watched).clone();
        for unit in watched {
            bus.add_match_rule(changes_of(&unit)?).await?;
        }
        Ok(())
    }

    /// Asks for the changes of a native unit from now on, also on later connections.
    pub(super) async fn watch_native(&self, unit: &str, bus: &DBusProxy<'_>) -> zbus::Result<()> {
        let is_new = lock(&self.watched).insert(unit.to_owned());
        if is_new { Ok(bus.add_match_rule(changes_of(unit)?).await?) } else { Ok(()) }
    }

    /// Asks for them no longer.
    pub(super) async fn leave_native(&self, unit: &str, bus: &DBusProxy<'_>) -> zbus::Result<()> {
        let was_there = lock(&self.watched).remove(unit);
        if was_there { Ok(bus.remove_match_rule(changes_of(unit)?).await?) } else { Ok(()) }
    }

    /// Signals about one unit from now on.
    pub(super) fn watch(&self, unit: &str) -> UnboundedReceiver<Signal> {
        self.listen(Topic::Unit(unit.to_owned()))
    }

    /// Events of all units from now on.
    pub(super) fn events(&self) -> Events {
        Events(self.listen(Topic::All))
    }

    /// Events of one unit, and of systemd, from now on.
    pub(super) fn events_of(&self, unit: &str) -> Events {
        Events(self.watch(unit))
    }

    fn listen(&self, topic: Topic) -> UnboundedReceiver<Signal> {
        let (sender, receiver) = unbounded_channel();
        lock(&self.listeners).push(Listener { topic, sender });
        receiver
    }

    fn publish(&self, signal: &Signal) {
        lock(&self.listeners).retain(|listener| {
            let wanted = match (&listener.topic, signal.unit()) {
                (Topic::Unit(wanted), Some(unit)) => wanted == unit,
                (Topic::Unit(_), None) | (Topic::All, _) => true,
            };
            if wanted { listener.sender.send(signal.clone()).is_ok() } else { !listener.sender.is_closed() }
        });
    }

    pub(super) fn publish_event(&self, event: SystemdEvent) {
        self.publish(&Signal::Event(event));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With its connection.
    Connection,
    /// systemd has another unique name, or none.
    Systemd,
}

/// What comes over one session: one ordered stream for all, so that a listener sees signals as systemd sent them.
#[derive(Debug)]
pub(super) struct Signals {
    stream: MessageStream,
    /// What came before the session was there.
    early: VecDeque<Message>,
    /// The sender of a signal is a unique name, which changes when systemd executes itself again.
    owner: String,
}

impl Signals {
    /// All of a connection from now on.
    pub(super) fn of(connection: &Connection) -> Self {
        Self { stream: MessageStream::from(connection), early: VecDeque::new(), owner: String::new() }
    }

    /// Makes calls, and takes in what comes meanwhile: a storm of signals that nobody takes holds the answers up.
    pub(super) async fn during<T>(&mut self, calls: impl Future<Output = T>) -> T {
        tokio::pin!(calls);
        loop {
            tokio::select! {
                answer = &mut calls => return answer,
                Some(message) = self.stream.next() => self.early.extend(message),
            }
        }
    }

    /// The same, now that systemd's unique name is known.
    pub(super) fn of_owner(self, owner: String) -> Self {
        Self { owner, ..self }
    }

    /// Hands signals on until the session ends.
    pub(super) async fn hand_on(mut self, hub: &Hub) -> End {
        while let Some(message) = self.next().await {
            if message.message_type() != Type::Signal {
                continue;
            }
            if new_owner(&message).is_some_and(|owner| owner != self.owner) {
                return End::Systemd;
            }
            if message.header().sender().is_some_and(|sender| sender.as_str() == self.owner)
                && let Some(signal) = parse(&message)
            {
                hub.publish(&signal);
            }
        }
        End::Connection
    }

    async fn next(&mut self) -> Option<Message> {
        match self.early.pop_front() {
            Some(message) => Some(message),
            None => self.stream.next().await?.ok(),
        }
    }
}

/// Who is systemd from now on; empty for nobody.
fn new_owner(message: &Message) -> Option<String> {
    let header = message.header();
    if header.sender()?.as_str() != "org.freedesktop.DBus" || header.member()?.as_str() != "NameOwnerChanged"
    {
        return None;
    }
    let body = message.body();
    let (name, _, new): (&str, &str, &str) = body.deserialize().ok()?;
    (name == SERVICE).then(|| new.to_owned())
}

fn parse(message: &Message) -> Option<Signal> {
    let header = message.header();
    let body = message.body();
    match (header.interface()?.as_str(), header.member()?.as_str()) {
        ("org.freedesktop.systemd1.Manager", "JobRemoved") => {
            let (_, job, unit, result): (u32, OwnedObjectPath, String, String) = body.deserialize().ok()?;
            Some(Signal::JobRemoved { job, unit, result })
        }
        ("org.freedesktop.systemd1.Manager", "JobNew") => {
            let (_, job, scope): (u32, OwnedObjectPath, String) = body.deserialize().ok()?;
            let job = QueuedJob(job);
            scope.ends_with(".scope").then_some(Signal::Event(SystemdEvent::JobQueued { scope, job }))
        }
        ("org.freedesktop.systemd1.Manager", "UnitRemoved") => {
            let (scope, _): (String, OwnedObjectPath) = body.deserialize().ok()?;
            scope.ends_with(".scope").then_some(Signal::Event(SystemdEvent::ScopeRemoved { scope }))
        }
        ("org.freedesktop.systemd1.Manager", "Reloading") => {
            let begins: bool = body.deserialize().ok()?;
            (!begins).then_some(Signal::Event(SystemdEvent::Reloaded))
        }
        ("org.freedesktop.systemd1.Scope", "RequestStop") => {
            let scope = unit_of_path(header.path()?.as_str())?;
            Some(Signal::Event(SystemdEvent::RequestStop { scope }))
        }
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            let scope = unit_of_path(header.path()?.as_str())?;
            let (interface, mut changed, _): ChangedProperties = body.deserialize().ok()?;
            if interface == UNIT_INTERFACE {
                let state = UnitState::of_properties(&changed)?;
                return Some(Signal::Event(SystemdEvent::Unit { unit: scope, state }));
            }
            let result = String::try_from(changed.remove("Result")?).ok().filter(|text| text != "success")?;
            Some(Signal::Event(SystemdEvent::Result { scope, result }))
        }
        _ => None,
    }
}

/// The body of `PropertiesChanged`: interface, new values, names without values.
type ChangedProperties = (String, HashMap<String, OwnedVariant>, Vec<String>);

/// Undoes `sd_bus_path_encode(3)`: the last part of `/org/freedesktop/systemd1/unit/sampan_2dweb_2escope`.
fn unit_of_path(path: &str) -> Option<String> {
    let mut bytes = path.strip_prefix("/org/freedesktop/systemd1/unit/")?.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'_' {
            let digits = [bytes.next()?, bytes.next()?];
            name.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            name.push(byte);
        }
    }
    String::from_utf8(name).ok()
}

/// The object of a unit, `sd_bus_path_encode(3)`.
fn path_of_unit(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for (position, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || byte.is_ascii_digit() && position > 0 {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

/// The match for the changes of one unit.
fn changes_of(unit: &str) -> zbus::Result<MatchRule<'static>> {
    MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(SERVICE)
        .interface("org.freedesktop.DBus.Properties")
        .member("PropertiesChanged")
        .path(path_of_unit(unit))
        .arg(0, UNIT_INTERFACE)
        .build()
}

/// The matches on the bus. Properties only of scopes, since each change of any unit would wake us.
fn rules() -> zbus::Result<Vec<MatchRule<'static>>> {
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    let manager = || signal().sender(SERVICE).interface("org.freedesktop.systemd1.Manager");
    [
        manager().member("JobNew"),
        manager().member("JobRemoved"),
        manager().member("UnitRemoved"),
        manager().member("Reloading"),
        signal().sender(SERVICE).interface("org.freedesktop.systemd1.Scope").member("RequestStop"),
        signal()
            .sender(SERVICE)
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .arg(0, "org.freedesktop.systemd1.Scope"),
        signal()
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, SERVICE),
    ]
    .into_iter()
    .map(zbus::match_rule::Builder::build)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_paths_are_decoded() {
        let path = "/org/freedesktop/systemd1/unit/sampan_2dweb_40blue_2escope";
        assert_eq!(unit_of_path(path).as_deref(), Some("sampan-web@blue.scope"));
        assert_eq!(unit_of_path("/org/freedesktop/systemd1/unit/a_2"), None);
        assert_eq!(unit_of_path("/org/freedesktop/systemd1/job/7"), None);
    }

    #[test]
    fn object_paths_are_encoded() {
        let path = path_of_unit("a-b@c\\x20d.service");
        assert_eq!(path, "/org/freedesktop/systemd1/unit/a_2db_40c_5cx20d_2eservice");
        assert_eq!(unit_of_path(&path).as_deref(), Some("a-b@c\\x20d.service"));
    }

    #[test]
    fn a_listener_gets_signals_of_its_unit_and_of_the_connection() {
        let hub = Hub::default();
        let mut watch = hub.watch("sampan-a.scope");
        let removed = |scope: &str| SystemdEvent::ScopeRemoved { scope: scope.to_owned() };
        hub.publish_event(removed("sampan-b.scope"));
        hub.publish_event(removed("sampan-a.scope"));
        hub.publish_event(SystemdEvent::Lost(Loss::Bus));
        assert_eq!(watch.try_recv().unwrap(), Signal::Event(removed("sampan-a.scope")));
        assert_eq!(watch.try_recv().unwrap(), Signal::Event(SystemdEvent::Lost(Loss::Bus)));
        assert!(watch.try_recv().is_err());
    }
}
