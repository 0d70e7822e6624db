//! The signals of the manager, listened to without waiting for the bus to say so: it handles the messages of one
//! connection in their order, and so a manager that is called afterwards is listened to before it hears of the call.

use super::Client;
use super::link::Way;
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
    manager: Known,
}

/// What is known of the manager.
#[derive(Debug)]
enum Known {
    /// It is at the other end.
    Peer,
    /// It was, and that is not told yet.
    Left,
    /// Anybody on a bus may send signals to us.
    OnBus {
        /// The call whose answer says who it is.
        asked: NonZeroU32,
        /// Its unique name.
        name: Option<String>,
    },
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
        let link = self.link().await.map_err(failed)?;
        let wanted = signals.iter().map(|signal| format!("type='signal',sender='{BUS_NAME}',{signal}"));
        let mut messages: Vec<Message> =
            wanted.map(|rule| add_match(&rule)).collect::<Result<_, _>>().map_err(failed)?;
        let manager = match link.way {
            Way::Private => Known::Peer,
            Way::Bus => {
                let (asked, more) = meet_on_bus().map_err(failed)?;
                messages.extend(more);
                Known::OnBus { asked, name: None }
            }
        };
        let stream = MessageStream::from(&link.connection);
        link.connection.send_all(&messages).await.map_err(failed)?;
        Ok(Listener { messages: stream, manager })
    }
}

/// What makes the manager at a bus known, and has it send signals; and which of it is answered.
fn meet_on_bus() -> zbus::Result<(NonZeroU32, [Message; 3])> {
    let owner = format!("type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{BUS_NAME}'");
    let asked = call_of_bus("GetNameOwner").build(&BUS_NAME)?;
    let serial = asked.primary_header().serial_num();
    let subscribe = Message::method_call(MANAGER_PATH, "Subscribe").destination(BUS_NAME);
    let subscribe = subscribe.interface(MANAGER_INTERFACE).with_flags(Flags::NO_REPLY_EXPECTED).build(&())?;
    Ok((serial, [add_match(&owner)?, asked, subscribe]))
}

fn add_match(rule: &str) -> zbus::Result<Message> {
    call_of_bus("AddMatch").with_flags(Flags::NO_REPLY_EXPECTED).build(&rule)
}

impl Listener {
    /// The next; `None` when the connection has ended, which is told of a manager beside the bus before.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            match self.messages.next().await {
                // The end of the connection comes after its error.
                Some(Err(_)) => {}
                Some(Ok(message)) => {
                    if let Some(heard) = self.hear(&message) {
                        return Some(heard);
                    }
                }
                None if matches!(self.manager, Known::Peer) => {
                    self.manager = Known::Left;
                    return Some(Heard::Left);
                }
                None => return None,
            }
        }
    }

    fn hear(&mut self, message: &Message) -> Option<Heard> {
        let header = message.header();
        let is_signal = header.message_type() == Type::Signal;
        let Known::OnBus { asked, name: manager } = &mut self.manager else {
            return is_signal.then(|| Heard::Signal(message.clone()));
        };
        if header.reply_serial() == Some(*asked) {
            // Where there is none, the answer is an error.
            let is_answer = header.message_type() == Type::MethodReturn;
            *manager = message.body().deserialize().ok().filter(|_| is_answer);
            return None;
        }
        let sender = header.sender().filter(|_| is_signal)?.as_str();
        if sender == BUS && header.member().is_some_and(|member| member == "NameOwnerChanged") {
            let body = message.body();
            let (name, _, owner) = body.deserialize::<(&str, &str, &str)>().ok()?;
            if name != BUS_NAME {
                return None;
            }
            // D-Bus Specification: the name of an owner that there is not is empty.
            *manager = Some(owner.to_owned()).filter(|owner| !owner.is_empty());
            return manager.is_none().then_some(Heard::Left);
        }
        let is_managers = manager.as_deref() == Some(sender);
        is_managers.then(|| Heard::Signal(message.clone()))
    }
}

/// A call of the bus itself, D-Bus Specification, "Message Bus Messages".
fn call_of_bus(method: &str) -> Builder<'_> {
    Message::method_call("/org/freedesktop/DBus", method).destination(BUS).interface(BUS)
}
