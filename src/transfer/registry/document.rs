//! A manifest or an index from a registry: what the server says about it and what it is must agree.

use std::io::Read as _;
use ureq::http::{HeaderMap, HeaderName, header};

use super::error::{Failure, RegistryError};
use super::session::{Resource, Session, text};
use crate::image::digest::Digest;
use crate::image::json;
use crate::image::manifest::{self, Descriptor, Document, is_document};

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Manifests of 2014, which name their layers without promising anything.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1";

/// A document, with what its server says about it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

/// What a document says of a blob that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) role: Role,
    pub(super) size: u64,
}

/// What a document leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A manifest or an index: registries keep those apart from blobs.
    Manifest,
    /// A configuration: a small blob, not worth a word.
    Config,
    /// All else.
    Layer,
}

impl Found {
    /// What it leads to.
    pub(super) fn leads_to(&self) -> Vec<(Digest, Promise)> {
        let promise = |it: Descriptor, role: Role| (it.digest, Promise { role, size: it.size });
        match manifest::parse(&self.bytes, &self.media_type, "manifest") {
            Ok(Document::Index(descriptors)) => {
                descriptors.into_iter().map(|it| promise(it, Role::Manifest)).collect()
            }
            Ok(Document::Manifest(manifest)) => {
                let layers = manifest.layers.into_iter().map(|it| promise(it, Role::Layer));
                layers.chain([promise(*manifest.config, Role::Config)]).collect()
            }
            // Whatever is wrong with it, the worker says it.
            Err(_) => Vec::new(),
        }
    }
}

/// Fetches a document. `expected` is the digest that somebody promised.
///
/// # Errors
/// When it cannot be had, or its type or digest is not what it should be.
pub(super) fn document(
    session: &Session,
    resource: &Resource,
    expected: Option<&Digest>,
) -> Result<Found, Failure> {
    let answer = session.fetch(resource, None)?;
    let media_type = media_type(answer.headers(), session)?;
    let promised = promised(answer.headers(), session)?;
    let mut bytes = Vec::new();
    let read = answer.into_body().into_reader().take(json::SIZE_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        let error = RegistryError::Connection { server: session.server(), reason: error.to_string() };
        Failure::Passing(error, None)
    })?;
    if bytes.len() as u64 > json::SIZE_MAX {
        return Err(session.protocol("sends a manifest that is larger than 4 MiB").into());
    }
    for promise in [expected, promised.as_ref()].into_iter().flatten() {
        let found = promise.algorithm().digest(&bytes);
        if found != *promise {
            let reason = format!("sends a manifest whose digest is {found} instead of {promise}");
            return Err(session.protocol(&reason).into());
        }
    }
    let digest = expected.cloned().unwrap_or_else(|| Digest::of(&bytes));
    Ok(Found { media_type, digest, bytes })
}

/// `Content-Type` without its parameters.
fn media_type(headers: &HeaderMap, session: &Session) -> Result<String, RegistryError> {
    let value = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.starts_with(SCHEMA_1) {
        let reason =
            "has this image in Docker's schema 1 of 2014 only, which is not supported: push it again";
        return Err(session.protocol(reason));
    }
    match is_document(media_type) {
        true => Ok(media_type.to_owned()),
        false => Err(session.protocol(&format!("sends \"{media_type}\" instead of an image manifest"))),
    }
}

/// `Docker-Content-Digest`, as strictly as every digest.
fn promised(headers: &HeaderMap, session: &Session) -> Result<Option<Digest>, RegistryError> {
    let Some(value) = headers.get(DIGEST) else { return Ok(None) };
    let digest = Digest::parse(&String::from_utf8_lossy(value.as_bytes()));
    digest.map(Some).map_err(|error| session.protocol(&format!("sends a bad Docker-Content-Digest: {error}")))
}
