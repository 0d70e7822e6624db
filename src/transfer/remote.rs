//! A registry as the worker sees it: a layout whose files are asked for, and those documents that the store
//! has are not.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::os::fd::{AsFd as _, OwnedFd};

use super::contract::{self, Answer};
use super::import::PackedLayer;
use super::request::Request;
use super::source::{Holder, Opened, Source, read_error};
use super::{TransferError, chunked, signatures};
use crate::image::digest::Digest;
use crate::image::limits::Limits;
use crate::image::manifest::{self, Document};
use crate::image::reference::Reference;
use crate::store::Store;

const BUFFER: usize = 128 << 10;

/// The worker's end of a channel to the fetcher.
#[derive(Debug)]
pub(super) struct Remote {
    channel: OwnedFd,
    store: Store,
}

impl Remote {
    pub(super) fn new(channel: OwnedFd, store: &Store) -> Self {
        Self { channel, store: store.clone() }
    }

    /// A file as a stream, and its size; `None` when there is no such file.
    pub(super) fn open(&self, name: &str) -> Result<Option<Opened>, TransferError> {
        if let Some(bytes) = self.known(name) {
            let size = bytes.len() as u64;
            return Ok(Some((Box::new(Cursor::new(bytes)), size)));
        }
        self.ask(&Request::whole(name))
    }

    /// What a request asks for as a stream, and its size; `None` when it is not to be had.
    pub(super) fn ask(&self, request: &Request) -> Result<Option<Opened>, TransferError> {
        let Request { name, .. } = request;
        let nothing = || TransferError::Fetcher(name.clone());
        let pipe = contract::ask(self.channel.as_fd(), request).map_err(|_| nothing())?;
        let mut pipe = BufReader::with_capacity(BUFFER, pipe);
        match Answer::read(&mut pipe).map_err(|error| read_error(name, error))? {
            Answer::Found(size) => Ok(Some((Box::new(Promised { pipe, rest: size }), size))),
            Answer::Missing => Ok(None),
            Answer::Failed => Err(nothing()),
        }
    }

    /// The store whose files need not be fetched.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// A manifest or a configuration that the store has.
    fn known(&self, name: &str) -> Option<Vec<u8>> {
        let digest = name.strip_prefix("blobs/")?.replacen('/', ":", 1);
        self.store.document(&Digest::parse(&digest).ok()?)
    }
}

impl Source {
    /// Calls `read` with a layer's bytes and what is promised of them. Of a registry's layer that may be had in
    /// parts these are put together first, in plain: no promise is about that, and if it fails, the whole layer
    /// decides. That is read once more when its bytes were not those of their digest: a transfer that broke off
    /// may have gone on with others.
    pub(super) fn read<T>(
        &self,
        layer: &PackedLayer,
        what: &str,
        limits: &Limits,
        mut read: impl FnMut(Opened, Option<(u64, Digest)>) -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        if let (Holder::Remote(remote), Some(tables), Some((size, _))) =
            (&self.holder, &layer.tables, &layer.promised)
            && let Some(plain) = chunked::open(remote, &layer.path, *size, tables, limits)
        {
            match read(plain, None) {
                Ok(layer) => return Ok(layer),
                Err(reason) => tracing::debug!("reading {what} whole: {reason}"),
            }
        }
        let mut whole = || read(self.stream(&layer.path, what)?, layer.promised.clone());
        match (&self.holder, whole()) {
            (Holder::Remote(_), Err(TransferError::Digest { .. })) => whole(),
            (_, result) => result,
        }
    }

    /// Makes sure that a registry leads to what a name pins. The fetcher is not believed in this, either.
    pub(super) fn check_pin(&self, name: &Reference) -> Result<(), TransferError> {
        let (Holder::Remote(_), Some(expected)) = (&self.holder, name.digest()) else { return Ok(()) };
        let index = self.document("index.json", "index.json")?;
        let Document::Index(descriptors) = manifest::parse(&index, "", "index.json")? else { return Ok(()) };
        let images = descriptors.into_iter().filter(|descriptor| !signatures::is_signature(descriptor));
        match images.map(|image| image.digest).find(|digest| digest != expected) {
            Some(found) => Err(TransferError::Pinned { expected: expected.clone(), found }),
            None => Ok(()),
        }
    }
}

/// A stream that must not end early: the fetcher ends it so when it fails.
struct Promised {
    pipe: BufReader<File>,
    rest: u64,
}

impl Read for Promised {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.pipe.read(&mut buffer[..room])?;
        if count == 0 && room > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the transfer broke off"));
        }
        self.rest -= count as u64;
        Ok(count)
    }
}
