//! The signals of the manager, listened to without waiting for the bus to say so: it handles the messages of one
//! connection in their order, and so a manager that is called afterwards is listened to before it hears of the call.

use super::Client;
use crate::bus::wire::{BUS_NAME, MANAGER_INTERFACE, MANAGER_PATH};
use crate::cli::error::CliError;
use futures_util::StreamExt;
use std::num::NonZeroU32;
use zbus::message::{Builder, Flags, Type};
use zbus::{Message, MessageStream};

const BUS: &str = "org.freedesktop.DBus";

/// All that comes over the connection, of which only what the manager tells is given on.
#[derive(Debug)]
pub struct Listener {
    messages: MessageStream,
    /// The call whose answer says who the manager is.
    asked: NonZeroU32,
    /// The unique name of the manager: anybody may send signals to us.
    manager: Option<String>,
}

/// What is heard.
#[derive(Debug)]
pub enum Heard {
    /// A signal of the manager.
    Signal(Message),
    /// The manager has left the bus.
    Left,
}

impl Client {
    /// Listens to the signals of an interface and member each.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn listen(&self, signals: &[&str]) -> Result<Listener, CliError> {
        let failed = |error| CliError::of_call("watch sampand", error);
        let owner = format!("sender='{BUS}',member='NameOwnerChanged',arg0='{BUS_NAME}'");
        let wanted = signals.iter().map(|signal| format!("sender='{BUS_NAME}',{signal}"));
        let mut messages = Vec::new();
        for rule in wanted.chain([owner]) {
            let rule = format!("type='signal',{rule}");
            messages.push(
                call_of_bus("AddMatch").with_flags(Flags::NO_REPLY_EXPECTED).build(&rule).map_err(failed)?,
            );
        }
        let asked = call_of_bus("GetNameOwner").build(&BUS_NAME).map_err(failed)?;
        let serial = asked.primary_header().serial_num();
        let subscribe = Message::method_call(MANAGER_PATH, "Subscribe").destination(BUS_NAME);
        let subscribe = subscribe.interface(MANAGER_INTERFACE).with_flags(Flags::NO_REPLY_EXPECTED);
        messages.extend([asked, subscribe.build(&()).map_err(failed)?]);
        let stream = MessageStream::from(&self.connection);
        self.connection.send_all(&messages).await.map_err(failed)?;
        Ok(Listener { messages: stream, asked: serial, manager: None })
    }
}

impl Listener {
    /// The next; `None` when the bus has gone.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            // The end of the connection comes after its error.
            if let Ok(message) = self.messages.next().await?
                && let Some(heard) = self.hear(&message)
            {
                return Some(heard);
            }
        }
    }

    fn hear(&mut self, message: &Message) -> Option<Heard> {
        let header = message.header();
        if header.reply_serial() == Some(self.asked) {
            // Where there is none, the answer is an error.
            let is_answer = header.message_type() == Type::MethodReturn;
            self.manager = message.body().deserialize().ok().filter(|_| is_answer);
            return None;
        }
        let sender = header.sender().filter(|_| header.message_type() == Type::Signal)?.as_str();
        if sender == BUS && header.member().is_some_and(|member| member == "NameOwnerChanged") {
            let body = message.body();
            let (name, _, owner) = body.deserialize::<(&str, &str, &str)>().ok()?;
            return if name == BUS_NAME { self.change(owner) } else { None };
        }
        let is_managers = self.manager.as_deref() == Some(sender);
        is_managers.then(|| Heard::Signal(message.clone()))
    }

    /// D-Bus Specification: the name of an owner that there is not is empty.
    fn change(&mut self, owner: &str) -> Option<Heard> {
        self.manager = Some(owner.to_owned()).filter(|owner| !owner.is_empty());
        if self.manager.is_none() { Some(Heard::Left) } else { None }
    }
}

/// A call of the bus itself, D-Bus Specification, "Message Bus Messages".
fn call_of_bus(method: &str) -> Builder<'_> {
    Message::method_call("/org/freedesktop/DBus", method).destination(BUS).interface(BUS)
}
