//! Where an image may be had: the mirrors of its registry in their order, then the registry itself.

use super::client::{Ask, Client};
use super::credentials::Keyring;
use super::error::{Failure, RegistryError};
use super::origin::{Origin, Scheme};
use super::secret::Credentials;
use super::session::Session;
use super::settings::{Deadlines, Settings, Transport};
use super::tls::Trust;
use crate::image::reference::Reference;

/// Docker Hub's name in references, and the host that serves it.
const DOCKER: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One place, with all that is needed to talk to it. Nothing is read from disk any more.
#[derive(Debug)]
pub(super) struct Endpoint {
    authority: String,
    repository: String,
    transport: Option<Transport>,
    trust: Trust,
    credentials: Option<Credentials>,
}

/// The places of an image.
///
/// # Errors
/// When a file that the settings or the credentials name cannot be used.
pub(super) fn endpoints(
    reference: &Reference,
    settings: &Settings,
    keyring: &Keyring,
) -> Result<Vec<Endpoint>, RegistryError> {
    let (registry, repository) =
        reference.name().split_once('/').ok_or_else(|| RegistryError::NoRegistry(reference.clone()))?;
    let mut places: Vec<(String, String)> = Vec::new();
    for mirror in settings.registry(registry).mirrors {
        let (host, prefix) =
            mirror.split_once('/').map_or((mirror.as_str(), None), |(host, path)| (host, Some(path)));
        let repository = prefix.map_or(repository.to_owned(), |prefix| format!("{prefix}/{repository}"));
        places.push((host.to_owned(), repository));
    }
    places.push((registry.to_owned(), repository.to_owned()));
    places
        .into_iter()
        .map(|(registry, repository)| endpoint(&registry, repository, settings, keyring))
        .collect()
}

fn endpoint(
    registry: &str,
    repository: String,
    settings: &Settings,
    keyring: &Keyring,
) -> Result<Endpoint, RegistryError> {
    let own = settings.registry(registry);
    let credentials = keyring.find(&format!("{registry}/{repository}"))?;
    let trust = match own.transport {
        Some(Transport::Plain) => Trust::nobody(),
        Some(Transport::Tls) | None => Trust::load(&own)?,
    };
    let authority = if registry == DOCKER.0 { DOCKER.1 } else { registry };
    Ok(Endpoint { authority: authority.to_owned(), repository, transport: own.transport, trust, credentials })
}

impl Endpoint {
    /// A session with this place.
    ///
    /// # Errors
    /// When it cannot be spoken to.
    pub(super) fn open(&self, deadlines: &Deadlines) -> Result<Session, Failure> {
        let client = match self.transport {
            Some(Transport::Plain) => self.client(Scheme::Http, deadlines)?,
            Some(Transport::Tls) => self.client(Scheme::Https, deadlines)?,
            None => self.undecided(deadlines)?,
        };
        Ok(Session::new(client, self.repository.clone(), self.credentials.clone()))
    }

    /// TLS; on this machine, where nobody listens in, plain HTTP from a server that has no TLS.
    fn undecided(&self, deadlines: &Deadlines) -> Result<Client, Failure> {
        let client = self.client(Scheme::Https, deadlines)?;
        if !client.home().is_loopback() {
            return Ok(client);
        }
        let address = client.home().address("/v2/");
        let address = address.parse().map_err(|_| client.led(&address, "is no address"))?;
        match client.send(Ask::get(address)) {
            Err(Failure::Lasting(RegistryError::NoTls { .. })) => Ok(self.client(Scheme::Http, deadlines)?),
            Err(failure) => Err(failure),
            Ok(_) => Ok(client),
        }
    }

    fn client(&self, scheme: Scheme, deadlines: &Deadlines) -> Result<Client, RegistryError> {
        let home = Origin::new(scheme, &self.authority).ok_or_else(|| RegistryError::Protocol {
            server: self.authority.clone(),
            reason: "is not the name of a server".to_owned(),
        })?;
        Client::new(home, &self.trust, deadlines)
    }
}
