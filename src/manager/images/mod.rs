//! The images of the store, as people deal with them: what there is, who uses it, names and removal.
//!
//! Root's command line calls these functions itself. For everybody else the manager has them done by a process of its
//! own, which it asks a [`Question`]: comparing the trees of a large store takes time and memory that the manager has
//! not.

pub mod list;
pub mod remove;
pub mod roots;

use crate::image::reference::Reference;
use crate::image::short_name::ShortNames;
use crate::paths::Paths;
use crate::settings;
use crate::store::{Store, StoreError};
use crate::transfer::registry::Settings;
use list::Listed;
use remove::{Consent, RemoveError};
use serde::{Deserialize, Serialize};

/// What the process is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Which images there are.
    List {
        /// Names, patterns and ids of those that are wanted; all where there are none.
        words: Vec<String>,
    },
    /// Remove a name or an image.
    Remove {
        /// Which.
        image: String,
        /// Whether units are asked.
        consent: Consent,
    },
    /// Give an image another name.
    Tag {
        /// Which.
        image: String,
        /// The name.
        name: Reference,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// These are there.
    Listed(Vec<Listed>),
    /// These names and images are gone.
    Removed(Vec<String>),
    /// The image of this id has the name.
    Tagged(String),
    /// It was not done.
    Refused(Refused),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What kind of reason it is.
    pub cause: Cause,
    /// The reason.
    pub reason: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// There is no such image, or more than one.
    NoImage,
    /// Somebody needs it.
    InUse,
    /// Anything else.
    Other,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let cause = match error {
            StoreError::NoImage(_) | StoreError::Ambiguous(_) => Cause::NoImage,
            _ => Cause::Other,
        };
        Self { cause, reason: error.to_string() }
    }
}

impl From<RemoveError> for Refused {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Store(error) => error.into(),
            error => Self { cause: Cause::InUse, reason: error.to_string() },
        }
    }
}

/// Answers a question about the store of these directories, in which names mean what the settings of now say.
pub fn answer(question: Question, paths: &Paths) -> Answer {
    let names = Settings::load(paths).map(|settings| settings.names).unwrap_or_default();
    try_answer(question, paths, names).unwrap_or_else(Answer::Refused)
}

fn try_answer(question: Question, paths: &Paths, names: ShortNames) -> Result<Answer, Refused> {
    let store = Store::open(paths)?.with_short_names(names);
    Ok(match question {
        Question::List { words } => Answer::Listed(list::list(&store, &words)?),
        Question::Remove { image, consent } => {
            Answer::Removed(remove::remove(&store, paths, &image, consent)?)
        }
        Question::Tag { image, name } => {
            let policy = settings::load_policy(paths)
                .map_err(|error| Refused { cause: Cause::Other, reason: error.to_string() })?;
            Answer::Tagged(store.tag(&image, &[name], &policy)?.to_string())
        }
    })
}
