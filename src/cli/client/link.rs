//! The ways to a manager: root's own, which leads to one manager and ends with it, and the bus, which leads to
//! whoever has the name.

use super::{Bus, bus};
use crate::bus::proxy::ManagerProxy;
use crate::bus::wire::BUS_NAME;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use zbus::connection::Builder;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, fdo};

/// How long a bus that is being restarted may take.
pub(super) const BUS_DEADLINE: Duration = Duration::from_secs(10);

/// How long a manager may take to answer at its own socket. One that is stopped, or has no descriptor left, is waited for
/// at the bus, which needs nothing of it.
const PRIVATE_DEADLINE: Duration = Duration::from_secs(2);

/// A connection, and the manager at its end.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) manager: ManagerProxy<'static>,
    pub(super) way: Way,
}

/// What a connection leads over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing, org.sampan1(5), "ROOT'S CONNECTION".
    Private,
    /// A bus.
    Bus,
}

impl Link {
    /// Root's own way; `None` to others, and while there is no manager that answers.
    pub(super) async fn private(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        let connecting = Builder::unix_stream(stream).p2p().build();
        let connection = tokio::time::timeout(PRIVATE_DEADLINE, connecting).await.ok()?.ok()?;
        Self::new(connection, Way::Private).await.ok()
    }

    /// The way over the bus.
    pub(super) async fn over_bus() -> zbus::Result<Self> {
        let connecting = async {
            match bus() {
                Bus::System => Connection::system().await,
                Bus::User => Connection::session().await,
            }
        };
        match tokio::time::timeout(BUS_DEADLINE, connecting).await {
            Ok(connection) => Self::new(connection?, Way::Bus).await,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    async fn new(connection: Connection, way: Way) -> zbus::Result<Self> {
        let manager = ManagerProxy::builder(&connection).cache_properties(CacheProperties::No);
        Ok(Self { manager: manager.build().await?, connection, way })
    }

    /// Whether it has ended with its manager.
    pub(super) fn is_over(&self) -> bool {
        self.connection.is_closed()
    }

    /// Whether there is a manager; it is not started to find out.
    pub(super) async fn has_manager(&self) -> bool {
        if self.way == Way::Private {
            return true;
        }
        let asked = async {
            let bus = fdo::DBusProxy::new(&self.connection).await?;
            Ok::<bool, zbus::Error>(bus.name_has_owner(BusName::try_from(BUS_NAME)?).await?)
        };
        asked.await.unwrap_or_default()
    }

    /// An error as a bus tells it: there the end of a manager is not the end of the connection.
    pub(super) fn told(&self, error: zbus::Error) -> zbus::Error {
        match error {
            zbus::Error::InputOutput(_) if self.way == Way::Private => {
                zbus::Error::FDO(Box::new(fdo::Error::NoReply("sampand has left.".to_owned())))
            }
            error => error,
        }
    }
}
