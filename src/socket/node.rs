//! What a socket or FIFO is in the file system: its directory, its owner and mode, the links to it. What is left of
//! one that nobody has any more makes way.

use super::SocketError;
use super::connections::holder;
use crate::paths::Paths;
use crate::unit::model::{Socket, UnixName, UnixType};
use rustix::fs::{
    CWD, FileType, Gid, Mode, OFlags, Uid, chmod, chown, fchmod, fchown, fcntl_setfl, fstat, mknodat, open,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getsockname, socket_with,
};
use std::fs::{self, DirBuilder, remove_file};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, symlink};
use std::path::Path;

/// Whether a unix socket was bound to a name.
pub(super) fn has_name(fd: &OwnedFd, name: &UnixName) -> rustix::io::Result<bool> {
    let local = SocketAddrUnix::try_from(getsockname(fd)?);
    Ok(local.is_ok_and(|local| match name {
        UnixName::Path(path) => local.path_bytes() == Some(path.as_os_str().as_encoded_bytes()),
        UnixName::Abstract(name) => local.abstract_name() == Some(name.as_bytes()),
    }))
}

/// The place of one socket.
pub(super) struct Node<'a> {
    pub(super) socket: &'a Socket,
    pub(super) path: &'a Path,
    pub(super) paths: &'a Paths,
}

impl Node<'_> {
    /// Makes the directories above it.
    pub(super) fn make_directory(&self, path: &Path) -> Result<(), SocketError> {
        let Some(directory) = path.parent() else { return Ok(()) };
        let mode = self.socket.node.directory_mode;
        let made = DirBuilder::new().recursive(true).mode(mode).create(directory);
        made.map_err(|source| self.failed("create its directory", source))
    }

    /// A socket file outlives its socket; it is in the way only where somebody has the socket.
    pub(super) fn remove_stale(&self, kind: UnixType, address: &SocketAddrUnix) -> Result<(), SocketError> {
        match fs::symlink_metadata(self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failed("look at the path", error)),
            Ok(metadata) if !metadata.file_type().is_socket() => return Err(self.other_kind("a socket")),
            Ok(_) => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let probe = socket_with(AddressFamily::UNIX, socket_type(kind), flags, None);
        let probe = probe.map_err(|error| self.failed("make a socket", error.into()))?;
        match connect(&probe, address) {
            Err(Errno::CONNREFUSED) => {
                remove_file(self.path).map_err(|error| self.failed("remove the stale socket", error))
            }
            Err(Errno::NOENT) => Ok(()),
            _ => Err(SocketError::InUse {
                address: self.socket.listen.clone(),
                holder: holder(&self.socket.listen),
            }),
        }
    }

    /// Gives a socket that was bound just now its owner, mode and links. It had no mode until now, so that nobody got
    /// in before.
    pub(super) fn finish(&self) -> Result<(), SocketError> {
        let finish = || {
            let (uid, gid) = self.owner()?;
            let mode = Mode::from_raw_mode(self.socket.node.mode);
            let set = chown(self.path, uid, gid).and_then(|()| chmod(self.path, mode));
            set.map_err(|error| self.failed("set its owner and mode", error.into()))?;
            self.link()
        };
        finish().inspect_err(|_| remove(self.socket))
    }

    /// Opens a FIFO, a new one or one that is there, as systemd's `fifo_address_create()` does: for reading and
    /// writing, so that it never ends when a writer leaves.
    pub(super) fn fifo(&self) -> Result<OwnedFd, SocketError> {
        let (uid, gid) = self.owner()?;
        self.make_directory(self.path)?;
        match mknodat(CWD, self.path, FileType::Fifo, Mode::empty(), 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(self.failed("create it", error.into())),
        }
        // Whatever is there, opening it neither waits nor follows a link.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let fd = match open(self.path, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(self.other_kind("a FIFO")),
            result => result.map_err(|error| self.failed("open it", error.into()))?,
        };
        let found = fstat(&fd).map_err(|error| self.failed("look at it", error.into()))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Fifo {
            return Err(self.other_kind("a FIFO"));
        }
        let finish = || {
            fchown(&fd, uid, gid)?;
            fchmod(&fd, Mode::from_raw_mode(self.socket.node.mode))?;
            // As systemd hands it over: the program waits when it reads.
            fcntl_setfl(&fd, OFlags::empty())
        };
        finish().map_err(|error| self.failed("set its owner and mode", error.into()))?;
        self.link().inspect_err(|_| remove(self.socket))?;
        Ok(fd)
    }

    fn link(&self) -> Result<(), SocketError> {
        for link in &self.socket.node.symlinks {
            self.make_directory(link)?;
            match symlink(self.path, link) {
                Err(_) if leads_to(link, self.path) => {}
                result => result.map_err(|source| SocketError::Link {
                    address: self.socket.listen.clone(),
                    link: link.clone(),
                    source,
                })?,
            }
        }
        Ok(())
    }

    /// Whether its owner is known.
    pub(super) fn check_owner(&self) -> Result<(), SocketError> {
        self.owner().map(drop)
    }

    fn owner(&self) -> Result<(Option<Uid>, Option<Gid>), SocketError> {
        let node = &self.socket.node;
        let uid = self.id("user", node.user.as_deref())?.map(Uid::from_raw);
        Ok((uid, self.id("group", node.group.as_deref())?.map(Gid::from_raw)))
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
            address: self.socket.listen.clone(),
            kind,
            name: name.to_owned(),
        })
    }

    fn other_kind(&self, expected: &'static str) -> SocketError {
        SocketError::OtherKind { address: self.socket.listen.clone(), path: self.path.to_owned(), expected }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> SocketError {
        SocketError::Call { address: self.socket.listen.clone(), action, source }
    }
}

/// Takes a socket and the links to it out of the file system. There is nobody to tell of a failure.
pub(super) fn remove(socket: &Socket) {
    let Some(path) = socket.listen.path() else { return };
    for link in socket.node.symlinks.iter().filter(|link| leads_to(link, path)) {
        let _ = remove_file(link);
    }
    let _ = remove_file(path);
}

/// Whether a descriptor is the file at a path.
pub(super) fn is_at(fd: impl AsFd, path: &Path) -> bool {
    let (Ok(here), Ok(there)) = (fstat(fd), fs::symlink_metadata(path)) else { return false };
    (here.st_dev, here.st_ino) == (there.dev(), there.ino())
}

fn leads_to(link: &Path, path: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| target == path)
}

/// The number of a kind, socket(2).
pub(super) fn socket_type(kind: UnixType) -> SocketType {
    match kind {
        UnixType::Stream => SocketType::STREAM,
        UnixType::Datagram => SocketType::DGRAM,
        UnixType::SequentialPacket => SocketType::SEQPACKET,
    }
}
