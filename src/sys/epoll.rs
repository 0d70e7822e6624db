//! What epoll(7) instances of other processes watch. An entry is of a file and of the number that its descriptor had.

use rustix::event::epoll::{EventData, EventFlags, add, delete};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{fs, io, thread};

/// An entry of an epoll instance, as proc_pid_fdinfo(5) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The descriptor.
    pub fd: i32,
    /// The inode of its file.
    pub inode: u64,
    /// `EPOLL*`, epoll_ctl(2).
    pub events: u32,
    /// What the process gets with an event.
    pub data: u64,
}

impl Entry {
    /// A line like `tfd: 5 events: 80000019 data: 7f00000005  pos:0 ino:2a51 sdev:8`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("tfd:")?.split_whitespace();
        let fd = words.next()?.parse().ok()?;
        let events = u32::from_str_radix(words.nth(1)?, 16).ok()?;
        let data = u64::from_str_radix(words.nth(1)?, 16).ok()?;
        let inode = words.find_map(|word| word.strip_prefix("ino:"))?;
        Some(Self { fd, events, data, inode: u64::from_str_radix(inode, 16).ok()? })
    }
}

/// The entries of the epoll instance that is a descriptor of another process.
///
/// # Errors
/// When the process has no such descriptor.
pub fn entries(pid: u32, fd: u32) -> io::Result<Vec<Entry>> {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}"))?;
    Ok(text.lines().filter_map(Entry::parse).collect())
}

/// Puts the file `new` in the place that the file `old` has in an epoll instance of another process, by the number that
/// both have there: that process can change and remove the entry as one that it has made itself.
///
/// # Errors
/// As epoll_ctl(2).
pub fn replace(
    epoll: BorrowedFd<'_>,
    entry: Entry,
    old: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
) -> io::Result<()> {
    // The kernel takes the number of an entry from the descriptors of the caller. In a table of its own a thread can
    // give every number to what it likes.
    let work = || {
        // SAFETY: this thread uses copies of descriptors that its caller keeps open, and ends with its table.
        unsafe { unshare_unsafe(UnshareFlags::FILES) }?;
        let beyond = entry.fd.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
        let [epoll, old, new] = [epoll, old, new].map(|fd| fcntl_dupfd_cloexec(fd, beyond));
        let (epoll, old, new) = (epoll?, old?, new?);
        delete(&epoll, numbered(old.as_raw_fd(), entry.fd)?)?;
        let (data, events) = (EventData::new_u64(entry.data), EventFlags::from_bits_retain(entry.events));
        Ok(add(&epoll, numbered(new.as_raw_fd(), entry.fd)?, data, events)?)
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
}

/// The file of `fd` under another number, in this thread's table.
fn numbered(fd: i32, number: i32) -> io::Result<BorrowedFd<'static>> {
    // SAFETY: the table is this thread's alone, and nothing else here knows descriptors by their numbers.
    if unsafe { libc::dup3(fd, number, libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: dup3(2) has opened it, and the table ends with the thread.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::epoll::{CreateFlags, Event, create, wait};
    use rustix::fs::fstat;
    use std::io::{Write, pipe};
    use std::os::fd::AsFd;

    #[test]
    fn an_entry_is_of_another_file_under_the_same_number() {
        let epoll = create(CreateFlags::CLOEXEC).unwrap();
        let (old, _old_writer) = pipe().unwrap();
        let (new, mut writer) = pipe().unwrap();
        let watched = || entries(std::process::id(), epoll.as_raw_fd().cast_unsigned()).unwrap();
        add(&epoll, &old, EventData::new_u64(7 << 40), EventFlags::IN | EventFlags::ET).unwrap();
        let [entry] = watched()[..] else { panic!("one entry") };
        assert_eq!((entry.fd, entry.data), (old.as_raw_fd(), 7 << 40));
        assert_eq!(entry.inode, fstat(&old).unwrap().st_ino);

        replace(epoll.as_fd(), entry, old.as_fd(), new.as_fd()).unwrap();
        let inode = fstat(&new).unwrap().st_ino;
        assert_eq!(watched(), [Entry { inode, ..entry }]);
        writer.write_all(b"x").unwrap();
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 2];
        assert_eq!(wait(&epoll, &mut events, None).unwrap(), 1);
        assert_eq!(events[0].data.u64(), 7 << 40);
        assert!(
            replace(epoll.as_fd(), entry, old.as_fd(), new.as_fd()).is_err(),
            "the old file is not there"
        );
    }
}
