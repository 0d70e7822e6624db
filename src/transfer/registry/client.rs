//! One HTTP request to one origin: no redirect is followed, no credentials are known, every wait has an end.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use ureq::config::Config;
use ureq::http::{Method, Request, Response, StatusCode, Uri, header};
use ureq::tls::{ClientCert, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Proxy};

use super::error::{Failure, RegistryError};
use super::origin::{Origin, is_private};
use super::proxy::{Direct, proxy};
use super::secret::Secret;
use super::settings::Deadlines;
use super::tls::Trust;

/// Largest head of an answer.
const HEAD_MAX: usize = 64 << 10;
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;
const USER_AGENT: &str = concat!("sampan/", env!("CARGO_PKG_VERSION"));

/// Connections to an endpoint, and to where it leads.
#[derive(Debug)]
pub(super) struct Client {
    home: Origin,
    /// With the client's certificate, if there is one; for the endpoint's own origin.
    own: Agent,
    /// For all others.
    others: Agent,
    /// Whom both speak to without the proxy.
    direct: Direct,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) address: Uri,
    pub(super) headers: Vec<(header::HeaderName, String)>,
    pub(super) authorization: Option<&'a Secret>,
    pub(super) body: Option<String>,
}

impl Ask<'_> {
    /// A `GET` of an address.
    pub(super) fn get(address: Uri) -> Self {
        Self { method: Method::GET, address, headers: Vec::new(), authorization: None, body: None }
    }
}

impl Client {
    /// Prepares connections; none is made yet.
    ///
    /// # Errors
    /// When the environment names an impossible proxy.
    pub(super) fn new(home: Origin, trust: &Trust, deadlines: &Deadlines) -> Result<Self, RegistryError> {
        let agent = |client: Option<ClientCert>, lookup: Lookup| -> Result<Agent, RegistryError> {
            let config = config(tls(&trust.roots, client), proxy(home.scheme)?, deadlines);
            Ok(Agent::with_parts(config, DefaultConnector::default(), lookup))
        };
        let own = agent(trust.client.clone(), Lookup { stranger_to: None })?;
        let others = agent(None, Lookup { stranger_to: Some(home.clone()) })?;
        Ok(Self { home, own, others, direct: Direct::from_environment() })
    }

    /// Sends a request and returns the answer, whatever its status.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) fn send(&self, ask: Ask<'_>) -> Result<Response<Body>, Failure> {
        let origin = Origin::of(&ask.address).map_err(|reason| self.led(&ask.address.to_string(), reason))?;
        let agent = if origin == self.home { &self.own } else { &self.others };
        let mut request = Request::builder().method(ask.method).uri(ask.address);
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        if let Some(secret) = ask.authorization {
            let mut value = header::HeaderValue::from_str(secret.expose()).map_err(|_| {
                self.failed(&origin, "the credentials hold characters that HTTP does not allow")
            })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(ask.body.unwrap_or_default());
        let request = request.map_err(|error| self.failed(&origin, &error.to_string()))?;
        let request = match self.direct.covers(&origin) {
            true => agent.configure_request(request).proxy(None).build(),
            false => request,
        };
        let (parts, body) = request.into_parts();
        let answer = match body.is_empty() {
            true => agent.run(Request::from_parts(parts, ())),
            false => agent.run(Request::from_parts(parts, body)),
        };
        answer.map_err(|error| connection(&origin, error))
    }

    pub(super) fn home(&self) -> &Origin {
        &self.home
    }

    /// The error of a server that leads us astray.
    pub(super) fn led(&self, target: &str, reason: &str) -> Failure {
        let target = crate::image::text::shown(target.as_bytes());
        RegistryError::Led { server: self.home.to_string(), target, reason: reason.to_owned() }.into()
    }

    fn failed(&self, origin: &Origin, reason: &str) -> Failure {
        RegistryError::Connection { server: origin.to_string(), reason: reason.to_owned() }.into()
    }
}

/// Whether a status says that a later attempt may succeed.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

fn tls(roots: &[ureq::tls::Certificate<'static>], client: Option<ClientCert>) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(roots))
        .client_cert(client)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

fn config(tls: TlsConfig, proxy: Option<Proxy>, deadlines: &Deadlines) -> Config {
    Config::builder()
        .tls_config(tls)
        .proxy(proxy)
        .user_agent(USER_AGENT)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(HEAD_MAX)
        .timeout_resolve(Some(deadlines.connect))
        .timeout_connect(Some(deadlines.connect))
        .timeout_recv_response(Some(deadlines.stall))
        .timeout_per_read(Some(deadlines.stall))
        .timeout_per_write(Some(deadlines.stall))
        .build()
}

/// What became of a connection, in words, and whether to try again.
fn connection(origin: &Origin, error: ureq::Error) -> Failure {
    let server = origin.to_string();
    let lasting =
        |reason: String| Failure::Lasting(RegistryError::Connection { server: server.clone(), reason });
    let passing =
        |reason: String| Failure::Passing(RegistryError::Connection { server: server.clone(), reason }, None);
    match error {
        ureq::Error::Other(error) => match error.downcast_ref() {
            // Whether there is no such name or no resolver just now, getaddrinfo(3) does not always know.
            Some(Forbidden::Unknown(_) | Forbidden::Slow) => passing(error.to_string()),
            Some(Forbidden::Private(_)) | None => lasting(error.to_string()),
        },
        ureq::Error::Rustls(error) => handshake(server, &error),
        // A handshake that fails comes as an error of input and output.
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(inner) => handshake(server, inner),
            None => passing(error.to_string()),
        },
        ureq::Error::Timeout(_) => passing("it does not answer in time".to_owned()),
        error @ (ureq::Error::ConnectionFailed | ureq::Error::Protocol(_)) => passing(error.to_string()),
        error => lasting(error.to_string()),
    }
}

fn handshake(server: String, error: &rustls::Error) -> Failure {
    use rustls::{CertificateError, Error, InvalidMessage};
    Failure::Lasting(match error {
        // What a server of plain HTTP answers begins with no byte that TLS knows.
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => RegistryError::NoTls { server },
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => RegistryError::Connection {
            server,
            reason: format!(
                "{error}: nobody whom we trust vouches for it; \"ca\" of sampan-registries(5) adds one"
            ),
        },
        error => RegistryError::Connection { server, reason: error.to_string() },
    })
}

/// Finds the addresses of hosts. Where a registry led us, private ones are forbidden, unless it is private
/// itself: its operator must not choose what this host asks behind its firewall. The proxy is this host's own choice;
/// what it is asked for it finds itself.
#[derive(Debug)]
struct Lookup {
    stranger_to: Option<Origin>,
}

/// Why a host was not looked up, or not used.
#[derive(Debug)]
enum Forbidden {
    Unknown(std::io::Error),
    Private(IpAddr),
    Slow,
}

impl std::error::Error for Forbidden {}

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(error) => {
                let text = error.to_string();
                // getaddrinfo(3)'s words without those of the standard library before them.
                formatter.write_str(text.rsplit(": ").next().unwrap_or_default())
            }
            Self::Private(address) => write!(formatter, "the registry led to {address}, a private address"),
            Self::Slow => formatter.write_str("its name is not resolved in time"),
        }
    }
}

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = addresses(uri, timeout)?;
        let is_proxy = config.proxy().is_some_and(|proxy| proxy.uri() == uri);
        if let Some(home) = self.stranger_to.as_ref().filter(|_| !is_proxy)
            && let Some(private) = found.iter().map(SocketAddr::ip).find(|address| is_private(*address))
            && !self.is_private_home(home, timeout)?
        {
            return Err(ureq::Error::Other(Box::new(Forbidden::Private(private))));
        }
        let mut taken = self.empty();
        found.into_iter().take(ADDRESSES_MAX).for_each(|address| taken.push(address));
        Ok(taken)
    }
}

impl Lookup {
    fn is_private_home(&self, home: &Origin, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let Ok(uri) = home.address("/").parse() else { return Ok(false) };
        Ok(addresses(&uri, timeout)?.iter().any(|address| is_private(address.ip())))
    }
}

/// getaddrinfo(3) knows no deadline: a thread waits for it.
fn addresses(uri: &Uri, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
    let forbidden = |forbidden| ureq::Error::Other(Box::new(forbidden));
    let name = uri.scheme().zip(uri.authority());
    let name = name.and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority));
    let name = name.ok_or(ureq::Error::HostNotFound)?;
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        // Nobody waits any more when it took too long.
        let _ = sender.send(name.to_socket_addrs());
    });
    match receiver.recv_timeout(*timeout.after) {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(forbidden(Forbidden::Unknown(error))),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(forbidden(Forbidden::Slow)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::unversioned::transport::time;

    #[test]
    fn a_name_that_is_not_found_may_be_found_later() {
        let origin = Origin::of(&"https://registry.invalid/".parse().unwrap()).unwrap();
        let lookup = Lookup { stranger_to: None };
        for seconds in [0, 10] {
            let timeout = NextTimeout { after: time::Duration::from_secs(seconds), ..NextTimeout::default() };
            let error =
                lookup.resolve(&"https://registry.invalid/".parse().unwrap(), &Config::default(), timeout);
            assert!(matches!(connection(&origin, error.unwrap_err()), Failure::Passing(_, None)));
        }
        let private = Forbidden::Private(IpAddr::from([127, 0, 0, 1]));
        let failure = connection(&origin, ureq::Error::Other(Box::new(private)));
        assert!(matches!(failure, Failure::Lasting(_)));
    }

    #[test]
    fn a_registry_of_the_world_does_not_lead_behind_our_firewall() {
        let resolve = |home: &str, target: &str| {
            let lookup = Lookup { stranger_to: Some(Origin::of(&home.parse().unwrap()).unwrap()) };
            let timeout = NextTimeout { after: time::Duration::from_secs(10), ..NextTimeout::default() };
            lookup
                .resolve(&target.parse().unwrap(), &Config::default(), timeout)
                .map_err(|error| error.to_string())
        };
        let error = resolve("https://93.184.216.34/", "https://localhost/").unwrap_err();
        assert!(error.contains("a private address"), "{error}");
        assert!(resolve("https://10.0.0.1/", "https://localhost/").is_ok());
        assert!(resolve("https://93.184.216.34/", "https://93.184.216.35/").is_ok());
    }
}
