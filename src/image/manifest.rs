//! Manifests and indexes (OCI image specification, Docker schema 2), read strictly and chosen from by platform.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::digest::Digest;
use super::{ImageError, json};

/// A pointer to a blob: its type, digest and size are all promises to check.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The platform of the image it leads to.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Notes, among them names.
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
    /// What the manifest is about, of one that is no image.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Where a foreign layer's bytes are to be had; never asked.
    #[serde(default)]
    pub urls: Option<Vec<String>>,
}

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, ...
    #[serde(default)]
    pub architecture: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `v7`, `v8`, ...: what tells the ARM processors apart.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of this host, in the words of images.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
    }

    /// Reads `OS/ARCHITECTURE[/VARIANT]`, or the architecture alone.
    ///
    /// # Errors
    /// When the text is none of these.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let words: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match words[..] {
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => ("", "", None),
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(letter);
        if !is_word(os) || !is_word(architecture) || !variant.is_none_or(is_word) {
            let platform = super::text::shown(text.as_bytes());
            return Err(ImageError::document(
                format!("platform \"{platform}\""),
                "write it as linux/amd64 or linux/arm/v7",
            ));
        }
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let variant = variant.map(str::to_owned);
        Ok(Self { architecture: architecture.to_owned(), os: os.to_owned(), variant })
    }

    /// How an image for this platform does where `wanted` is asked for, the best lowest; `None` where it does not.
    fn rank(&self, wanted: &Self) -> Option<u8> {
        if !self.fits(wanted) {
            return None;
        }
        match (self.level(), wanted.variant(), wanted.level_of_host()) {
            (Some(own), None, Some(most)) => most.checked_sub(own),
            // Of another processor's variants, a host may lack some: what is for all of them comes first.
            _ => Some(u8::from(self.variant() != wanted.variant())),
        }
    }

    /// The level of x86-64 that it needs: System V ABI, AMD64 supplement, section 3.1.1.
    fn level(&self) -> Option<u8> {
        match (self.architecture.as_str(), self.variant()) {
            ("amd64", None) => Some(1),
            // One that nobody knows yet is above all of them.
            ("amd64", Some(variant)) => {
                Some(variant.strip_prefix('v').and_then(|level| level.parse().ok()).unwrap_or(u8::MAX))
            }
            _ => None,
        }
    }

    /// The level that this host has, if it is of this architecture.
    fn level_of_host(&self) -> Option<u8> {
        (self.architecture == Self::host().architecture).then(level_of_host).flatten()
    }

    /// Whether another platform differs in its variant only.
    pub fn is_variant_of(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture && self.variant() != other.variant()
    }

    fn variant(&self) -> Option<&str> {
        self.variant.as_deref().filter(|variant| !variant.is_empty())
    }

    /// Whether what is made for this platform is what `wanted` asks for. A variant that is not named is any.
    pub fn fits(&self, wanted: &Self) -> bool {
        let variant = match (self.variant(), wanted.variant()) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        variant && self.os == wanted.os && self.architecture == wanted.architecture
    }
}

#[cfg(target_arch = "x86_64")]
fn level_of_host() -> Option<u8> {
    use std::is_x86_feature_detected as has;
    let v2 = has!("cmpxchg16b") && has!("popcnt") && has!("sse4.2") && has!("ssse3");
    let v3 = v2 && has!("avx2") && has!("bmi1") && has!("bmi2") && has!("f16c") && has!("fma");
    let v3 = v3 && has!("lzcnt") && has!("movbe") && has!("xsave");
    let v4 = v3 && has!("avx512f") && has!("avx512bw") && has!("avx512cd");
    let v4 = v4 && has!("avx512dq") && has!("avx512vl");
    Some(1 + [v2, v3, v4].map(u8::from).iter().sum::<u8>())
}

#[cfg(not(target_arch = "x86_64"))]
fn level_of_host() -> Option<u8> {
    None
}

impl std::fmt::Display for Platform {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [Some(self.os.as_str()), Some(&self.architecture), self.variant()];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        formatter.write_str(&super::text::shown(words.join("/").as_bytes()))
    }
}

/// How a layer's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip, with any number of members.
    Gzip,
    /// zstd, with any number of frames.
    Zstd,
}

impl Compression {
    /// The packing that a blob's first bytes show.
    pub fn sniff(magic: &[u8]) -> Self {
        if magic.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if is_zstd(magic) {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// A zstd frame, or a skippable one (RFC 8878), with which zstd:chunked begins.
fn is_zstd(magic: &[u8]) -> bool {
    magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || (magic.len() >= 4 && magic[0] & 0xf0 == 0x50 && magic[1..4] == [0x2a, 0x4d, 0x18])
}

/// One image's parts.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The configuration; its digest is the image's id.
    pub config: Box<Descriptor>,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// A document that a descriptor of an index may lead to.
#[derive(Debug, Clone)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// A choice of images.
    Index(Vec<Descriptor>),
}

/// Both forms at once, to refuse a document that is both (CVE-2021-41190).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Whether a media type is that of a manifest or an index.
pub fn is_document(media_type: &str) -> bool {
    MANIFEST_TYPES.contains(&media_type) || INDEX_TYPES.contains(&media_type)
}

/// Reads a manifest or an index. `expected` is the media type that the pointer to it promised, or empty.
///
/// # Errors
/// When the document is not strictly one of both, or is not what was promised.
pub fn parse(bytes: &[u8], expected: &str, name: &str) -> Result<Document, ImageError> {
    let refuse = |reason: String| ImageError::document(name, reason);
    let raw: Raw = json::parse(bytes, name)?;
    if raw.schema_version != 2 {
        return Err(refuse(format!("schema version {} is not supported, only 2 is", raw.schema_version)));
    }
    let own = raw.media_type.as_deref().unwrap_or(expected);
    if !expected.is_empty() && own != expected {
        return Err(refuse(format!("says it is {own}, its descriptor says {expected}")));
    }
    let (document, types) = match (raw.config, raw.layers, raw.manifests) {
        // Some writers leave out the list of an image without layers, or make it null.
        (Some(config), layers, None) => {
            let (config, layers) = (Box::new(config), layers.unwrap_or_default());
            (Document::Manifest(Manifest { config, layers }), MANIFEST_TYPES)
        }
        (None, None, Some(manifests)) => (Document::Index(manifests), INDEX_TYPES),
        (_, Some(_), Some(_)) => return Err(refuse("has both layers and manifests".to_owned())),
        _ => return Err(refuse("has neither config and layers nor manifests".to_owned())),
    };
    if !own.is_empty() && !types.contains(&own) {
        return Err(refuse(format!("the media type {own} does not fit its content")));
    }
    Ok(document)
}

impl Descriptor {
    /// Whether it leads to what goes along with images: a list of their parts, a proof of their making.
    fn is_artifact(&self) -> bool {
        const CONFIGS: [&str; 2] =
            ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
        self.artifact_type.as_deref().is_some_and(|kind| !kind.is_empty() && !CONFIGS.contains(&kind))
    }
}

/// The descriptors of an index that lead to images for the platform `wanted`, the best variant that the host has
/// first, and after them those that name no platform.
///
/// # Errors
/// When none fits; the error names the platforms that there are.
pub fn choose<'a>(
    descriptors: &'a [Descriptor],
    wanted: &Platform,
    name: &str,
) -> Result<Vec<&'a Descriptor>, ImageError> {
    let is_image = |it: &&Descriptor| is_document(&it.media_type) && !it.is_artifact();
    let documents = || descriptors.iter().filter(is_image);
    let rank = |descriptor: &Descriptor| match &descriptor.platform {
        Some(platform) => platform.rank(wanted).map(u16::from),
        None => Some(u16::MAX),
    };
    let mut chosen: Vec<_> = documents().filter(|descriptor| rank(descriptor).is_some()).collect();
    chosen.sort_by_key(|descriptor| rank(descriptor));
    if chosen.is_empty() {
        return Err(ImageError::document(name, no_image_for(wanted, documents())));
    }
    Ok(chosen)
}

fn no_image_for<'a>(wanted: &Platform, there: impl Iterator<Item = &'a Descriptor>) -> String {
    const SHOWN: usize = 16;
    let mut platforms: Vec<String> = there
        .filter_map(|descriptor| descriptor.platform.as_ref())
        // Attestations beside images are for "unknown/unknown".
        .filter(|platform| platform.os != "unknown")
        .map(ToString::to_string)
        .collect();
    platforms.dedup();
    platforms.truncate(SHOWN);
    match platforms.is_empty() {
        true => format!("holds no image for {wanted}"),
        false => format!("holds no image for {wanted}, only for {}", platforms.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTOR: &str = r#"{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,
        "digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#;

    fn refused(text: &str, expected: &str) -> String {
        parse(text.as_bytes(), expected, "manifest").unwrap_err().to_string()
    }

    #[test]
    fn a_document_is_one_thing_only() {
        let both = format!(r#"{{"schemaVersion":2,"config":{DESCRIPTOR},"layers":[],"manifests":[]}}"#);
        assert!(refused(&both, "").contains("both layers and manifests"));
        let manifest = format!(r#"{{"schemaVersion":2,"config":{DESCRIPTOR},"layers":[]}}"#);
        assert!(refused(&manifest, INDEX_TYPES[0]).contains("does not fit its content"));
        assert!(matches!(parse(manifest.as_bytes(), MANIFEST_TYPES[0], "m"), Ok(Document::Manifest(_))));
        let lying = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{DESCRIPTOR},"layers":[]}}"#,
            MANIFEST_TYPES[1]
        );
        assert!(refused(&lying, MANIFEST_TYPES[0]).contains("its descriptor says"));
        let empty = format!(r#"{{"schemaVersion":2,"config":{DESCRIPTOR},"layers":null}}"#);
        let Ok(Document::Manifest(manifest)) = parse(empty.as_bytes(), "", "m") else { panic!("{empty}") };
        assert!(manifest.layers.is_empty());
        assert!(refused(r#"{"schemaVersion":1,"manifests":[]}"#, "").contains("schema version 1"));
        assert!(refused(r#"{"schemaVersion":2}"#, "").contains("neither"));
    }

    #[test]
    fn the_platform_of_the_host_is_chosen() {
        let index = |architecture: &str| Descriptor {
            media_type: MANIFEST_TYPES[0].to_owned(),
            digest: Digest::of(architecture.as_bytes()),
            size: 1,
            platform: Some(Platform { architecture: architecture.to_owned(), ..Platform::host() }),
            annotations: None,
            artifact_type: None,
            urls: None,
        };
        let host = Platform::host();
        let descriptors = [index("unknown"), index(&host.architecture)];
        assert_eq!(choose(&descriptors, &host, "index").unwrap()[0].digest, descriptors[1].digest);
        assert!(choose(&descriptors[..1], &host, "index").is_err());
        let variant = |name: &str| Descriptor {
            platform: Some(Platform { variant: Some(name.to_owned()), ..host.clone() }),
            ..index(name)
        };
        let descriptors = [variant("v7"), index(&host.architecture), variant("v2")];
        let best = usize::from(level_of_host() >= Some(2)) + 1;
        assert_eq!(choose(&descriptors, &host, "index").unwrap()[0].digest, descriptors[best].digest);
        let wanted = Platform { variant: Some("v2".to_owned()), ..host.clone() };
        assert_eq!(choose(&descriptors, &wanted, "index").unwrap()[0].digest, descriptors[2].digest);
        let anything = Descriptor { platform: None, ..index("anything") };
        let artifact =
            Descriptor { artifact_type: Some("application/x".to_owned()), ..index(&host.architecture) };
        let descriptors = [anything, artifact, index(&host.architecture), variant("v2")];
        let chosen = choose(&descriptors, &host, "index").unwrap();
        let last = chosen.last().unwrap().digest.clone();
        assert_eq!(
            (chosen.len(), last),
            (1 + best, descriptors[0].digest.clone()),
            "the unnamed is the last"
        );
        assert!(choose(&descriptors[1..2], &host, "index").is_err());
        let descriptors = [index("unknown"), index(&host.architecture)];
        let other = Platform::parse("arm64").unwrap();
        let error = choose(&descriptors, &other, "index").unwrap_err().to_string();
        assert!(error.contains("linux/arm64, only for"), "{error}");
    }

    #[test]
    fn platforms_are_read_and_compared() {
        let read = |text: &str| Platform::parse(text).unwrap();
        assert_eq!(read("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(read("x86_64"), read("linux/amd64"));
        assert!(read("arm64").fits(&read("linux/arm64/v8")));
        assert!(!read("linux/arm/v6").fits(&read("linux/arm/v7")));
        for text in ["", "linux/", "/", "linux/arm/v7/x", "linux/a b"] {
            assert!(Platform::parse(text).is_err(), "{text:?}");
        }
    }
}
