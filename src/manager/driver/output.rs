//! Moves what a container's programs write to `/dev/stdout` by name, a FIFO, to the journal, in its order and no
//! further than the journal takes it. What waits, waits in the FIFO, which systemd's store keeps over the death
//! of this process.
//!
//! The journal asks the kernel who sent each piece, and files a line under the unit of that process. So each is
//! sent with the credentials of the container's first process, unix(7) `SCM_CREDENTIALS`; splice(2) cannot.

use super::Manager;
use crate::sys::readiness;
use crate::systemd::fdstore::StoredDescriptor;
use crate::unit::name::UnitName;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, UCred, sendmsg};
use rustix::process::{Gid, Pid, Uid};
use rustix::time::Timespec;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use tokio::task::JoinHandle;

/// A socket that is writable takes this much in one piece: it is an eighth of what it holds by default.
const PIECE: usize = 16 * 1024;
/// The largest FIFO that a container can ask for, `/proc/sys/fs/pipe-max-size`, in pieces.
const PIECES_MAX: usize = (1 << 20) / PIECE;

/// A FIFO and where its content goes.
#[derive(Debug)]
pub struct Outlet {
    /// Open for both, so that it never ends.
    fifo: OwnedFd,
    /// Nonblocking; `None` where systemd's store has dropped it because the journal has gone.
    journal: Option<OwnedFd>,
    /// In whose name; `None`: ours.
    process: Option<Pid>,
}

/// Outlets of the containers that run.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) flowing: BTreeMap<UnitName, (Rc<Outlet>, JoinHandle<()>)>,
}

impl Manager {
    /// Moves what comes out of a container's FIFO from now on.
    pub(super) fn forward_output(&mut self, unit: &UnitName, mut outlet: Outlet) {
        self.store_descriptor(&StoredDescriptor::Output { unit: unit.clone() }, outlet.fifo.as_fd());
        if let Some(journal) = &outlet.journal {
            self.store_descriptor(&StoredDescriptor::Journal { unit: unit.clone() }, journal.as_fd());
        }
        let live = self.runs.get(unit);
        outlet.process = live.and_then(|live| live.process.get()).and_then(|process| pid(process.pid));
        let outlet = Rc::new(outlet);
        if let Some(live) = live {
            // A run has one outlet, so the cell is empty.
            let _ = live.outlet.set(outlet.clone());
        }
        let task = tokio::task::spawn_local(forward(outlet.clone(), unit.clone()));
        if let Some((_, former)) = self.outputs.flowing.insert(unit.clone(), (outlet, task)) {
            former.abort();
        }
    }

    /// All who could write have ended: moves what they left, and lets go of it.
    pub(super) fn end_output(&mut self, unit: &UnitName) {
        if let Some((outlet, task)) = self.outputs.flowing.remove(unit) {
            task.abort();
            // At once, because the store forgets it below; only what the journal is too slow for comes later.
            outlet.pass_what_fits();
            tokio::task::spawn_local(async move { outlet.empty().await });
        }
        self.unstore_descriptor(&StoredDescriptor::Output { unit: unit.clone() });
        self.unstore_descriptor(&StoredDescriptor::Journal { unit: unit.clone() });
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

async fn forward(outlet: Rc<Outlet>, unit: UnitName) {
    if let Err(error) = outlet.flow().await {
        tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: what is written to /dev/stdout is lost from now on: {error}");
    }
    // Nobody shall wait for a journal that has gone.
    if let Err(error) = outlet.discard().await {
        tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: cannot read /dev/stdout: {error}");
    }
}

/// What one attempt moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// The FIFO is empty.
    All,
    /// Something; there may be more.
    Some,
    /// Nothing, because the journal takes no more now.
    WhatFits,
}

impl Outlet {
    /// Takes what came with [`Report::Output`](crate::launch::protocol::Report::Output).
    pub(super) fn of(descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let [fifo, journal] = <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| Errno::MFILE)?;
        Ok(Self::kept(fifo, Some(journal)))
    }

    /// What systemd's store kept of one.
    pub fn kept(fifo: OwnedFd, journal: Option<OwnedFd>) -> Self {
        Self { fifo, journal, process: None }
    }

    /// What systemd's store has of it: the FIFO, and the stream to the journal.
    pub(super) fn descriptors(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        (self.fifo.as_fd(), self.journal.as_ref().map(AsFd::as_fd))
    }

    async fn flow(&self) -> io::Result<()> {
        let readiness = readiness::watch_in_time(&self.fifo).await?;
        loop {
            let mut ready = readiness.readable().await?;
            self.empty().await?;
            // Keeps what the loop has heard since `ready` was made.
            ready.clear_ready();
        }
    }

    /// Moves all that is there, as the journal takes it.
    pub(super) async fn empty(&self) -> io::Result<()> {
        let journal = self.journal.as_ref().ok_or(Errno::PIPE)?;
        loop {
            match self.pass()? {
                Passed::All => return Ok(()),
                // A payload that writes without end must not keep the loop from others.
                Passed::Some => tokio::task::yield_now().await,
                Passed::WhatFits => readiness::until_writable(journal).await?,
            }
        }
    }

    fn pass(&self) -> Result<Passed, Errno> {
        let journal = self.journal.as_ref().ok_or(Errno::PIPE)?;
        // Nothing is taken out of the FIFO that would then have to be kept here.
        if poll(&mut [PollFd::new(journal, PollFlags::OUT)], Some(&Timespec::default()))? == 0 {
            return Ok(Passed::WhatFits);
        }
        let mut bytes = [0; PIECE];
        match rustix::io::read(&self.fifo, &mut bytes) {
            Ok(0) | Err(Errno::AGAIN) => Ok(Passed::All),
            Ok(length) => self.send(journal, &bytes[..length]).map(|()| Passed::Some),
            Err(error) => Err(error),
        }
    }

    fn send(&self, journal: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
        match send_as(journal, bytes, self.process) {
            // It has ended and its parent knows.
            Err(Errno::SRCH) => send_as(journal, bytes, None),
            result => result,
        }
    }

    /// What the journal takes now of all that is there, which is little enough to do it at once.
    fn pass_what_fits(&self) {
        let mut attempts = 0..PIECES_MAX;
        while attempts.next().is_some() && self.pass() == Ok(Passed::Some) {}
    }

    async fn discard(&self) -> io::Result<()> {
        let readiness = readiness::watch_in_time(&self.fifo).await?;
        let mut bytes = [0; 4096];
        loop {
            let mut ready = readiness.readable().await?;
            if let Ok(read) = ready.try_io(|fifo| Ok(rustix::io::read(fifo, &mut bytes)?)) {
                read?;
                tokio::task::yield_now().await;
            }
        }
    }
}

fn send_as(journal: &OwnedFd, bytes: &[u8], process: Option<Pid>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(pid) = process {
        control.push(SendAncillaryMessage::ScmCredentials(UCred { pid, uid: Uid::ROOT, gid: Gid::ROOT }));
    }
    sendmsg(journal, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// Runs a test in a loop as the driver's, with an outlet, who writes to it, and the journal.
    fn with_outlet(test: impl AsyncFnOnce(Rc<Outlet>, io::PipeWriter, UnixStream)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (fifo, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&fifo, true).unwrap();
        // As the FIFO, which is open for both, this never ends.
        let _open = writer.try_clone().unwrap();
        let (stream, journal) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let outlet = Rc::new(Outlet::kept(fifo.into(), Some(stream.into())));
        tokio::task::LocalSet::new().block_on(&runtime, test(outlet, writer, journal));
    }

    fn container() -> UnitName {
        UnitName::parse("web.container").unwrap()
    }

    #[test]
    fn lines_arrive_in_their_order_however_slow_the_journal_is() {
        let lines: String = (0..200_000).map(|number| format!("{number}\n")).collect();
        let expected = lines.clone();
        with_outlet(async |outlet, mut writer, mut journal| {
            let writing = std::thread::spawn(move || writer.write_all(lines.as_bytes()).unwrap());
            let task = tokio::task::spawn_local(forward(outlet, container()));
            let reading = tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; expected.len()];
                journal.read_exact(&mut bytes).unwrap();
                assert!(bytes == expected.as_bytes());
            });
            reading.await.unwrap();
            writing.join().unwrap();
            task.abort();
        });
    }

    #[test]
    fn a_full_journal_leaves_the_rest_in_the_fifo() {
        with_outlet(async |outlet, mut writer, mut journal| {
            let mut written = 0;
            while outlet.pass().unwrap() != Passed::WhatFits {
                writer.write_all(&[b'x'; 1024]).unwrap();
                written += 1024;
            }
            assert!(rustix::io::ioctl_fionread(&outlet.fifo).unwrap() > 0);
            // Another process goes on with the same descriptors.
            let again = Outlet::kept(
                outlet.fifo.try_clone().unwrap(),
                outlet.journal.as_ref().map(|stream| stream.try_clone().unwrap()),
            );
            drop(outlet);
            let reading = tokio::task::spawn_blocking(move || {
                let mut bytes = Vec::new();
                journal.read_to_end(&mut bytes).unwrap();
                bytes.len()
            });
            again.empty().await.unwrap();
            drop(again);
            assert_eq!(reading.await.unwrap(), written);
        });
    }

    #[test]
    fn nobody_waits_for_a_journal_that_has_gone() {
        with_outlet(async |outlet, mut writer, journal| {
            drop(journal);
            let task = tokio::task::spawn_local(forward(outlet, container()));
            tokio::task::spawn_blocking(move || writer.write_all(&[b'x'; 1 << 20]).unwrap()).await.unwrap();
            task.abort();
        });
    }
}
