//! The image of a container or of a mount: a name, an id, or a directory.

use super::{AbsolutePath, ValueError, Written};
use crate::unit::model::ImageSource;

/// As the distribution project has it.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

impl Written for ImageSource {
    const EXPECTED: &'static str = "an image such as \"docker.io/library/wordpress:6\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        if text.starts_with("archive:") {
            return Err(ValueError::new("\"archive:\" images are not supported yet")
                .with_help("import the archive with \"sampanctl import\" and write the image's name"));
        }
        if let Some(id) = text.strip_prefix("store:") {
            let valid = id.strip_prefix("sha256:").is_some_and(is_hash);
            let wrong = || {
                ValueError::new(format!("\"{id}\" is not an image id"))
                    .with_help("write \"store:sha256:\" and 64 hexadecimal digits")
            };
            return if valid { Ok(Self::Id(id.to_owned())) } else { Err(wrong()) };
        }
        if let Some(path) = text.strip_prefix("dir:") {
            return AbsolutePath::read(path).map(|path| Self::Directory(path.0));
        }
        match wrong(text) {
            None => Ok(Self::Reference(text.to_owned())),
            Some(help) => {
                Err(ValueError::new(format!("\"{text}\" is not the name of an image")).with_help(help))
            }
        }
    }
}

/// What is wrong with a name, by the grammar of the distribution project; the image room reads it once more.
fn wrong(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(
            "write it as \"docker.io/library/wordpress:6\", \"store:sha256:…\" or \"dir:/srv/rootfs\""
                .to_owned(),
        );
    }
    if let Some((_, name)) = text.split_once("://") {
        return Some(format!("did you mean \"{name}\"?"));
    }
    if text.starts_with(['/', '.']) {
        return Some(format!("a directory of the host is written \"dir:{text}\""));
    }
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    if digest.is_some_and(|digest| !digest.strip_prefix("sha256:").is_some_and(is_hash)) {
        return Some("after \"@\" stand \"sha256:\" and 64 hexadecimal digits".to_owned());
    }
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if !tag.is_none_or(is_tag) {
        return Some("a tag is letters, digits, \"_\", \".\" and \"-\", at most 128".to_owned());
    }
    let (domain, path) = match name.split_once('/') {
        Some((domain, path)) if domain == "localhost" || domain.contains(['.', ':']) => (Some(domain), path),
        _ => (None, name),
    };
    if name.len() > NAME_MAX || !domain.is_none_or(is_domain) {
        return Some("the name of a registry is a host name or an address, perhaps with a port".to_owned());
    }
    if path.split('/').all(is_component) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    Some(match lower != text && wrong(&lower).is_none() {
        true => format!("names are in small letters: did you mean \"{lower}\"?"),
        false => {
            "a name is small letters and digits with single \".\", \"-\" and \"_\" in between".to_owned()
        }
    })
}

fn is_hash(digits: &str) -> bool {
    digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_domain(domain: &str) -> bool {
    domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

/// Letters and digits, with one of `.`, `_`, `__` or dashes between them.
fn is_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes
        .first()
        .zip(bytes.last())
        .is_some_and(|(first, last)| alphanumeric(*first) && alphanumeric(*last));
    let separator =
        |part: &str| matches!(part, "" | "." | "_" | "__") || part.bytes().all(|byte| byte == b'-');
    ends && component
        .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        .all(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn images_are_read() {
        for text in [
            "docker.io/library/wordpress:6",
            "nginx",
            "localhost/a_b/c--d.e:V1",
            "[::1]:5000/a",
            "registry:5000/a",
        ] {
            assert!(ImageSource::read(text).is_ok(), "{text}");
        }
        assert!(ImageSource::read(&format!("nginx@sha256:{}", "a".repeat(64))).is_ok());
        assert!(ImageSource::read(&format!("store:sha256:{}", "a".repeat(64))).is_ok());
        assert_eq!(ImageSource::read("dir:/srv").unwrap(), ImageSource::Directory(PathBuf::from("/srv")));
        for text in [
            "",
            "a b",
            "store:x",
            "dir:srv",
            "archive:/x",
            "-x",
            "a:",
            "Nginx",
            "a:1:2",
            "a//b",
            "a/",
            "a@sha256:1",
            "/srv",
            "a..b",
            "a:-1",
            "docker://nginx",
        ] {
            assert!(ImageSource::read(text).is_err(), "{text}");
        }
    }
}
