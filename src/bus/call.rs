//! One method call on its way: who made it, what it says, and its answer.

use super::access::{Action, Details};
use super::error::BusError;
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
    sender: Rc<str>,
    user: u32,
    pub(super) shared: Rc<Shared>,
}

impl Call {
    /// The call in a message; `None` where the caller has left meanwhile.
    pub(super) async fn new(message: Message, shared: Rc<Shared>) -> Option<Self> {
        let sender: Rc<str> = Rc::from(message.header().sender()?.as_str());
        let user = shared.access.user(&sender).await.ok()?;
        Some(Self { message, sender, user, shared })
    }

    /// Whose connection it is, as the bus says.
    pub(super) fn user(&self) -> u32 {
        self.user
    }

    /// What the caller may see.
    pub(super) fn viewer(&self) -> Viewer {
        if self.user == 0 { Viewer::Root } else { Viewer::Anybody }
    }

    /// The unique name of the connection that called, given by the bus.
    pub(super) fn sender(&self) -> &str {
        &self.sender
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
        self.shared.access.allow(self, action, details).await
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
