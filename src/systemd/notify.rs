//! The sending side of sd_notify(3): what the manager tells systemd about itself, and descriptors into
//! systemd's store.
//!
//! The protocol is one datagram, so it stands here in full. The `libsystemd` crate has it too, but leaves
//! `$NOTIFY_SOCKET` and `$LISTEN_*` to racy changes of the environment, gives passed descriptors without
//! close-on-exec, and brings a second `nix`.

use super::SystemdError;
use super::account::{Account, Room};
use super::fdstore::{OnHangUp, StoredDescriptor};
use crate::sys::descriptor::take_variable;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr, socket_with,
};
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// Longest `FDNAME=`.
const NAME_MAX: usize = 255;

/// systemd as the manager of our service. Without its socket all is said to nobody, with success.
#[derive(Debug, Default)]
pub struct ServiceManager {
    peer: Option<Peer>,
    watchdog: Option<Duration>,
    account: RefCell<Account>,
    /// Whether it has been told that the store is full.
    told_full: Cell<bool>,
}

#[derive(Debug)]
struct Peer {
    path: PathBuf,
    address: SocketAddrUnix,
    socket: OwnedFd,
}

impl ServiceManager {
    /// Takes `$NOTIFY_SOCKET` and `$WATCHDOG_*`. To be called in `main` before any thread or runtime.
    ///
    /// # Errors
    /// When threads exist already, or the variable is no address.
    pub fn take_from_environment() -> Result<Self, SystemdError> {
        let take =
            |name: &str| take_variable(name).map_err(|source| failed(format!("${name}").into(), source));
        let number = |value: Option<OsString>| value.and_then(|value| value.to_str()?.parse::<u64>().ok());
        let (time, pid) = (number(take("WATCHDOG_USEC")?), number(take("WATCHDOG_PID")?));
        let ours = pid.is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = time.filter(|time| ours && *time > 0).map(Duration::from_micros);
        let service = take("NOTIFY_SOCKET")?.map_or_else(|| Ok(Self::default()), Self::at)?;
        Ok(Self { watchdog, ..service })
    }

    /// How long systemd waits for [`ServiceManager::alive`] before it kills this process, `WatchdogSec=`.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// How much the store takes, where that is known, and what it has: what it will not take is told once, and what it
    /// does not have is not taken out of it.
    pub fn count_stored(&self, limit: Option<usize>, stored: impl Iterator<Item = StoredDescriptor>) {
        self.account.replace(Account::open(limit, stored));
    }

    fn at(value: OsString) -> Result<Self, SystemdError> {
        let open = || {
            let address = match value.as_bytes() {
                [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
                path => SocketAddrUnix::new(path)?,
            };
            let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
            Ok((address, socket))
        };
        let path = PathBuf::from(&value);
        match open() {
            Ok((address, socket)) => {
                Ok(Self { peer: Some(Peer { path, address, socket }), ..Self::default() })
            }
            Err(source) => Err(failed(path, source)),
        }
    }

    /// Startup or a reload is finished.
    ///
    /// # Errors
    /// When systemd cannot be told.
    pub fn ready(&self) -> Result<(), SystemdError> {
        self.send("READY=1", None)
    }

    /// This process works, `WATCHDOG=1`.
    ///
    /// # Errors
    /// When systemd cannot be told.
    pub fn alive(&self) -> Result<(), SystemdError> {
        self.send("WATCHDOG=1", None)
    }

    /// A reload begins; [`ServiceManager::ready`] ends it.
    ///
    /// # Errors
    /// When systemd cannot be told.
    pub fn reloading(&self) -> Result<(), SystemdError> {
        // Type=notify-reload wants the time with it, since systemd 253.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"), None)
    }

    /// The end begins.
    ///
    /// # Errors
    /// When systemd cannot be told.
    pub fn stopping(&self) -> Result<(), SystemdError> {
        self.send("STOPPING=1", None)
    }

    /// The end takes longer: `TimeoutStopSec=` counts from now on, to this.
    ///
    /// # Errors
    /// When systemd cannot be told.
    pub fn extend_timeout(&self, timeout: Duration) -> Result<(), SystemdError> {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", timeout.as_micros()), None)
    }

    /// One line for `systemctl status`.
    ///
    /// # Errors
    /// When systemd cannot be told.
    pub fn status(&self, text: &str) -> Result<(), SystemdError> {
        self.send(&format!("STATUS={}", text.replace('\n', " ")), None)
    }

    /// Keeps a descriptor in systemd's store, in the place of one of the same name: a manager may have died before it
    /// took that out, and systemd would keep both and hand over the older one last.
    ///
    /// # Errors
    /// When the name is too long or systemd cannot be told.
    pub fn store(&self, name: &StoredDescriptor, fd: BorrowedFd<'_>) -> Result<(), SystemdError> {
        let text = self.checked(name)?;
        let may_be_stored = self.account.borrow().may_have(name);
        let room = self.account.borrow_mut().enter(name);
        if room != Room::Free && !self.told_full.replace(true) {
            let limit = self.account.borrow().limit();
            tracing::warn!(
                "systemd's descriptor store is full (FileDescriptorStoreMax={limit}): clients, output and exit \
                 statuses of some units would be lost if sampand were killed; raise it with \"systemctl edit sampand\""
            );
        }
        match room {
            Room::Free => {}
            Room::InPlaceOf(other) => self.send(&format!("FDSTOREREMOVE=1\nFDNAME={other}"), None)?,
            Room::Full => return Ok(()),
        }
        let poll = match name.on_hang_up() {
            OnHangUp::Keep => "\nFDPOLL=0",
            OnHangUp::Drop => "",
        };
        if may_be_stored {
            self.send(&format!("FDSTOREREMOVE=1\nFDNAME={text}"), None)?;
        }
        self.send(&format!("FDSTORE=1\nFDNAME={text}{poll}"), Some(fd))
    }

    /// Drops the descriptors of a name from systemd's store.
    ///
    /// # Errors
    /// When the name is too long or systemd cannot be told.
    pub fn remove(&self, name: &StoredDescriptor) -> Result<(), SystemdError> {
        let text = self.checked(name)?;
        match self.account.borrow_mut().leave(name) {
            true => self.send(&format!("FDSTOREREMOVE=1\nFDNAME={text}"), None),
            false => Ok(()),
        }
    }

    /// systemd takes printable ASCII without colons, and passes over others without a word.
    fn checked(&self, name: &StoredDescriptor) -> Result<String, SystemdError> {
        let text = name.to_string();
        let valid = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':');
        if valid && text.len() <= NAME_MAX {
            return Ok(text);
        }
        let path = self.peer.as_ref().map_or_else(|| "$NOTIFY_SOCKET".into(), |peer| peer.path.clone());
        Err(failed(path, io::Error::other(format!("\"{text}\" cannot be the name of a stored descriptor"))))
    }

    fn send(&self, message: &str, fd: Option<BorrowedFd<'_>>) -> Result<(), SystemdError> {
        let Some(peer) = &self.peer else { return Ok(()) };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if fd.is_some() {
            control.push(SendAncillaryMessage::ScmRights(fd.as_slice()));
        }
        let content = [IoSlice::new(message.as_bytes())];
        sendmsg_addr(peer.socket.as_fd(), &peer.address, &content, &mut control, SendFlags::NOSIGNAL)
            .map(|_| ())
            .map_err(|error| failed(peer.path.clone(), error.into()))
    }
}

fn failed(socket: PathBuf, source: io::Error) -> SystemdError {
    SystemdError::Notify { socket, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::rights;
    use crate::unit::name::UnitName;
    use std::os::unix::net::UnixDatagram;

    fn receive(server: &UnixDatagram) -> (String, usize) {
        let mut buffer = [0; 512];
        let received = rights::receive(server, &mut buffer).unwrap();
        (String::from_utf8(buffer[..received.bytes].to_vec()).unwrap(), received.descriptors.len())
    }

    #[test]
    fn descriptors_and_states_arrive_as_sd_notify_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let server = UnixDatagram::bind(&path).unwrap();
        let systemd = ServiceManager::at(path.into_os_string()).unwrap();
        let unit = UnitName::parse("web.container").unwrap();
        let process = StoredDescriptor::Process { unit: unit.clone() };

        systemd.ready().unwrap();
        assert_eq!(receive(&server), ("READY=1".to_owned(), 0));
        systemd.status("two\nlines").unwrap();
        assert_eq!(receive(&server).0, "STATUS=two lines");
        let stored = ("FDSTORE=1\nFDNAME=pidfd/web.container\nFDPOLL=0".to_owned(), 1);
        let removed = ("FDSTOREREMOVE=1\nFDNAME=pidfd/web.container".to_owned(), 0);
        systemd.store(&process, server.as_fd()).unwrap();
        assert_eq!([receive(&server), receive(&server)], [removed.clone(), stored.clone()], "who knows");
        systemd.count_stored(None, std::iter::empty());
        systemd.store(&process, server.as_fd()).unwrap();
        assert_eq!(receive(&server), stored);
        systemd.store(&process, server.as_fd()).unwrap();
        assert_eq!([receive(&server), receive(&server)], [removed.clone(), stored.clone()]);
        systemd.remove(&process).unwrap();
        assert_eq!(receive(&server), removed);
        systemd.remove(&process).unwrap();
        systemd.store(&process, server.as_fd()).unwrap();
        assert_eq!(receive(&server), stored, "what is not there is not taken out");
        systemd.count_stored(None, std::iter::once(process.clone()));
        systemd.store(&process, server.as_fd()).unwrap();
        assert_eq!([receive(&server), receive(&server)], [removed, stored], "nor is it there twice");
        let colon = StoredDescriptor::Listen { unit, socket: "a:b".to_owned() };
        assert!(systemd.store(&colon, server.as_fd()).is_err());
    }

    #[test]
    fn without_a_manager_all_is_said_to_nobody() {
        ServiceManager::default().ready().unwrap();
    }
}
