//! A run as the driver knows it: its first process, and how that ended.

use super::cache::{Ceiling, Keeping};
use super::memory::OomKills;
use super::output::Outlet;
use crate::manager::machine::Exit;
use crate::sys::{pidfd, readiness};
use crate::unit::name::UnitName;
use rustix::process::Signal;
use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// How long the journal may take for what a container wrote last.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long systemd may take to reap a process that has ended.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);

/// A run that has begun and is not over.
#[derive(Debug)]
pub(super) struct LiveRun {
    number: u64,
    /// The first process of the container, once it exists.
    pub(super) process: OnceCell<Process>,
    pub(super) executed: Cell<bool>,
    /// Ends a launch that has not got to the payload.
    pub(super) cancel: Notify,
    /// The signal whose default action was carried out by SIGKILL, see [`super::stop`].
    pub(super) stood_for: Cell<Option<i32>>,
    pub(super) stop_signal: Cell<i32>,
    /// It has ended, and only its scope is still there.
    pub(super) over: Cell<bool>,
    /// It has been asked to end.
    pub(super) stopping: Cell<bool>,
    /// systemd has sent the stop signal already.
    pub(super) signalled: Cell<bool>,
    /// Whether systemd knows this connection as the controller of the scope.
    pub(super) controlled: Cell<bool>,
    /// The slice of its scope, where it has one.
    pub(super) slice: OnceCell<String>,
    /// Where its programs write by name, once it is known.
    pub(super) outlet: OnceCell<Rc<Outlet>>,
    group: RefCell<Option<PathBuf>>,
    /// The unit that it is of, where that is another one than at its beginning: see [`super::overlap`].
    pub(super) renamed: RefCell<Option<UnitName>>,
    /// Somebody is moving it to another scope.
    pub(super) moving: Mutex<()>,
    /// Over which its bind(2) calls come.
    pub(super) notifier: OnceCell<OwnedFd>,
    /// Where its payload tells of itself.
    pub(super) notify: OnceCell<OwnedFd>,
    /// What inotify(7) tells of the memory of that group by.
    pub(super) memory_watch: Cell<Option<i32>>,
    pub(super) oom_kills: Cell<OomKills>,
    pub(super) memory_max: Cell<Option<u64>>,
    /// The most memory that it had, as far as it was looked at.
    pub(super) memory_peak: Cell<Option<u64>>,
    /// Something has happened to its memory, or to the limits of it.
    pub(super) pressure: Notify,
    pub(super) ceiling: Cell<Ceiling>,
    pub(super) keeping: Cell<Keeping>,
    /// What moves bytes for it.
    pub(super) proxy: RefCell<Option<Rc<OwnedFd>>>,
    /// Commands that somebody runs in it.
    pub(super) commands: Cell<usize>,
    /// It was frozen when it should have told that it lives.
    pub(super) excused: Cell<bool>,
}

/// A process that cannot be confused with another.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    /// Whether waitid(2) can tell its status.
    pub(super) parent: Parent,
}

/// Whose child a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// Ours.
    Manager,
    /// An earlier manager's.
    Predecessor,
}

impl LiveRun {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            process: OnceCell::new(),
            executed: Cell::new(false),
            cancel: Notify::new(),
            stood_for: Cell::new(None),
            stop_signal: Cell::new(libc::SIGTERM),
            over: Cell::new(false),
            stopping: Cell::new(false),
            signalled: Cell::new(false),
            controlled: Cell::new(false),
            slice: OnceCell::new(),
            outlet: OnceCell::new(),
            group: RefCell::new(None),
            renamed: RefCell::new(None),
            moving: Mutex::new(()),
            notifier: OnceCell::new(),
            notify: OnceCell::new(),
            memory_watch: Cell::new(None),
            oom_kills: Cell::default(),
            memory_max: Cell::new(None),
            memory_peak: Cell::new(None),
            pressure: Notify::new(),
            ceiling: Cell::default(),
            keeping: Cell::default(),
            proxy: RefCell::new(None),
            commands: Cell::new(0),
            excused: Cell::new(false),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The directory of its scope's control group, once there is one.
    pub(super) fn group(&self) -> Option<PathBuf> {
        self.group.borrow().clone()
    }

    pub(super) fn set_group(&self, group: PathBuf) {
        *self.group.borrow_mut() = Some(group);
    }

    /// The unit that it is of now, where it began as that of another one.
    pub(super) fn unit_now(&self, first: &UnitName) -> UnitName {
        self.renamed.borrow().clone().unwrap_or_else(|| first.clone())
    }

    /// Whether systemd asks us to stop it. It does so for some scopes only (see [`super::slice`]), and knows us by the
    /// connection over which the scope was started: not by a predecessor's, nor by one that was lost.
    pub(super) fn is_controlled(&self) -> bool {
        self.controlled.get()
    }

    /// Kills the process and with it, where it is the first, all of its pid namespace.
    pub(super) fn kill(&self) {
        if let Some(process) = self.process.get() {
            // It may have ended by itself, which is as good.
            let _ = pidfd::signal(&process.pidfd, Signal::KILL);
        }
    }

    /// The same in the name of a signal that the process is deaf to.
    pub(super) fn kill_for(&self, signal: i32) {
        self.stood_for.set(Some(signal));
        self.kill();
    }

    /// Waits for the end of the process and tells how it ended.
    pub(super) async fn wait(&self) -> Exit {
        let Some(process) = self.process.get() else { return Exit::Unknown };
        until_ended(process.pidfd.as_fd()).await;
        // systemd is about to remove the group.
        self.look_at_memory();
        // With it all others have ended; but once it is reaped, nothing can be sent in its name.
        if let Some(outlet) = self.outlet.get() {
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, outlet.empty()).await;
        }
        let status = match process.parent {
            Parent::Manager => pidfd::wait(process.pidfd.as_fd()).ok(),
            Parent::Predecessor => status_of_reaped(process.pidfd.as_fd()).await,
        };
        match (status.map(exit), self.stood_for.get()) {
            (Some(Exit::Signal(libc::SIGKILL)) | None, _) if self.oom_kills.get().are_fresh() => {
                Exit::OomKill
            }
            (Some(Exit::Signal(libc::SIGKILL)), Some(signal)) => Exit::Signal(signal),
            (Some(exit), _) => exit,
            (None, _) => Exit::Unknown,
        }
    }
}

fn exit(status: pidfd::Exit) -> Exit {
    match status {
        pidfd::Exit::Code(code) => Exit::Code(code),
        pidfd::Exit::Signal(signal) => Exit::Signal(signal),
        pidfd::Exit::Dumped(signal) => Exit::Core(signal),
    }
}

/// The status of a process that is not ours: the kernel tells it once the process has been reaped, which
/// systemd does at once, and hangs the pidfd up then (Linux 6.15). Older kernels tell nothing.
async fn status_of_reaped(pidfd: BorrowedFd<'_>) -> Option<pidfd::Exit> {
    let hung_up = async {
        let Ok(descriptor) = readiness::watch_in_time(pidfd).await else { return };
        while let Ok(mut ready) = descriptor.readable().await {
            if ready.ready().is_read_closed() {
                return;
            }
            ready.clear_ready();
        }
    };
    // Without the hang-up there is no status either.
    let _ = tokio::time::timeout(REAP_TIMEOUT, hung_up).await;
    pidfd::exit_of_any(pidfd)
}

/// Waits until a pidfd tells the end of its process. Where there is nothing left to wait with, it is looked at now and
/// then: nobody is taken for ended who is not.
pub(super) async fn until_ended(pidfd: BorrowedFd<'_>) {
    while !pidfd::has_ended(pidfd) {
        match readiness::watch(pidfd) {
            // The loop itself does not end before this does.
            Ok(descriptor) => drop(descriptor.readable().await),
            Err(_) => tokio::time::sleep(readiness::SHORTAGE_INTERVAL).await,
        }
    }
}
