//! The receiving side of a payload's sd_notify(3), for one run.

use super::control::{errno, failure, io_failure};
use crate::manager::machine::Failure;
use crate::paths::Paths;
use crate::sys::readiness;
use crate::systemd::notify_server::NotifyListener;
use crate::unit::name::UnitName;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// The socket of a payload.
pub(super) struct NotifyServer {
    pub(super) listener: NotifyListener,
    pub(super) readiness: AsyncFd<OwnedFd>,
}

/// Makes the socket.
pub(super) fn bind_notify(paths: &Paths, unit: &UnitName) -> Result<NotifyServer, Failure> {
    let listener =
        NotifyListener::bind(paths, unit).map_err(|error| failure(error.to_string(), errno(&error)))?;
    attend(listener)
}

/// The same with the socket that an earlier manager has made.
pub(super) fn adopt_notify(paths: &Paths, unit: &UnitName, socket: OwnedFd) -> Result<NotifyServer, Failure> {
    attend(NotifyListener::adopt(paths, unit, socket))
}

fn attend(listener: NotifyListener) -> Result<NotifyServer, Failure> {
    let readiness = readiness::watch(&listener).map_err(|error| io_failure("notify socket", &error))?;
    Ok(NotifyServer { listener, readiness })
}
