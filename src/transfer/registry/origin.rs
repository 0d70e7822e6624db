//! Where a request goes: scheme, host and port, to which credentials are bound, and which other places a
//! registry may send us to.

use std::fmt;
use std::net::IpAddr;
use ureq::http::Uri;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In the clear.
    Http,
    /// Through TLS.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port. What is sent to one origin is a secret to all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of `host[:port]`.
    pub(super) fn new(scheme: Scheme, authority: &str) -> Option<Self> {
        Self::of(&format!("{}://{authority}/", scheme.name()).parse().ok()?).ok()
    }

    /// The origin of an address.
    ///
    /// # Errors
    /// When its scheme is not ours, or it carries a user's name.
    pub(super) fn of(address: &Uri) -> Result<Self, &'static str> {
        let scheme = match address.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err("is neither http nor https"),
        };
        let authority = address.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("holds a user name");
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err("names no host");
        }
        Ok(Self { scheme, host, port: authority.port_u16().unwrap_or(scheme.port()) })
    }

    /// An absolute address at this origin.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    pub(super) fn is_host_of(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// The host, in lower case.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The address, when the host is written as one.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Whether the host is this machine by its name or address, RFC 6761.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.literal().is_some_and(|address| address.is_loopback())
    }

    /// Whether a server of this origin may send us to `other`, to fetch or to be asked for a token.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub(super) fn may_lead_to(&self, other: &Self) -> Result<(), &'static str> {
        if self.is_host_of(other) && (self.scheme == Scheme::Http || other.scheme == Scheme::Https) {
            return Ok(());
        }
        // Who can change what goes over plain HTTP could send us anywhere.
        if self.scheme == Scheme::Http && !self.is_loopback() {
            return Err("is another host, and the registry is spoken to over plain HTTP");
        }
        if other.scheme == Scheme::Http && !(self.is_loopback() && other.is_loopback()) {
            return Err("is plain HTTP");
        }
        if other.is_loopback() && !self.is_loopback() {
            return Err("is this machine");
        }
        if other.literal().is_some() && self.literal().is_none() && !self.is_loopback() {
            return Err("is an IP address, and the registry has a name");
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.name(), self.host)?;
        match self.port == self.scheme.port() {
            true => Ok(()),
            false => write!(formatter, ":{}", self.port),
        }
    }
}

/// Whether an address is of a network that the world does not reach: a stranger may not send us there.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
                || first == 0
                // Shared address space, RFC 6598.
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

/// The address that a `Location` header means, RFC 3986 section 5.2; `None` when it is none.
pub(super) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let absolute = if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{scheme}://{authority}{directory}/{location}")
    };
    absolute.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://Example.org/a"), origin("https://example.org:443/b"));
        assert_ne!(origin("https://example.org/"), origin("http://example.org/"));
        assert_ne!(origin("https://example.org/"), origin("https://example.org:5000/"));
        assert_eq!(origin("http://[::1]:5000/").to_string(), "http://[::1]:5000");
        for text in ["file:///etc/shadow", "ftp://example.org/", "https://user:secret@example.org/", "/v2/"] {
            let refused = text.parse::<Uri>().map_or(true, |address| Origin::of(&address).is_err());
            assert!(refused, "{text}");
        }
    }

    #[test]
    fn a_registry_leads_only_where_strangers_may() {
        let leads = |from: &str, to: &str| origin(from).may_lead_to(&origin(to)).is_ok();
        assert!(leads("https://registry.example/", "https://auth.example/token"));
        assert!(leads("https://registry.example/", "https://registry.example:8443/"));
        assert!(leads("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token"));
        assert!(leads("http://lan.example:5000/", "https://lan.example/token"));
        assert!(leads("http://localhost:5000/", "https://cdn.example/"));
        for (from, to) in [
            ("https://registry.example/", "http://registry.example/"),
            ("https://registry.example/", "http://auth.example/"),
            ("https://registry.example/", "https://127.0.0.1/"),
            ("https://registry.example/", "https://localhost/"),
            ("https://registry.example/", "https://[::1]/"),
            ("https://registry.example/", "https://10.0.0.1/"),
            ("https://registry.example/", "https://93.184.216.34/"),
            ("https://registry.example/", "https://169.254.169.254/"),
            ("http://lan.example:5000/", "https://elsewhere.example/token"),
            ("https://10.0.0.1/", "http://10.0.0.1/"),
        ] {
            assert!(!leads(from, to), "{from} leads to {to}");
        }
    }

    #[test]
    fn private_addresses_are_known_in_all_their_forms() {
        for text in
            ["127.0.0.1", "10.1.2.3", "100.64.0.1", "0.0.0.0", "::ffff:192.168.0.1", "fd00::1", "fe80::1"]
        {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        assert!(!is_private("93.184.216.34".parse().unwrap()));
        assert!(!is_private("2606:2800:220:1::1".parse().unwrap()));
    }

    #[test]
    fn locations_are_joined_to_their_base() {
        let base = "https://r.example:5000/v2/a/blobs/x".parse().unwrap();
        let joined = |location: &str| join(&base, location).unwrap().to_string();
        assert_eq!(joined("/b?c=d"), "https://r.example:5000/b?c=d");
        assert_eq!(joined("//s.example/b"), "https://s.example/b");
        assert_eq!(joined("y"), "https://r.example:5000/v2/a/blobs/y");
        assert_eq!(joined("https://s.example/b#c"), "https://s.example/b");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_location_is_it_keeps_to_the_rules(location in "([a-z]{0,4}:|/|//|[@#?.%]|[ -~]{0,6}){0,8}") {
            let base = "https://registry.example/v2/a/blobs/b".parse().unwrap();
            let home = Origin::of(&base).unwrap();
            if let Some(Ok(target)) = join(&base, &location).map(|address| Origin::of(&address))
                && home.may_lead_to(&target).is_ok()
            {
                proptest::prop_assert_eq!(target.scheme, Scheme::Https);
            }
        }
    }
}
