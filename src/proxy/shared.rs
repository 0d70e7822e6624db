//! What all sockets of the proxy share.

use super::direction::Workspace;
use super::notice::{Notice, Notices};
use super::watch::{Subject, Watch};
use crate::sys::sock_diag::SockDiag;
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long nobody is accepted where something is missing for it, unless a connection ends before.
const SHORTAGE: Duration = Duration::from_millis(100);

/// It.
pub(super) struct Shared {
    pub(super) watch: Watch,
    pub(super) diag: SockDiag,
    pub(super) space: Workspace,
    pub(super) notices: Notices,
    /// The time of these events.
    pub(super) now: Instant,
    /// What has more to do without an event.
    pub(super) again: Vec<Subject>,
    /// Until when nobody is accepted.
    shortage: Option<Instant>,
    draining: bool,
}

impl Shared {
    pub(super) fn new(watch: Watch, diag: SockDiag, notices: Notices) -> Self {
        let space = Workspace::new();
        let now = Instant::now();
        Self { watch, diag, space, notices, now, again: Vec::new(), shortage: None, draining: false }
    }

    /// Whether new clients are taken.
    pub(super) fn is_open(&self) -> bool {
        !self.draining && self.shortage.is_none()
    }

    /// Whether only those are served that are there.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// No new clients from here on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Something is missing to take another client.
    pub(super) fn short_of(&mut self, error: Errno) {
        self.shortage = Some(self.now + SHORTAGE);
        self.notices.tell(self.now, Notice::Shortage(error));
    }

    /// A client has left, and with it what it took.
    pub(super) fn relieved(&mut self) {
        self.shortage = None;
    }

    /// Tries again, if it is time.
    pub(super) fn on_time(&mut self) {
        self.shortage = self.shortage.filter(|until| *until > self.now);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.shortage
    }
}
