//! Our end of the bus: takes calls in, finds what they are for, and sends the answers. This connection is not the
//! one to systemd, so that no client can stand between systemd and us.

use super::access::Waiting;
use super::allowance::Allowance;
use super::bus_end::BusEnd;
use super::call::{Call, Caller};
use super::catalogue::Catalogue;
use super::error::BusError;
use super::interface::{Answer, Interface, Pending, Values, Which};
use super::object::{Interfaces, Object};
use super::peer::{self, Peers};
use super::publish::{self, Publisher, Told};
use super::{standard, wire};
use crate::manager::driver::{ManagerHandle, Notice};
use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedReceiver;
use zbus::{Message, MessageStream};

/// The longest call that is listened to, in bytes. Whatever is longer is no call of ours.
const CALL_MAX: usize = 256 << 10;

/// Between attempts to reach the bus again: the first pause and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What all calls share.
pub(super) struct Shared {
    pub(super) manager: ManagerHandle,
    pub(super) allowance: Allowance,
    pub(super) catalogue: Catalogue,
    pub(super) interfaces: Interfaces,
    pub(super) peers: Peers,
    pub(super) told: Told,
    /// The connection to the bus of now, or the last one.
    end: RefCell<Rc<BusEnd>>,
}

impl Shared {
    /// The connection to the bus of now, or the last one.
    pub(super) fn end(&self) -> Rc<BusEnd> {
        Rc::clone(&self.end.borrow())
    }
}

/// Our name on the bus, and the calls that come for it.
pub struct Bus {
    shared: Rc<Shared>,
    calls: MessageStream,
    listener: Option<UnixListener>,
}

impl Bus {
    /// Connects to the system bus and takes our name; from now on clients find us.
    ///
    /// # Errors
    /// When there is no bus, another process has the name, or the policy of the bus forbids it.
    pub async fn connect(manager: ManagerHandle) -> zbus::Result<Self> {
        let (end, calls) = BusEnd::connect().await?;
        let shared = Shared {
            manager,
            allowance: Allowance::default(),
            catalogue: Catalogue::default(),
            interfaces: Interfaces::new(),
            peers: Peers::default(),
            told: Told::default(),
            end: RefCell::new(end),
        };
        Ok(Self { shared: Rc::new(shared), calls, listener: None })
    }

    /// Makes the socket by which root needs no bus.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn listen(&mut self, socket: &Path) -> io::Result<()> {
        self.listener = Some(peer::listen(socket)?);
        Ok(())
    }

    /// Answers calls and carries notices of the manager to the bus, over one connection after the other.
    pub async fn run(mut self, notices: UnboundedReceiver<Notice>) {
        let shared = Rc::clone(&self.shared);
        let listener = self.listener.take();
        let mut publisher = Publisher::new(notices);
        tokio::select! {
            () = publisher.run(&shared) => {}
            () = self.stay() => {}
            Some(()) = OptionFuture::from(listener.map(|listener| peer::accept(Rc::clone(&shared), listener))) => {}
        }
    }

    /// Answers calls that come over the bus.
    async fn stay(&mut self) {
        let shared = Rc::clone(&self.shared);
        loop {
            let end = self.shared.end();
            tokio::select! {
                () = self.serve(&end) => {}
                // They end with the connection, as the other does.
                () = end.subscribers.watch(|| publish::left(&shared)) => {}
            }
            end.subscribers.clear();
            publish::left(&shared);
            let (end, calls) = connect_again().await;
            self.shared.end.replace(end);
            self.calls = calls;
            tracing::info!("Back on the bus as {}.", wire::BUS_NAME);
        }
    }

    async fn serve(&mut self, end: &Rc<BusEnd>) {
        while let Some(message) = self.calls.next().await {
            match message {
                Ok(message) => {
                    if let Some(caller) = Caller::of(&message, end).await {
                        take(Call::new(message, caller, Rc::clone(&self.shared))).await;
                    }
                }
                Err(error) => tracing::debug!("bus: {error}"),
            }
        }
    }
}

async fn connect_again() -> (Rc<BusEnd>, MessageStream) {
    let mut pause = PAUSES.0;
    loop {
        match BusEnd::connect().await {
            Ok(end) => return end,
            Err(error) => tracing::debug!("bus: {error}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Answers a call, or has a task of its own answer it where others are asked before.
pub(super) async fn take(call: Call) {
    let began = Instant::now();
    let user = call.user();
    if !call.may_be_answered().await {
        return;
    }
    let shared = Rc::clone(&call.shared);
    if let Err(error) = shared.allowance.check(user, began) {
        return finish(&call, Err(error)).await;
    }
    match answer(&call).await {
        Ok(Answer::Ready(answer)) => finish(&call, Ok(answer)).await,
        Ok(Answer::Later(answer)) => match call.enter() {
            Ok(waiting) => drop(tokio::task::spawn_local(finish_later(call, answer, waiting))),
            Err(error) => finish(&call, Err(error)).await,
        },
        Err(error) => finish(&call, Err(error)).await,
    }
    shared.allowance.charge(user, began, Instant::now());
}

async fn finish_later(call: Call, answer: Pending<Message>, waiting: Option<Waiting>) {
    let answer = answer.await;
    drop(waiting);
    finish(&call, answer).await;
}

async fn finish(call: &Call, answer: Result<Message, BusError>) {
    if !call.wants_answer() {
        return;
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => match error.reply(&call.message().header()) {
            Ok(answer) => answer,
            Err(error) => return tracing::debug!("bus: {error}"),
        },
    };
    if let Err(error) = call.send(&answer).await {
        tracing::debug!("bus: {error}");
    }
}

async fn answer(call: &Call) -> Result<Answer<Message>, BusError> {
    let message = call.message();
    if message.data().len() > CALL_MAX {
        return Err(BusError::LimitsExceeded(format!("A call is at most {CALL_MAX} bytes long.")));
    }
    let header = message.header();
    let path = header.path().map(|path| path.as_str()).unwrap_or_default();
    let member = header.member().map(|member| member.as_str()).unwrap_or_default();
    let interface = header.interface().map(|interface| interface.as_str());
    if let Some(peer) = call.peer().filter(|_| peer::is_for_bus(interface)) {
        return Ok(Answer::Ready(peer.answer_as_bus(call, member)?));
    }
    if let Some(answer) = standard::answer(call, interface, path, member)? {
        return answer.await;
    }
    let interfaces = &call.shared.interfaces;
    match Object::find(path)? {
        Object::Manager => run(&interfaces.manager, (), call, interface, member).await,
        Object::Unit(name) => run(&interfaces.unit, name, call, interface, member).await,
        Object::Job(id) => run(&interfaces.job, id, call, interface, member).await,
        Object::Transfer(id) => run(&interfaces.transfer, id, call, interface, member).await,
    }
}

async fn run<S: Send + 'static>(
    own: &Interface<S>,
    subject: S,
    call: &Call,
    interface: Option<&str>,
    member: &str,
) -> Result<Answer<Message>, BusError> {
    if let Some(other) = interface.filter(|interface| *interface != own.name) {
        return Err(BusError::UnknownInterface(format!("Unknown interface {other}.")));
    }
    let method = own.method_named(member);
    let method = method.ok_or_else(|| BusError::UnknownMethod(format!("Unknown method {member}.")))?;
    (method.run)(subject, call.clone()).await
}

/// Reads properties of an object's own interface.
pub(super) async fn read(
    call: Call,
    path: String,
    interface: String,
    property: Option<String>,
) -> Result<Answer<Values>, BusError> {
    let shared = Rc::clone(&call.shared);
    let interfaces = &shared.interfaces;
    match Object::find(&path)? {
        Object::Manager => read_of(&interfaces.manager, (), call, &interface, property).await,
        Object::Unit(name) => read_of(&interfaces.unit, name, call, &interface, property).await,
        Object::Job(id) => read_of(&interfaces.job, id, call, &interface, property).await,
        Object::Transfer(id) => read_of(&interfaces.transfer, id, call, &interface, property).await,
    }
}

async fn read_of<S: Send + 'static>(
    own: &Interface<S>,
    subject: S,
    call: Call,
    interface: &str,
    property: Option<String>,
) -> Result<Answer<Values>, BusError> {
    if interface != own.name && !interface.is_empty() {
        // The standard interfaces are there and have no properties.
        return match property {
            None if interface.starts_with("org.freedesktop.DBus.") => Ok(Answer::Ready(Vec::new())),
            _ => Err(BusError::UnknownInterface(format!("Unknown interface {interface}."))),
        };
    }
    let which = match property {
        None => Which::All,
        Some(name) => {
            let known = own.property_named(&name);
            Which::One(known.ok_or_else(|| BusError::UnknownProperty(format!("Unknown property {name}.")))?)
        }
    };
    (own.read)(subject, call, which).await
}
