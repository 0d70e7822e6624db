//! One direction of a connection: bytes from one socket to another.
//!
//! Few bytes go through one buffer that all connections share, which takes two calls for a message. Where a read fills
//! it there are more to come: those are spliced through a pipe, splice(2), and are not copied to us. What the sink does
//! not take stays in that pipe, and the source is not read meanwhile. A connection at rest has neither pipe nor memory.
//!
//! A map of sockets in the kernel (`BPF_MAP_TYPE_SOCKHASH` with a verdict for each packet) would move the bytes without
//! us. Measured, it serves no more requests over few connections or many, and a large file at two thirds of the speed;
//! and it tells nobody which bytes are still on their way when an end has been heard.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::os::fd::OwnedFd;

/// What is read at once.
const BUFFER: usize = 16 * 1024;
/// What is spliced at once. A pipe has room for pages, and those of a socket are large ones.
const SPLICE: usize = 1024 * 1024;
/// Room in a pipe: with four times the kernel's own, a large file takes a quarter less of the processor.
const PIPE: usize = 256 * 1024;
/// Bytes that a direction moves before others have their turn, and what each step counts for at least.
const TURN: usize = 1024 * 1024;
const STEP: usize = 16 * 1024;
/// Pipes that are kept for the next one in need.
const SPARE_PIPES: usize = 16;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) socket: OwnedFd,
    /// Whether a read may give something.
    pub(super) readable: bool,
    /// Whether a write may take something.
    pub(super) writable: bool,
    /// Whether a short read does not mean that there is no more: an end, or urgent bytes, come after it.
    pub(super) more: bool,
    /// Whether it has ended its sending: what is still to be read is all.
    pub(super) ended: bool,
    /// Whether it is broken: what it has sent before is still to be read.
    pub(super) reset: bool,
}

impl Side {
    /// One that is waited for.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, readable: false, writable: false, more: false, ended: false, reset: false }
    }

    /// It is broken.
    pub(super) fn broken(&mut self) {
        (self.readable, self.writable, self.more, self.reset) = (true, true, true, true);
    }
}

/// Whether bounds between messages are kept, socket(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// `SOCK_STREAM`: there are none.
    Stream,
    /// `SOCK_SEQPACKET`.
    Packets,
}

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Workspace {
    buffer: Vec<u8>,
    pipes: Vec<Pipe>,
}

impl Workspace {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER], pipes: Vec::new() }
    }

    /// None where there is no descriptor for it: then bytes go on through the buffer.
    fn pipe(&mut self) -> Option<Pipe> {
        self.pipes.pop().or_else(|| {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            // Where the user's pipes have too much room already, pipe(7), it stays small.
            let _ = fcntl_setpipe_size(&writer, PIPE);
            Some(Pipe { reader, writer })
        })
    }

    fn give_back(&mut self, pipe: Pipe) {
        if self.pipes.len() < SPARE_PIPES {
            self.pipes.push(pipe);
        }
    }

    /// Has room for the next packet.
    fn fit(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        let (_, length) = recv(socket, &mut [0; 0], RecvFlags::PEEK | RecvFlags::TRUNC)?;
        if length > self.buffer.len() {
            self.buffer.resize(length, 0);
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The source may send.
    Open,
    /// The source has ended; the sink is to be told after all bytes.
    Ending,
    /// Nothing goes this way any more.
    Over,
}

/// Whether there is more to do without a further event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// No.
    Blocked,
    /// Yes, in another turn.
    More,
}

/// Bytes that one step moved; `None` where it has to wait.
type Step = Option<usize>;

/// One direction.
#[derive(Debug)]
pub(super) struct Direction {
    stage: Stage,
    /// Bytes that have been read and go first, from `sent` on.
    held: Vec<u8>,
    sent: usize,
    pipe: Option<Pipe>,
    in_pipe: usize,
}

impl Direction {
    /// One whose sink gets these bytes first.
    pub(super) fn beginning_with(held: Vec<u8>) -> Self {
        Self { stage: Stage::Open, held, sent: 0, pipe: None, in_pipe: 0 }
    }

    /// Whether nothing goes this way any more.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Moves what can be moved.
    pub(super) fn run(
        &mut self,
        source: &mut Side,
        sink: &mut Side,
        framing: Framing,
        space: &mut Workspace,
    ) -> Progress {
        let mut moved = 0;
        while moved < TURN {
            match self.step(source, sink, framing, space) {
                Some(bytes) => moved += bytes.max(STEP),
                None => return Progress::Blocked,
            }
        }
        Progress::More
    }

    fn step(&mut self, source: &mut Side, sink: &mut Side, framing: Framing, space: &mut Workspace) -> Step {
        if sink.reset {
            self.finish(space);
        }
        if self.is_over() || !sink.writable {
            return None;
        }
        if !self.held.is_empty() {
            return self.send_held(sink);
        }
        if self.in_pipe > 0 {
            return self.splice_out(sink);
        }
        if self.stage == Stage::Ending {
            // A broken source makes the sink broken, once the other direction is over too.
            if !source.reset && shutdown(&sink.socket, Shutdown::Write).is_err() {
                sink.broken();
            }
            self.finish(space);
            return None;
        }
        if !source.readable {
            self.rest(space);
            return None;
        }
        match self.pipe {
            Some(_) => self.splice_in(source),
            None => self.copy(source, sink, framing, space),
        }
    }

    /// Reads into the buffer and sends it on.
    fn copy(&mut self, source: &mut Side, sink: &mut Side, framing: Framing, space: &mut Workspace) -> Step {
        let fits = if framing == Framing::Packets { space.fit(&source.socket) } else { Ok(()) };
        let read = fits.and_then(|()| recv(&source.socket, &mut space.buffer[..], RecvFlags::empty()));
        let length = match read {
            Ok((_, length)) => length,
            Err(error) => return self.not_read(source, error),
        };
        if length == 0 {
            self.stage = Stage::Ending;
            return Some(0);
        }
        let full = framing == Framing::Stream && length == space.buffer.len();
        if framing == Framing::Stream && !full && !source.more {
            source.readable = false;
        }
        // The last bytes wait for the end that comes right after them, and go in one packet with it, send(2).
        let more = if source.ended && !source.reset && !full { SendFlags::MORE } else { SendFlags::empty() };
        let sent = match send(&sink.socket, &space.buffer[..length], SendFlags::NOSIGNAL | more) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => {
                sink.broken();
                return Some(0);
            }
        };
        if sent < length {
            self.held = space.buffer[sent..length].to_vec();
            self.sent = 0;
        }
        if full {
            self.pipe = space.pipe();
        }
        Some(length)
    }

    fn not_read(&mut self, source: &mut Side, error: Errno) -> Step {
        match error {
            Errno::AGAIN => source.readable = false,
            Errno::INTR => {}
            _ => {
                source.broken();
                self.stage = Stage::Ending;
            }
        }
        Some(0)
    }

    fn send_held(&mut self, sink: &mut Side) -> Step {
        match send(&sink.socket, &self.held[self.sent..], SendFlags::NOSIGNAL) {
            Ok(sent) => {
                self.sent += sent;
                if self.sent >= self.held.len() {
                    self.held = Vec::new();
                }
                Some(sent)
            }
            Err(error) => not_written(sink, error),
        }
    }

    fn splice_in(&mut self, source: &mut Side) -> Step {
        let Some(pipe) = &self.pipe else { return Some(0) };
        match splice(&source.socket, None, &pipe.writer, None, SPLICE, SpliceFlags::NONBLOCK) {
            Ok(0) => {
                self.stage = Stage::Ending;
                Some(0)
            }
            Ok(length) => {
                self.in_pipe = length;
                Some(length)
            }
            Err(error) => self.not_read(source, error),
        }
    }

    fn splice_out(&mut self, sink: &mut Side) -> Step {
        let Some(pipe) = &self.pipe else { return Some(0) };
        match splice(&pipe.reader, None, &sink.socket, None, self.in_pipe, SpliceFlags::NONBLOCK) {
            Ok(length) => {
                self.in_pipe = self.in_pipe.saturating_sub(length);
                Some(length)
            }
            Err(error) => not_written(sink, error),
        }
    }

    /// Nothing is on its way: others may have the pipe.
    fn rest(&mut self, space: &mut Workspace) {
        if let Some(pipe) = self.pipe.take() {
            space.give_back(pipe);
        }
    }

    fn finish(&mut self, space: &mut Workspace) {
        self.stage = Stage::Over;
        (self.held, self.sent) = (Vec::new(), 0);
        match self.in_pipe {
            0 => self.rest(space),
            _ => self.pipe = None,
        }
        self.in_pipe = 0;
    }
}

fn not_written(sink: &mut Side, error: Errno) -> Step {
    match error {
        Errno::AGAIN => sink.writable = false,
        Errno::INTR => {}
        _ => sink.broken(),
    }
    Some(0)
}
