//! Where else a server has the socket that it binds: under other numbers, dup(2), and in epoll(7) instances, where
//! programs such as Netty register a socket as soon as they have made it. The held socket takes its place there, too.

use super::stand_in::{duplicate, is_still};
use crate::sys::epoll::{self, Entry};
use crate::sys::process::{descriptor_flags, descriptors};
use crate::sys::seccomp_notify::{self as notify, BindRequest, OnExec};
use rustix::fs::{OFlags, fstat};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The places of a server's own socket beside the descriptor that it binds.
#[derive(Debug)]
pub(super) struct Elsewhere {
    own: OwnedFd,
    descriptors: Vec<(u32, OnExec)>,
    watched: Vec<(OwnedFd, Entry)>,
}

impl Elsewhere {
    /// Looks for them among the descriptors of the caller; `None`: there are none.
    ///
    /// # Errors
    /// When the caller has gone, or memory is short.
    pub(super) fn find(request: &BindRequest, process: u32, own: &OwnedFd) -> io::Result<Option<Self>> {
        let inode = fstat(own)?.st_ino;
        let socket = format!("socket:[{inode}]");
        let mut found = Self { own: own.try_clone()?, descriptors: Vec::new(), watched: Vec::new() };
        for (fd, file) in descriptors(request.tid)? {
            if file == Path::new("anon_inode:[eventpoll]") {
                let entries = epoll::entries(request.tid, fd)?;
                for entry in entries.into_iter().filter(|entry| entry.inode == inode) {
                    found.watched.push((duplicate(process, fd)?, entry));
                }
            } else if fd != request.fd && file == Path::new(&socket) {
                found.descriptors.push((fd, on_exec(descriptor_flags(request.tid, fd)?)));
            }
        }
        Ok((!found.descriptors.is_empty() || !found.watched.is_empty()).then_some(found))
    }

    /// Puts the held socket there. Where that fails, the server is one that cannot work so, which is told when its
    /// first client is left waiting.
    pub(super) fn replace(
        &self,
        listener: BorrowedFd<'_>,
        request: &BindRequest,
        process: u32,
        held: BorrowedFd<'_>,
    ) {
        for (fd, on_exec) in &self.descriptors {
            if is_still(process, *fd, &self.own).unwrap_or(false) {
                let _ = notify::replace_descriptor(listener, &request.at_descriptor(*fd), held, *on_exec);
            }
        }
        for (epoll, entry) in &self.watched {
            let _ = epoll::replace(epoll.as_fd(), *entry, self.own.as_fd(), held);
        }
    }
}

/// What the flags of a descriptor say of execve(2).
pub(super) fn on_exec(flags: OFlags) -> OnExec {
    if flags.contains(OFlags::CLOEXEC) { OnExec::Close } else { OnExec::Keep }
}
