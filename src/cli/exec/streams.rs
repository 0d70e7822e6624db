//! Standard streams for a command in a container. What is no terminal is handed over as it is. A terminal never is:
//! whoever holds it can read what is typed, also after the command has ended.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::isatty;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::{self, JoinHandle};

/// How long what background processes have written may take to come, once the command has ended.
const LAST_WORDS: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Three streams, and the threads that relay those of the terminal.
#[derive(Debug)]
pub struct Streams {
    theirs: [Option<OwnedFd>; 3],
    relays: Vec<JoinHandle<()>>,
    /// Closing it tells the relays that the command has ended.
    alive: Option<OwnedFd>,
}

/// What is typed, where standard input is a terminal, and where it goes.
#[derive(Debug)]
pub struct Typing(Option<OwnedFd>);

impl Typing {
    /// Hands it over from now on.
    pub fn begin(self) {
        if let Some(theirs) = self.0 {
            // It waits for keys until this process ends.
            thread::spawn(move || hand_in(&theirs));
        }
    }
}

impl Streams {
    /// Our own streams, relayed where they are a terminal. The second value is what is typed: nothing is read yet.
    pub fn open() -> Result<(Self, Typing), Errno> {
        let (ended, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut streams = Self { theirs: [None, None, None], relays: Vec::new(), alive: Some(alive) };
        let mut typing = Typing(None);
        if isatty(stdin()) {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            streams.theirs[0] = Some(theirs);
            typing = Typing(Some(ours));
        }
        for (index, output) in [(1, stdout()), (2, stderr())] {
            if isatty(output) {
                let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
                streams.theirs[index] = Some(theirs);
                let ended =
                    ended.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                streams.relays.push(thread::spawn(move || hand_out(&ours, output, &ended)));
            }
        }
        Ok((streams, typing))
    }

    /// What the command gets.
    pub fn theirs(&self) -> [BorrowedFd<'_>; 3] {
        let of = |index: usize, own| self.theirs[index].as_ref().map_or(own, AsFd::as_fd);
        [of(0, stdin()), of(1, stdout()), of(2, stderr())]
    }

    /// Prints what is left. What keeps a stream open in the background is not waited for.
    pub fn close(mut self) {
        self.theirs = [None, None, None];
        self.alive = None;
        for relay in self.relays {
            // A relay that panicked has nothing left to print.
            let _ = relay.join();
        }
    }
}

/// Until there is nothing to read or nobody to write to.
fn hand_in(theirs: &OwnedFd) {
    let mut buffer = [0; 4096];
    loop {
        match read(stdin(), &mut buffer) {
            Err(Errno::INTR) => {}
            Ok(count @ 1..) if write_all(theirs.as_fd(), &buffer[..count]) => {}
            _ => return,
        }
    }
}

fn hand_out(theirs: &OwnedFd, output: BorrowedFd<'_>, ended: &OwnedFd) {
    let mut buffer = vec![0; 65_536];
    let mut over = false;
    loop {
        let mut ready =
            [PollFd::new(theirs, PollFlags::IN), PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::empty())];
        match poll(&mut ready[..if over { 1 } else { 2 }], over.then_some(&LAST_WORDS)) {
            Err(Errno::INTR) => continue,
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if !ready[0].revents().is_empty() {
            match read(theirs, &mut buffer) {
                Err(Errno::INTR) => {}
                Ok(count @ 1..) if write_all(output, &buffer[..count]) => {}
                _ => return,
            }
        } else if !over && !ready[1].revents().is_empty() {
            over = true;
        }
    }
}

/// False when nobody reads.
pub fn write_all(output: BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match write(output, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // Another program has made our terminal nonblocking: wait until it takes more.
                let _ = poll(&mut [PollFd::from_borrowed_fd(output, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}
