//! `docker save` archives of Docker 1.9 and older: a chain of layers, each a directory with `json`, `layer.tar`
//! and `VERSION`, and names in `repositories`. Diff ids are computed and a configuration is made of the top
//! layer's, as the Docker Image Specification v1.0 has them.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

use super::TransferError;
use super::import::{Candidate, PackedLayer};
use super::packing;
use super::source::Source;
use crate::image::digest::Digest;
use crate::image::limits::Limits;
use crate::image::reference::Reference;
use crate::image::{ImageError, json};

/// The names of an image: tags by repository.
type Repositories = BTreeMap<String, BTreeMap<String, String>>;

/// The part of a layer's `json` that makes the chain.
#[derive(Deserialize)]
struct LayerJson {
    parent: Option<String>,
}

/// A layer's `json` as it is written: as text it takes no more memory than its source.
type Written = BTreeMap<String, Box<RawValue>>;

/// Layers of one image, as Docker itself had it, and room.
const CHAIN_MAX: usize = 512;
/// What a layer's `json` says that a configuration says in the same words.
const KEPT: [&str; 7] = ["architecture", "author", "config", "created", "docker_version", "os", "variant"];

/// Whether a source without `repositories` is one: `docker save` of an id wrote none.
pub(super) fn is_one(source: &Source) -> Result<bool, TransferError> {
    Ok(ids(source)?
        .iter()
        .any(|id| source.has(&format!("{id}/json")) && source.has(&format!("{id}/layer.tar"))))
}

/// The images of an archive: those that have names, or else those that are no other's parent.
pub(super) fn candidates(source: &Source, limits: &Limits) -> Result<Vec<Candidate>, TransferError> {
    let mut heads: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    if source.has("repositories") {
        let bytes = source.document("repositories", "repositories")?;
        let repositories: Repositories = json::parse(&bytes, "repositories")?;
        for (repository, tags) in repositories {
            for (tag, id) in tags {
                let name = Reference::from_docker(&format!("{repository}:{tag}"))?;
                heads.entry(id).or_default().push(name);
            }
        }
    }
    if heads.is_empty() {
        heads = nameless(source)?;
    }
    if heads.is_empty() {
        return Err(ImageError::document("repositories", "names no image, and none is beside it").into());
    }
    let mut known = BTreeMap::new();
    heads.into_iter().map(|(id, names)| candidate(source, &id, names, &mut known, limits)).collect()
}

fn nameless(source: &Source) -> Result<BTreeMap<String, Vec<Reference>>, TransferError> {
    let mut heads: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    let ids = ids(source)?;
    for id in &ids {
        heads.insert(id.clone(), Vec::new());
    }
    for id in &ids {
        if let Some(parent) = layer(source, id)?.0.parent {
            heads.remove(&parent);
        }
    }
    Ok(heads)
}

fn ids(source: &Source) -> Result<Vec<String>, TransferError> {
    let names = source.top()?.into_iter().filter_map(|name| String::from_utf8(name).ok());
    Ok(names.filter(|name| check_id(name).is_ok()).collect())
}

fn candidate(
    source: &Source,
    head: &str,
    names: Vec<Reference>,
    known: &mut BTreeMap<String, Digest>,
    limits: &Limits,
) -> Result<Candidate, TransferError> {
    let mut chain = Vec::new();
    let mut next = Some(head.to_owned());
    let mut top = None;
    while let Some(id) = next {
        if chain.len() == CHAIN_MAX || chain.contains(&id) {
            return Err(ImageError::document(format!("{id}/json"), "is in a chain without an end").into());
        }
        let (read, value) = layer(source, &id)?;
        top.get_or_insert(value);
        next = read.parent.filter(|parent| !parent.is_empty());
        chain.push(id);
    }
    chain.reverse();
    let mut diff_ids = Vec::new();
    for id in &chain {
        if !known.contains_key(id) {
            let path = format!("{id}/layer.tar");
            let (bytes, size) = source.stream(&path, &format!("layer {id}"))?;
            known.insert(id.clone(), packing::diff_id(bytes, size, limits, &path)?);
        }
        diff_ids.push(known[id].clone());
    }
    let config = config(top.unwrap_or_default(), &diff_ids)
        .map_err(|error| ImageError::document(format!("{head}/json"), error.to_string()))?;
    let packed = |id: &String| PackedLayer { path: format!("{id}/layer.tar"), promised: None, tables: None };
    let layers = chain.iter().map(packed).collect();
    Ok(Candidate { id: Digest::of(&config), manifest: None, digests: Vec::new(), config, layers, names })
}

fn layer(source: &Source, id: &str) -> Result<(LayerJson, Written), TransferError> {
    check_id(id)?;
    let name = format!("{id}/json");
    let bytes = source.document(&name, &format!("layer {id}"))?;
    Ok((json::parse(&bytes, &name)?, json::parse(&bytes, &name)?))
}

/// Ids are 64 digits. They are names of directories here, and nothing else may become one.
fn check_id(id: &str) -> Result<(), ImageError> {
    Digest::parse(&format!("sha256:{id}")).map(drop)
}

fn config(top: Written, diff_ids: &[Digest]) -> serde_json::Result<Vec<u8>> {
    let mut config: Written = top
        .into_iter()
        .filter(|(key, value)| KEPT.contains(&key.as_str()) && value.get() != "null")
        .collect();
    // Docker was of one system and one architecture when it wrote neither.
    for (key, value) in [("os", "linux"), ("architecture", "amd64")] {
        if !config.contains_key(key) {
            config.insert(key.to_owned(), to_raw_value(value)?);
        }
    }
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": diff_ids });
    config.insert("rootfs".to_owned(), to_raw_value(&rootfs)?);
    serde_json::to_vec(&config)
}
