//! Root's own way to us, beside the bus: a socket that root alone can open, as `/run/systemd/private` is. The same
//! calls get the same answers there, sooner, and also while there is no bus.

use super::call::{Call, Caller};
use super::error::BusError;
use super::peer_socket::PeerSocket;
use super::publish;
use super::serve::{Shared, take};
use crate::sys::readiness::{SHORTAGE_INTERVAL, is_shortage};
use futures_util::StreamExt;
use rustix::fs::{Mode, chmod};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use zbus::connection::Builder;
use zbus::{Connection, Guid, MatchRule, Message, MessageStream};

/// Connections at the same time. Who is one more goes by the bus.
const PEERS_MAX: usize = 256;

/// Signals that wait for a peer to read. One that lets more wait is left alone.
const UNREAD_MAX: usize = 1024;

const ROOT: u32 = 0;

/// The interface by which a peer says what it listens to, as it would to a bus.
const BUS_INTERFACE: &str = "org.freedesktop.DBus";

/// Root at the other end of a connection.
pub(super) struct Peer {
    connection: Connection,
    /// What it wants to hear.
    rules: RefCell<Vec<MatchRule<'static>>>,
    /// `None` once it has not read for too long, and is left alone.
    signals: RefCell<Option<Sender<Message>>>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Peers(RefCell<Vec<Rc<Peer>>>);

impl Peers {
    /// Whether anybody wants to hear anything.
    pub(super) fn listen(&self) -> bool {
        self.0.borrow().iter().any(|peer| !peer.rules.borrow().is_empty())
    }

    /// Tells a signal to those who want to hear it.
    pub(super) fn tell(&self, signal: &Message) {
        for peer in self.0.borrow().iter().filter(|peer| peer.wants(signal)) {
            let mut signals = peer.signals.borrow_mut();
            *signals = signals.take().filter(|signals| signals.try_send(signal.clone()).is_ok());
        }
    }

    fn leave(&self, peer: &Rc<Peer>) {
        self.0.borrow_mut().retain(|other| !Rc::ptr_eq(other, peer));
    }
}

impl Peer {
    /// Sends an answer, or a signal.
    pub(super) async fn send(&self, message: &Message) -> zbus::Result<()> {
        self.connection.send(message).await
    }

    /// What a bus would be asked for.
    pub(super) fn answer_as_bus(&self, call: &Call, member: &str) -> Result<Message, BusError> {
        if member != "AddMatch" {
            return Err(BusError::UnknownMethod(format!("{BUS_INTERFACE}.{member}: there is no bus here.")));
        }
        let (rule,) = call.arguments::<(String,)>()?;
        let rule = MatchRule::try_from(rule.as_str());
        let rule = rule.map_err(|error| BusError::InvalidArgs(error.to_string()))?;
        self.rules.borrow_mut().push(rule.to_owned());
        call.answer(&())
    }

    fn wants(&self, signal: &Message) -> bool {
        self.rules.borrow().iter().any(|rule| rule.matches(signal).unwrap_or_default())
    }
}

/// Whether a call is for the bus, where there is one.
pub(super) fn is_for_bus(interface: Option<&str>) -> bool {
    interface == Some(BUS_INTERFACE)
}

/// Makes the socket, in the place of a predecessor's.
///
/// # Errors
/// When it cannot be made.
pub(super) fn listen(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    chmod(socket, Mode::from_raw_mode(0o600))?;
    Ok(listener)
}

/// Answers all who come.
pub(super) async fn accept(shared: Rc<Shared>, listener: UnixListener) {
    let mut reserve = None;
    loop {
        if reserve.is_none() {
            reserve = File::open("/dev/null").ok();
        }
        match listener.accept().await {
            Ok((stream, _)) if is_root(&stream) && shared.peers.0.borrow().len() < PEERS_MAX => {
                drop(tokio::task::spawn_local(serve(stream, Rc::clone(&shared))));
            }
            Ok(_) => {}
            // Who came is told that it gets no answer here: it goes by the bus, which needs no descriptor of ours.
            Err(error) if is_shortage(&error) && reserve.take().is_some() => drop(listener.accept().await),
            Err(error) => {
                tracing::debug!("private socket: {error}");
                tokio::time::sleep(SHORTAGE_INTERVAL).await;
            }
        }
    }
}

/// The mode of the socket says so, too, until somebody changes it.
fn is_root(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ROOT)
}

async fn serve(stream: UnixStream, shared: Rc<Shared>) {
    let calls = match meet(stream).await {
        Ok(calls) => calls,
        Err(error) => return tracing::debug!("private socket: {error}"),
    };
    let (sender, signals) = channel(UNREAD_MAX);
    let (connection, rules) = (Connection::from(&calls), RefCell::default());
    let peer = Rc::new(Peer { connection, rules, signals: RefCell::new(Some(sender)) });
    shared.peers.0.borrow_mut().push(Rc::clone(&peer));
    converse(&shared, &peer, calls, signals).await;
    shared.peers.leave(&peer);
    publish::left(&shared);
}

/// Who it is has been seen.
async fn meet(stream: UnixStream) -> zbus::Result<MessageStream> {
    let builder = Builder::socket(PeerSocket::new(stream)).user_id(ROOT);
    builder.server(Guid::generate()).p2p().build_message_stream().await
}

/// Until one of both leaves.
async fn converse(
    shared: &Rc<Shared>,
    peer: &Rc<Peer>,
    mut calls: MessageStream,
    mut signals: Receiver<Message>,
) {
    loop {
        tokio::select! {
            call = calls.next() => match call {
                Some(Ok(message)) => {
                    take(Call::new(message, Caller::Peer(Rc::clone(peer)), Rc::clone(shared))).await;
                }
                Some(Err(error)) => tracing::debug!("private socket: {error}"),
                None => return,
            },
            signal = signals.recv() => {
                let Some(signal) = signal else { return };
                if let Err(error) = peer.send(&signal).await {
                    return tracing::debug!("private socket: {error}");
                }
            }
        }
    }
}
