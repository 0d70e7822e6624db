//! Proxies of the environment: `$HTTPS_PROXY`, `$HTTP_PROXY`, `$ALL_PROXY` and `$NO_PROXY`, as curl(1) reads them.

use std::net::IpAddr;
use ureq::Proxy;

use super::error::RegistryError;
use super::origin::{Origin, Scheme};

/// The proxy for addresses of a scheme.
///
/// # Errors
/// When a variable holds something else than the address of a proxy.
pub(super) fn proxy(scheme: Scheme) -> Result<Option<Proxy>, RegistryError> {
    let names: &[&str] = match scheme {
        Scheme::Https => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        Scheme::Http => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let Some((name, address)) = names.iter().find_map(|name| Some((*name, variable(name)?))) else {
        return Ok(None);
    };
    let wrong =
        |error: ureq::Error| RegistryError::File { file: format!("${name}"), reason: error.to_string() };
    let proxy = Proxy::new(&address).map_err(wrong)?;
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(user) = proxy.username() {
        builder = builder.username(user);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    builder.build().map(Some).map_err(wrong)
}

/// The hosts that are spoken to without a proxy.
#[derive(Debug, Default)]
pub(super) struct Direct(Vec<Pattern>);

#[derive(Debug)]
enum Pattern {
    Everything,
    /// A name and all names below it.
    Name(String),
    /// The addresses that begin with these bits of this one.
    Network(IpAddr, u32),
}

impl Direct {
    /// What `$NO_PROXY` says.
    pub(super) fn from_environment() -> Self {
        let text = variable("no_proxy").or_else(|| variable("NO_PROXY"));
        text.as_deref().map(Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        Self(text.split([',', ' ']).filter(|word| !word.is_empty()).map(Pattern::parse).collect())
    }

    /// Whether a host is among them. No proxy stands between this machine and itself.
    pub(super) fn covers(&self, origin: &Origin) -> bool {
        origin.is_loopback() || self.0.iter().any(|pattern| pattern.covers(origin))
    }
}

impl Pattern {
    fn parse(word: &str) -> Self {
        if word == "*" {
            return Self::Everything;
        }
        let (address, bits) = match word.split_once('/') {
            Some((address, bits)) => (address, bits.parse().ok()),
            None => (word, Some(u32::MAX)),
        };
        match (address.trim_matches(['[', ']']).parse(), bits) {
            (Ok(address), Some(bits)) => Self::Network(address, bits),
            // What is no network's name is no host's either.
            _ => Self::Name(word.trim_start_matches('*').trim_matches('.').to_ascii_lowercase()),
        }
    }

    fn covers(&self, origin: &Origin) -> bool {
        match self {
            Self::Everything => true,
            Self::Name(name) => {
                let above = origin.host().trim_end_matches('.').strip_suffix(name.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            Self::Network(network, bits) => {
                origin.literal().is_some_and(|host| begins_with(host, *network, *bits))
            }
        }
    }
}

/// Whether two addresses of one family have the same first bits.
fn begins_with(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (difference, length) = match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u128::from(one.to_bits() ^ other.to_bits()) << 96, 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), 128),
        _ => return false,
    };
    difference.leading_zeros() >= bits.min(length)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        let covers =
            |text: &str, host: &str| Direct::parse(text).covers(&Origin::new(Scheme::Https, host).unwrap());
        for (text, host) in [
            ("10.0.0.0/8", "10.1.2.3:5000"),
            ("other.example, 192.168.16.0/20", "192.168.31.255"),
            ("10.1.2.3", "10.1.2.3"),
            ("fd00::/8,[2001:db8::1]", "[fd12::7]:5000"),
            ("fd00::/8,[2001:db8::1]", "[2001:db8::1]"),
            ("example.org", "registry.Example.org:5000"),
            (".example.org", "example.org"),
            ("*.example.org", "registry.example.org"),
            ("*", "registry.example.org"),
            ("0.0.0.0/0", "93.184.216.34"),
            ("", "127.0.0.1:5000"),
            ("", "[::1]"),
            ("", "localhost:5000"),
        ] {
            assert!(covers(text, host), "{text} covers {host}");
        }
        for (text, host) in [
            ("10.0.0.0/8", "11.1.2.3"),
            ("192.168.16.0/20", "192.168.32.0"),
            ("10.1.2.3", "10.1.2.30"),
            ("10.0.0.0/8", "10.example.org"),
            ("0.0.0.0/0", "[2001:db8::1]"),
            ("10.0.0.0/x", "10.1.2.3"),
            ("example.org", "badexample.org"),
            ("example.org", "example.org.evil"),
            ("", "10.1.2.3"),
        ] {
            assert!(!covers(text, host), "{text} does not cover {host}");
        }
    }
}
