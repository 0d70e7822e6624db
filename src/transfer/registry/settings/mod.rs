//! What the administrator says about registries: `sampan-registries(5)`.

mod written;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::image::short_name::{Meaning, ShortNameError, ShortNames};
use crate::paths::Paths;
use crate::unit::diagnostic::{Diagnostic, Severity};
use crate::unit::source::Source;
use crate::unit::tree::Node;

/// What is known of registries before one is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What short names mean.
    pub names: ShortNames,
    pub(super) deadlines: Deadlines,
    pub(super) registries: BTreeMap<String, RegistrySettings>,
}

/// How long to wait, and how often to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// For a name to be found, and for a connection to be made.
    pub(super) connect: Duration,
    /// For the next bytes of an answer.
    pub(super) stall: Duration,
    /// For a credential helper to answer: it may ask a person.
    pub(super) helper: Duration,
    /// Attempts in a row that bring nothing.
    pub(super) attempts: u32,
}

/// How one registry is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RegistrySettings {
    pub(super) mirrors: Vec<String>,
    pub(super) transport: Option<Transport>,
    pub(super) ca: Option<PathBuf>,
    pub(super) client: Option<ClientFiles>,
}

/// What the administrator says about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Plain HTTP, and nothing else.
    Plain,
    /// TLS, and nothing else.
    Tls,
}

/// Files of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            helper: Duration::from_secs(60),
            attempts: 5,
        }
    }
}

impl Settings {
    /// Reads all files; later ones are laid over earlier ones. Files that are not there say nothing.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(paths: &Paths) -> Result<Self, Vec<Diagnostic>> {
        let mut merged: Option<Node> = None;
        let mut faults = Vec::new();
        for file in files(paths)? {
            let parsed =
                Source::read(&file).map_err(|error| vec![error.into()]).and_then(|text| Node::parse(&text));
            match (parsed, &mut merged) {
                (Ok(node), Some(below)) => below.merge(node),
                (Ok(node), none) => *none = Some(node),
                (Err(found), _) => faults.extend(found),
            }
        }
        let Some(tree) = merged.filter(|_| faults.is_empty()) else {
            return if faults.is_empty() { Ok(Self::default()) } else { Err(faults) };
        };
        written::read(&tree)
    }

    /// Reads the name of an image that is to be pulled.
    ///
    /// # Errors
    /// As [`ShortNames::meaning`].
    pub fn meaning(&self, text: &str) -> Result<Meaning, ShortNameError> {
        self.names.meaning(text)
    }

    /// What is said about a registry, `host[:port]`.
    pub(super) fn registry(&self, name: &str) -> RegistrySettings {
        self.registries.get(name).cloned().unwrap_or_default()
    }
}

/// `registries.toml`, then `registries.d/*.toml` in the order of their names.
fn files(paths: &Paths) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let unreadable = |path: &Path, error: io::Error| {
        vec![Diagnostic::of_file(Severity::Error, path, format!("cannot be read: {error}"))]
    };
    let first = paths.registries();
    let mut files = Vec::new();
    let directory = paths.registries_directory();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        result => Some(result.map_err(|error| unreadable(&directory, error))?),
    };
    for entry in entries.into_iter().flatten() {
        let path = entry.map_err(|error| unreadable(&directory, error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
            files.push(path);
        }
    }
    files.sort();
    if first.is_symlink() || first.exists() {
        files.insert(0, first);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/sampan/registries.d")).unwrap();
        for (name, text) in files {
            std::fs::write(root.path().join("etc/sampan").join(name), text).unwrap();
        }
        root
    }

    fn faults(text: &str) -> Vec<String> {
        let root = host(&[("registries.toml", text)]);
        let faults = Settings::load(&Paths::new(root.path())).unwrap_err();
        let prefix = format!("{}/etc/sampan/", root.path().display());
        faults.iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
    }

    #[test]
    fn files_are_laid_over_each_other() {
        let root = host(&[
            (
                "registries.toml",
                "[registry.\"a.example\"]\nmirrors = [\"m.example/hub\"]\nplain_http = false\n",
            ),
            (
                "registries.d/10.toml",
                "short_names = [\"a.example\"]\n[registry.\"a.example\"]\nplain_http = true\n",
            ),
            (
                "registries.d/20.toml",
                "[transfer]\nstall_timeout = \"1s\"\n[alias]\nweb = \"b.example/web:1\"\n",
            ),
            ("registries.d/.30.toml", "nonsense"),
            ("registries.d/README", "nonsense"),
        ]);
        let settings = Settings::load(&Paths::new(root.path())).unwrap();
        let registry = settings.registry("a.example");
        assert_eq!(registry.mirrors, ["m.example/hub"]);
        assert_eq!(registry.transport, Some(Transport::Plain));
        assert_eq!(settings.names.prefixes, ["a.example"]);
        assert_eq!(settings.deadlines.stall, Duration::from_secs(1));
        assert_eq!(settings.names.aliases["web"], "b.example/web:1");
        assert_eq!(Settings::load(&Paths::new(&root.path().join("none"))).unwrap(), Settings::default());
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let text = "short_names = [\"docker.io\", \"hub\"]\nshort_name = 1\n[alias]\nweb = \"web\"\n\
                    [registry.\"a.example/b\"]\n[registry.\"b.example\"]\nmirror = [\"x\"]\nca = \"ca.pem\"\n\
                    client_key = \"/k\"\n[transfer]\nattempts = 0\nstall_timeout = \"infinity\"\n";
        let faults = faults(text);
        for expected in [
            "registries.toml:1:29: \"hub\" names no registry",
            "registries.toml:2:1: unknown key \"short_name\" (did you mean \"short_names\"?)",
            "registries.toml:4:7: \"web\" is not an image reference",
            "registries.toml:5:11: \"a.example/b\" is not a registry",
            "registries.toml:7:1: unknown key \"mirror\" (did you mean \"mirrors\"?)",
            "registries.toml:8:6: ",
            "registries.toml:6:11: a client's certificate and its key belong together",
            "registries.toml:11:12: this is not a number from 1 to 100",
            "registries.toml:12:17: a transfer that may wait forever",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}: {faults:#?}");
        }
        assert_eq!(faults.len(), 9, "{faults:#?}");
    }
}
