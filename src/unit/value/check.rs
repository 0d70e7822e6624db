//! Where a health check connects to: `health.tcp` and `health.http`.

use super::written::{Numbers, ValueError, Written};
use crate::unit::model::{Endpoint, HttpCheck};
use std::net::{IpAddr, SocketAddr};

impl Written for Endpoint {
    const EXPECTED: &'static str = "a port such as 80 or \"127.0.0.1:80\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        endpoint(text, None).ok_or_else(|| {
            ValueError::new(format!("\"{text}\" is no port of the container"))
                .with_help("write 80, \"localhost:80\" or an address such as \"127.0.0.1:80\"")
        })
    }
}

impl Written for HttpCheck {
    const EXPECTED: &'static str = "an address such as \"http://localhost:8080/health\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let wrong =
            |help: &str| ValueError::new(format!("\"{text}\" cannot be asked")).with_help(help.to_owned());
        if text.starts_with("https://") {
            return Err(wrong("only http:// is asked: use tcp, or a command that knows TLS"));
        }
        let rest = text.strip_prefix("http://").ok_or_else(|| wrong("begin it with \"http://localhost\""))?;
        let (host, path) = match rest.find(['/', '?']) {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if path.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
            return Err(wrong("write other characters in a path as %20"));
        }
        let endpoint = endpoint(host, Some(80));
        let endpoint =
            endpoint.ok_or_else(|| wrong("names are not looked up: write localhost or an address"))?;
        Ok(Self { endpoint, host: host.to_owned(), path })
    }
}

/// `80`, `localhost`, `localhost:80`, `127.0.0.1:80`, `[::1]:80`.
fn endpoint(text: &str, default: Option<u16>) -> Option<Endpoint> {
    if let Some(port) = default {
        if text == "localhost" {
            return Some(Endpoint { address: None, port });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Endpoint { address: Some(address), port });
        }
    } else if let Ok(port @ 1..) = text.parse() {
        return Some(Endpoint { address: None, port });
    }
    let endpoint = match text.strip_prefix("localhost:") {
        Some(port) => Endpoint { address: None, port: port.parse().ok()? },
        None => {
            let address: SocketAddr = text.parse().ok()?;
            Endpoint { address: Some(address.ip()), port: address.port() }
        }
    };
    (endpoint.port != 0).then_some(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_addresses_are_read() {
        let read = |text: &str| Endpoint::read(text).ok().map(|it| (it.address, it.port));
        assert_eq!(read("80"), Some((None, 80)));
        assert_eq!(read("localhost:80"), Some((None, 80)));
        assert_eq!(read("127.0.0.2:80"), Some((Some([127, 0, 0, 2].into()), 80)));
        assert_eq!(read("[::1]:80").map(|(_, port)| port), Some(80));
        for text in ["", "0", "65536", "localhost", "web:80", "localhost:0", ":80", "80/tcp"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let read = |text: &str| HttpCheck::read(text).map(|it| (it.endpoint.port, it.host, it.path));
        let parts = |port, host: &str, path: &str| Ok((port, host.to_owned(), path.to_owned()));
        assert_eq!(read("http://localhost"), parts(80, "localhost", "/"));
        assert_eq!(read("http://localhost:8080/a?b=c"), parts(8080, "localhost:8080", "/a?b=c"));
        assert_eq!(read("http://[::1]?q"), parts(80, "[::1]", "/?q"));
        for text in
            ["https://localhost/", "localhost", "http://example.org/", "http://localhost/a b", "http://"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
