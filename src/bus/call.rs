//! One method call on its way: who made it, what it says, and its answer.

use super::access::{Action, Details, Waiting};
use super::bus_end::BusEnd;
use super::error::BusError;
use super::peer::Peer;
use super::serve::Shared;
use crate::manager::driver::{Manager, ManagerHandle};
use crate::manager::view::Viewer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::rc::Rc;
use zbus::message::Flags;
use zbus::{Message, Signature, Type};

/// A call of one of our methods.
#[derive(Clone)]
pub(super) struct Call {
    message: Message,
    caller: Caller,
    pub(super) shared: Rc<Shared>,
}

/// Who calls, and over which connection.
#[derive(Clone)]
pub(super) enum Caller {
    /// Somebody on the bus.
    Client {
        /// The connection that the call came over.
        end: Rc<BusEnd>,
        /// The unique name, given by the bus.
        name: Rc<str>,
        /// Whose connection it is, as the bus says.
        user: u32,
    },
    /// Root.
    Peer(Rc<Peer>),
}

impl Caller {
    /// Who sent a message over the bus; `None` where it has left meanwhile.
    pub(super) async fn of(message: &Message, end: &Rc<BusEnd>) -> Option<Self> {
        let name: Rc<str> = Rc::from(message.header().sender()?.as_str());
        let user = end.access.user(&name).await.ok()?;
        Some(Self::Client { end: Rc::clone(end), name, user })
    }
}

impl Call {
    /// The call in a message.
    pub(super) fn new(message: Message, caller: Caller, shared: Rc<Shared>) -> Self {
        Self { message, caller, shared }
    }

    /// Who calls.
    pub(super) fn user(&self) -> u32 {
        match &self.caller {
            Caller::Client { user, .. } => *user,
            Caller::Peer(_) => 0,
        }
    }

    /// What the caller may see.
    pub(super) fn viewer(&self) -> Viewer {
        if self.user() == 0 { Viewer::Root } else { Viewer::Anybody }
    }

    /// Root at its own connection.
    pub(super) fn peer(&self) -> Option<&Peer> {
        match &self.caller {
            Caller::Client { .. } => None,
            Caller::Peer(peer) => Some(peer),
        }
    }

    /// Whether the caller reads its answers: what does not is given no more of them.
    pub(super) async fn may_be_answered(&self) -> bool {
        match &self.caller {
            Caller::Client { end, name, user } if *user != 0 => end.ledger.may_answer(name).await,
            Caller::Client { .. } | Caller::Peer(_) => true,
        }
    }

    /// Counts a call that waits for others.
    pub(super) fn enter(&self) -> Result<Option<Waiting>, BusError> {
        match &self.caller {
            Caller::Client { end, user, .. } => end.access.enter(*user),
            Caller::Peer(_) => Ok(None),
        }
    }

    /// Has the caller told what changes.
    pub(super) fn subscribe(&self) -> Result<(), BusError> {
        match &self.caller {
            Caller::Client { end, name, user } => end.subscribers.add(name, *user),
            // Its rules say what it is told.
            Caller::Peer(_) => Ok(()),
        }
    }

    /// The same no longer.
    pub(super) fn unsubscribe(&self) -> Result<(), BusError> {
        match &self.caller {
            Caller::Client { end, name, .. } => end.subscribers.remove(name),
            Caller::Peer(_) => Ok(()),
        }
    }

    /// Sends the answer.
    pub(super) async fn send(&self, answer: &Message) -> zbus::Result<()> {
        match &self.caller {
            Caller::Client { end, name, .. } => {
                end.ledger.note(name, answer.data().len());
                end.connection.send(answer).await
            }
            Caller::Peer(peer) => peer.send(answer).await,
        }
    }

    /// The message.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// The manager.
    pub(super) fn manager(&self) -> &ManagerHandle {
        &self.shared.manager
    }

    /// Whether polkit may ask the user for a password.
    pub(super) fn is_interactive(&self) -> bool {
        self.message.primary_header().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH)
    }

    /// Whether somebody waits for an answer.
    pub(super) fn wants_answer(&self) -> bool {
        !self.message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED)
    }

    /// The arguments, a tuple.
    pub(super) fn arguments<In: DeserializeOwned + Type>(&self) -> Result<In, BusError> {
        let body = self.message.body();
        let expected = flat(In::SIGNATURE);
        let given = flat(body.signature());
        if given != expected {
            return Err(BusError::InvalidArgs(format!("Arguments are \"{given}\", not \"{expected}\".")));
        }
        body.deserialize_ignore_signature().map_err(|error| BusError::InvalidArgs(error.to_string()))
    }

    /// The answer, a tuple.
    pub(super) fn answer<Out: Serialize + Type>(&self, answer: &Out) -> Result<Message, BusError> {
        Ok(Message::method_return(&self.message.header()).build(answer)?)
    }

    /// Goes on only where the caller may do this. The call is not looked at again afterwards: what was asked for
    /// is what is done.
    pub(super) async fn allow(&self, action: Action, details: Details<'_>) -> Result<(), BusError> {
        match &self.caller {
            Caller::Client { end, name, .. } => end.access.allow(self, name, action, details).await,
            Caller::Peer(_) => Ok(()),
        }
    }

    /// Looks at the manager, or has it do something at once.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Manager) -> T + Send + 'static,
    ) -> Result<T, BusError> {
        self.manager().with(look).await.ok_or_else(leaving)
    }
}

/// The error of every call while the daemon ends.
pub(super) fn leaving() -> BusError {
    BusError::Failed("sampand is about to end: try again in a moment.".into())
}

/// A signature without the parentheses of the tuple.
fn flat(signature: &Signature) -> String {
    match signature {
        Signature::Structure(fields) => fields.iter().map(ToString::to_string).collect(),
        Signature::Unit => String::new(),
        other => other.to_string(),
    }
}
