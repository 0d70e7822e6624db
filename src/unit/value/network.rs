//! Addresses, ports and interfaces of `[network]`.

use super::written::{Numbers, ValueError, Written};
use std::net::IpAddr;

/// An address without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub IpAddr);

impl Written for Address {
    const EXPECTED: &'static str = "an address such as \"10.0.0.1\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self).map_err(|_| {
            ValueError::new(format!("\"{text}\" is not an address"))
                .with_help("write it as \"10.0.0.1\" or \"fd00::1\"")
        })
    }
}

/// An address and the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress(pub IpAddr, pub u8);

impl Written for InterfaceAddress {
    const EXPECTED: &'static str = "an address such as \"10.0.0.5/24\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let read = || {
            let address: IpAddr = address.parse().ok()?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.map_or(Ok(longest), str::parse).ok()?;
            (prefix <= longest).then_some(Self(address, prefix))
        };
        read().ok_or_else(|| {
            ValueError::new(format!("\"{text}\" is not an address of an interface"))
                .with_help("write it as \"10.0.0.5/24\" or \"fd00::5/64\"")
        })
    }
}

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(pub String);

impl Written for InterfaceName {
    const EXPECTED: &'static str = "the name of an interface such as \"eth0\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        // netdevice(7): IFNAMSIZ with its NUL.
        let valid = (1..16).contains(&text.len())
            && !matches!(text, "." | "..")
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%'));
        match valid {
            true => Ok(Self(text.to_owned())),
            false => Err(ValueError::new(format!("\"{text}\" cannot name an interface"))
                .with_help("names have at most 15 characters, without \"/\" and \":\"")),
        }
    }
}

/// A port of the host, perhaps on one address only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort(pub Option<IpAddr>, pub u16);

impl Written for HostPort {
    const EXPECTED: &'static str = "a port of the host such as \"8080\" or \"127.0.0.1:8080\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let read = || {
            if let Ok(port @ 1..) = text.parse() {
                return Some(Self(None, port));
            }
            let address: std::net::SocketAddr = text.parse().ok()?;
            (address.port() > 0).then_some(Self(Some(address.ip()), address.port()))
        };
        read().ok_or_else(|| {
            ValueError::new(format!("\"{text}\" is not a port of the host"))
                .with_help("write it as \"8080\" or \"127.0.0.1:8080\"")
        })
    }
}

/// A port of the container and its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerPort(pub u16, pub Protocol);

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Written for ContainerPort {
    const EXPECTED: &'static str = "a port of the container such as 80 or \"53/udp\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        match (port.parse(), protocol) {
            (Ok(port @ 1..), "tcp") => Ok(Self(port, Protocol::Tcp)),
            (Ok(port @ 1..), "udp") => Ok(Self(port, Protocol::Udp)),
            _ => Err(ValueError::new(format!("\"{text}\" is not a port of the container"))
                .with_help("write it as \"80\", \"80/tcp\" or \"53/udp\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ports_are_read() {
        assert_eq!(HostPort::read("8080").unwrap(), HostPort(None, 8080));
        assert!(
            HostPort::read("127.0.0.1:80").is_ok()
                && HostPort::read("0").is_err()
                && HostPort::read("a:1").is_err()
        );
        assert_eq!(ContainerPort::read("53/udp").unwrap(), ContainerPort(53, Protocol::Udp));
        assert!(ContainerPort::read("80/sctp").is_err() && ContainerPort::read("").is_err());
        assert!(Address::read("fd00::1").is_ok() && Address::read("1.2.3").is_err());
        assert!(
            InterfaceAddress::read("10.0.0.5/24").is_ok() && InterfaceAddress::read("10.0.0.5/33").is_err()
        );
        assert!(InterfaceName::read("eth0").is_ok() && InterfaceName::read("a/b").is_err());
    }
}
