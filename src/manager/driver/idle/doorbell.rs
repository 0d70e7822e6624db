//! Who comes over the sockets of a container, even if nothing is left of the visit when somebody looks.

use super::super::sockets::SocketCopy;
use crate::sys::arrivals::{Arrivals, Tripwire};
use crate::sys::readiness;
use futures_util::future::{FutureExt as _, select_all};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use tokio::io::unix::AsyncFd;

/// Tells of visits since it was set. Where the kernel has nothing for it, only of visitors who are still there.
#[derive(Debug)]
pub(super) struct Doorbell<'a> {
    sockets: &'a [SocketCopy],
    tripwire: Option<Tripwire>,
}

impl<'a> Doorbell<'a> {
    /// One that is set.
    pub(super) fn of(sockets: &'a [SocketCopy], arrivals: Option<&Rc<Arrivals>>) -> Self {
        let descriptors: Vec<_> = sockets.iter().map(|socket| socket.fd.as_fd()).collect();
        let tripwire = arrivals.and_then(|arrivals| arrivals.across(&descriptors).ok());
        let mut doorbell = Self { sockets, tripwire };
        doorbell.set();
        doorbell
    }

    /// Sets it again, after it has rung.
    pub(super) fn set(&mut self) {
        if self.tripwire.as_mut().is_some_and(|tripwire| tripwire.set().is_err()) {
            self.tripwire = None;
        }
    }

    /// Whether somebody has come since it was set. This silences it.
    pub(super) fn has_rung(&mut self) -> bool {
        // What is not known is no reason to put anybody to sleep.
        self.tripwire.as_mut().is_some_and(|tripwire| tripwire.is_tripped().unwrap_or(true))
    }

    /// Waits until somebody comes, or has come since it was set.
    pub(super) async fn ring(&self) {
        let mut watches: Vec<AsyncFd<OwnedFd>> = Vec::new();
        match &self.tripwire {
            Some(tripwire) => watches.extend(readiness::watch_in_time(tripwire).await.ok()),
            None => {
                for socket in self.sockets {
                    watches.extend(readiness::watch_in_time(&socket.fd).await.ok());
                }
            }
        }
        if watches.is_empty() {
            return std::future::pending().await;
        }
        drop(select_all(watches.iter().map(|watch| watch.readable().boxed_local())).await);
    }
}

/// What doorbells are made of; without it there are still those that tell of visitors who stay.
pub(super) fn arrivals() -> Option<Rc<Arrivals>> {
    let told = |error: &std::io::Error| {
        tracing::warn!(
            "io_setup(2): {error}: idle_timeout counts from the last client that was seen connected"
        );
    };
    Arrivals::new().inspect_err(told).ok()
}
