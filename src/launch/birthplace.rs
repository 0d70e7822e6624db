//! Where the container's first process is born: in the control group of its scope, as soon as there is one.
//!
//! systemd makes the group, writes the limits into its files, and then moves the launcher there, during which the
//! kernel lets nobody into any group. So the process is born in the moment that the group appears, and waits for
//! its limits itself.

use super::channel;
use super::failure::During;
use super::outside::Place;
use super::protocol::{Order, StepError};
use super::step::ScopeGroup;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The control group of the first process.
#[derive(Debug)]
pub enum Birthplace<'a> {
    /// The scope's. This process is not in it yet, and limits may be missing.
    Ahead(OwnedFd, Watch<'a>),
    /// This process's own, which by now is the scope's.
    Here,
}

impl Birthplace<'_> {
    /// Where it is, for others.
    pub fn place(&self) -> Place {
        match self {
            Self::Ahead(..) => Place::Foretold,
            Self::Here => Place::Launchers,
        }
    }
}

/// Waits for the group of the scope, or for the order that says that the scope is active.
pub fn wait<'a>(watch: Option<Watch<'a>>, control: &OwnedFd) -> io::Result<Birthplace<'a>> {
    let Some(watch) = watch else {
        return attached(control);
    };
    loop {
        if let Some(directory) = watch.appeared() {
            // As long as this process has the root that it began with: the container's first one changes that.
            watch.watch_limits()?;
            return Ok(Birthplace::Ahead(directory, watch));
        }
        if watch.next(control, None)? == Woken::Order {
            return attached(control);
        }
    }
}

fn attached<'a>(control: &OwnedFd) -> io::Result<Birthplace<'a>> {
    match next_order(control)? {
        Order::Attached => Ok(Birthplace::Here),
        _ => Err(Errno::PROTO.into()),
    }
}

/// Waits for the manager.
pub fn next_order(control: &OwnedFd) -> io::Result<Order> {
    match channel::receive(control)? {
        Some((order, _)) => Ok(order),
        None => Err(Errno::CONNRESET.into()),
    }
}

/// Opens a control group to be born in, or to look at.
pub fn open_group(directory: &Path) -> Result<OwnedFd, StepError> {
    open(directory).during_path("open", directory)
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, directory, flags, Mode::empty())?)
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There is an order of the manager.
    Order,
    /// Something has happened to the group.
    Group,
    /// The other side of a socket is closed.
    End,
}

/// Wakes up when the group appears, and when one of its files is written.
#[derive(Debug)]
pub struct Watch<'a> {
    group: &'a ScopeGroup,
    events: OwnedFd,
}

impl<'a> Watch<'a> {
    /// The slice must exist: in one that does not yet, the first container waits for its scope.
    pub fn begin(group: &'a ScopeGroup) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let slice = group.directory.parent().unwrap_or(Path::new("/"));
        inotify::add_watch(&events, slice, WatchFlags::CREATE | WatchFlags::ONLYDIR)?;
        Ok(Self { group, events })
    }

    /// Waits for an event or an order, and where there is somebody, for their end.
    pub fn next(&self, control: &OwnedFd, other: Option<&OwnedFd>) -> io::Result<Woken> {
        let mut ready = vec![PollFd::new(control, PollFlags::IN), PollFd::new(&self.events, PollFlags::IN)];
        ready.extend(other.map(|other| PollFd::new(other, PollFlags::empty())));
        poll(&mut ready, None)?;
        if ready.get(2).is_some_and(|other| !other.revents().is_empty()) {
            return Ok(Woken::End);
        }
        if !ready[0].revents().is_empty() {
            return Ok(Woken::Order);
        }
        self.clear()?;
        Ok(Woken::Group)
    }

    /// The group, once it is there.
    fn appeared(&self) -> Option<OwnedFd> {
        open(&self.group.directory).ok()
    }

    /// Looks at the files from now on.
    fn watch_limits(&self) -> io::Result<()> {
        inotify::add_watch(&self.events, &self.group.directory, WatchFlags::MODIFY | WatchFlags::ONLYDIR)?;
        Ok(())
    }

    /// Whether all limits have been written.
    pub fn is_limited(&self, directory: &OwnedFd) -> bool {
        self.group.limits.iter().all(|file| is_limited(directory, file))
    }

    /// Forgets what has happened.
    fn clear(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        loop {
            match reader.next() {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether a limit has been written: without one these files say `max`, and that of the processors nothing. A file
/// that is missing belongs to a controller that the host does not have, and systemd will not write it.
fn is_limited(directory: impl AsFd, file: &str) -> bool {
    match openat(directory, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => {
            let mut text = String::new();
            File::from(file).read_to_string(&mut text).is_ok()
                && !text.trim().is_empty()
                && !text.starts_with("max")
        }
        Err(error) => error == Errno::NOENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn group(directory: &Path) -> ScopeGroup {
        let limits = ["memory.max", "pids.max", "cpu.max"].map(str::to_owned).into();
        ScopeGroup { directory: directory.to_owned(), limits }
    }

    #[test]
    fn a_group_is_taken_as_soon_as_it_appears() {
        let slice = tempfile::tempdir().unwrap();
        let waited = group(&slice.path().join("sampan-web.scope"));
        let (_manager, launcher) = channel::pair().unwrap();
        let watch = Watch::begin(&waited).unwrap();
        fs::create_dir(&waited.directory).unwrap();
        assert!(matches!(wait(Some(watch), &launcher).unwrap(), Birthplace::Ahead(..)));
    }

    #[test]
    fn limits_are_seen_when_they_are_written() {
        let slice = tempfile::tempdir().unwrap();
        let waited = group(&slice.path().join("sampan-web.scope"));
        fs::create_dir(&waited.directory).unwrap();
        let write = |file: &str, text: &str| fs::write(waited.directory.join(file), text).unwrap();
        write("memory.max", "max\n");
        write("pids.max", "max\n");
        let (manager, launcher) = channel::pair().unwrap();
        let watch = Watch::begin(&waited).unwrap();
        let Birthplace::Ahead(directory, watch) = wait(Some(watch), &launcher).unwrap() else { panic!() };
        write("memory.max", "4096\n");
        assert!(!watch.is_limited(&directory));
        assert_eq!(watch.next(&launcher, None).unwrap(), Woken::Group);
        write("pids.max", "7\n");
        assert_eq!(watch.next(&launcher, None).unwrap(), Woken::Group);
        assert!(watch.is_limited(&directory), "the host has no controller for cpu.max");
        channel::send(&manager, &Order::Go, &[]).unwrap();
        assert_eq!(watch.next(&launcher, None).unwrap(), Woken::Order);
    }

    #[test]
    fn without_a_group_the_order_is_waited_for() {
        let (manager, launcher) = channel::pair().unwrap();
        channel::send(&manager, &Order::Attached, &[]).unwrap();
        assert!(Watch::begin(&group(Path::new("/nonexistent/sampan-web.scope"))).is_err());
        assert!(matches!(wait(None, &launcher).unwrap(), Birthplace::Here));
        drop(manager);
        let error = wait(None, &launcher).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::CONNRESET));
    }
}
