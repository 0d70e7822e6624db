//! Credentials, systemd.exec(5): the launcher's outer process, which still is on the host, reads them into a file
//! system in memory that is never swapped out (`vault`), from wherever they are (`source`). The container's first
//! process gives them to the payload's user and puts them in their place, read-only.
//!
//! Secrets that a unit has in its file come from the manager through a pipe beside the plan, which anybody may
//! print: no file, argument or variable of any process ever holds one.

mod decrypt;
mod patience;
mod source;
mod vault;

pub use patience::Patience;
pub use vault::give;

use super::failure::During;
use super::idmap::Maps;
use super::protocol::StepError;
use super::step::{CredentialStores, HostStep, Plan};
use crate::unit::model::{
    Credential, CredentialForm, CredentialPlace, GivenCredential, IfMissing, LoadedCredential,
};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use source::Source;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use vault::Vault;
use zeroize::Zeroizing;

/// The tree that they are.
pub const TREE: &str = "credentials";
/// As systemd has it, of one credential and of all that a unit has.
pub const SIZE_MAX: usize = 1 << 20;

const LOAD: &str = "load credential";
const FIND: &str = "find credential";
const FIND_ENCRYPTED: &str = "find encrypted credential";

/// What a credential is.
pub type Bytes = Zeroizing<Vec<u8>>;

/// Secrets that come beside the plan, by the names of the credentials.
pub type Beside = BTreeMap<String, Zeroizing<String>>;

/// A pipe with the secrets of a plan, if it has any. What is in a pipe is never swapped out.
pub fn beside(plan: &Plan) -> io::Result<Option<OwnedFd>> {
    if !are_beside(plan) {
        return Ok(None);
    }
    let secrets: BTreeMap<&str, &str> =
        plain(plan).filter_map(|(name, secret)| Some((name, secret?))).collect();
    let text = Zeroizing::new(serde_json::to_vec(&secrets)?);
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    fcntl_setpipe_size(&write, text.len().max(1))?;
    File::from(write).write_all(&text)?;
    Ok(Some(read))
}

/// Whether secrets come beside a plan.
pub fn are_beside(plan: &Plan) -> bool {
    plain(plan).next().is_some()
}

/// Reads the pipe.
pub fn receive(pipe: OwnedFd) -> io::Result<Beside> {
    let mut text = Zeroizing::new(Vec::with_capacity(SIZE_MAX));
    File::from(pipe).read_to_end(&mut text)?;
    let read: BTreeMap<String, String> = serde_json::from_slice(&text)?;
    Ok(read.into_iter().map(|(name, secret)| (name, Zeroizing::new(secret))).collect())
}

/// The credentials of a plan that the unit has in its file as they are, and what they are, where that is known.
fn plain(plan: &Plan) -> impl Iterator<Item = (&str, Option<&str>)> {
    let credentials = plan.host.iter().filter_map(|step| match step {
        HostStep::Credentials { credentials, .. } => Some(credentials),
        _ => None,
    });
    credentials.flatten().filter_map(|(name, credential)| {
        let given = match credential {
            Credential::Given(given) => Some(given),
            Credential::Load(load) => load.default.as_ref(),
            Credential::Import(_) => None,
        };
        match given? {
            GivenCredential::Plain(secret) => Some((name.as_str(), secret.reveal())),
            GivenCredential::Encrypted(_) => None,
        }
    })
}

/// What is needed to read credentials.
pub struct Reader<'a> {
    /// The unit.
    pub unit: &'a str,
    /// Where the host has credentials.
    pub stores: &'a CredentialStores,
    /// Secrets that came beside the plan.
    pub beside: &'a Beside,
    /// How long is waited.
    pub patience: Patience<'a>,
}

/// Reads all credentials. They belong to root of the container, until they are given to its user.
pub fn mount(
    reader: &Reader<'_>,
    credentials: &BTreeMap<String, Credential>,
    maps: &Maps,
) -> Result<OwnedFd, StepError> {
    let mut vault = Vault::new(maps.outside(0, 0)).during("mount", TREE)?;
    let is_import = |credential: &Credential| matches!(credential, Credential::Import(_));
    // What a unit names comes before what a pattern finds.
    let (imports, named): (Vec<_>, Vec<_>) =
        credentials.iter().partition(|(_, credential)| is_import(credential));
    for (name, credential) in named.into_iter().chain(imports) {
        match credential {
            Credential::Load(load) => reader.load(name, load, &mut vault)?,
            Credential::Given(given) => vault.put(name, &reader.given(name, given)?)?,
            Credential::Import(pattern) => reader.import(pattern, &mut vault)?,
        }
    }
    vault.close().during("mount", TREE)
}

impl Reader<'_> {
    fn source(&self) -> Source<'_> {
        Source { unit: self.unit, stores: self.stores, patience: &self.patience }
    }

    fn load(&self, name: &str, load: &LoadedCredential, vault: &mut Vault) -> Result<(), StepError> {
        let source = self.source();
        let found = match &load.place {
            CredentialPlace::Path(path) => Some(path.clone()),
            CredentialPlace::Name(wanted) => source.find(wanted, load.form),
        };
        let loaded = match found {
            Some(path) => source.load(name, &path, load.form, vault),
            None => Err(StepError {
                step: find_step(load.form).to_owned(),
                subject: searched(name, &load.place),
                errno: Errno::NOENT.raw_os_error(),
            }),
        };
        match (loaded, &load.default, load.missing) {
            (Err(error), Some(given), _) if is_missing(&error) => vault.put(name, &self.given(name, given)?),
            (Err(error), None, IfMissing::Ignore) if is_missing(&error) => Ok(()),
            (loaded, ..) => loaded,
        }
    }

    fn given(&self, name: &str, given: &GivenCredential) -> Result<Bytes, StepError> {
        match given {
            // A manager that has only the record of a unit, and no file any more, cannot know it.
            GivenCredential::Plain(_) => {
                let secret = self.beside.get(name).ok_or(Errno::NODATA).during(LOAD, name)?;
                Ok(Zeroizing::new(secret.as_bytes().to_vec()))
            }
            GivenCredential::Encrypted(text) => self.source().decrypt(name, text.as_bytes(), name),
        }
    }

    fn import(&self, pattern: &str, vault: &mut Vault) -> Result<(), StepError> {
        for (name, path, form) in self.source().matching(pattern) {
            self.source().load(&name, &path, form, vault)?;
        }
        Ok(())
    }
}

/// Whether there was nothing to read, and nothing else went wrong.
fn is_missing(error: &StepError) -> bool {
    let step = error.step.as_str();
    (step == LOAD || step == FIND || step == FIND_ENCRYPTED) && error.errno == Errno::NOENT.raw_os_error()
}

fn find_step(form: CredentialForm) -> &'static str {
    match form {
        CredentialForm::Plain => FIND,
        CredentialForm::Encrypted => FIND_ENCRYPTED,
    }
}

/// The credential, and the name that was looked for where it is another one.
fn searched(name: &str, place: &CredentialPlace) -> String {
    match place {
        CredentialPlace::Name(wanted) if wanted != name => format!("{name}: {wanted}"),
        _ => name.to_owned(),
    }
}
