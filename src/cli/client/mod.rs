//! The connection to the manager, made only by verbs that need it.

mod agent;
mod link;
mod listener;
mod read;

use super::error::CliError;
use crate::bus::proxy::ManagerProxy;
use crate::paths::Paths;
use agent::Agent;
use link::{BUS_DEADLINE, Link};
pub use listener::{Heard, Listener};
pub use read::property_names;
use serde::Serialize;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use zbus::proxy::MethodFlags;
use zbus::zvariant::{DynamicDeserialize, DynamicType};

/// For how long managers may end, one after the other, before one answers.
const SUCCESSION: Duration = Duration::from_secs(30);

/// Between calls of a manager that others keep busy.
const BUSY_INTERVAL: Duration = Duration::from_millis(20);

/// The manager as a client sees it.
#[derive(Debug)]
pub struct Client {
    /// Root's own way, to the manager of now alone.
    private: Option<Link>,
    /// The way to the manager that has the name on the bus, whoever that is at the time; made when it is needed.
    bus: OnceCell<Link>,
    /// Started once a password is needed; none where there cannot be one.
    agent: OnceCell<Option<Agent>>,
}

/// Whose manager is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// The system's.
    System,
    /// That of the user who calls.
    User,
}

/// Whether polkit may ask for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Where one is needed.
    Allowed,
    /// Never, as `--no-ask-password` says.
    Never,
}

/// Whose files and units are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of this host, which has the manager.
    ThisHost,
    /// Those below another root directory, as `--root=` says: nothing of this host is meant.
    OtherRoot,
}

/// What the command line says of the manager.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Whose manager is meant.
    pub bus: Bus,
    /// Whether it may have passwords asked for.
    pub asking: Asking,
    /// Whether it may be talked to at all.
    pub scope: Scope,
}

/// Chosen once by the command line, for the whole process.
static CHOICE: OnceLock<Choice> = OnceLock::new();

/// Says which manager is meant. The first word counts.
pub fn choose(choice: Choice) {
    CHOICE.get_or_init(|| choice);
}

fn choice() -> Choice {
    let unsaid = Choice { bus: Bus::System, asking: Asking::Allowed, scope: Scope::ThisHost };
    CHOICE.get().copied().unwrap_or(unsaid)
}

/// Whose manager is meant.
pub fn bus() -> Bus {
    choice().bus
}

/// What runs is looked at and changed on this host alone: what stands below another root says nothing about it.
///
/// # Errors
/// With `--root=`.
pub fn expect_this_host() -> Result<(), CliError> {
    match choice().scope {
        Scope::ThisHost => Ok(()),
        Scope::OtherRoot => Err(CliError::OtherRoot),
    }
}

/// Runs a conversation with the manager on a runtime of its own.
///
/// # Errors
/// When there is no bus, and whatever the conversation fails with.
pub fn talk<T>(conversation: impl AsyncFnOnce(&Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect().await?;
        conversation(&client).await
    })
}

/// The same with a manager that runs: it is not started for it. `None` where none does, or there is no bus.
///
/// # Errors
/// When the bus does not answer, and whatever the conversation fails with.
pub fn talk_if_running<T>(
    conversation: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Client::connect().await {
            Ok(client) if client.is_running().await => conversation(&client).await.map(Some),
            Ok(_) => Ok(None),
            Err(error) if error.is_unreachable() => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
}

/// A conversation that may be held twice, and that is begun again when the manager is restarted in the middle.
///
/// # Errors
/// As [`talk`].
pub fn ask<T>(mut conversation: impl AsyncFnMut(&Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    talk(async |client| {
        let begun = Instant::now();
        loop {
            match conversation(client).await {
                Err(error)
                    if matches!(error.downcast_ref(), Some(CliError::Left { .. }))
                        && begun.elapsed() < SUCCESSION => {}
                result => return result,
            }
        }
    })
}

/// Makes a call again when the manager was restarted before it answered: the bus holds the call back until the
/// successor is there.
///
/// # Errors
/// As the call.
pub async fn again<T>(call: impl AsyncFn() -> Result<T, CliError>) -> Result<T, CliError> {
    let begun = Instant::now();
    loop {
        match call().await {
            Err(CliError::Left { .. }) if begun.elapsed() < SUCCESSION => {}
            Err(CliError::Busy { .. }) if begun.elapsed() < SUCCESSION => {
                tokio::time::sleep(BUSY_INTERVAL).await
            }
            result => return result,
        }
    }
}

impl Client {
    async fn connect() -> Result<Self, CliError> {
        expect_this_host()?;
        let private = match bus() {
            Bus::System => Link::private(&Paths::default().private_socket()).await,
            Bus::User => None,
        };
        let client = Self { private, bus: OnceCell::new(), agent: OnceCell::new() };
        match client.link().await {
            Ok(_) => Ok(client),
            Err(zbus::Error::InputOutput(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Err(CliError::Bus { after: BUS_DEADLINE })
            }
            Err(error) => Err(CliError::of_connection(error)),
        }
    }

    /// The way to the manager. Root's own ends with the manager that it leads to, and then the bus leads to its
    /// successor.
    async fn link(&self) -> zbus::Result<&Link> {
        match &self.private {
            Some(link) if !link.is_over() => Ok(link),
            _ => self.over_bus().await,
        }
    }

    async fn over_bus(&self) -> zbus::Result<&Link> {
        self.bus.get_or_try_init(Link::over_bus).await
    }

    /// Asks the manager what needs no permission.
    ///
    /// # Errors
    /// When the manager cannot be reached, or answers with an error.
    pub async fn ask<T>(
        &self,
        call: impl AsyncFnOnce(&ManagerProxy<'static>) -> zbus::Result<T>,
    ) -> zbus::Result<T> {
        let link = self.link().await?;
        call(&link.manager).await.map_err(|error| link.told(error))
    }

    /// Whether the manager runs; it is not started to find out.
    pub async fn is_running(&self) -> bool {
        match self.link().await {
            Ok(link) => link.has_manager().await,
            Err(_) => false,
        }
    }

    /// Has the manager read its unit files again.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    pub async fn reload(&self) -> Result<(), CliError> {
        let failed = |error| CliError::of_call("reload daemon", error);
        again(async || self.call("Reload", &()).await.map_err(failed)).await
    }

    /// Has systemd read its unit files again, as `systemctl daemon-reload` does.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn reload_systemd(&self) -> Result<(), CliError> {
        let (name, interface) = ("org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager");
        let path = "/org/freedesktop/systemd1";
        let reload = async {
            let bus = &self.over_bus().await?.connection;
            bus.call_method(Some(name), path, Some(interface), "Reload", &()).await
        };
        reload.await.map(drop).map_err(|error| CliError::of_call("reload systemd", error))
    }

    /// Calls a method of the manager. Where polkit wants a password before, it is asked for, unless the command line
    /// forbids it: by the agent of the session, or one that is started here.
    ///
    /// # Errors
    /// When the manager does not answer, or answers with an error.
    pub async fn call<B, R>(&self, method: &'static str, body: &B) -> zbus::Result<R>
    where
        B: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        match self.ask(async |manager| manager.inner().call(method, body).await).await {
            Err(error) if needs_password(&error) && choice().asking == Asking::Allowed => {}
            answer => return answer,
        }
        self.agent.get_or_init(Agent::start).await;
        let flags = MethodFlags::ALLOW_INTERACTIVE_AUTH;
        let with_password = async |manager: &ManagerProxy<'static>| {
            manager.inner().call_with_flags(method, flags, body).await?.ok_or(zbus::Error::InvalidReply)
        };
        self.ask(with_password).await
    }
}

fn needs_password(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::FDO(error) if matches!(**error, zbus::fdo::Error::InteractiveAuthorizationRequired(_)))
}
