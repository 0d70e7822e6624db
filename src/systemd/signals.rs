//! systemd's signals, read by one task and handed to whoever waits. One match per kind of signal is set at
//! the start; no call adds or removes one.

use super::proxy::SERVICE;
use futures_util::{Stream, StreamExt};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// A job for a scope begins. Of one that runs it can only be a stop. systemd forgets the controller of a
    /// scope when that leaves the bus, so that this is all that the manager's successor hears of it.
    JobQueued {
        /// `sampan-web.scope`.
        scope: String,
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
    /// The bus connection ended; nothing more will come.
    Disconnected,
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
                | SystemdEvent::JobQueued { scope }
                | SystemdEvent::ScopeRemoved { scope }
                | SystemdEvent::Result { scope, .. },
            ) => Some(scope),
            Self::Event(SystemdEvent::Disconnected) => None,
        }
    }
}

/// Events of all scopes, as a stream that ends after [`SystemdEvent::Disconnected`].
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

/// Everybody who waits for a signal. `None` once the connection has ended.
#[derive(Debug, Clone)]
pub(super) struct Hub(Arc<Mutex<Option<Vec<Listener>>>>);

impl Hub {
    /// Subscribes to systemd's signals and starts the task that reads them.
    pub(super) async fn start(connection: &Connection) -> zbus::Result<Self> {
        let stream = MessageStream::from(connection);
        let bus = DBusProxy::new(connection).await?;
        for rule in rules()? {
            bus.add_match_rule(rule).await?;
        }
        let owner = bus.get_name_owner(SERVICE.try_into()?).await?.to_string();
        let hub = Self(Arc::new(Mutex::new(Some(Vec::new()))));
        tokio::spawn(read(stream, owner, hub.clone()));
        Ok(hub)
    }

    /// Signals about one unit from now on.
    pub(super) fn watch(&self, unit: &str) -> UnboundedReceiver<Signal> {
        self.listen(Topic::Unit(unit.to_owned()))
    }

    /// Events of all scopes from now on.
    pub(super) fn events(&self) -> Events {
        Events(self.listen(Topic::All))
    }

    fn listen(&self, topic: Topic) -> UnboundedReceiver<Signal> {
        let (sender, receiver) = unbounded_channel();
        if let Some(listeners) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            listeners.push(Listener { topic, sender });
        } else {
            let _ = sender.send(Signal::Event(SystemdEvent::Disconnected));
        }
        receiver
    }

    fn publish(&self, signal: &Signal) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = listeners.as_mut() else { return };
        listeners.retain(|listener| {
            let wanted = match (&listener.topic, signal.unit()) {
                (Topic::Unit(wanted), Some(unit)) => wanted == unit,
                (Topic::Unit(_), None) | (Topic::All, _) => true,
            };
            if wanted { listener.sender.send(signal.clone()).is_ok() } else { !listener.sender.is_closed() }
        });
    }

    fn close(&self) {
        self.publish(&Signal::Event(SystemdEvent::Disconnected));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// One ordered stream for all, so that a listener sees signals as systemd sent them.
async fn read(mut stream: MessageStream, mut owner: String, hub: Hub) {
    while let Some(Ok(message)) = stream.next().await {
        if message.message_type() != Type::Signal {
            continue;
        }
        if let Some(new) = new_owner(&message) {
            owner = new;
        } else if message.header().sender().is_some_and(|sender| sender.as_str() == owner)
            && let Some(signal) = parse(&message)
        {
            hub.publish(&signal);
        }
    }
    hub.close();
}

/// The sender of a signal is a unique name, which changes when systemd executes itself again.
fn new_owner(message: &Message) -> Option<String> {
    let header = message.header();
    if header.sender()?.as_str() != "org.freedesktop.DBus" || header.member()?.as_str() != "NameOwnerChanged"
    {
        return None;
    }
    let body = message.body();
    let (name, _, new): (&str, &str, &str) = body.deserialize().ok()?;
    (name == SERVICE && !new.is_empty()).then(|| new.to_owned())
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
            let (_, _, scope): (u32, OwnedObjectPath, String) = body.deserialize().ok()?;
            scope.ends_with(".scope").then_some(Signal::Event(SystemdEvent::JobQueued { scope }))
        }
        ("org.freedesktop.systemd1.Manager", "UnitRemoved") => {
            let (scope, _): (String, OwnedObjectPath) = body.deserialize().ok()?;
            scope.ends_with(".scope").then_some(Signal::Event(SystemdEvent::ScopeRemoved { scope }))
        }
        ("org.freedesktop.systemd1.Scope", "RequestStop") => {
            let scope = unit_of_path(header.path()?.as_str())?;
            Some(Signal::Event(SystemdEvent::RequestStop { scope }))
        }
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            let scope = unit_of_path(header.path()?.as_str())?;
            let (_, mut changed, _): ChangedProperties = body.deserialize().ok()?;
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

/// The matches on the bus. Properties only of scopes, since each change of any unit would wake us.
fn rules() -> zbus::Result<Vec<MatchRule<'static>>> {
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    let manager = || signal().sender(SERVICE).interface("org.freedesktop.systemd1.Manager");
    [
        manager().member("JobNew"),
        manager().member("JobRemoved"),
        manager().member("UnitRemoved"),
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
    fn a_listener_gets_signals_of_its_unit_and_the_end() {
        let hub = Hub(Arc::new(Mutex::new(Some(Vec::new()))));
        let mut watch = hub.watch("sampan-a.scope");
        let removed = |scope: &str| Signal::Event(SystemdEvent::ScopeRemoved { scope: scope.to_owned() });
        hub.publish(&removed("sampan-b.scope"));
        hub.publish(&removed("sampan-a.scope"));
        hub.close();
        assert_eq!(watch.try_recv().unwrap(), removed("sampan-a.scope"));
        assert_eq!(watch.try_recv().unwrap(), Signal::Event(SystemdEvent::Disconnected));
        assert!(watch.try_recv().is_err());
        let mut late = hub.watch("sampan-a.scope");
        assert_eq!(late.try_recv().unwrap(), Signal::Event(SystemdEvent::Disconnected));
    }
}
