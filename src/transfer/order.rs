//! What the manager has brought into the store.

use super::import::Naming;
use super::worker::Claims;
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::store::Scrutiny;
use std::fmt;

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// An image of a registry.
    Pull(PullOrder),
    /// What a descriptor gives.
    Import(ImportOrder),
}

/// What is to be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullOrder {
    /// The image; it gets this name.
    pub image: Reference,
    /// For which platform; this host's, if none is named.
    pub platform: Option<Platform>,
    /// How closely what the store has of it is looked at.
    pub scrutiny: Scrutiny,
}

/// What is to be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOrder {
    /// What is said of the source.
    pub claims: Claims,
    /// How closely what the store has of it is looked at.
    pub scrutiny: Scrutiny,
}

impl Order {
    /// The name of the image, where it is known before.
    pub fn image(&self) -> Option<&Reference> {
        match self {
            Self::Pull(order) => Some(&order.image),
            Self::Import(ImportOrder { claims: Claims { naming: Naming::Name(name), .. }, .. }) => Some(name),
            Self::Import(_) => None,
        }
    }

    /// Whether whoever wants this one is served by another as well.
    pub fn is_met_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pull(order), Self::Pull(other)) => {
                let same_depth = order.scrutiny == other.scrutiny || order.scrutiny == Scrutiny::Status;
                same_depth && order.image == other.image && order.platform == other.platform
            }
            _ => false,
        }
    }

    /// The same, as arguments of the program's modes for the manager.
    pub fn arguments(&self) -> Vec<String> {
        let (mut arguments, scrutiny) = match self {
            Self::Pull(PullOrder { image, platform, scrutiny }) => {
                let platform =
                    platform.iter().flat_map(|platform| ["--platform".to_owned(), platform.to_string()]);
                let words = ["pull".to_owned(), image.to_string()].into_iter().chain(platform);
                (words.collect::<Vec<_>>(), scrutiny)
            }
            Self::Import(ImportOrder { claims, scrutiny }) => {
                ([vec!["receive".to_owned()], claims.arguments()].concat(), scrutiny)
            }
        };
        arguments.extend((*scrutiny == Scrutiny::Content).then(|| "--verify".to_owned()));
        arguments
    }
}

impl PullOrder {
    /// A pull as a unit wants it.
    pub fn new(image: Reference) -> Self {
        Self { image, platform: None, scrutiny: Scrutiny::Status }
    }
}

/// `Pull of docker.io/library/nginx:1`, as a description.
impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.image()) {
            (Self::Pull(order), _) => write!(formatter, "Pull of {}", order.image),
            (Self::Import(_), Some(name)) => write!(formatter, "Import of {name}"),
            (Self::Import(_), None) => formatter.write_str("Import"),
        }
    }
}
