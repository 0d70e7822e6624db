//! OCI and Docker archives of an image. Nothing in them tells when or where they were made.

use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Seek as _, Write};

use super::{Export, document, write_error};
use crate::image::digest::{Algorithm, Digest};
use crate::image::entry::EntryPath;
use crate::image::hashing::Hashing;
use crate::image::limits::Limits;
use crate::image::{ImageError, reference::Reference};
use crate::transfer::TransferError;
use crate::transfer::tarball::{Kind, TarWriter, plain};
use crate::transfer::watch::Watch;

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An OCI image layout in a tar archive, its layer packed.
    Oci(Packing),
    /// What `docker save` writes.
    Docker,
}

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// gzip, which every program reads.
    Gzip,
    /// zstd, which is faster and smaller.
    Zstd,
}

impl Packing {
    fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUFFER: usize = 256 << 10;

/// The one layer, packed.
struct Layer {
    file: File,
    diff_id: Digest,
    digest: Digest,
    size: u64,
}

pub(super) fn write(
    export: &Export,
    form: Form,
    spool: File,
    output: impl Write,
) -> Result<Digest, TransferError> {
    let packing = match form {
        Form::Oci(packing) => packing,
        Form::Docker => Packing::None,
    };
    let layer = layer(export, packing, spool)?;
    let config = document::config(&export.config, &layer.diff_id)?;
    let mut archive = ArchiveWriter { tar: TarWriter::new(output), watch: &export.watch };
    match form {
        Form::Oci(packing) => oci(&mut archive, packing, &config, layer, export.name.as_ref()),
        Form::Docker => docker(&mut archive, &config, layer, export.name.as_ref()),
    }?;
    archive.tar.finish().map_err(write_error)?;
    Ok(Digest::of(&config))
}

fn oci<W: Write>(
    archive: &mut ArchiveWriter<'_, W>,
    packing: Packing,
    config: &[u8],
    layer: Layer,
    name: Option<&Reference>,
) -> Result<(), TransferError> {
    let described = document::descriptor(packing.media_type(), &layer.digest, layer.size);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": document::descriptor(CONFIG, &Digest::of(config), config.len() as u64),
        "layers": [described],
    });
    let manifest = manifest.to_string();
    let digest = Digest::of(manifest.as_bytes());
    let mut entry = document::descriptor(MANIFEST, &digest, manifest.len() as u64);
    if let Some(name) = name {
        entry["annotations"] = json!({
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name,
        });
    }
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    archive.document("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    archive.document("index.json", &index)?;
    archive.directory("blobs")?;
    archive.directory("blobs/sha256")?;
    archive.file(&blob(&Digest::of(config)), config)?;
    archive.file(&blob(&digest), manifest.as_bytes())?;
    archive.layer(&blob(&layer.digest), layer)
}

fn docker<W: Write>(
    archive: &mut ArchiveWriter<'_, W>,
    config: &[u8],
    layer: Layer,
    name: Option<&Reference>,
) -> Result<(), TransferError> {
    let config_name = format!("{}.json", Digest::of(config).hex());
    let layer_name = format!("{}.tar", layer.diff_id.hex());
    let names: Vec<&Reference> = name.into_iter().collect();
    let saved = json!([{ "Config": config_name, "RepoTags": names, "Layers": [layer_name] }]);
    archive.document("manifest.json", &saved)?;
    archive.file(&config_name, config)?;
    archive.layer(&layer_name, layer)
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Makes the layer: plain digest, packing and packed digest in one pass.
fn layer(export: &Export, packing: Packing, spool: File) -> Result<Layer, TransferError> {
    let packed = Hashing::new(Algorithm::Sha256, BufWriter::with_capacity(BUFFER, spool));
    let (diff_id, packed) = match packing {
        Packing::None => plain_layer(export, packed),
        Packing::Gzip => {
            let encoder = GzEncoder::new(packed, flate2::Compression::default());
            let (diff_id, encoder) = plain_layer(export, encoder)?;
            Ok((diff_id, encoder.finish().map_err(write_error)?))
        }
        Packing::Zstd => {
            let encoder = zstd::stream::write::Encoder::new(packed, 0).map_err(write_error)?;
            let (diff_id, encoder) = plain_layer(export, encoder)?;
            Ok((diff_id, encoder.finish().map_err(write_error)?))
        }
    }?;
    let (output, digest, size) = packed.finish();
    let mut file = output.into_inner().map_err(|error| write_error(error.into_error()))?;
    file.rewind().map_err(write_error)?;
    Ok(Layer { file, diff_id, digest, size })
}

fn plain_layer<W: Write>(export: &Export, output: W) -> Result<(Digest, W), TransferError> {
    let mut tar = TarWriter::new(Hashing::new(Algorithm::Sha256, BufWriter::with_capacity(BUFFER, output)));
    export.write(&mut tar)?;
    let (output, diff_id, _) = tar.finish().map_err(write_error)?.finish();
    let output = output.into_inner().map_err(|error| write_error(error.into_error()))?;
    Ok((diff_id, output))
}

struct ArchiveWriter<'a, W> {
    tar: TarWriter<W>,
    watch: &'a Watch,
}

impl<W: Write> ArchiveWriter<'_, W> {
    fn document(&mut self, name: &str, value: &Value) -> Result<(), TransferError> {
        self.file(name, value.to_string().as_bytes())
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), TransferError> {
        self.begin(name, Kind::File(bytes.len() as u64))?;
        self.tar.body(bytes.len() as u64, &mut &*bytes).map_err(write_error)
    }

    fn layer(&mut self, name: &str, layer: Layer) -> Result<(), TransferError> {
        self.begin(name, Kind::File(layer.size))?;
        let mut packed = self.watch.stream("the archive", Some(layer.size), layer.file);
        self.tar.body(layer.size, &mut packed).map_err(write_error)?;
        packed.end();
        Ok(())
    }

    fn directory(&mut self, name: &str) -> Result<(), TransferError> {
        self.begin(name, Kind::Directory)
    }

    fn begin(&mut self, name: &str, kind: Kind<'_>) -> Result<(), TransferError> {
        let path = EntryPath::parse(name.as_bytes(), &Limits::default());
        let path = path.map_err(|reason| ImageError::entry(name.as_bytes(), reason))?;
        let mut metadata = plain();
        if matches!(kind, Kind::Directory) {
            metadata.mode = 0o755;
        }
        self.tar.entry(&path, kind, &metadata).map_err(write_error)
    }
}
