//! The receiving side of sd_notify(3), for containers of `type = "notify"`.
//!
//! Each unit has a socket file of its own, in a directory that only root may enter; the launcher mounts it
//! into the container. So the socket itself says who speaks, whatever process of the container it is.

use super::SystemdError;
use crate::paths::Paths;
use crate::unit::name::UnitName;
use rustix::fs::{CWD, Mode, OFlags, open, renameat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recv, socket_with,
};
use std::fs::{DirBuilder, Permissions, remove_file, set_permissions};
use std::io;
use std::mem::discriminant;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest message; systemd's own limit is the same page.
const MESSAGE_MAX: usize = 4096;

/// How many messages are read at once: a payload that never stops must not keep its manager from others.
const MESSAGES_MAX: usize = 64;

/// What was read of a socket.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What has been said, in its order. Of what only the last counts of, the last.
    pub said: Vec<Notification>,
    /// Whether there may be more.
    pub rest: Rest,
}

/// Whether there may be more to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rest {
    /// All has been read.
    #[default]
    Nothing,
    /// It was enough for once.
    More,
}

impl Heard {
    /// Each message says each thing once; and what changes nothing but a value is replaced by the next.
    fn add(&mut self, message: Vec<Notification>) {
        use Notification::{Errno, ExtendTimeout, MainPid, Status, Watchdog};
        for what in message {
            if matches!(what, Status(_) | Errno(_) | MainPid(_) | Watchdog | ExtendTimeout(_)) {
                self.said.retain(|earlier| discriminant(earlier) != discriminant(&what));
            }
            self.said.push(what);
        }
    }
}

/// One thing that a payload says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// `READY=1`
    Ready,
    /// `RELOADING=1`, with `MONOTONIC_USEC=` where it has that.
    Reloading(Option<Duration>),
    /// `STOPPING=1`
    Stopping,
    /// `STATUS=`, one line without control characters.
    Status(String),
    /// `ERRNO=`
    Errno(i32),
    /// `MAINPID=`, by its number in the pid namespace of the sender; the core gets that on the host.
    MainPid(u32),
    /// `EXTEND_TIMEOUT_USEC=`
    ExtendTimeout(Duration),
    /// `WATCHDOG=1`
    Watchdog,
    /// `WATCHDOG=trigger`
    WatchdogTrigger,
    /// `WATCHDOG_USEC=`
    WatchdogTime(Duration),
}

/// The socket of one unit.
#[derive(Debug)]
pub struct NotifyListener {
    path: PathBuf,
    socket: OwnedFd,
}

impl NotifyListener {
    /// Makes the socket of a unit; one that is left from before is replaced.
    ///
    /// # Errors
    /// When the directory or the socket cannot be made.
    pub fn bind(paths: &Paths, unit: &UnitName) -> Result<Self, SystemdError> {
        let directory = paths.runtime().join("notify");
        let path = directory.join(unit.as_str());
        match make(&directory, &path) {
            Ok(socket) => Ok(Self { path, socket }),
            Err(source) => Err(SystemdError::Notify { socket: path, source }),
        }
    }

    /// The socket that an earlier manager has made for a unit. Its payload has that one, and may be connected to it.
    pub fn adopt(paths: &Paths, unit: &UnitName, socket: OwnedFd) -> Self {
        Self { path: paths.runtime().join("notify").join(unit.as_str()), socket }
    }

    /// The socket file, for the launch plan.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What has been said since the last call, up to some messages; empty when nothing waits. Never blocks.
    ///
    /// # Errors
    /// When the socket cannot be read.
    pub fn receive(&self) -> Result<Heard, SystemdError> {
        let mut heard = Heard::default();
        let mut buffer = [0; MESSAGE_MAX];
        for _ in 0..MESSAGES_MAX {
            // Without a control buffer the kernel closes descriptors that a sender puts beside.
            match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((_, length)) if length > MESSAGE_MAX => {}
                Ok((_, length)) => heard.add(parse(&buffer[..length])),
                Err(Errno::AGAIN) => return Ok(heard),
                Err(Errno::INTR) => {}
                Err(error) => {
                    return Err(SystemdError::Notify { socket: self.path.clone(), source: error.into() });
                }
            }
        }
        heard.rest = Rest::More;
        Ok(heard)
    }

    /// Removes the socket file.
    pub fn close(self) {
        let _ = remove_file(&self.path);
    }
}

impl AsFd for NotifyListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for NotifyListener {
    fn as_raw_fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

/// A unit's name may be longer than an address, unix(7), so the socket is bound under a short name and
/// renamed. Everybody may write, since the payload's user is not known; the directory keeps others out.
fn make(directory: &Path, path: &Path) -> io::Result<OwnedFd> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    set_permissions(directory, Permissions::from_mode(0o700))?;
    let opened = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = format!("/proc/self/fd/{}/.new", opened.as_raw_fd());
    let _ = remove_file(&short);
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(short.as_str())?)?;
    set_permissions(&short, Permissions::from_mode(0o666))?;
    renameat(&opened, ".new", CWD, path)?;
    Ok(socket)
}

/// Unknown fields are passed over, and of a field that comes again the first is meant, as systemd does it.
fn parse(message: &[u8]) -> Vec<Notification> {
    let mut all = fields(message);
    let mut kinds = Vec::new();
    all.retain(|what| {
        let is_first = !kinds.contains(&discriminant(what));
        kinds.push(discriminant(what));
        is_first
    });
    all
}

fn fields(message: &[u8]) -> Vec<Notification> {
    let text = String::from_utf8_lossy(message);
    let time = |digits: &str| digits.parse().ok().map(Duration::from_micros);
    let since = text.lines().find_map(|line| time(line.strip_prefix("MONOTONIC_USEC=")?));
    text.lines()
        .filter_map(|line| match line.split_once('=')? {
            ("READY", "1") => Some(Notification::Ready),
            ("RELOADING", "1") => Some(Notification::Reloading(since)),
            ("STOPPING", "1") => Some(Notification::Stopping),
            ("STATUS", text) => {
                Some(Notification::Status(text.chars().filter(|character| !character.is_control()).collect()))
            }
            ("ERRNO", number) => number.parse().ok().map(Notification::Errno),
            ("EXTEND_TIMEOUT_USEC", digits) => time(digits).map(Notification::ExtendTimeout),
            ("MAINPID", number) => number.parse().ok().map(Notification::MainPid),
            ("WATCHDOG", "1") => Some(Notification::Watchdog),
            ("WATCHDOG", "trigger") => Some(Notification::WatchdogTrigger),
            ("WATCHDOG_USEC", digits) => time(digits).map(Notification::WatchdogTime),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn what_a_payload_says_is_read() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        let unit = UnitName::parse(&format!("{}.container", "long".repeat(40))).unwrap();
        drop(NotifyListener::bind(&paths, &unit).unwrap());
        let listener = NotifyListener::bind(&paths, &unit).unwrap();
        assert_eq!(listener.receive().unwrap(), Heard::default());

        let payload = UnixDatagram::unbound().unwrap();
        let link = root.path().join("inside");
        std::os::unix::fs::symlink(listener.path(), &link).unwrap();
        payload.send_to(b"STATUS=up \x1b[31m\nREADY=1\nMAINPID=7\nX", &link).unwrap();
        payload.send_to(&[b'x'; MESSAGE_MAX + 1], &link).unwrap();
        payload.send_to(b"STOPPING=1\nERRNO=2", &link).unwrap();
        assert_eq!(
            listener.receive().unwrap().said,
            [
                Notification::Status("up [31m".to_owned()),
                Notification::Ready,
                Notification::MainPid(7),
                Notification::Stopping,
                Notification::Errno(2),
            ]
        );
        let flood = "STATUS=x\nWATCHDOG=1\nSTATUS=y\n".repeat(100);
        let mut heard = Heard::default();
        heard.add(parse(b"STATUS=first\nREADY=1"));
        heard.add(parse(flood.as_bytes()));
        let last = [Notification::Ready, Notification::Status("x".to_owned()), Notification::Watchdog];
        assert_eq!(heard.said, last);
        let path = listener.path().to_owned();
        listener.close();
        assert!(!path.exists());
    }
}
