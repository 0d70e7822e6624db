//! Changes to a configuration in the words of a Dockerfile, as `docker import --change` takes them, and the
//! configuration that is made of them.

use serde::Serialize;
use std::collections::BTreeMap;

use super::ImageError;
use super::digest::Digest;
use super::manifest::Platform;
use crate::unit::signal;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `CMD`.
    Command(Vec<String>),
    /// `ENTRYPOINT`.
    Entrypoint(Vec<String>),
    /// `ENV`: one variable.
    Environment(String),
    /// `EXPOSE`: one port.
    Expose(String),
    /// `LABEL`: one label.
    Label(String, String),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`: paths.
    Volumes(Vec<String>),
    /// `WORKDIR`.
    WorkingDirectory(String),
}

impl Change {
    /// Reads an instruction, `CMD ["/bin/sh"]` or `ENV NAME=value`.
    ///
    /// # Errors
    /// When it is none, or of no use in an image.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let refuse = |reason: &str| {
            let shown = super::text::shown(text.as_bytes());
            Err(ImageError::document(format!("change \"{shown}\""), reason))
        };
        let Some((instruction, rest)) = text.trim().split_once(char::is_whitespace) else {
            return refuse("write an instruction and its value, such as CMD [\"/bin/sh\"]");
        };
        let value = rest.trim().to_owned();
        if value.contains('\0') {
            return refuse("holds a NUL byte");
        }
        Ok(match instruction.to_ascii_uppercase().as_str() {
            "CMD" => Self::Command(command(&value)),
            "ENTRYPOINT" => Self::Entrypoint(command(&value)),
            "ENV" => match assignment(&value) {
                Some((name, value)) => Self::Environment(format!("{name}={value}")),
                None => return refuse("write ENV NAME=value, one variable for each change"),
            },
            "EXPOSE" => Self::Expose(if value.contains('/') { value } else { value + "/tcp" }),
            "LABEL" => match assignment(&value) {
                Some((name, value)) => Self::Label(name, value),
                None => return refuse("write LABEL name=value, one label for each change"),
            },
            "STOPSIGNAL" if signal::number_in_any_case(&value).is_none() => {
                return refuse("write a signal as in signal(7), such as STOPSIGNAL SIGTERM");
            }
            "STOPSIGNAL" => Self::StopSignal(value),
            "USER" => Self::User(value),
            "VOLUME" => Self::Volumes(words(&value).unwrap_or_else(|| vec![value])),
            "WORKDIR" => Self::WorkingDirectory(value),
            _ => {
                return refuse(
                    "the instructions are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR",
                );
            }
        })
    }
}

/// The words of `["a", "b"]`.
fn words(value: &str) -> Option<Vec<String>> {
    serde_json::from_str(value).ok()
}

/// A command line in either form: words, or a line for the shell.
fn command(value: &str) -> Vec<String> {
    words(value).unwrap_or_else(|| ["/bin/sh", "-c", value].map(str::to_owned).to_vec())
}

/// `NAME=value`, or `NAME value`; quotes around the whole value go.
fn assignment(value: &str) -> Option<(String, String)> {
    let (name, value) = value.split_once('=').or_else(|| value.split_once(char::is_whitespace))?;
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let name = name.trim();
    let valid = !name.is_empty() && !name.contains(char::is_whitespace);
    valid.then(|| (name.to_owned(), quoted.unwrap_or(value.trim()).to_owned()))
}

#[derive(Serialize)]
struct Document<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    config: Config,
    rootfs: Rootfs<'a>,
}

#[derive(Serialize)]
struct Rootfs<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [&'a Digest; 1],
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, Nothing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmd: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Nothing>,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
}

/// The configuration of an image of one layer. It says nothing of when and where it was made, so that equal
/// files and changes give an equal image.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn configuration(
    platform: &Platform,
    changes: &[Change],
    diff_id: &Digest,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut config = Config::default();
    for change in changes.iter().cloned() {
        match change {
            Change::Command(words) => config.cmd = words,
            Change::Entrypoint(words) => config.entrypoint = words,
            Change::Environment(variable) => config.env.push(variable),
            Change::Expose(port) => drop(config.exposed_ports.insert(port, Nothing {})),
            Change::Label(name, value) => drop(config.labels.insert(name, value)),
            Change::StopSignal(signal) => config.stop_signal = signal,
            Change::User(user) => config.user = user,
            Change::Volumes(paths) => {
                config.volumes.extend(paths.into_iter().map(|path| (path, Nothing {})));
            }
            Change::WorkingDirectory(path) => config.working_dir = path,
        }
    }
    serde_json::to_vec(&Document {
        architecture: &platform.architecture,
        os: &platform.os,
        variant: platform.variant.as_deref(),
        config,
        rootfs: Rootfs { kind: "layers", diff_ids: [diff_id] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Change {
        Change::parse(text).unwrap()
    }

    #[test]
    fn instructions_are_read_in_both_forms() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(read(r#"CMD ["a", "b c"]"#), Change::Command(words(&["a", "b c"])));
        assert_eq!(read("entrypoint a  b"), Change::Entrypoint(words(&["/bin/sh", "-c", "a  b"])));
        assert_eq!(read("ENV A=b c"), Change::Environment("A=b c".to_owned()));
        assert_eq!(read("ENV A \"b\""), Change::Environment("A=b".to_owned()));
        assert_eq!(read("EXPOSE 80"), Change::Expose("80/tcp".to_owned()));
        assert_eq!(read("STOPSIGNAL quit"), Change::StopSignal("quit".to_owned()));
        assert_eq!(read("VOLUME /data"), Change::Volumes(words(&["/data"])));
        for text in ["", "CMD", "RUN make", "ENV A", "LABEL =x", "USER a\0b", "STOPSIGNAL SIGTREM"] {
            assert!(Change::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_configuration_is_one() {
        let changes = [read(r#"CMD ["sh"]"#), read("ENV A=1"), read("USER 33"), read("EXPOSE 53/udp")];
        let bytes = configuration(&Platform::host(), &changes, &Digest::of(b"")).unwrap();
        let document = crate::image::document::parse(&bytes, "made").unwrap();
        assert_eq!(document.config.command, ["sh"]);
        assert_eq!(
            (document.config.user.as_str(), &document.config.exposed_ports[..]),
            ("33", &["53/udp".to_owned()][..])
        );
        assert_eq!(document.diff_ids, [Digest::of(b"")]);
    }
}
