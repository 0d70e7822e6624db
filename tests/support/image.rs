//! Small real images, written as OCI layouts.

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// The time stamp of every entry.
const TIME: u64 = 1_700_000_000;

/// The content of one layer.
pub struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    /// A layer without entries.
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// A layer with busybox and its applets below `/bin`.
    pub fn busybox() -> Self {
        let program = fs::read("/bin/busybox").expect("Debian's busybox-static is installed");
        let layer = ["bin", "dev", "etc", "proc", "sys", "tmp", "run", "www"]
            .iter()
            .fold(Self::new(), |layer, name| layer.directory(name))
            .file("bin/busybox", 0o755, &program);
        ["sh", "httpd", "cat", "echo", "sleep", "id", "env", "kill", "ls", "nc", "sync", "true", "false"]
            .iter()
            .fold(layer, |layer, applet| layer.link(&format!("bin/{applet}"), "busybox"))
            .file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n")
    }

    /// Adds a regular file of root.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.entry(path, header, content)
    }

    /// Adds a directory of root.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.entry(&format!("{path}/"), header(tar::EntryType::Directory, 0o755), &[])
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = header(tar::EntryType::Symlink, 0o777);
        self.0.append_link(&mut header, path, target).expect("the entry fits");
        self
    }

    /// Adds an entry as the header says, whatever the name is.
    #[must_use]
    pub fn entry(mut self, path: &str, mut header: tar::Header, content: &[u8]) -> Self {
        let name = &mut header.as_old_mut().name;
        assert!(path.len() < name.len(), "{path} is too long for a plain header");
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).expect("the entry fits");
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("the archive ends")
    }
}

/// A header of root with a fixed time.
pub fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIME);
    header.set_size(0);
    header
}

/// Writes an OCI layout of these layers; `config` is the `config` object of the image.
pub fn write_layout(directory: &Path, layers: Vec<Layer>, config: &Value) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("directories are made");
    let mut descriptors = Vec::new();
    let mut differences = Vec::new();
    for layer in layers {
        let bytes = layer.bytes();
        differences.push(digest(&bytes));
        descriptors.push(put(&blobs, "application/vnd.oci.image.layer.v1.tar+gzip", &gzip(&bytes)));
    }
    let image = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": differences },
    });
    let config = put(&blobs, "application/vnd.oci.image.config.v1+json", image.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": descriptors });
    let manifest = put(&blobs, media_type, manifest.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(directory.join("index.json"), index.to_string()).expect("the index is written");
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("the mark is written");
}

fn put(blobs: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = digest(bytes);
    let name = digest.trim_start_matches("sha256:");
    fs::write(blobs.join(name), bytes).expect("the blob is written");
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"))
}
