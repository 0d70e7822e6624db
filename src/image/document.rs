//! An image's configuration document: the layers' identities and the part that a launch uses.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::time::Duration;

use super::config::{HealthCheck, ImageConfig};
use super::digest::Digest;
use super::manifest::Platform;
use super::{ImageError, json};

/// What is taken from a configuration document; everything else in it has no effect.
#[derive(Debug, Clone)]
pub struct ConfigDocument {
    /// What the image runs on.
    pub platform: Platform,
    /// When it was built, as written.
    pub created: String,
    /// Digests of the plain layers, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// How it is started.
    pub config: ImageConfig,
}

#[derive(Deserialize)]
struct Raw {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    created: Option<String>,
    rootfs: RawRootfs,
    config: Option<RawConfig>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawConfig {
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    volumes: Option<BTreeMap<String, IgnoredAny>>,
    exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    labels: Option<BTreeMap<String, Option<String>>>,
    healthcheck: Option<RawHealthCheck>,
}

/// Times are in nanoseconds, and 0 says nothing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawHealthCheck {
    test: Option<Vec<String>>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    start_interval: Option<i64>,
    retries: Option<i64>,
}

impl RawHealthCheck {
    /// `None` for `NONE`, and for what is none.
    fn read(self) -> Option<HealthCheck> {
        let test = self.test.unwrap_or_default();
        let command = match test.split_first()? {
            (kind, words) if kind == "CMD" && !words.is_empty() => words.to_vec(),
            (kind, [script]) if kind == "CMD-SHELL" => ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            _ => return None,
        };
        let time = |nanoseconds: Option<i64>| {
            let nanoseconds = nanoseconds.and_then(|time| u64::try_from(time).ok());
            nanoseconds.filter(|time| *time > 0).map(Duration::from_nanos)
        };
        Some(HealthCheck {
            command,
            interval: time(self.interval),
            timeout: time(self.timeout),
            start_period: time(self.start_period),
            start_interval: time(self.start_interval),
            retries: self
                .retries
                .and_then(|retries| u32::try_from(retries).ok())
                .filter(|retries| *retries > 0),
        })
    }
}

/// Words of a command; that of early builders is one string, which is one word.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a list of words or one word")]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(word) => vec![word],
            Self::Many(words) => words,
        }
    }
}

/// Reads a configuration document.
///
/// # Errors
/// When it is not strictly one, or holds a value that cannot be passed to a process.
pub fn parse(bytes: &[u8], name: &str) -> Result<ConfigDocument, ImageError> {
    let raw: Raw = json::parse(bytes, name)?;
    if raw.rootfs.kind != "layers" {
        return Err(ImageError::document(name, "rootfs.type is not \"layers\""));
    }
    let config = raw.config.unwrap_or_default();
    let labels = config.labels.into_iter().flatten();
    let config = ImageConfig {
        entrypoint: config.entrypoint.map(Words::list).unwrap_or_default(),
        command: config.cmd.map(Words::list).unwrap_or_default(),
        environment: config.env.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        working_directory: config.working_dir.unwrap_or_default(),
        stop_signal: config.stop_signal.unwrap_or_default(),
        volumes: config.volumes.unwrap_or_default().into_keys().collect(),
        exposed_ports: config.exposed_ports.unwrap_or_default().into_keys().collect(),
        labels: labels.map(|(name, value)| (name, value.unwrap_or_default())).collect(),
        health_check: config.healthcheck.and_then(RawHealthCheck::read),
    };
    check_words(&config, name)?;
    Ok(ConfigDocument {
        platform: Platform {
            architecture: raw.architecture.unwrap_or_default(),
            os: raw.os.unwrap_or_default(),
            variant: raw.variant,
        },
        created: raw.created.unwrap_or_default(),
        diff_ids: raw.rootfs.diff_ids.unwrap_or_default(),
        config,
    })
}

/// No word for a process can hold a NUL, execve(2).
fn check_words(config: &ImageConfig, name: &str) -> Result<(), ImageError> {
    let none = Vec::new();
    let check = config.health_check.as_ref().map_or(&none, |check| &check.command);
    let lists = [&config.entrypoint, &config.command, &config.environment, check];
    let single = [&config.user, &config.working_directory, &config.stop_signal];
    match lists.into_iter().flatten().chain(single).find(|word| word.contains('\0')) {
        Some(_) => Err(ImageError::document(name, "a word of the configuration holds a NUL byte")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_absent_parts_are_empty() {
        let text = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},
            "config":{"Cmd":["sh"],"Entrypoint":null,"ExposedPorts":{"80/tcp":{}},"Hidden":1}}"#;
        let document = parse(text, "config").unwrap();
        assert_eq!(document.config.command, ["sh"]);
        assert_eq!(document.config.exposed_ports, ["80/tcp"]);
        assert!(document.config.entrypoint.is_empty());
    }

    #[test]
    fn what_other_builders_wrote_is_read_as_docker_does() {
        let text = br#"{"architecture":null,"os":"linux","rootfs":{"type":"layers","diff_ids":null},
            "config":{"Cmd":"sh","Volumes":{"/data":null},"ExposedPorts":{"80":null},"Labels":{"a":null}}}"#;
        let document = parse(text, "config").unwrap();
        assert_eq!(
            (document.config.command.as_slice(), document.diff_ids.len()),
            (&["sh".to_owned()][..], 0)
        );
        assert_eq!(document.config.volumes, ["/data"]);
        assert_eq!(document.config.labels["a"], "");
    }

    #[test]
    fn a_health_check_is_read_as_docker_does() {
        let read = |check: &str| {
            let text = format!(r#"{{"rootfs":{{"type":"layers"}},"config":{{"Healthcheck":{check}}}}}"#);
            parse(text.as_bytes(), "config").unwrap().config.health_check
        };
        let check =
            read(r#"{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Timeout":0,"Retries":2}"#).unwrap();
        assert_eq!(check.command, ["/bin/sh", "-c", "true"]);
        assert_eq!((check.interval, check.timeout), (Some(Duration::from_secs(5)), None));
        assert_eq!(check.retries, Some(2));
        assert_eq!(read(r#"{"Test":["CMD","a","b"]}"#).unwrap().command, ["a", "b"]);
        for none in [r#"{"Test":["NONE"]}"#, "{}", "null", r#"{"Test":[]}"#, r#"{"Test":["CMD"]}"#] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_nul_in_a_word_is_refused() {
        let text = br#"{"rootfs":{"type":"layers"},"config":{"Cmd":["a\u0000b"]}}"#;
        assert!(parse(text, "config").unwrap_err().to_string().contains("NUL"));
    }
}
