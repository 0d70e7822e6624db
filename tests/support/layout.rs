//! Images for tests: layers of chosen entries, layouts that tell the truth unless told otherwise, and `sampanctl`.
#![allow(dead_code, reason = "each test program uses a part")]

use serde_json::{Value, json};
use sha2::Digest as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A directory on a real disk, and a store in it.
pub struct Lab {
    pub directory: TempDir,
}

impl Lab {
    pub fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests write files of other owners: run them as root"
        );
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Self { directory: tempfile::tempdir_in(target).unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Runs the command on the store of this lab.
    pub fn sampanctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sampanctl"));
        command.args(arguments).arg("--store").arg(self.store());
        command.output().unwrap()
    }

    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.sampanctl(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}: {error}{text}");
        text
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output=json"]].concat();
        serde_json::from_str(&self.succeeds(&arguments)).unwrap()
    }

    /// The error of a command that must fail, on one line; how far it came is told before.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.sampanctl(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?} did not fail");
        let told = String::from_utf8(output.stderr).unwrap();
        let is_progress = |line: &&str| {
            ["Reading ", "Read ", "Writing ", "Wrote "].iter().any(|word| line.starts_with(word))
        };
        let error: Vec<&str> = told.lines().skip_while(is_progress).collect();
        assert_eq!(error.len(), 1, "{told}");
        format!("{}\n", error[0])
    }

    /// Imports a folder or an archive under a name; returns the image's id.
    pub fn import(&self, source: &Path, name: &str) -> String {
        let report = self.json(&["import", source.to_str().unwrap(), "--name", name]);
        report["images"][0]["id"].as_str().unwrap().to_owned()
    }

    pub fn rootfs(&self, name: &str) -> PathBuf {
        self.json(&["inspect", name])["rootfs"].as_str().unwrap().into()
    }

    /// The store has nothing to complain about, and nothing is left of work in progress.
    pub fn assert_sound(&self) {
        assert_eq!(self.succeeds(&["fsck"]), "");
        assert_eq!(std::fs::read_dir(self.store().join("staging")).unwrap().count(), 0);
    }
}

/// A layer as a tar stream; names and fields are written as they are given.
#[derive(Default)]
pub struct Tar(pub Vec<u8>);

/// The fields of an entry that tests change.
pub struct Entry<'a> {
    pub name: &'a str,
    pub typeflag: u8,
    pub link: &'a str,
    pub mode: u32,
    pub owner: &'a [u8],
    pub body: &'a [u8],
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Self { name: "", typeflag: b'0', link: "", mode: 0o644, owner: b"0000000", body: b"" }
    }
}

impl Tar {
    pub fn entry(mut self, entry: &Entry<'_>) -> Self {
        let mut block = vec![0u8; 512];
        let mut set = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        set(0, entry.name.as_bytes());
        set(100, format!("{:07o}", entry.mode).as_bytes());
        set(108, entry.owner);
        set(116, entry.owner);
        set(124, format!("{:011o}", entry.body.len()).as_bytes());
        set(136, b"15000000000");
        set(148, b"        ");
        set(156, &[entry.typeflag]);
        set(157, entry.link.as_bytes());
        set(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(entry.body);
        self.0.resize(self.0.len().div_ceil(512) * 512, 0);
        self
    }

    pub fn file(self, name: &str, body: &str) -> Self {
        self.entry(&Entry { name, body: body.as_bytes(), ..Entry::default() })
    }

    pub fn directory(self, name: &str) -> Self {
        self.entry(&Entry { name, typeflag: b'5', mode: 0o755, ..Entry::default() })
    }

    pub fn symlink(self, name: &str, link: &str) -> Self {
        self.entry(&Entry { name, link, typeflag: b'2', mode: 0o777, ..Entry::default() })
    }

    pub fn hard_link(self, name: &str, link: &str) -> Self {
        self.entry(&Entry { name, link, typeflag: b'1', ..Entry::default() })
    }

    /// A PAX header for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length =
                (1..).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
            body.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.entry(&Entry { name: "pax", typeflag: b'x', body: &body, ..Entry::default() })
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// A layer in a layout.
pub struct Blob {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    pub diff_id: String,
}

pub fn plain(tar: Vec<u8>) -> Blob {
    let diff_id = digest(&tar);
    Blob { bytes: tar, media_type: "application/vnd.oci.image.layer.v1.tar", diff_id }
}

pub fn gzip(tar: &[u8]) -> Blob {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    let bytes = encoder.finish().unwrap();
    Blob { bytes, media_type: "application/vnd.oci.image.layer.v1.tar+gzip", diff_id: digest(tar) }
}

pub fn zstd(tar: &[u8]) -> Blob {
    let bytes = ::zstd::encode_all(tar, 3).unwrap();
    Blob { bytes, media_type: "application/vnd.oci.image.layer.v1.tar+zstd", diff_id: digest(tar) }
}

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// An OCI layout in a directory.
pub struct Layout {
    pub path: PathBuf,
}

impl Layout {
    /// Writes a layout of one image with true digests.
    pub fn write(path: &Path, layers: &[Blob]) -> Self {
        Self::write_with(path, layers, &mut |_| {})
    }

    /// The same, with `change` applied to the manifest and the configuration before they are hashed.
    pub fn write_with(path: &Path, layers: &[Blob], change: &mut dyn FnMut(&mut Documents)) -> Self {
        let layout = Self { path: path.to_owned() };
        std::fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        let mut documents = Documents::new(layers);
        for layer in layers {
            layout.blob(&layer.bytes);
        }
        change(&mut documents);
        let config = documents.config.to_string();
        layout.blob(config.as_bytes());
        documents.manifest["config"] =
            descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes());
        layout.index(documents.manifest.to_string().as_bytes());
        layout
    }

    /// Points the layout at a manifest of any bytes.
    pub fn index(&self, manifest: &[u8]) {
        self.blob(manifest);
        let manifest = descriptor("application/vnd.oci.image.manifest.v1+json", manifest);
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        std::fs::write(self.path.join("index.json"), index.to_string()).unwrap();
        std::fs::write(self.path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    pub fn blob(&self, bytes: &[u8]) {
        std::fs::write(self.blob_path(&digest(bytes)), bytes).unwrap();
    }

    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.path.join("blobs").join(digest.replace(':', "/"))
    }

    /// The layout as a tar archive.
    pub fn archive(&self, path: &Path) {
        let status = Command::new("tar").arg("-cf").arg(path).arg("-C").arg(&self.path).arg(".").status();
        assert!(status.unwrap().success());
    }
}

/// The documents of an image before they are hashed.
pub struct Documents {
    pub manifest: Value,
    pub config: Value,
}

impl Documents {
    fn new(layers: &[Blob]) -> Self {
        let architecture = sampan::image::manifest::Platform::host().architecture;
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let descriptors: Vec<Value> =
            layers.iter().map(|layer| descriptor(layer.media_type, &layer.bytes)).collect();
        Self {
            manifest: json!({ "schemaVersion": 2, "config": null, "layers": descriptors }),
            config: json!({
                "architecture": architecture, "os": "linux", "config": { "Cmd": ["/bin/true"] },
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            }),
        }
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}
