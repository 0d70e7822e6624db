//! Credentials that are not there, or that more can read than should.

use super::diagnostic::Diagnostic;
use super::model::{
    Container, Credential, CredentialForm, CredentialPlace, GivenCredential, IfMissing, LoadedCredential,
    Unit,
};
use super::place::Place;
use crate::paths::Paths;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// Everything about the credentials of a unit that can be told before it starts.
pub fn check(unit: &Unit, container: &Container, paths: &Paths) -> Vec<Diagnostic> {
    let of_one = |(name, credential): (&String, &Credential)| match credential {
        Credential::Given(given) => in_file(unit, name, given),
        Credential::Load(load) => {
            let given = load.default.as_ref().and_then(|given| in_file(unit, name, given));
            given.or_else(|| on_host(unit, name, load, paths))
        }
        Credential::Import(_) => None,
    };
    container.credentials.iter().filter_map(of_one).collect()
}

/// Files of a unit are read by everybody, as a rule.
fn in_file(unit: &Unit, name: &str, given: &GivenCredential) -> Option<Diagnostic> {
    if matches!(given, GivenCredential::Encrypted(_)) {
        return None;
    }
    let warning = Place::of(unit, &["credentials", name, "value"], None)
        .warning("everybody can read this file, and the secret in it");
    let metadata = warning.path.metadata().ok()?;
    let help = format!("take that right away: chmod 600 {}", warning.path.display());
    is_for_all(&metadata).then(|| warning.with_help(Some(help)))
}

fn on_host(unit: &Unit, name: &str, load: &LoadedCredential, paths: &Paths) -> Option<Diagnostic> {
    let CredentialPlace::Path(path) = &load.place else { return None };
    let key = if load.form == CredentialForm::Plain { "path" } else { "encrypted" };
    let place = || Place::of(unit, &["credentials", name, key], None);
    match below(paths, path).metadata() {
        Ok(found) if load.form == CredentialForm::Plain && found.is_file() && is_for_all(&found) => {
            let warning = place().warning(format!("everybody can read {}", path.display()));
            Some(warning.with_help(Some(format!("take that right away: chmod 600 {}", path.display()))))
        }
        Ok(found) if !found.is_file() && !found.is_dir() && !found.file_type().is_socket() => {
            Some(place().warning(format!("{} is neither a file, a directory nor a socket", path.display())))
        }
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && load.missing == IfMissing::Fail
                && load.default.is_none() =>
        {
            let warning = place().warning(format!("{} does not exist: the start would fail", path.display()));
            Some(warning.with_help(Some("begin it with \"-\" if it may be missing")))
        }
        _ => None,
    }
}

fn below(paths: &Paths, path: &Path) -> std::path::PathBuf {
    paths.root().join(path.strip_prefix("/").unwrap_or(path))
}

fn is_for_all(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o004 != 0
}
