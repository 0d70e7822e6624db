//! Names of images: `docker.io/library/wordpress:6`, `localhost/web:latest`.
//!
//! The grammar is that of the distribution project. What a short name means depends on who asks: see
//! [`Reference::for_import`] and [`super::short_name`].

use serde::{Deserialize, Serialize};
use std::fmt;

use super::ImageError;
use super::digest::Digest;

/// A full name: domain, path, and a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Longest name, as the distribution project has it.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

impl Reference {
    /// Reads a name that says its domain.
    ///
    /// # Errors
    /// When the text does not follow the grammar, or has no domain.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        Self::with_domain(text, None)
    }

    /// Reads a name that the administrator gives: without a domain it is this host's, `localhost/`.
    ///
    /// # Errors
    /// When the text does not follow the grammar, or is a digest, which is no name to give.
    pub fn for_import(text: &str) -> Result<Self, ImageError> {
        let reference = Self::of_this_host(text)?;
        match reference.digest {
            Some(_) => Err(refuse(text, "a name to give ends in a tag, not in a digest")),
            None => Ok(reference),
        }
    }

    /// Reads a name that may be one of this host: without a domain it is below `localhost/`.
    pub(super) fn of_this_host(text: &str) -> Result<Self, ImageError> {
        Self::with_domain(text, Some("localhost"))
    }

    /// Reads a name as Docker means it: without a domain it is Docker Hub's.
    ///
    /// # Errors
    /// When the text does not follow the grammar.
    pub fn from_docker(text: &str) -> Result<Self, ImageError> {
        Self::with_domain(text, Some("docker.io"))
    }

    /// The digest that the name pins, if any.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Domain and path.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn with_domain(text: &str, default: Option<&str>) -> Result<Self, ImageError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(refuse(
                text,
                if tag.is_empty() { "the tag is empty" } else { "the tag is not valid" },
            ));
        }
        let name = match (split_domain(name), default) {
            (Some(("docker.io" | "index.docker.io", path)), _) if !path.contains('/') => {
                format!("docker.io/library/{path}")
            }
            (Some(("index.docker.io", path)), _) => format!("docker.io/{path}"),
            (Some(_), _) => name.to_owned(),
            (None, Some("docker.io")) if !name.contains('/') => format!("docker.io/library/{name}"),
            (None, Some(domain)) => format!("{domain}/{name}"),
            (None, None) => return Err(refuse(text, "it names no registry, such as docker.io or localhost")),
        };
        check_name(&name).map_err(|reason| refuse(text, reason))?;
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { name, tag, digest })
    }
}

fn refuse(text: &str, reason: &'static str) -> ImageError {
    let shown: String = text.chars().take(NAME_MAX).collect();
    ImageError::Reference { text: super::text::printable(shown.as_bytes()), reason }
}

/// The tag stands after the last colon that no slash follows; others belong to a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn split_domain(name: &str) -> Option<(&str, &str)> {
    let (first, path) = name.split_once('/')?;
    (first == "localhost" || first.contains(['.', ':'])).then_some((first, path))
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let (domain, path) = split_domain(name).ok_or("it names no registry")?;
    if name.len() > NAME_MAX {
        return Err("it is longer than 255 bytes");
    }
    if !is_domain(domain) {
        return Err("the registry's name is not valid");
    }
    if !path.split('/').all(is_path_component) {
        return Err("a path is lower-case letters, digits and single separators");
    }
    Ok(())
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_domain(domain: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, rest)) = domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let address = address.parse::<std::net::Ipv6Addr>();
        return address.is_ok() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

/// `[a-z0-9]+` runs joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = component.split(|character: char| character.is_ascii() && alphanumeric(character as u8));
    let valid = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    component.bytes().next().is_some_and(alphanumeric)
        && component.bytes().last().is_some_and(alphanumeric)
        && separators.into_iter().all(valid)
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_a_name_means_this_host() {
        assert_eq!(Reference::for_import("web").unwrap().to_string(), "localhost/web:latest");
        assert_eq!(Reference::from_docker("web:6").unwrap().to_string(), "docker.io/library/web:6");
        assert_eq!(Reference::for_import("127.0.0.1:5000/a").unwrap().name(), "127.0.0.1:5000/a");
        assert_eq!(Reference::for_import("[::1]:5000/a:2").unwrap().to_string(), "[::1]:5000/a:2");
        assert_eq!(Reference::for_import("docker.io/nginx").unwrap().name(), "docker.io/library/nginx");
    }

    #[test]
    fn texts_that_are_no_name_are_refused() {
        let long = "a".repeat(5000);
        for text in [
            "",
            "../../x",
            "--opt",
            "a\nb",
            "a\u{1b}b",
            "Web",
            "a//b",
            "a:",
            "a:b:c",
            "a/.b",
            "a..b",
            "a___b",
            "a b",
            "x/..",
            "@",
            "[::1/a",
            "[::1]x/a",
            "[fe80::1%lo]/a",
            &long,
        ] {
            assert!(Reference::for_import(text).is_err(), "{text:?}");
        }
        let pinned = format!("web@{}", Digest::of(b""));
        assert!(Reference::for_import(&pinned).unwrap_err().to_string().contains("tag"));
    }
}
