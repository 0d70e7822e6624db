//! The plain bytes of a stream that is packed as its first bytes say: not at all, with gzip or with zstd.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::image::manifest::Compression;

const CHUNK: usize = 128 << 10;
/// Windows up to this size are read at the same time: RFC 8878 section 3.1.1.1.2 asks of every reader that it takes
/// these, and most writers make no larger ones.
const SMALL_WINDOW: u64 = 8 << 20;
/// Who reads a stream with a larger window: one at a time, so that memory stays bounded.
static LARGE_WINDOW: Mutex<()> = Mutex::new(());

/// The plain bytes of `bytes`. A zstd stream must not ask for a larger window than `window` bytes.
///
/// # Errors
/// When the stream cannot be read.
pub(super) fn decoder<'a>(bytes: Box<dyn Read + 'a>, window: u64) -> io::Result<Box<dyn Read + 'a>> {
    let mut bytes = BufReader::with_capacity(CHUNK, bytes);
    let first = bytes.fill_buf()?;
    Ok(match Compression::sniff(first) {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(Gzip { member: Some(GzDecoder::new(bytes)) }),
        Compression::Zstd => {
            let large = window_of(first).is_some_and(|window| window > SMALL_WINDOW);
            let turn = large.then(|| LARGE_WINDOW.lock().unwrap_or_else(PoisonError::into_inner));
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
            // The limits of the format itself: ZSTD_WINDOWLOG_ABSOLUTEMIN and ZSTD_WINDOWLOG_MAX.
            decoder.window_log_max(window.max(1).ilog2().clamp(10, 31))?;
            Box::new(Zstd { decoder, _turn: turn })
        }
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

struct Zstd<'a, R: BufRead> {
    decoder: zstd::stream::read::Decoder<'a, R>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl<R: BufRead> Read for Zstd<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| {
            // ZSTD_error_frameParameter_windowTooLarge, which the crate tells by its text only.
            match error.to_string().contains("too much memory") {
                true => io::Error::other(
                    "its zstd window is larger than the limit \"window\" of sampan.toml(5): raise it, or pack the \
                     layer again without --long or --ultra",
                ),
                false => error,
            }
        })
    }
}

/// The window that the first frame of a stream asks for, RFC 8878 section 3.1.1.1; `None` where it does not say.
fn window_of(stream: &[u8]) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, window, ..] = *stream else { return None };
    if descriptor & SINGLE_SEGMENT != 0 {
        return None;
    }
    let base = 1u64 << (10 + u32::from(window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
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
}
