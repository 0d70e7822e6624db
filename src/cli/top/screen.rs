//! The terminal of `top`: a screen that is drawn again and again, and the keys of systemd-cgtop(1).

use crate::cli::args::Order;
use crate::cli::error::CliError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io::Write;
use std::time::{Duration, Instant};

/// Another screen than that of the shell, xterm's control sequences; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the corner, and everything after it away.
const HOME: &str = "\x1b[H\x1b[J";
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `q`, Ctrl-C or Ctrl-D.
    Quit,
    /// `p`, `t`, `c`, `m`, `i`.
    Order(Order),
    /// `+`.
    Slower,
    /// `-`.
    Faster,
    /// `%`.
    Raw,
    /// The space bar.
    Now,
}

/// The terminal while `top` has it.
#[derive(Debug)]
pub struct Screen {
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When its mode cannot be changed.
    pub fn open() -> Result<Self, CliError> {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut keys = before.clone();
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            keys.special_codes[SpecialCodeIndex::VMIN] = 0;
            tcsetattr(stdin(), OptionalActions::Now, &keys)?;
        }
        write(ENTER);
        Ok(Self { before })
    }

    /// Draws. Lines below the end of the screen are left out.
    ///
    /// # Errors
    /// Never; what cannot be drawn is seen to be missing.
    pub fn show(&mut self, text: &str) -> anyhow::Result<()> {
        let lines = tcgetwinsize(rustix::stdio::stdout()).map_or(25, |size| usize::from(size.ws_row));
        let shown: Vec<&str> = text.lines().take(lines.saturating_sub(1).max(1)).collect();
        write(&format!("{HOME}{}\n", shown.join("\n")));
        Ok(())
    }

    /// Waits for a key, until then at most.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn key(&mut self, end: Instant) -> Result<Option<Key>, CliError> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let span = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let stdin = stdin();
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&span)) {
                // A window of another size is drawn at once.
                Err(Errno::INTR) => return Ok(Some(Key::Now)),
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut byte = [0];
            match read(stdin, &mut byte) {
                Ok(1) => {
                    if let Some(key) = meaning(byte[0]) {
                        return Ok(Some(key));
                    }
                }
                Err(Errno::INTR) => {}
                _ => return Ok(Some(Key::Quit)),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write(LEAVE);
        if let Some(before) = &self.before {
            // There is nobody to tell: the terminal is gone.
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

fn write(text: &str) {
    let mut output = std::io::stdout();
    // A terminal that is gone is told by the next key.
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn meaning(byte: u8) -> Option<Key> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    Some(match byte {
        b'q' | INTERRUPT | END => Key::Quit,
        b'p' | b'n' => Key::Order(Order::Path),
        b't' => Key::Order(Order::Tasks),
        b'c' => Key::Order(Order::Cpu),
        b'm' => Key::Order(Order::Memory),
        b'i' => Key::Order(Order::Io),
        b'+' => Key::Slower,
        b'-' => Key::Faster,
        b'%' => Key::Raw,
        b' ' => Key::Now,
        _ => return None,
    })
}

/// Half the delay.
pub fn faster(delay: Duration) -> Duration {
    (delay / 2).max(SHORTEST)
}

/// Twice the delay.
pub fn slower(delay: Duration) -> Duration {
    (delay * 2).min(LONGEST)
}
