//! Layers in the form zstd:chunked, with a tar-split, as writers since 2024 make them: Debian's are older and make
//! none. That they are in the form is what another reader of it says in the tests.
#![allow(dead_code, reason = "each test program uses a part")]

use crate::layout::{Blob, Documents, digest};
use base64::Engine as _;
use serde_json::{Value, json};
use std::io::Read as _;

const PREFIX: &str = "io.github.containers.zstd-chunked";
/// The first bytes of a frame that readers of zstd skip, RFC 8878 section 3.1.2.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
const CHUNK: usize = 64 << 10;

/// A layer, and the annotations of its descriptor.
pub struct Chunked {
    pub blob: Blob,
    pub annotations: Value,
}

impl Chunked {
    /// Packs an archive whose names and numbers fit into plain headers.
    pub fn pack(tar: &[u8]) -> Self {
        Self::pack_with(tar, &mut |_, _| {})
    }

    /// The same, with `change` applied to the table of contents and the lines of the tar-split.
    pub fn pack_with(tar: &[u8], change: &mut dyn FnMut(&mut Value, &mut Vec<Value>)) -> Self {
        let mut packer = Packer::default();
        let mut position = 0;
        for entry in tar::Archive::new(tar).entries().unwrap() {
            let entry = entry.unwrap();
            let (at, size) = (entry.raw_file_position() as usize, entry.size() as usize);
            packer.segment(&tar[position..at]);
            packer.file(&entry, &tar[at..at + size]);
            position = at + size;
        }
        packer.segment(&tar[position..]);
        packer.finish(digest(tar), change)
    }

    /// Writes the annotations into the manifest, for the layer at `position`.
    pub fn annotate(&self, documents: &mut Documents, position: usize) {
        documents.manifest["layers"][position]["annotations"] = self.annotations.clone();
    }

    /// Changes an annotation, named by its last word.
    pub fn note(&mut self, name: &str, text: &str) {
        self.annotations[format!("{PREFIX}.{name}")] = json!(text);
    }
}

#[derive(Default)]
struct Packer {
    bytes: Vec<u8>,
    entries: Vec<Value>,
    split: Vec<Value>,
}

impl Packer {
    /// Bytes of the archive that are no content.
    fn segment(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.extend(frame(bytes));
            self.line(json!({ "type": 2, "payload": base64(bytes) }));
        }
    }

    fn line(&mut self, mut line: Value) {
        line["position"] = json!(self.split.len());
        self.split.push(line);
    }

    fn file(&mut self, entry: &tar::Entry<'_, &[u8]>, content: &[u8]) {
        let header = entry.header();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => "dir",
            tar::EntryType::Symlink => "symlink",
            tar::EntryType::Link => "hardlink",
            _ => "reg",
        };
        let time = jiff::Timestamp::from_second(header.mtime().unwrap() as i64).unwrap();
        let mut first = json!({ "type": kind, "name": name, "mode": header.mode().unwrap(),
            "uid": header.uid().unwrap(), "gid": header.gid().unwrap(), "modtime": time.to_string() });
        if content.is_empty() {
            self.line(json!({ "type": 1, "name": name, "payload": null }));
            self.entries.push(first);
            return;
        }
        self.line(json!({ "type": 1, "name": name, "size": content.len(), "payload": base64(&[0; 8]) }));
        let mut chunks = Vec::new();
        first["offset"] = json!(self.bytes.len());
        for (index, chunk) in content.chunks(CHUNK).enumerate() {
            chunks.push(json!({ "type": "chunk", "name": name, "offset": self.bytes.len(),
                "chunkOffset": index * CHUNK, "chunkSize": chunk.len(), "chunkDigest": digest(chunk) }));
            self.bytes.extend(frame(chunk));
        }
        first["endOffset"] = json!(self.bytes.len());
        first["size"] = json!(content.len());
        first["digest"] = json!(digest(content));
        if chunks.len() > 1 {
            first["chunkSize"] = chunks[0]["chunkSize"].clone();
            first["chunkDigest"] = chunks[0]["chunkDigest"].clone();
        }
        self.entries.push(first);
        self.entries.extend(chunks.into_iter().skip(1));
    }

    fn finish(mut self, diff_id: String, change: &mut dyn FnMut(&mut Value, &mut Vec<Value>)) -> Chunked {
        let mut contents = json!({ "version": 1, "entries": self.entries });
        change(&mut contents, &mut self.split);
        let lines: String = self.split.iter().map(|line| format!("{line}\n")).collect();
        let split = frame(lines.as_bytes());
        contents["tarSplitDigest"] = json!(digest(&split));
        let plain = contents.to_string();
        let table = frame(plain.as_bytes());
        let table_at = skippable(&mut self.bytes, &table);
        let split_at = skippable(&mut self.bytes, &split);
        let numbers =
            [table_at, table.len(), plain.len(), 1, split_at, split.len(), lines.len()].map(|it| it as u64);
        let footer: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        skippable(&mut self.bytes, &[footer.as_slice(), b"GNUlInUx"].concat());
        let annotations = json!({
            format!("{PREFIX}.manifest-checksum"): digest(&table),
            format!("{PREFIX}.manifest-position"): format!("{table_at}:{}:{}:1", table.len(), plain.len()),
            format!("{PREFIX}.tarsplit-position"): format!("{split_at}:{}:{}", split.len(), lines.len()),
        });
        let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
        Chunked { blob: Blob { bytes: self.bytes, media_type, diff_id }, annotations }
    }
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

/// Adds a frame that is skipped; returns where its content begins.
fn skippable(bytes: &mut Vec<u8>, content: &[u8]) -> usize {
    bytes.extend(SKIPPABLE);
    bytes.extend((content.len() as u32).to_le_bytes());
    let at = bytes.len();
    bytes.extend(content);
    at
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The plain bytes of frames, as any reader of zstd sees them.
pub fn unpack(blob: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    ::zstd::Decoder::new(blob).unwrap().read_to_end(&mut plain).unwrap();
    plain
}
