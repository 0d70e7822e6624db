//! Transfers that users ask for over the bus. They go on when their users leave.

use super::errand::Queue;
use super::handle::Notice;
use super::{Manager, TransferNotice};
use crate::image::reference::Reference;
use crate::manager::transfer::{Joined, Party, TooMany};
use crate::transfer::order::{ImportOrder, Order, PullOrder};
use crate::transfer::{Imported, Report};
use std::os::fd::OwnedFd;
use std::time::Duration;

impl Manager {
    /// Has an image pulled; the number of the transfer, which may be one that others have asked for.
    ///
    /// # Errors
    /// When the user has asked for too many already.
    pub fn request_pull(&mut self, order: PullOrder, user: u32) -> Result<u32, TooMany> {
        self.request_transfer(Order::Pull(order), None, user)
    }

    /// Has imported what a descriptor gives; the number of the transfer.
    ///
    /// # Errors
    /// As [`Manager::request_pull`].
    pub fn request_import(&mut self, order: ImportOrder, source: OwnedFd, user: u32) -> Result<u32, TooMany> {
        self.request_transfer(Order::Import(order), Some(source), user)
    }

    fn request_transfer(&mut self, order: Order, source: Option<OwnedFd>, user: u32) -> Result<u32, TooMany> {
        self.pulls.transfers.permits(user)?;
        tracing::info!("{order} for user {user}.");
        Ok(match self.pulls.transfers.join(&order, Party::User(user)) {
            Joined::New(id) => {
                self.begin_transfer(id, order, source, Queue::Users, Duration::ZERO);
                id
            }
            Joined::Shared(id) => {
                self.pulls.signals.get(&id).inspect(|signals| signals.hurry.notify_one());
                id
            }
        })
    }

    /// A transfer of an image that the store has under this name, over at once; `None` when it has not.
    pub fn request_nothing(&mut self, image: &Reference) -> Option<u32> {
        let id = self.store.resolve(&image.to_string()).ok()?;
        let (id, names) = (id.digest().clone(), vec![image.clone()]);
        let present = Imported { id, names, present: true, notices: Vec::new() };
        let report = Report { images: vec![present], healed: 0 };
        let number = self.pulls.transfers.number();
        self.tell(Notice::Transfer(number, TransferNotice::New(image.to_string())));
        self.tell(Notice::Transfer(number, TransferNotice::Finished(report)));
        Some(number)
    }
}
