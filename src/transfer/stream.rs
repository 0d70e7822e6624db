//! One pass over a layer's blob: digest and decompression in a thread of their own, the plain digest here.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::TransferError;
use super::decoder::decoder;
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::hashing::Hashing;
use crate::image::layer::{self, Layer, Sink};
use crate::image::limits::Limits;
use crate::image::tar::Input;

/// A layer's blob, with all that is promised about it.
pub(super) struct Blob {
    /// What errors call it.
    pub(super) what: String,
    pub(super) bytes: Box<dyn Read + Send>,
    pub(super) size: u64,
    /// Size and digest of the blob, when a descriptor promises them.
    pub(super) promised: Option<(u64, Digest)>,
    pub(super) diff_id: Digest,
}

const CHUNK: usize = 128 << 10;
/// Chunks that wait between the two threads.
const QUEUE: usize = 16;

/// Reads a layer and checks every promise about it. A wrong digest explains any other error, so it is told first.
///
/// # Errors
/// When a promise is broken, the layer is refused, or `sink` fails.
pub(super) fn read_layer(blob: Blob, limits: &Limits, sink: &mut dyn Sink) -> Result<Layer, TransferError> {
    let Blob { what, bytes, size, promised, diff_id } = blob;
    if let Some((expected, _)) = promised.as_ref().filter(|(expected, _)| *expected != size) {
        return Err(TransferError::Size { what, expected: *expected, found: size });
    }
    let (sender, receiver) = sync_channel(QUEUE);
    let algorithm = promised.as_ref().map_or(Algorithm::Sha256, |(_, digest)| digest.algorithm());
    let plain_max = (size.saturating_mul(limits.ratio)).max(limits.ratio_free);
    let mut stream = PlainStream::new(receiver, diff_id.algorithm(), plain_max);
    let (layer, blob_digest) = std::thread::scope(|scope| {
        let unpacker = scope.spawn(move || unpack(bytes, algorithm, limits.window, &sender));
        let layer = layer::read(&mut stream, limits, sink);
        stream.receiver = None;
        (layer, unpacker.join())
    });
    let blob_digest = match blob_digest {
        Ok(result) => result.map_err(|source| TransferError::Read { what: what.clone(), source })?,
        Err(_) => return Err(TransferError::Read { what, source: io::Error::other("decompression failed") }),
    };
    if let Some((_, expected)) = promised.filter(|(_, expected)| *expected != blob_digest) {
        return Err(TransferError::Digest { what, expected, found: blob_digest });
    }
    let layer = layer.map_err(|source| TransferError::Layer { layer: diff_id.clone(), source })?;
    let found = stream.hasher.finish();
    if found != diff_id {
        let what = format!("{what}, unpacked");
        return Err(TransferError::Digest { what, expected: diff_id, found });
    }
    Ok(layer)
}

/// Sends the plain bytes, and returns the digest of the packed ones: of all of them, whatever the rest was.
fn unpack(
    bytes: Box<dyn Read + Send>,
    algorithm: Algorithm,
    window: u64,
    sender: &SyncSender<io::Result<Vec<u8>>>,
) -> io::Result<Digest> {
    let mut bytes = Hashing::new(algorithm, bytes);
    if let Err(error) = send_plain(&mut bytes, window, sender) {
        // Nobody listens when the layer was refused already.
        let _ = sender.send(Err(error));
    }
    io::copy(&mut bytes, &mut io::sink())?;
    let (_, digest, _) = bytes.finish();
    Ok(digest)
}

fn send_plain(bytes: impl Read, window: u64, sender: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut plain = decoder(Box::new(bytes), window)?;
    loop {
        let mut chunk = vec![0; CHUNK];
        let mut filled = 0;
        while filled < CHUNK {
            match plain.read(&mut chunk[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        chunk.truncate(filled);
        if filled == 0 || sender.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}

/// The plain bytes on this side of the queue.
struct PlainStream {
    receiver: Option<Receiver<io::Result<Vec<u8>>>>,
    hasher: Hasher,
    chunk: Vec<u8>,
    position: usize,
    total: u64,
    plain_max: u64,
}

impl PlainStream {
    fn new(receiver: Receiver<io::Result<Vec<u8>>>, algorithm: Algorithm, plain_max: u64) -> Self {
        let hasher = Hasher::new(algorithm);
        Self { receiver: Some(receiver), hasher, chunk: Vec::new(), position: 0, total: 0, plain_max }
    }

    /// Receives a chunk; without one, the stream is at its end.
    fn advance(&mut self) -> io::Result<()> {
        let Some(Ok(chunk)) = self.receiver.as_ref().map(Receiver::recv) else { return Ok(()) };
        self.chunk = chunk?;
        self.position = 0;
        self.hasher.update(&self.chunk);
        self.total += self.chunk.len() as u64;
        if self.total > self.plain_max {
            return Err(io::Error::other(
                "the layer unpacks to far more than its packed size allows, by the limit \"ratio\" of sampan.toml(5)",
            ));
        }
        Ok(())
    }
}

impl Read for PlainStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.chunk.len() {
            self.chunk.clear();
            self.position = 0;
            self.advance()?;
        }
        let count = buffer.len().min(self.chunk.len() - self.position);
        buffer[..count].copy_from_slice(&self.chunk[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

impl Input for &mut PlainStream {}
