//! Credentials of a container as meant, systemd.exec(5).

use super::IfMissing;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// `$CREDENTIALS_DIRECTORY` and `%d`: where a container finds its credentials. A systemd that is the payload takes
/// them from there as its own, as from systemd-nspawn(1).
pub const CREDENTIALS_DIRECTORY: &str = "/run/host/credentials";

/// One `[credentials.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// Read at each start.
    Load(LoadedCredential),
    /// Given by the unit.
    Given(GivenCredential),
    /// All that the host has whose names match this pattern, glob(7).
    Import(String),
}

/// A credential that is read at each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedCredential {
    /// Where it is.
    pub place: CredentialPlace,
    /// What is there.
    pub form: CredentialForm,
    /// What happens when it is not there, and there is nothing in its stead.
    pub missing: IfMissing,
    /// What it is when it is not there.
    pub default: Option<GivenCredential>,
}

/// Where a credential is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialPlace {
    /// A file, a directory of files, or a socket of the host.
    Path(PathBuf),
    /// Among those that were passed to the manager, or in a credential store of the host.
    Name(String),
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialForm {
    /// The credential itself.
    Plain,
    /// What systemd-creds(1) has encrypted.
    Encrypted,
}

/// A credential that a unit has in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GivenCredential {
    /// As it is.
    Plain(Secret),
    /// As systemd-creds(1) has encrypted it, in Base64.
    Encrypted(String),
}

/// A secret in the memory of this process. It is never written with what it is a part of: a plan, a record or a
/// reply on the bus tell that there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Option<Zeroizing<String>>);

impl Secret {
    /// A secret that is known.
    pub fn new(text: &str) -> Self {
        Self(Some(Zeroizing::new(text.to_owned())))
    }

    /// What it is; `None` where it was only told of.
    pub fn reveal(&self) -> Option<&str> {
        self.0.as_ref().map(|text| text.as_str())
    }
}

/// In the place of a secret.
const NOT_SHOWN: &str = "(not shown)";

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NOT_SHOWN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(NOT_SHOWN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_told_of_but_never_told() {
        let given = Credential::Given(GivenCredential::Plain(Secret::new("hunter2")));
        let written = serde_json::to_string(&given).unwrap() + &format!("{given:?}");
        assert!(!written.contains("hunter2") && written.contains(NOT_SHOWN), "{written}");
        let Credential::Given(GivenCredential::Plain(read)) =
            serde_json::from_str(&serde_json::to_string(&given).unwrap()).unwrap()
        else {
            panic!("{written}")
        };
        assert_eq!(read.reveal(), None);
    }
}
