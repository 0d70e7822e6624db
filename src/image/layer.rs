//! One layer's tar stream as a list of changes; contents of files go to a [`Sink`] on the way.

use std::error::Error;

use super::ImageError;
use super::body::{Body, Piece};
use super::digest::{ContentHash, ContentHasher};
use super::entry::{Bytes, Change, EntryPath, LayerEntry, Metadata, Node};
use super::limits::Limits;
use super::tar::{Header, Input, Reader, Type};
use super::xattr;

/// Takes the contents of regular files, from several layers at a time.
pub trait Sink: Sync {
    /// Takes one file's content and returns its hash.
    ///
    /// # Errors
    /// When the content cannot be read or kept.
    fn file(
        &self,
        metadata: &Metadata,
        content: Body<'_>,
    ) -> Result<ContentHash, Box<dyn Error + Send + Sync>>;
}

/// What a layer holds.
#[derive(Debug, Default)]
pub struct Layer {
    /// Its entries, in their order.
    pub entries: Vec<LayerEntry>,
    /// What was left out, one sentence each.
    pub notices: Vec<String>,
}

/// Notices of one layer that are told one by one; nobody reads more.
const NOTICES_MAX: usize = 100;

/// What a layer's name asks for, by the OCI layer specification.
enum Target {
    Plain(EntryPath),
    Whiteout(EntryPath),
    Opaque(EntryPath),
    /// Notes of AUFS, `.wh..wh.*`, which mean nothing elsewhere.
    Ignored,
}

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Reads a whole layer, and its stream to the end: digests cover what follows the archive, too.
///
/// # Errors
/// When the stream is broken, an entry breaks a rule, or the sink fails.
pub fn read<R: Input>(input: R, limits: &Limits, sink: &dyn Sink) -> Result<Layer, ImageError> {
    let mut reader = Reader::new(input, limits.clone());
    let mut layer = Layer::default();
    let (mut count, mut holes) = (0, 0u64);
    while let Some(header) = reader.next()? {
        count += 1;
        if count > limits.entries {
            return Err(ImageError::entry(
                &header.name,
                "is one more than the limit \"entries\" of sampan.toml(5)",
            ));
        }
        if reader.offset().saturating_add(header.size) > limits.layer_bytes {
            return Err(ImageError::entry(
                &header.name,
                "makes the layer larger than the limit \"layer_size\" of sampan.toml(5)",
            ));
        }
        holes = holes.saturating_add(header.holes());
        if holes > limits.holes {
            return Err(ImageError::entry(
                &header.name,
                "makes the holes of the layer larger than the limit \"holes\" of sampan.toml(5)",
            ));
        }
        match target(&header, limits)? {
            Target::Plain(path) => put(path, header, limits, &mut reader, sink, &mut layer)?,
            Target::Whiteout(path) => layer.entries.push(LayerEntry { path, change: Change::Whiteout }),
            Target::Opaque(path) => layer.entries.push(LayerEntry { path, change: Change::Opaque }),
            Target::Ignored => layer.notice(&header.name, "is a note of AUFS, ignoring"),
        }
    }
    let offset = reader.offset();
    let rest = std::io::copy(&mut reader.into_inner(), &mut std::io::sink());
    rest.map_err(|source| ImageError::Read { offset, source })?;
    Ok(layer)
}

impl Layer {
    fn notice(&mut self, entry: &[u8], what: &str) {
        match self.notices.len() {
            0..NOTICES_MAX => {
                self.notices.push(format!("entry \"{}\" {what}", super::text::printable(entry)))
            }
            NOTICES_MAX => self.notices.push("and more of the same layer, which are not listed".to_owned()),
            _ => {}
        }
    }
}

fn target(header: &Header, limits: &Limits) -> Result<Target, ImageError> {
    let refuse = |reason: &str| Err(ImageError::entry(&header.name, reason));
    let path =
        EntryPath::parse(&header.name, limits).map_err(|reason| ImageError::entry(&header.name, reason))?;
    let Some((parent, name)) = path.split() else { return Ok(Target::Plain(path)) };
    if name.starts_with(WHITEOUT_META) && name != OPAQUE
        || parent.names().any(|n| n.starts_with(WHITEOUT_META))
    {
        return Ok(Target::Ignored);
    }
    if parent.names().any(|name| name.starts_with(WHITEOUT)) {
        return refuse("lies below a whiteout");
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Target::Plain(path)),
        Some(_) if name == OPAQUE => Ok(Target::Opaque(parent)),
        Some(b"" | b"." | b"..") => refuse("is a whiteout of no valid name"),
        Some(name) => Ok(Target::Whiteout(parent.join(name))),
    }
}

fn put<R: Input>(
    path: EntryPath,
    header: Header,
    limits: &Limits,
    reader: &mut Reader<R>,
    sink: &dyn Sink,
    layer: &mut Layer,
) -> Result<(), ImageError> {
    let Header { name, link, kind, mode, uid, gid, size, mtime, xattrs, sparse } = header;
    let mut metadata = Metadata { mode, uid, gid, mtime, xattrs };
    for notice in xattr::keep_allowed(kind, &mut metadata) {
        layer.notice(&name, &format!("has {notice}"));
    }
    let node = match kind {
        Type::Directory => Node::Directory,
        Type::Fifo => Node::Fifo,
        Type::Symlink => Node::Symlink { target: symlink_target(&name, link, limits)? },
        Type::Device => {
            layer.notice(&name, "is a device node, ignoring");
            return Ok(());
        }
        Type::HardLink => {
            let target = EntryPath::parse(&link, limits).map_err(|reason| {
                ImageError::entry(&name, format!("its hard link's target is refused: {reason}"))
            })?;
            layer.entries.push(LayerEntry { path, change: Change::HardLink { target } });
            return Ok(());
        }
        Type::File => {
            let sha256 = sink
                .file(&metadata, Body::new(reader, size, sparse.as_ref()))
                .map_err(|source| ImageError::Sink { entry: super::text::printable(&name), source })?;
            Node::File { size, sha256 }
        }
    };
    layer.entries.push(LayerEntry { path, change: Change::Put { node, metadata } });
    Ok(())
}

fn symlink_target(name: &[u8], target: Vec<u8>, limits: &Limits) -> Result<Bytes, ImageError> {
    if target.is_empty() || target.contains(&0) {
        return Err(ImageError::entry(name, "is a symbolic link without a valid target"));
    }
    if target.len() > limits.path {
        return Err(ImageError::entry(
            name,
            "its link's target is longer than the limit \"path\" of sampan.toml(5)",
        ));
    }
    Ok(Bytes(target))
}

/// A sink that only hashes: for tests and for fuzzing.
#[derive(Debug, Default)]
pub struct HashOnly;

impl Sink for HashOnly {
    fn file(
        &self,
        _metadata: &Metadata,
        mut content: Body<'_>,
    ) -> Result<ContentHash, Box<dyn Error + Send + Sync>> {
        let mut hasher = ContentHasher::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match content.next(&mut buffer)? {
                Piece::End => return Ok(hasher.finish()),
                Piece::Bytes(count) => hasher.update(&buffer[..count]),
                Piece::Hole(count) => hasher.skip(count),
            }
        }
    }
}
