//! Opens the sockets of a unit, and takes them back from systemd's store. A held socket is never accepted
//! on here: it only waits to become readable, and goes to the container as it is.

use super::connections::holder;
use super::{Address, SocketError};
use crate::paths::Paths;
use crate::unit::model::{Listen, Socket};
use rustix::fs::{Gid, Mode, Uid, chmod, chown, fchmod};
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_ipv6_v6only, set_socket_reuseaddr, socket_acceptconn, socket_domain, socket_type,
};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname,
    listen, socket_with,
};
use std::fs::{self, DirBuilder, remove_file};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::Path;

/// A listening socket. Dropping it closes our descriptor and leaves a path as it is, for the next manager;
/// [`Held::close`] is the end of the socket.
#[derive(Debug)]
pub struct Held {
    name: String,
    listen: Listen,
    backlog: u32,
    fd: OwnedFd,
}

impl Held {
    /// Opens the socket that a unit describes under this name.
    ///
    /// # Errors
    /// When the address is taken, the path is in use by another kind of file, or a call fails.
    pub fn open(name: &str, socket: &Socket, paths: &Paths) -> Result<Self, SocketError> {
        let opening = Opening { socket, paths };
        let fd = match &socket.listen {
            Listen::Tcp(address) => opening.tcp(*address)?,
            Listen::Unix(path) => opening.unix(path)?,
            Listen::Abstract(abstract_name) => opening.abstract_name(abstract_name)?,
        };
        Ok(Self { name: name.to_owned(), listen: socket.listen.clone(), backlog: socket.backlog, fd })
    }

    /// Takes a descriptor back that is the socket which the unit describes.
    ///
    /// # Errors
    /// When it is anything else: then the unit has changed, and the socket is to be opened anew.
    pub fn adopt(name: &str, socket: &Socket, fd: OwnedFd) -> Result<Self, SocketError> {
        match mismatch(&fd, &socket.listen) {
            Ok(None) => {
                Ok(Self { name: name.to_owned(), listen: socket.listen.clone(), backlog: socket.backlog, fd })
            }
            Ok(Some(found)) => Err(SocketError::Mismatch { address: Address(socket.listen.clone()), found }),
            Err(error) => Err(SocketError::Mismatch {
                address: Address(socket.listen.clone()),
                found: format!("not a socket: {}", io::Error::from(error)),
            }),
        }
    }

    /// Its name in the unit.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the host.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Makes it listen again where a server has ended that with shutdown(2), which acts on the socket and
    /// not on the server's descriptor. To be called when a container has stopped.
    ///
    /// # Errors
    /// When it cannot, as for a unix socket; then it is to be closed and opened anew.
    pub fn ensure_listening(&self) -> Result<(), SocketError> {
        let again = || match socket_acceptconn(&self.fd)? {
            true => Ok(()),
            false => listen(&self.fd, backlog(self.backlog)),
        };
        again().map_err(|error| SocketError::Call {
            address: Address(self.listen.clone()),
            action: "listen again",
            source: error.into(),
        })
    }

    /// Ends the socket: nobody can connect any more, and a path is gone.
    pub fn close(self) {
        // systemd may hold its copy of the descriptor for a moment longer: a socket that does not listen any
        // more is in nobody's way, socket(7) SO_REUSEADDR. There is nobody to tell of a failure.
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
        if let Listen::Unix(path) = &self.listen {
            let _ = remove_file(path);
        }
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// One socket on its way to listening.
struct Opening<'a> {
    socket: &'a Socket,
    paths: &'a Paths,
}

impl Opening<'_> {
    fn tcp(&self, address: SocketAddr) -> Result<OwnedFd, SocketError> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let fd = self.stream(family)?;
        let prepare = || {
            set_socket_reuseaddr(&fd, true)?;
            if address.is_ipv6() {
                set_ipv6_v6only(&fd, !address.ip().is_unspecified())?;
            }
            Ok(())
        };
        self.check("set options", prepare())?;
        self.bind_and_listen(&fd, bind(&fd, &address))?;
        Ok(fd)
    }

    fn abstract_name(&self, name: &str) -> Result<OwnedFd, SocketError> {
        let address = self.check("use the name", SocketAddrUnix::new_abstract_name(name.as_bytes()))?;
        let fd = self.stream(AddressFamily::UNIX)?;
        self.bind_and_listen(&fd, bind(&fd, &address))?;
        Ok(fd)
    }

    fn unix(&self, path: &Path) -> Result<OwnedFd, SocketError> {
        let address = self.check("use the path", SocketAddrUnix::new(path))?;
        let uid = self.id("user", self.socket.user.as_deref())?.map(Uid::from_raw);
        let gid = self.id("group", self.socket.group.as_deref())?.map(Gid::from_raw);
        if let Some(directory) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
            made.map_err(|source| self.failed("create its directory", source))?;
        }
        self.remove_stale(path, &address)?;
        let fd = self.stream(AddressFamily::UNIX)?;
        // bind(2) takes the mode of the new file from the socket, so that nobody gets in before its owner is set.
        self.check("set its mode", fchmod(&fd, Mode::empty()))?;
        self.bind_and_listen(&fd, bind(&fd, &address))?;
        let made = chown(path, uid, gid).and_then(|()| chmod(path, Mode::from_raw_mode(self.socket.mode)));
        self.check("set its owner and mode", made).inspect_err(|_| {
            let _ = remove_file(path);
        })?;
        Ok(fd)
    }

    /// A socket file outlives its socket; it is in the way only where nobody listens.
    fn remove_stale(&self, path: &Path, address: &SocketAddrUnix) -> Result<(), SocketError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failed("look at the path", error)),
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(SocketError::NoSocket { address: self.address() });
            }
            Ok(_) => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let probe =
            self.check("make a socket", socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None))?;
        match connect(&probe, address) {
            Err(Errno::CONNREFUSED) => {
                remove_file(path).map_err(|error| self.failed("remove the stale socket", error))
            }
            Err(Errno::NOENT) => Ok(()),
            _ => Err(self.in_use()),
        }
    }

    fn stream(&self, family: AddressFamily) -> Result<OwnedFd, SocketError> {
        self.check("make a socket", socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None))
    }

    /// With SO_REUSEADDR two sockets may bind one address, and the second learns it only from listen(2).
    fn bind_and_listen(&self, fd: &OwnedFd, bound: rustix::io::Result<()>) -> Result<(), SocketError> {
        match bound.and_then(|()| listen(fd, backlog(self.socket.backlog))) {
            Err(Errno::ADDRINUSE) => Err(self.in_use()),
            result => self.check("listen", result),
        }
    }

    /// The number of a user or group. Local files only: a question to a directory service could block.
    fn id(&self, kind: &'static str, name: Option<&str>) -> Result<Option<u32>, SocketError> {
        let Some(name) = name else { return Ok(None) };
        if let Ok(number) = name.parse() {
            return Ok(Some(number));
        }
        let file = if kind == "user" { self.paths.users() } else { self.paths.groups() };
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let id = lines.into_iter().find_map(|fields| match fields[..] {
            [found, _, id, ..] if found == name => id.parse().ok(),
            _ => None,
        });
        id.map(Some).ok_or_else(|| SocketError::UnknownOwner {
            address: self.address(),
            kind,
            name: name.to_owned(),
        })
    }

    fn address(&self) -> Address {
        Address(self.socket.listen.clone())
    }

    fn in_use(&self) -> SocketError {
        SocketError::InUse { address: self.address(), holder: holder(&self.socket.listen) }
    }

    fn check<T>(&self, action: &'static str, result: rustix::io::Result<T>) -> Result<T, SocketError> {
        result.map_err(|error| self.failed(action, error.into()))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> SocketError {
        SocketError::Call { address: self.address(), action, source }
    }
}

fn backlog(length: u32) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// What a descriptor is instead of a stream socket that listens at an address; `None`: it is that.
fn mismatch(fd: &OwnedFd, listen: &Listen) -> rustix::io::Result<Option<String>> {
    if socket_type(fd)? != SocketType::STREAM {
        return Ok(Some("not a stream socket".to_owned()));
    }
    let local = getsockname(fd)?;
    if !is_at(&local, socket_domain(fd)?, listen) {
        return Ok(Some(format!("bound to another address, {local:?}")));
    }
    Ok((!socket_acceptconn(fd)?).then(|| "not listening".to_owned()))
}

fn is_at(local: &SocketAddrAny, family: AddressFamily, listen: &Listen) -> bool {
    match listen {
        Listen::Tcp(address) => SocketAddr::try_from(local.clone()).is_ok_and(|local| local == *address),
        Listen::Unix(_) | Listen::Abstract(_) if family != AddressFamily::UNIX => false,
        Listen::Unix(path) => SocketAddrUnix::try_from(local.clone()).is_ok_and(|local| {
            local.path_bytes() == Some(path.as_os_str().as_encoded_bytes()) && path.exists()
        }),
        Listen::Abstract(name) => SocketAddrUnix::try_from(local.clone())
            .is_ok_and(|local| local.abstract_name() == Some(name.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::Pass;
    use rustix::net::{Shutdown, shutdown};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn socket(listen: Listen) -> Socket {
        let (user, group) = (None, None);
        Socket { listen, pass: Pass::Fd, target: None, mode: 0o660, user, group, backlog: 16 }
    }

    fn open(socket: &Socket) -> Result<Held, SocketError> {
        Held::open("test", socket, &Paths::default())
    }

    fn free_port() -> u16 {
        TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn the_v6_wildcard_takes_both_families_and_is_adopted_again() {
        let socket = socket(Listen::Tcp(format!("[::]:{}", free_port()).parse().unwrap()));
        let Listen::Tcp(address) = socket.listen else { unreachable!() };
        let held = open(&socket).unwrap();
        TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        TcpStream::connect(("::1", address.port())).unwrap();
        let copy = held.fd.try_clone().unwrap();
        drop(held);
        let adopted = Held::adopt("test", &socket, copy).unwrap();
        TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        drop(adopted);
        assert!(TcpStream::connect(("127.0.0.1", address.port())).is_err());
    }

    #[test]
    fn a_busy_port_names_the_process_that_has_it() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let error = open(&socket(Listen::Tcp(address))).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            error.starts_with(&format!("{address}: Address already in use: another process (")),
            "{error}"
        );
        assert!(error.ends_with(&format!(", PID {pid}) listens there")), "{error}");
    }

    #[test]
    fn a_unix_socket_gets_its_mode_and_owner_and_is_gone_after_close() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/here/a.sock");
        let mut wanted = socket(Listen::Unix(path.clone()));
        (wanted.user, wanted.group) = (Some("daemon".to_owned()), Some("4321".to_owned()));
        let held = open(&wanted).unwrap();
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
        assert_eq!((metadata.uid(), metadata.gid()), (1, 4321));
        UnixStream::connect(&path).unwrap();
        held.close();
        assert!(!path.exists());
        wanted.user = Some("nobody-of-this-name".to_owned());
        assert!(
            open(&wanted).unwrap_err().to_string().ends_with("no user \"nobody-of-this-name\" on this host")
        );
    }

    #[test]
    fn only_a_stale_socket_file_makes_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let wanted = socket(Listen::Unix(path.clone()));
        let other = UnixListener::bind(&path).unwrap();
        assert!(matches!(open(&wanted), Err(SocketError::InUse { .. })));
        drop(other);
        let held = open(&wanted).unwrap();
        UnixStream::connect(&path).unwrap();
        held.close();
        fs::write(&path, "data").unwrap();
        assert!(matches!(open(&wanted), Err(SocketError::NoSocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_descriptor_of_another_address_or_kind_is_not_adopted() {
        let address = "127.0.0.1:1".parse().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let adopt =
            |fd: OwnedFd| Held::adopt("test", &socket(Listen::Tcp(address)), fd).unwrap_err().to_string();
        assert!(
            adopt(other.into()).starts_with("127.0.0.1:1: the stored descriptor is bound to another address")
        );
        assert!(adopt(fs::File::open("/dev/null").unwrap().into()).contains("not a socket"));
    }

    #[test]
    fn a_socket_that_a_server_shut_down_listens_again() {
        let wanted = socket(Listen::Tcp(format!("127.0.0.1:{}", free_port()).parse().unwrap()));
        let Listen::Tcp(address) = wanted.listen else { unreachable!() };
        let held = open(&wanted).unwrap();
        shutdown(&held.fd, Shutdown::Both).unwrap();
        assert!(TcpStream::connect(address).is_err());
        held.ensure_listening().unwrap();
        TcpStream::connect(address).unwrap();
    }
}
