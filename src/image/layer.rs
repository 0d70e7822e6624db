//! One layer's tar stream as a list of changes; contents of files go to a [`Sink`] on the way.

use std::error::Error;

use super::ImageError;
use super::body::{Body, Piece};
use super::digest::{ContentHash, ContentHasher};
use super::entry::{Bytes, Change, EntryPath, LayerEntry, Metadata, Node};
use super::limits::Limits;
use super::notices::Notices;
use super::tar::{Header, Input, Reader, Type};
use super::text::shown;
use super::xattr;

/// Why a sink does not take something.
pub type SinkError = Box<dyn Error + Send + Sync>;

/// Takes what a layer holds, as it comes.
pub trait Sink {
    /// Takes one file's content and returns its hash.
    ///
    /// # Errors
    /// When the content cannot be read or kept.
    fn file(&mut self, metadata: &Metadata, content: Body<'_>) -> Result<ContentHash, SinkError>;

    /// Takes the next entry.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn entry(&mut self, entry: LayerEntry) -> Result<(), SinkError>;
}

/// What was seen of a layer, other than its entries.
#[derive(Debug, Default)]
pub struct Layer {
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of holes in its sparse files.
    pub holes: u64,
    /// What was left out.
    pub notices: Notices,
}

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
/// The directory at the root in which AUFS keeps the inodes that have several names: the names of the tree are hard
/// links to those, which are in no tree themselves.
pub(super) const LINK_SOURCES: &[u8] = b".wh..wh.plnk";

/// Reads a whole layer, and its stream to the end: digests cover what follows the archive, too.
///
/// # Errors
/// When the stream is broken, an entry breaks a rule, or the sink fails.
pub fn read<R: Input>(input: R, limits: &Limits, sink: &mut dyn Sink) -> Result<Layer, ImageError> {
    let mut reading =
        Reading { reader: Reader::new(input, limits.clone()), limits, sink, layer: Layer::default() };
    let mut count = 0;
    while let Some(header) = reading.reader.next()? {
        count += 1;
        reading.layer.holes = reading.layer.holes.saturating_add(header.holes());
        reading.check_budgets(&header, count)?;
        let (path, change) = match target(&header, limits)? {
            Target::Plain(path) => {
                reading.put(path, header)?;
                continue;
            }
            Target::Whiteout(path) => (path, Change::Whiteout),
            Target::Opaque(path) => (path, Change::Opaque),
            Target::Ignored => {
                reading.layer.notice(&header.name, "is a note of AUFS, ignoring");
                continue;
            }
        };
        reading.push(&header.name, path, change)?;
    }
    let offset = reading.reader.offset();
    let rest = std::io::copy(&mut reading.reader.into_inner(), &mut std::io::sink());
    rest.map_err(|source| ImageError::Read { offset, source })?;
    Ok(reading.layer)
}

impl Layer {
    fn notice(&mut self, entry: &[u8], what: &str) {
        self.notices.push(format!("entry \"{}\" {what}", shown(entry)));
    }
}

fn target(header: &Header, limits: &Limits) -> Result<Target, ImageError> {
    let refused = |reason| ImageError::entry(&header.name, reason);
    let target = EntryPath::read(&header.name).and_then(|path| aim(path, header.kind)).map_err(refused)?;
    // The limits are for what is in a tree: the name of a whiteout is longer by its mark.
    match &target {
        Target::Plain(path) | Target::Whiteout(path) | Target::Opaque(path) => {
            path.check(limits).map_err(refused)?;
        }
        Target::Ignored => {}
    }
    Ok(target)
}

fn aim(path: EntryPath, kind: Type) -> Result<Target, &'static str> {
    let Some((parent, name)) = path.split() else { return Ok(Target::Plain(path)) };
    if parent.as_bytes() == LINK_SOURCES
        && matches!(kind, Type::File | Type::HardLink)
        && !name.starts_with(WHITEOUT)
    {
        return Ok(Target::Plain(path));
    }
    if name.starts_with(WHITEOUT_META) && name != OPAQUE
        || parent.names().any(|n| n.starts_with(WHITEOUT_META))
    {
        return Ok(Target::Ignored);
    }
    if parent.names().any(|name| name.starts_with(WHITEOUT)) {
        return Err("lies below a whiteout");
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Target::Plain(path)),
        Some(_) if name == OPAQUE => Ok(Target::Opaque(parent)),
        Some(b"" | b"." | b"..") => Err("is a whiteout of no valid name"),
        Some(name) => Ok(Target::Whiteout(parent.join(name))),
    }
}

/// A layer that is being read.
struct Reading<'a, R> {
    reader: Reader<R>,
    limits: &'a Limits,
    sink: &'a mut dyn Sink,
    layer: Layer,
}

impl<R: Input> Reading<'_, R> {
    fn check_budgets(&self, header: &Header, count: u64) -> Result<(), ImageError> {
        let reason = if count > self.limits.entries {
            "is one more than the limit \"entries\" of sampan.toml(5)"
        } else if self.reader.offset().saturating_add(header.size) > self.limits.layer_bytes {
            "makes the layer larger than the limit \"layer_size\" of sampan.toml(5)"
        } else if self.layer.holes > self.limits.holes {
            "makes the holes of the image larger than the limit \"holes\" of sampan.toml(5)"
        } else {
            return Ok(());
        };
        Err(ImageError::entry(&header.name, reason))
    }

    fn put(&mut self, path: EntryPath, header: Header) -> Result<(), ImageError> {
        let Header { name, link, kind, mode, uid, gid, size, mtime, xattrs, sparse } = header;
        let mut metadata = Metadata { mode, uid, gid, mtime, xattrs };
        // Some archivers write the attributes with each name of an inode: those with the first one count.
        if kind != Type::HardLink {
            for notice in xattr::keep_allowed(kind, &mut metadata) {
                self.layer.notice(&name, &format!("has {notice}"));
            }
        }
        let node = match kind {
            Type::Directory => Node::Directory,
            Type::Fifo => Node::Fifo,
            Type::Symlink => Node::Symlink { target: symlink_target(&name, link, self.limits)? },
            Type::Device => {
                self.layer.notice(&name, "is a device node, ignoring");
                return self.push(&name, path, Change::Nothing);
            }
            Type::HardLink => {
                let target = EntryPath::parse(&link, self.limits).map_err(|reason| {
                    ImageError::entry(&name, format!("its hard link's target is refused: {reason}"))
                })?;
                return self.push(&name, path, Change::HardLink { target });
            }
            Type::File => {
                let content = Body::new(&mut self.reader, size, sparse.as_ref());
                let sha256 = self.sink.file(&metadata, content).map_err(|source| refused(&name, source))?;
                Node::File { size, sha256 }
            }
        };
        self.push(&name, path, Change::Put { node, metadata })
    }

    fn push(&mut self, name: &[u8], path: EntryPath, change: Change) -> Result<(), ImageError> {
        self.layer.entries += 1;
        self.sink.entry(LayerEntry { path, change }).map_err(|source| refused(name, source))
    }
}

fn refused(name: &[u8], source: SinkError) -> ImageError {
    ImageError::Sink { entry: shown(name), source }
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

/// A sink that hashes and keeps the entries in memory: for tests and for fuzzing.
#[derive(Debug, Default)]
pub struct HashOnly {
    /// The entries, in their order.
    pub entries: Vec<LayerEntry>,
}

impl Sink for HashOnly {
    fn file(&mut self, _metadata: &Metadata, mut content: Body<'_>) -> Result<ContentHash, SinkError> {
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

    fn entry(&mut self, entry: LayerEntry) -> Result<(), SinkError> {
        self.entries.push(entry);
        Ok(())
    }
}

/// The entries of a layer that is in memory: for tests and for fuzzing.
///
/// # Errors
/// As [`read`].
pub fn entries_of<R: Input>(input: R, limits: &Limits) -> Result<Vec<LayerEntry>, ImageError> {
    let mut sink = HashOnly::default();
    read(input, limits, &mut sink)?;
    Ok(sink.entries)
}
