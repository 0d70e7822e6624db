//! Where credentials come from: containers-auth.json(5), Docker's `config.json`, and the helpers these name.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::helper::{self, HelperError};
use super::secret::{Credentials, Secret, decode};
use crate::image::json;
use crate::paths::Paths;

/// Why credentials could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is not JSON, or not what it should be. What it says is not repeated.
    #[error("{}: is not JSON as in containers-auth.json(5)", .0.display())]
    Format(PathBuf),
    /// An entry cannot be read. What it says is not repeated.
    #[error("{}: \"auth\" of \"{registry}\" is not a name and a password in base64", path.display())]
    Auth {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
    /// A helper failed.
    #[error("{}: {source}", path.display())]
    Helper {
        /// The file that names it.
        path: PathBuf,
        /// Why.
        source: HelperError,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

/// The files that may hold credentials, the first that knows the registry wins.
#[derive(Debug, Clone)]
pub(super) struct Keyring {
    files: Vec<PathBuf>,
    /// How long a helper may take.
    patience: Duration,
}

impl Keyring {
    /// The files of this environment: `$REGISTRY_AUTH_FILE` alone, or the host's file and then the user's.
    pub(super) fn from_environment(paths: &Paths, patience: Duration) -> Self {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(file) = variable("REGISTRY_AUTH_FILE") {
            return Self { files: vec![file], patience };
        }
        let docker = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
        let files = [Some(paths.credentials()), docker.map(|directory| directory.join("config.json"))];
        Self { files: files.into_iter().flatten().collect(), patience }
    }

    /// The credentials for images at `place`, a registry and a path such as `registry.example.org/team/web`.
    ///
    /// # Errors
    /// When a file or a helper cannot be read: to go on without would only hide it.
    pub(super) fn find(&self, place: &str) -> Result<Option<Credentials>, CredentialError> {
        for path in &self.files {
            let Some(file) = read(path)? else { continue };
            if let Some(credentials) = self.look_into(&file, path, place)? {
                return Ok(Some(credentials));
            }
        }
        Ok(None)
    }

    fn look_into(
        &self,
        file: &AuthFile,
        path: &Path,
        place: &str,
    ) -> Result<Option<Credentials>, CredentialError> {
        let registry = place.split('/').next().unwrap_or_default();
        let by_helper = |program: &str| {
            helper::ask(program, server(registry), self.patience)
                .map_err(|source| CredentialError::Helper { path: path.to_owned(), source })
        };
        let helper = file.cred_helpers.iter().find(|(key, _)| host_of(key) == registry);
        if let Some((_, program)) = helper {
            return by_helper(program);
        }
        if let Some((key, auth)) = entry(&file.auths, place) {
            let wrong = || CredentialError::Auth { path: path.to_owned(), registry: key.clone() };
            if let Some(credentials) = auth.credentials().ok_or_else(wrong)? {
                return Ok(Some(credentials));
            }
        }
        file.creds_store.as_deref().map_or(Ok(None), by_helper)
    }
}

fn read(path: &Path) -> Result<Option<AuthFile>, CredentialError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|source| CredentialError::Read { path: path.to_owned(), source })?,
    };
    json::parse(&bytes, "credentials").map(Some).map_err(|_| CredentialError::Format(path.to_owned()))
}

/// The entry of the longest prefix of `place`, as containers-auth.json(5) has it.
fn entry<'a>(auths: &'a BTreeMap<String, Auth>, place: &str) -> Option<(&'a String, &'a Auth)> {
    let mut prefix = place;
    loop {
        let fitting = |(key, _): &(&String, &Auth)| key.as_str() == prefix;
        if let Some(found) = auths.iter().find(fitting) {
            return Some(found);
        }
        match prefix.rsplit_once('/') {
            Some((shorter, _)) => prefix = shorter,
            None => return auths.iter().find(|(key, _)| is_url(key) && host_of(key) == prefix),
        }
    }
}

fn is_url(key: &str) -> bool {
    key.contains("://") || key.contains("index.docker.io")
}

/// The registry that a key means. Docker writes `https://index.docker.io/v1/` for its own.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

/// What helpers call a registry.
fn server(registry: &str) -> &str {
    match registry {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

impl Auth {
    /// `None` when the entry is broken; nothing in it when `credsStore` has it.
    fn credentials(&self) -> Option<Option<Credentials>> {
        let some = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.is_empty());
        if let Some(token) = some(&self.identitytoken) {
            return Some(Some(Credentials::Identity(token)));
        }
        if let Some(token) = some(&self.registrytoken) {
            return Some(Some(Credentials::Bearer(token)));
        }
        if let Some(auth) = some(&self.auth) {
            let (user, password) = decode(auth.expose())?;
            return Some(Some(Credentials::Password { user, password }));
        }
        let user = self.username.clone().filter(|user| !user.is_empty());
        Some(user.zip(some(&self.password)).map(|(user, password)| Credentials::Password { user, password }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: PathBuf) -> Keyring {
        Keyring { files: vec![file], patience: Duration::from_secs(10) }
    }

    fn keyring(text: &str) -> (tempfile::TempDir, Keyring) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.json");
        std::fs::write(&path, text).unwrap();
        (directory, of(path))
    }

    fn user(keyring: &Keyring, place: &str) -> Option<String> {
        match keyring.find(place).unwrap()? {
            Credentials::Password { user, .. } => Some(user),
            other => Some(format!("{other:?}")),
        }
    }

    // "a:x", "b:x" and "c:x".
    const FILE: &str = r#"{"auths": {
        "r.example": {"auth": "YTp4"}, "r.example/team/web": {"auth": "Yjp4"}, "r.example:5000": {},
        "https://index.docker.io/v1/": {"auth": "Yzp4"}, "t.example": {"identitytoken": "T"},
        "u.example": {"username": "u", "password": "p"}}}"#;

    #[test]
    fn the_longest_prefix_wins_and_hosts_are_whole() {
        let (_directory, keyring) = keyring(FILE);
        assert_eq!(user(&keyring, "r.example/team/web").as_deref(), Some("b"));
        assert_eq!(user(&keyring, "r.example/team/webs").as_deref(), Some("a"));
        assert_eq!(user(&keyring, "docker.io/library/nginx").as_deref(), Some("c"));
        assert_eq!(user(&keyring, "t.example/x").as_deref(), Some("Identity(***)"));
        assert_eq!(user(&keyring, "u.example/x").as_deref(), Some("u"));
        for place in ["r.example:5000/x", "r.example.org/x", "example/x", "evil.r.example/x"] {
            assert_eq!(user(&keyring, place), None, "{place}");
        }
    }

    #[test]
    fn a_broken_file_is_told_and_its_secrets_are_not() {
        let (_directory, bad) = keyring(r#"{"auths": {"r.example": {"auth": "hunter2!"}}}"#);
        let error = bad.find("r.example/x").unwrap_err().to_string();
        assert!(error.contains("\"auth\" of \"r.example\"") && !error.contains("hunter2"), "{error}");
        let (_directory, bad) = keyring("{");
        assert!(bad.find("r.example/x").unwrap_err().to_string().contains("auth.json"));
        assert_eq!(of("/nonexistent/auth.json".into()).find("r.example/x").unwrap(), None);
    }

    #[test]
    fn helpers_are_named_by_programs_only() {
        let (_directory, keyring) = keyring(r#"{"credHelpers": {"r.example": "../../bin/sh"}}"#);
        assert!(keyring.find("r.example/x").unwrap_err().to_string().contains("not the name of a helper"));
    }
}
