//! Requests to one repository of one endpoint: authorization, redirects, and what statuses mean.

use std::io::Read as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode, Uri, header};

use super::challenge::{self, Challenge};
use super::client::{Ask, Client, is_passing};
use super::error::{Failure, RegistryError};
use super::origin::{Origin, join};
use super::retry::retry_after;
use super::secret::{Credentials, Secret, basic, bearer};
use super::token::{self, Grant, NO_CREDENTIALS};
use crate::image::digest::Digest;
use crate::image::text::printable;

/// Redirects after each other that are followed.
const REDIRECTS_MAX: usize = 5;
/// Bytes of an error's text that are read.
const MESSAGE_MAX: u64 = 16 << 10;
/// Letters of it that are shown.
const MESSAGE_SHOWN: usize = 200;
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// One repository, as one endpoint has it.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    repository: String,
    credentials: Option<Credentials>,
    /// The value of the header that the endpoint accepted last.
    authorization: Mutex<Option<Secret>>,
}

/// What can be asked for.
#[derive(Debug, Clone)]
pub(super) enum Resource {
    /// A manifest or an index, by tag or digest.
    Manifest(String),
    /// Any blob.
    Blob(Digest),
}

/// The rest of a resource, or a part of it.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub(super) from: u64,
    /// Where it ends, when not with the resource.
    pub(super) to: Option<u64>,
    /// The validator of what came before, RFC 9110 section 13.1.5.
    pub(super) etag: Option<String>,
}

impl Session {
    pub(super) fn new(client: Client, repository: String, credentials: Option<Credentials>) -> Self {
        Self { client, repository, credentials, authorization: Mutex::new(None) }
    }

    /// Scheme, host and port, for messages.
    pub(super) fn server(&self) -> String {
        self.client.home().to_string()
    }

    /// Asks for a resource, or for the rest of it. The answer's status is one of success.
    ///
    /// # Errors
    /// Whatever else comes, in our words.
    pub(super) fn fetch(&self, resource: &Resource, rest: Option<&Rest>) -> Result<Response<Body>, Failure> {
        let address = self.client.home().address(&self.path(resource)).parse::<Uri>();
        let address = address.map_err(|error| self.protocol(&error.to_string()))?;
        let headers = headers(resource, rest);
        let mut authorization = self.authorization().clone();
        let mut renewed = false;
        loop {
            let (answer, from) = self.follow(&address, &headers, authorization.as_ref())?;
            let status = answer.status();
            if status == StatusCode::UNAUTHORIZED && from == *self.client.home() && !renewed {
                authorization = Some(self.authorize(&answer, authorization.as_ref(), resource)?);
                renewed = true;
            } else if status == StatusCode::OK || status == StatusCode::PARTIAL_CONTENT {
                return Ok(answer);
            } else {
                return Err(self.failure(answer, &from, resource));
            }
        }
    }

    fn path(&self, resource: &Resource) -> String {
        let repository = &self.repository;
        match resource {
            Resource::Manifest(reference) => format!("/v2/{repository}/manifests/{reference}"),
            Resource::Blob(digest) => format!("/v2/{repository}/blobs/{digest}"),
        }
    }

    fn what(&self, resource: &Resource) -> String {
        match resource {
            Resource::Manifest(reference) if reference.contains(':') => {
                format!("manifest {}@{reference}", self.repository)
            }
            Resource::Manifest(reference) => format!("image {}:{reference}", self.repository),
            Resource::Blob(digest) => format!("blob {digest} of {}", self.repository),
        }
    }

    /// Follows redirects. The authorization goes to the endpoint's own origin, wherever a redirect leads.
    fn follow(
        &self,
        address: &Uri,
        headers: &[(header::HeaderName, String)],
        authorization: Option<&Secret>,
    ) -> Result<(Response<Body>, Origin), Failure> {
        let home = self.client.home();
        let mut address = address.clone();
        for _ in 0..=REDIRECTS_MAX {
            let origin =
                Origin::of(&address).map_err(|reason| self.client.led(&address.to_string(), reason))?;
            let authorization = authorization.filter(|_| origin == *home);
            let ask = Ask { headers: headers.to_vec(), authorization, ..Ask::get(address.clone()) };
            let answer = self.client.send(ask)?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((answer, origin));
            }
            let location = text(answer.headers(), &header::LOCATION).unwrap_or_default();
            let lead = |reason| self.client.led(location, reason);
            let target = join(&address, location).ok_or_else(|| lead("is no address"))?;
            let next = Origin::of(&target).map_err(lead)?;
            home.may_lead_to(&next).and_then(|()| origin.may_lead_to(&next)).map_err(lead)?;
            address = target;
        }
        Err(self.protocol("redirects without end").into())
    }

    /// A new authorization, or the one that another thread got in the meantime.
    fn authorize(
        &self,
        answer: &Response<Body>,
        refused: Option<&Secret>,
        resource: &Resource,
    ) -> Result<Secret, Failure> {
        let mut current = self.authorization();
        if let Some(other) = current.as_ref().filter(|other| Some(*other) != refused) {
            return Ok(other.clone());
        }
        let values = answer.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let challenges: Vec<_> =
            values.filter_map(|value| value.to_str().ok()).flat_map(challenge::parse).collect();
        let new = self.answer(&challenges, resource)?;
        // A password that was refused stays wrong; asking again would lock accounts.
        if Some(&new) == refused {
            return Err(self
                .denied(resource, "it refuses the credentials that are configured for it")
                .into());
        }
        *current = Some(new.clone());
        Ok(new)
    }

    fn answer(&self, challenges: &[Challenge], resource: &Resource) -> Result<Secret, Failure> {
        for challenge in challenges {
            match (challenge, &self.credentials) {
                (Challenge::Bearer { .. }, Some(Credentials::Bearer(token))) => return Ok(bearer(token)),
                (Challenge::Bearer { realm, service, scope }, credentials) => {
                    let scope = self.scope(scope.as_deref());
                    let grant = Grant { realm, service: service.as_deref(), scope };
                    return token::request(&self.client, &grant, credentials.as_ref())
                        .map(|token| bearer(&token));
                }
                (Challenge::Basic, Some(Credentials::Password { user, password })) => {
                    return Ok(basic(user, password));
                }
                (Challenge::Basic, _) => {}
            }
        }
        let reason = match challenges.is_empty() {
            true => "it names no way to be let in that is known here",
            false => NO_CREDENTIALS,
        };
        Err(self.denied(resource, reason).into())
    }

    /// Never more than reading this repository, whatever the registry suggests.
    fn scope(&self, suggested: Option<&str>) -> String {
        match suggested {
            Some(scope) if !scope.starts_with("repository:") && !scope.contains(' ') => scope.to_owned(),
            _ => format!("repository:{}:pull", self.repository),
        }
    }

    fn failure(&self, answer: Response<Body>, from: &Origin, resource: &Resource) -> Failure {
        let (server, what, status) = (from.to_string(), self.what(resource), answer.status());
        let wait = text(answer.headers(), &header::RETRY_AFTER).and_then(retry_after);
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { server, what }.into(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let reason = match &self.credentials {
                    Some(_) => "the credentials that are configured for it do not suffice",
                    None => NO_CREDENTIALS,
                };
                RegistryError::Denied { server, what, reason: reason.to_owned() }.into()
            }
            status => {
                let message = message(answer.into_body());
                let error = RegistryError::Status { server, status: status.as_u16(), what, message };
                if is_passing(status) { Failure::Passing(error, wait) } else { Failure::Lasting(error) }
            }
        }
    }

    fn denied(&self, resource: &Resource, reason: &str) -> RegistryError {
        let what = self.what(resource);
        RegistryError::Denied { server: self.server(), what, reason: reason.to_owned() }
    }

    /// The error of a server that breaks the protocol.
    pub(super) fn protocol(&self, reason: &str) -> RegistryError {
        RegistryError::Protocol { server: self.server(), reason: printable(reason.as_bytes()) }
    }

    /// A thread that panicked while it held the lock left a whole value.
    fn authorization(&self) -> MutexGuard<'_, Option<Secret>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn headers(resource: &Resource, rest: Option<&Rest>) -> Vec<(header::HeaderName, String)> {
    let mut headers = Vec::new();
    if matches!(resource, Resource::Manifest(_)) {
        headers.push((header::ACCEPT, MANIFEST_TYPES.to_owned()));
    }
    if let Some(Rest { from, to, etag }) = rest {
        let last = to.map(|to| (to - 1).to_string()).unwrap_or_default();
        headers.push((header::RANGE, format!("bytes={from}-{last}")));
        headers.extend(etag.clone().map(|etag| (header::IF_RANGE, etag)));
    }
    headers
}

/// A header's text; what is not plain ASCII is nothing.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[derive(serde::Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(serde::Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    message: String,
}

/// What the server says, in the form of the distribution specification, behind a colon.
fn message(body: Body) -> String {
    let mut bytes = Vec::new();
    // The status was told already; a text that cannot be read adds nothing.
    if body.into_reader().take(MESSAGE_MAX).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let first = serde_json::from_slice::<Errors>(&bytes).ok().and_then(|all| all.errors.into_iter().next());
    match first.map(|error| error.message).filter(|message| !message.is_empty()) {
        Some(message) => {
            let shown: String = message.chars().take(MESSAGE_SHOWN).collect();
            format!(": {}", printable(shown.as_bytes()))
        }
        None => String::new(),
    }
}
