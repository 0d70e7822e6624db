//! Headers of the PROXY protocol, versions 1 and 2: HAProxy's `proxy-protocol.txt`.

use super::configuration::ProxyProtocol;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType};
use std::net::{IpAddr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;
/// `sun_path` of unix(7).
const PATH_LENGTH: usize = 108;

/// One end of a client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An address of TCP or UDP.
    Internet(SocketAddr),
    /// A unix socket's name as given to bind(2), empty where it has none; an abstract one begins with a zero byte.
    Unix(Vec<u8>),
    /// None that the protocol has a form for.
    Unknown,
}

impl Endpoint {
    /// As a call gives it.
    pub fn of(address: Option<SocketAddrAny>) -> Self {
        let Some(address) = address else { return Self::Unknown };
        if address.address_family() == AddressFamily::UNIX {
            return SocketAddrUnix::try_from(address)
                .map_or(Self::Unknown, |address| Self::Unix(name(&address)));
        }
        SocketAddr::try_from(address).map_or(Self::Unknown, |address| Self::Internet(canonical(address)))
    }

    /// Its address without the port.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Internet(address) => Some(address.ip()),
            Self::Unix(_) | Self::Unknown => None,
        }
    }
}

fn name(address: &SocketAddrUnix) -> Vec<u8> {
    match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => path.to_vec(),
        (_, Some(name)) => [b"\0", name].concat(),
        _ => Vec::new(),
    }
}

/// A client that a dual socket has taken over v4 is one of v4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The bytes to send before a client's own.
pub fn header(version: ProxyProtocol, kind: SocketType, client: &Endpoint, local: &Endpoint) -> Vec<u8> {
    match version {
        ProxyProtocol::V1 => text(client, local).into_bytes(),
        ProxyProtocol::V2 => binary(kind, client, local),
    }
}

fn text(client: &Endpoint, local: &Endpoint) -> String {
    let (Endpoint::Internet(client), Endpoint::Internet(local)) = (client, local) else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let family = match (client, local) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => "TCP4",
        (SocketAddr::V6(_), SocketAddr::V6(_)) => "TCP6",
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {family} {} {} {} {}\r\n", client.ip(), local.ip(), client.port(), local.port())
}

fn binary(kind: SocketType, client: &Endpoint, local: &Endpoint) -> Vec<u8> {
    let transport = if kind == SocketType::DGRAM { 2 } else { 1 };
    let (family_and_transport, addresses) = match (client, local) {
        (Endpoint::Internet(SocketAddr::V4(from)), Endpoint::Internet(SocketAddr::V4(to))) => {
            let ips = [from.ip().octets(), to.ip().octets()].concat();
            (0x10 | transport, with_ports(ips, from.port(), to.port()))
        }
        (Endpoint::Internet(SocketAddr::V6(from)), Endpoint::Internet(SocketAddr::V6(to))) => {
            let ips = [from.ip().octets(), to.ip().octets()].concat();
            (0x20 | transport, with_ports(ips, from.port(), to.port()))
        }
        (Endpoint::Unix(from), Endpoint::Unix(to)) => (0x30 | transport, [padded(from), padded(to)].concat()),
        _ => (0, Vec::new()),
    };
    let length = u16::try_from(addresses.len()).unwrap_or_default().to_be_bytes();
    [&SIGNATURE[..], &[VERSION_AND_COMMAND, family_and_transport], &length, &addresses].concat()
}

fn with_ports(mut ips: Vec<u8>, from: u16, to: u16) -> Vec<u8> {
    ips.extend(from.to_be_bytes());
    ips.extend(to.to_be_bytes());
    ips
}

fn padded(name: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.resize(PATH_LENGTH, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn internet(text: &str) -> Endpoint {
        Endpoint::of(Some(text.parse::<SocketAddr>().unwrap().into()))
    }

    #[test]
    fn lines_of_version_1_are_as_specified() {
        let line = |client: &str, local: &str| text(&internet(client), &internet(local));
        assert_eq!(
            line("192.0.2.1:1", "198.51.100.2:65535"),
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\n"
        );
        assert_eq!(line("[2001:db8::1]:9", "[::1]:80"), "PROXY TCP6 2001:db8::1 ::1 9 80\r\n");
        let mapped = line("[::ffff:192.0.2.1]:9", "[::ffff:192.0.2.2]:80");
        assert_eq!(mapped, "PROXY TCP4 192.0.2.1 192.0.2.2 9 80\r\n");
        assert_eq!(
            text(&Endpoint::Unix(Vec::new()), &Endpoint::Unix(b"/run/x".to_vec())),
            "PROXY UNKNOWN\r\n"
        );
    }

    #[test]
    fn headers_of_version_2_are_as_specified() {
        let bytes = binary(SocketType::STREAM, &internet("[::ffff:1.2.3.4]:258"), &internet("5.6.7.8:80"));
        let expected = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c\
            \x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x00\x50";
        assert_eq!(bytes, expected);
        let bytes = binary(SocketType::DGRAM, &internet("[::1]:1"), &internet("[::2]:2"));
        assert_eq!((bytes[13], &bytes[14..16], bytes.len()), (0x22, &[0, 36][..], 16 + 36));
        let (client, local) = (Endpoint::Unix(b"\0name".to_vec()), Endpoint::Unix(b"/run/x".to_vec()));
        let bytes = binary(SocketType::STREAM, &client, &local);
        assert_eq!((bytes[13], bytes[15], bytes.len()), (0x31, 216, 16 + 216));
        assert_eq!((&bytes[16..22], &bytes[124..131]), (&b"\0name\0"[..], &b"/run/x\0"[..]));
        assert_eq!(binary(SocketType::STREAM, &Endpoint::Unknown, &local)[12..], [0x21, 0, 0, 0]);
    }
}
