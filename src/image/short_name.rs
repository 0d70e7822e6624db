//! What a name on a command line or in a unit means: full names are taken as they are, short ones by the
//! administrator's aliases and list of prefixes, `sampan-registries(5)`.

use std::collections::BTreeMap;

use super::ImageError;
use super::reference::Reference;

/// What the administrator says about short names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortNames {
    /// What may stand before a short name, in this order.
    pub prefixes: Vec<String>,
    /// Full names that stand for short ones.
    pub aliases: BTreeMap<String, String>,
}

/// What a text may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// One image.
    One(Reference),
    /// One of these, and nobody said which.
    Several(Vec<Reference>),
}

/// Why a text means no image of a registry.
#[derive(Debug, thiserror::Error)]
pub enum ShortNameError {
    /// It is no name.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It names this host.
    #[error("\"{0}\" is below localhost/, where imported images are; no registry has it")]
    ThisHost(String),
    /// It is short, and nothing says what short names mean.
    #[error("\"{0}\" names no registry, and short_names in /etc/sampan/registries.toml is empty")]
    NoPrefix(String),
}

impl Default for ShortNames {
    fn default() -> Self {
        Self { prefixes: vec!["docker.io".to_owned()], aliases: BTreeMap::new() }
    }
}

impl Meaning {
    fn into_references(self) -> Vec<Reference> {
        match self {
            Self::One(reference) => vec![reference],
            Self::Several(references) => references,
        }
    }
}

impl ShortNames {
    /// Reads the name of an image that is to come from a registry. `docker.io/nginx` and the like are Docker
    /// Hub's, as everywhere.
    ///
    /// # Errors
    /// When it is no name, or a short one that means nothing.
    pub fn meaning(&self, text: &str) -> Result<Meaning, ShortNameError> {
        if text.starts_with("localhost/") {
            return Err(ShortNameError::ThisHost(super::text::shown(text.as_bytes())));
        }
        if let Ok(reference) = Reference::parse(text) {
            return Ok(Meaning::One(reference));
        }
        // Whatever is wrong beside the missing registry is told of the text as it stands.
        Reference::from_docker(text)?;
        if let Some(full) = self.aliases.get(text) {
            return Ok(Meaning::One(Reference::parse(full)?));
        }
        let names = self.prefixes.iter().map(|prefix| Reference::parse(&format!("{prefix}/{text}")));
        let mut names = names.collect::<Result<Vec<_>, _>>()?;
        match names.len() {
            0 => Err(ShortNameError::NoPrefix(text.to_owned())),
            1 => Ok(Meaning::One(names.remove(0))),
            _ => Ok(Meaning::Several(names)),
        }
    }

    /// What a text may mean of what is here, the likeliest first: a short name is this host's, then what a pull
    /// of it would get. `sha256:` begins an id, whatever an archive claims to be called.
    pub fn candidates(&self, text: &str) -> Vec<Reference> {
        if text.starts_with("sha256:") {
            return Vec::new();
        }
        if let Ok(reference) = Reference::parse(text) {
            return vec![reference];
        }
        let here = Reference::of_this_host(text).ok();
        let pulled = self.meaning(text).map(Meaning::into_references).unwrap_or_default();
        here.into_iter().chain(pulled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    #[test]
    fn short_names_are_read_by_the_list() {
        let names = ShortNames::default();
        let one = |text: &str| match names.meaning(text) {
            Ok(Meaning::One(reference)) => reference.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(one("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(one("nginx:1.27"), "docker.io/library/nginx:1.27");
        assert_eq!(one("user/app"), "docker.io/user/app:latest");
        assert_eq!(one("docker.io/nginx"), "docker.io/library/nginx:latest");
        assert_eq!(one("localhost:5000/web"), "localhost:5000/web:latest");
        let pinned = format!("nginx@{}", Digest::of(b""));
        assert_eq!(one(&pinned), format!("docker.io/library/{pinned}"));
    }

    #[test]
    fn aliases_go_before_prefixes_and_several_are_not_guessed() {
        let mut names = ShortNames {
            prefixes: vec!["a.example/team".into(), "docker.io".into()],
            ..ShortNames::default()
        };
        names.aliases.insert("web".to_owned(), "b.example/web:1".to_owned());
        assert_eq!(names.meaning("web").unwrap(), Meaning::One(Reference::parse("b.example/web:1").unwrap()));
        let Meaning::Several(several) = names.meaning("nginx:1").unwrap() else { panic!("one was guessed") };
        let several: Vec<String> = several.iter().map(ToString::to_string).collect();
        assert_eq!(several, ["a.example/team/nginx:1", "docker.io/library/nginx:1"]);
        names.prefixes.clear();
        assert!(matches!(names.meaning("nginx"), Err(ShortNameError::NoPrefix(_))));
        assert!(matches!(names.meaning("localhost/web"), Err(ShortNameError::ThisHost(_))));
        assert!(matches!(names.meaning("Web"), Err(ShortNameError::Image(_))));
    }

    #[test]
    fn what_is_here_is_found_by_every_name_that_a_pull_may_have_given_it() {
        let mut names = ShortNames {
            prefixes: vec!["a.example/team".into(), "docker.io".into()],
            ..ShortNames::default()
        };
        names.aliases.insert("db".to_owned(), "b.example/postgres:16".to_owned());
        let candidates =
            |text: &str| -> Vec<String> { names.candidates(text).iter().map(ToString::to_string).collect() };
        assert_eq!(
            candidates("web"),
            ["localhost/web:latest", "a.example/team/web:latest", "docker.io/library/web:latest"]
        );
        assert_eq!(candidates("db"), ["localhost/db:latest", "b.example/postgres:16"]);
        assert_eq!(candidates("docker.io/a/b:1"), ["docker.io/a/b:1"]);
        assert_eq!(candidates("localhost/web"), ["localhost/web:latest"]);
        assert!(candidates(&Digest::of(b"").to_string()).is_empty());
    }
}
