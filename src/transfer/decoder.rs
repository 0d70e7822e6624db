//! The plain bytes of a stream that is packed as its first bytes say: not at all, with gzip or with zstd.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use crate::image::manifest::Compression;

const CHUNK: usize = 128 << 10;
/// Longest head of a zstd frame, RFC 8878 section 3.1.1: its magic number, its descriptor and what that announces.
const HEAD_MAX: usize = 18;
/// Windows up to this size are read at the same time: RFC 8878 section 3.1.1.1.2 asks of every reader that it takes
/// these, and most writers make no larger ones.
const SMALL_WINDOW: u64 = 8 << 20;
/// Who reads a stream from its first frame with a larger window on: one at a time, so that memory stays bounded.
static LARGE_WINDOW: Mutex<()> = Mutex::new(());

/// The plain bytes of `bytes`. A zstd stream must not ask for a larger window than `window` bytes.
///
/// # Errors
/// When the stream cannot be read.
pub(super) fn decoder<'a>(bytes: Box<dyn Read + 'a>, window: u64) -> io::Result<Box<dyn Read + 'a>> {
    let mut bytes = BufReader::with_capacity(CHUNK, bytes);
    Ok(match Compression::sniff(bytes.fill_buf()?) {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(Gzip { member: Some(GzDecoder::new(bytes)) }),
        Compression::Zstd => Box::new(Zstd::new(bytes, window)?),
    })
}

/// One gzip member after the other, RFC 1952 section 2.2. What follows them and is none is refused, as containerd
/// does: gzip(1) would leave it out and say so.
struct Gzip<R> {
    /// Nothing at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            self.member = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut rest: R) -> io::Result<Option<GzDecoder<R>>> {
    match rest.fill_buf()?.first() {
        None => Ok(None),
        Some(0x1f) => Ok(Some(GzDecoder::new(rest))),
        Some(_) => Err(io::Error::other("other bytes follow the end of its gzip stream: pack it again")),
    }
}

/// One zstd frame after the other, RFC 8878 section 3.1. The head of each is looked at before it is read: any of them
/// may ask for a large window.
struct Zstd<R> {
    bytes: R,
    /// Those of `bytes` that come first: the head of the frame that begins.
    head: Vec<u8>,
    decoder: Decoder<'static>,
    position: Position,
    /// Held to the end of the stream: the decoder keeps its window.
    turn: Option<MutexGuard<'static, ()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    BetweenFrames,
    InFrame,
}

impl<R: BufRead> Zstd<R> {
    fn new(bytes: R, window: u64) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        // The limits of the format itself: ZSTD_WINDOWLOG_ABSOLUTEMIN and ZSTD_WINDOWLOG_MAX.
        decoder.set_parameter(DParameter::WindowLogMax(window.max(1).ilog2().clamp(10, 31)))?;
        Ok(Self { bytes, head: Vec::new(), decoder, position: Position::BetweenFrames, turn: None })
    }

    /// Looks at the next frame; whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while self.head.len() < HEAD_MAX {
            let more = self.bytes.fill_buf()?;
            let count = more.len().min(HEAD_MAX - self.head.len());
            if count == 0 {
                break;
            }
            self.head.extend_from_slice(&more[..count]);
            self.bytes.consume(count);
        }
        if self.turn.is_none() && window_of(&self.head).is_some_and(|window| window > SMALL_WINDOW) {
            self.turn = Some(LARGE_WINDOW.lock().unwrap_or_else(PoisonError::into_inner));
        }
        if self.head.is_empty() {
            return Ok(false);
        }
        self.position = Position::InFrame;
        Ok(true)
    }

    /// Decodes some of a frame.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = match self.head.is_empty() {
            true => self.bytes.fill_buf()?,
            false => &self.head,
        };
        let status = self.decoder.run_on_buffers(bytes, buffer).map_err(refused)?;
        if status.remaining > 0 && bytes.is_empty() && status.bytes_written == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its zstd stream is truncated"));
        }
        match self.head.is_empty() {
            true => self.bytes.consume(status.bytes_read),
            false => drop(self.head.drain(..status.bytes_read)),
        }
        if status.remaining == 0 {
            self.decoder.reinit()?;
            self.position = Position::BetweenFrames;
        }
        Ok(status.bytes_written)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.position == Position::BetweenFrames && !self.begin()? {
                return Ok(0);
            }
            match self.step(buffer)? {
                0 => {}
                count => return Ok(count),
            }
        }
    }
}

fn refused(error: io::Error) -> io::Error {
    // ZSTD_error_frameParameter_windowTooLarge, which the crate tells by its text only.
    match error.to_string().contains("too much memory") {
        true => io::Error::other(
            "its zstd window is larger than the limit \"window\" of sampan.toml(5): raise it, or pack the layer \
             again without --long or --ultra",
        ),
        false => error,
    }
}

/// The window that a frame asks for, RFC 8878 section 3.1.1.1: that of a single segment is its content. `None` for
/// what has no window.
fn window_of(head: &[u8]) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    const DICTIONARY: [usize; 4] = [0, 1, 2, 4];
    let (descriptor, rest) = head.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?.split_first()?;
    if descriptor & SINGLE_SEGMENT == 0 {
        let window = rest.first()?;
        let base = 1u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let size = rest.get(DICTIONARY[usize::from(descriptor & 3)]..)?.get(..1 << (descriptor >> 6))?;
    let mut bytes = [0; 8];
    bytes[..size.len()].copy_from_slice(size);
    Some(u64::from_le_bytes(bytes) + if size.len() == 2 { 256 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn packed(window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(&vec![7; 1 << 20]).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn windows_are_read_and_bounded() {
        for log in [17, 23, 24, 27] {
            assert_eq!(window_of(&packed(log)), Some(1 << log));
        }
        let plain = |log, window| {
            let bytes = packed(log);
            let mut plain = Vec::new();
            decoder(Box::new(bytes.as_slice()), window)?.read_to_end(&mut plain).map(|_| plain.len())
        };
        assert_eq!(plain(25, 32 << 20).unwrap(), 1 << 20);
        assert!(plain(26, 32 << 20).unwrap_err().to_string().contains("limit \"window\""));
        assert_eq!(plain(26, 64 << 20).unwrap(), 1 << 20);
    }

    fn single_segment(size: usize) -> Vec<u8> {
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        compressor.set_parameter(zstd::stream::raw::CParameter::WindowLog(24)).unwrap();
        compressor.compress(&vec![7; size]).unwrap()
    }

    /// A skippable frame, RFC 8878 section 3.1.2.
    fn skippable(size: u8) -> Vec<u8> {
        [&[0x53, 0x2a, 0x4d, 0x18, size, 0, 0, 0][..], &vec![1; size.into()]].concat()
    }

    #[test]
    fn frames_follow_each_other_however_they_are_cut() {
        for size in [0, 1, 255, 256, 300, 65_791, 65_792, 9 << 20] {
            let frame = single_segment(size);
            assert!(frame[4] & 1 << 5 != 0);
            assert_eq!(window_of(&frame), Some(size as u64), "{:x?}", &frame[..9]);
        }
        assert_eq!(window_of(&skippable(9)), None);
        let frames = [
            skippable(0),
            single_segment(0),
            single_segment(1),
            skippable(200),
            packed(17),
            single_segment(300),
            skippable(3),
        ];
        let bytes = frames.concat();
        let mut plain = Vec::new();
        Zstd::new(BufReader::with_capacity(7, bytes.as_slice()), 1 << 20)
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, vec![7; 1 + (1 << 20) + 300]);
        let ends: Vec<usize> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        for length in (1..bytes.len()).filter(|length| !ends.contains(length)) {
            let mut cut = Zstd::new(&bytes[..length], 1 << 20).unwrap();
            assert!(cut.read_to_end(&mut Vec::new()).is_err(), "{length} of {ends:?}");
        }
    }

    #[test]
    fn a_large_window_waits_for_its_turn_wherever_it_comes() {
        let large = [skippable(1), single_segment(1), packed(24)].concat();
        let segment = single_segment(9 << 20);
        for bytes in [large, segment] {
            let mut first = Zstd::new(bytes.as_slice(), 32 << 20).unwrap();
            io::copy(&mut first, &mut io::sink()).unwrap();
            assert!(first.turn.is_some() && LARGE_WINDOW.try_lock().is_err());
        }
        let bytes = packed(23);
        let mut small = Zstd::new(bytes.as_slice(), 32 << 20).unwrap();
        io::copy(&mut small, &mut io::sink()).unwrap();
        assert!(small.turn.is_none());
    }
}
