//! The files of a root directory, in an archive or a folder, as an image of one layer.

use std::fs::File;
use std::io::BufWriter;

use super::TransferError;
use super::archive::Archive;
use super::folder;
use super::formats::Selection;
use super::import::{Candidate, PackedLayer};
use super::packing;
use super::source::{Holder, Source, Spool, read_error};
use super::watch::Watch;
use crate::image::change;
use crate::image::digest::{Algorithm, Digest};
use crate::image::hashing::Hashing;
use crate::image::limits::Limits;
use crate::image::manifest::Platform;

/// The archive as a whole, among its files.
const WHOLE: &str = ".";

/// The one image, and the source of which its layer is the whole. A folder becomes an archive first: then its
/// layer has a digest, by which it is known when it comes again.
pub(super) fn candidate(
    source: Source,
    selection: &Selection,
    limits: &Limits,
    spool: Spool<'_>,
) -> Result<(Source, Vec<Candidate>), TransferError> {
    let failed = |error| read_error("the tree", error);
    let Source { holder, watch, .. } = source;
    let (file, diff_id) = match holder {
        Holder::Archive(archive) => {
            let file = archive.into_file();
            let diff_id = diff_id(&file, limits, &watch)?;
            (file, diff_id)
        }
        // A registry has images, never a tree.
        Holder::Remote(_) => return Err(TransferError::Format),
        Holder::Folder(folder) => {
            let mut writer = Hashing::new(Algorithm::Sha256, BufWriter::with_capacity(256 << 10, spool()?));
            let mut packed = watch.stream("the folder", None, &mut writer);
            folder::pack(folder, limits, &mut packed)?;
            packed.end();
            let (writer, diff_id, _) = writer.finish();
            (writer.into_inner().map_err(|error| failed(error.into_error()))?, diff_id)
        }
    };
    let source = Source::whole(Archive::whole(file).map_err(failed)?, watch);
    let platform = selection.platform.clone().unwrap_or_else(Platform::host);
    let config = change::configuration(&platform, &selection.changes, &diff_id);
    let config = config.map_err(|error| failed(error.into()))?;
    let layers = vec![PackedLayer { path: WHOLE.to_owned(), promised: None, tables: None }];
    let id = Digest::of(&config);
    let (digests, names) = (Vec::new(), Vec::new());
    let candidate = Candidate { id, manifest: None, digests, config, layers, names };
    Ok((source, vec![candidate]))
}

fn diff_id(file: &File, limits: &Limits, watch: &Watch) -> Result<Digest, TransferError> {
    let whole = file.try_clone().and_then(Archive::whole).map_err(|error| read_error("the tree", error))?;
    let (bytes, size) = Source::whole(whole, watch.clone()).stream(WHOLE, "the tree")?;
    packing::diff_id(bytes, size, limits, "the tree")
}
