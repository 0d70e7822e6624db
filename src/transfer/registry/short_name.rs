//! What a name on the command line means: full names are taken as they are, short ones by the administrator's
//! aliases and list of prefixes.

use super::settings::Settings;
use crate::image::ImageError;
use crate::image::reference::Reference;

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

impl Settings {
    /// Reads a name. `docker.io/nginx` and the like are Docker Hub's, as everywhere.
    ///
    /// # Errors
    /// When it is no name, or a short one that means nothing.
    pub fn meaning(&self, text: &str) -> Result<Meaning, ShortNameError> {
        if text.starts_with("localhost/") {
            return Err(ShortNameError::ThisHost(crate::image::text::printable(text.as_bytes())));
        }
        if let Ok(reference) = Reference::parse(text) {
            return Ok(Meaning::One(reference));
        }
        // Whatever is wrong beside the missing registry is told of the text as it stands.
        Reference::from_docker(text)?;
        if let Some(full) = self.aliases.get(text) {
            return Ok(Meaning::One(Reference::parse(full)?));
        }
        let names = self.short_names.iter().map(|prefix| Reference::parse(&format!("{prefix}/{text}")));
        let mut names = names.collect::<Result<Vec<_>, _>>()?;
        match names.len() {
            0 => Err(ShortNameError::NoPrefix(text.to_owned())),
            1 => Ok(Meaning::One(names.remove(0))),
            _ => Ok(Meaning::Several(names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    #[test]
    fn short_names_are_read_by_the_list() {
        let settings = Settings::default();
        let one = |text: &str| match settings.meaning(text) {
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
        let mut settings = Settings {
            short_names: vec!["a.example/team".into(), "docker.io".into()],
            ..Settings::default()
        };
        settings.aliases.insert("web".to_owned(), "b.example/web:1".to_owned());
        assert_eq!(
            settings.meaning("web").unwrap(),
            Meaning::One(Reference::parse("b.example/web:1").unwrap())
        );
        let Meaning::Several(names) = settings.meaning("nginx:1").unwrap() else { panic!("one was guessed") };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a.example/team/nginx:1", "docker.io/library/nginx:1"]);
        settings.short_names.clear();
        assert!(matches!(settings.meaning("nginx"), Err(ShortNameError::NoPrefix(_))));
        assert!(matches!(settings.meaning("localhost/web"), Err(ShortNameError::ThisHost(_))));
        assert!(matches!(settings.meaning("Web"), Err(ShortNameError::Image(_))));
    }
}
