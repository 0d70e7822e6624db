//! A terminal for a command in a container: ours in raw mode, bytes relayed both ways until it is closed.

use super::streams::write_all;
use crate::cli::error::CliError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What is typed to leave: Ctrl-], three times within a second, as machinectl(1) has it.
const ESCAPE: u8 = 0x1d;
const ESCAPE_COUNT: usize = 3;
const ESCAPE_TIME: Duration = Duration::from_secs(1);
/// What may still be printed once the command has ended: more than the kernel holds back is written by others.
const LAST_WORDS: usize = 128 * 1024;

/// The outer side of a pseudo-terminal of our terminal's size, from which nothing is relayed yet.
#[derive(Debug)]
pub struct Pty(OwnedFd);

impl Pty {
    /// Opens one. The second value is the inner side.
    ///
    /// # Errors
    /// When there are no more pseudo-terminals.
    pub fn open() -> Result<(Self, OwnedFd), CliError> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let outer = openpt(flags)?;
        grantpt(&outer)?;
        unlockpt(&outer)?;
        let inner = ioctl_tiocgptpeer(&outer, flags)?;
        take_size(&outer);
        Ok((Self(outer), inner))
    }

    /// Begins to relay, with our terminal in raw mode.
    ///
    /// # Errors
    /// When it cannot be set to raw mode.
    pub fn begin(self) -> Result<Terminal, CliError> {
        let outer = Arc::new(self.0);
        let (ended, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let raw = RawMode::enter()?;
        let (side, left) = (Arc::clone(&outer), Arc::new(Notify::new()));
        let typed = Typed { leave: Arc::clone(&left), ..Typed::default() };
        let relay = thread::spawn(move || relay(&side, &ended, typed));
        Ok(Terminal { outer, alive, relay, left, _raw: raw })
    }
}

/// Gives a side of a pseudo-terminal the size of our terminal.
fn take_size(side: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())) {
        // The size is a courtesy: the command runs with any.
        let _ = tcsetwinsize(side, size);
    }
}

/// A pseudo-terminal whose bytes are relayed.
#[derive(Debug)]
pub struct Terminal {
    outer: Arc<OwnedFd>,
    /// Closing it tells the relay to print what is left and end.
    alive: OwnedFd,
    relay: JoinHandle<()>,
    left: Arc<Notify>,
    /// Dropped last, when nothing is relayed any more.
    _raw: Option<RawMode>,
}

impl Terminal {
    /// Gives the inner side the size of our terminal.
    pub fn resize(&self) {
        take_size(&self.outer);
    }

    /// Waits until the one at the keyboard wants to leave.
    pub async fn left(&self) {
        self.left.notified().await;
    }

    /// Prints what is left and gives our terminal its mode back.
    pub fn close(self) {
        drop(self.alive);
        // A relay that panicked has nothing left to print.
        let _ = self.relay.join();
    }
}

/// Our terminal in raw mode; its own mode comes back on drop.
#[derive(Debug)]
struct RawMode {
    before: Termios,
}

impl RawMode {
    /// `None` when standard input is no terminal.
    fn enter() -> Result<Option<Self>, Errno> {
        let before = match tcgetattr(stdin()) {
            Err(Errno::NOTTY) => return Ok(None),
            result => result?,
        };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // There is nobody to tell: the terminal is gone.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// What has been typed and the command has not taken yet.
#[derive(Debug, Default)]
struct Typed {
    bytes: Vec<u8>,
    ended: bool,
    /// When each of the last escapes in a row was typed.
    escapes: Vec<Instant>,
    leave: Arc<Notify>,
}

/// Moves bytes until the command's side is closed, or `ended` is and nothing is left to print.
fn relay(outer: &OwnedFd, ended: &OwnedFd, mut typed: Typed) {
    let mut last_words = 0;
    loop {
        let Ok(ready) = wait(outer, ended, &typed) else { return };
        if ready.outer.contains(PollFlags::OUT) && !typed.bytes.is_empty() {
            match write(outer, &typed.bytes) {
                Ok(count) => drop(typed.bytes.drain(..count)),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => typed.bytes.clear(),
            }
        }
        if ready.outer.intersects(PollFlags::IN | PollFlags::HUP) {
            match print(outer) {
                Some(count) if ready.over => last_words += count,
                Some(_) => {}
                None => return,
            }
        }
        if !ready.stdin.is_empty() {
            typed.read();
        }
        // The command has ended, and the last look found nothing to print, or what others keep printing.
        if ready.over && (!ready.outer.contains(PollFlags::IN) || last_words > LAST_WORDS) {
            return;
        }
    }
}

struct Ready {
    outer: PollFlags,
    stdin: PollFlags,
    over: bool,
}

/// Standard input is not read while the command has not taken what was typed before, so neither side can
/// block the other.
fn wait(outer: &OwnedFd, ended: &OwnedFd, typed: &Typed) -> Result<Ready, Errno> {
    let listen = !typed.ended && typed.bytes.is_empty();
    let outer_events = if typed.bytes.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
    let stdin = stdin();
    let mut descriptors = vec![
        PollFd::from_borrowed_fd(outer.as_fd(), outer_events),
        PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::empty()),
    ];
    if listen {
        descriptors.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
    }
    loop {
        match poll(&mut descriptors, None) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    Ok(Ready {
        outer: descriptors[0].revents(),
        stdin: descriptors.get(2).map_or(PollFlags::empty(), PollFd::revents),
        over: !descriptors[1].revents().is_empty(),
    })
}

impl Typed {
    fn look_for_escape(&mut self, bytes: &[u8], now: Instant) {
        for byte in bytes {
            if *byte == ESCAPE {
                self.escapes.push(now);
            } else {
                self.escapes.clear();
            }
        }
        self.escapes.retain(|typed| now.duration_since(*typed) < ESCAPE_TIME);
        if self.escapes.len() >= ESCAPE_COUNT {
            self.leave.notify_one();
        }
    }

    fn read(&mut self) {
        /// What a terminal sends when Ctrl-D is typed, termios(3) `VEOF`.
        const END: u8 = 4;
        let mut buffer = [0; 4096];
        match read(stdin(), &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(count @ 1..) => {
                self.look_for_escape(&buffer[..count], Instant::now());
                self.bytes.extend_from_slice(&buffer[..count]);
            }
            _ => {
                self.ended = true;
                self.bytes.push(END);
            }
        }
    }
}

/// Prints what the command wrote, and counts it; `None` when its side is closed (`EIO`) or nobody reads ours.
fn print(outer: &OwnedFd) -> Option<usize> {
    let mut buffer = [0; 4096];
    match read(outer, &mut buffer) {
        Err(Errno::INTR | Errno::AGAIN) => Some(0),
        Ok(count @ 1..) => write_all(stdout(), &buffer[..count]).then_some(count),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(keys: &[(&[u8], u64)]) -> bool {
        let (mut typed, start) = (Typed::default(), Instant::now());
        for (bytes, milliseconds) in keys {
            typed.look_for_escape(bytes, start + Duration::from_millis(*milliseconds));
        }
        typed.escapes.len() >= ESCAPE_COUNT
    }

    #[test]
    fn three_escapes_in_a_row_within_a_second_leave() {
        let escape: &[u8] = &[ESCAPE];
        assert!(leaves(&[(escape, 0), (escape, 300), (escape, 600)]));
        assert!(leaves(&[(&[ESCAPE, ESCAPE, ESCAPE], 0)]));
        assert!(!leaves(&[(escape, 0), (escape, 300), (escape, 1200)]));
        assert!(!leaves(&[(escape, 0), (b"x", 100), (escape, 200), (escape, 300)]));
    }
}
