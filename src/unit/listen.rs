//! `listen` and `pass` of `[socket.*]`, as a unit writes them.

use super::model::{Listen, Pass, ProxyProtocol, UnixName, UnixType, VsockAddress};
use super::suggest;
use super::value::{AbsolutePath, Numbers, ValueError, Written};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of `sun_path` but one, unix(7).
const UNIX_LENGTH_MAX: usize = 107;

/// Words that stand before the address of what is neither TCP nor a unix stream.
const KINDS: [&str; 5] = ["udp", "datagram", "seqpacket", "vsock", "fifo"];

impl Written for Listen {
    const EXPECTED: &'static str =
        "an address such as \"0.0.0.0:80\", \"[::]:80\", \"udp:53\", \"/run/web.sock\" or \"@name\"";
    const NUMBERS: Numbers = Numbers::Taken;

    fn read(text: &str) -> Result<Self, ValueError> {
        match text.split_once(':') {
            Some(("udp", address)) => internet(text, address).map(Self::Udp),
            Some(("datagram", name)) => unix(text, name, UnixType::Datagram),
            Some(("seqpacket", name)) => unix(text, name, UnixType::SequentialPacket),
            Some(("vsock", address)) => vsock(text, address).map(Self::Vsock),
            Some(("fifo", path)) if path.starts_with('/') => {
                AbsolutePath::read(path).map(|path| Self::Fifo(path.0))
            }
            Some(("fifo", _)) => Err(wrong(text, "write the path of a FIFO, such as \"fifo:/run/log.fifo\"")),
            _ if text.starts_with(['/', '@']) => unix(text, text, UnixType::Stream),
            _ => internet(text, text).map(Self::Tcp),
        }
    }
}

const SUPPORTED: &str = "supported are TCP (\"0.0.0.0:80\", \"[::]:80\", \"8080\"), unix streams (\"/run/web.sock\", \
                         \"@name\"), and \"udp:\", \"datagram:\", \"seqpacket:\", \"vsock:\" and \"fifo:\"";

fn wrong(text: &str, help: impl Into<String>) -> ValueError {
    ValueError::new(format!("\"{text}\" is not an address")).with_help(help)
}

/// An address and a port; a port alone is that of every address.
fn internet(text: &str, address: &str) -> Result<SocketAddr, ValueError> {
    let read = match address.parse::<u16>() {
        Ok(port) => Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        Err(_) => address.parse().ok(),
    };
    match read {
        Some(address) if address.port() == 0 => {
            Err(ValueError::new("port 0 is no port").with_help("write a number from 1 to 65535"))
        }
        Some(address) => Ok(address),
        None => Err(wrong(text, meant(text))),
    }
}

fn unix(text: &str, name: &str, kind: UnixType) -> Result<Listen, ValueError> {
    let too_long = || {
        ValueError::new(format!("the name of this socket has {} bytes", name.len()))
            .with_help(format!("unix(7) allows {UNIX_LENGTH_MAX}"))
    };
    let name = match name.strip_prefix('@') {
        Some("") => return Err(ValueError::new("an abstract socket needs a name after \"@\"")),
        Some(name) if name.len() <= UNIX_LENGTH_MAX => UnixName::Abstract(name.to_owned()),
        None if !name.starts_with('/') => {
            return Err(wrong(text, "write the path of a socket after \":\", or \"@\" and a name"));
        }
        None if name.len() <= UNIX_LENGTH_MAX => UnixName::Path(AbsolutePath::read(name)?.0),
        _ => return Err(too_long()),
    };
    Ok(Listen::Unix(kind, name))
}

/// `PORT`, `CID:PORT`, and `:PORT` as in systemd.socket(5).
fn vsock(text: &str, address: &str) -> Result<VsockAddress, ValueError> {
    let (cid, port) = address.split_once(':').unwrap_or(("", address));
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    let cid = if cid.is_empty() { Some(None) } else { number(cid).map(Some) };
    match cid.zip(number(port)) {
        Some((cid, port)) => Ok(VsockAddress { cid, port }),
        None => Err(wrong(text, "write \"vsock:PORT\" or \"vsock:CID:PORT\", both numbers")),
    }
}

/// What an address was meant to be.
fn meant(text: &str) -> String {
    let (udp, address) = match text.strip_prefix("udp:") {
        Some(address) => ("udp:", address),
        None => ("", text),
    };
    if let Some((bare, "udp")) = address.rsplit_once('/')
        && !bare.contains('/')
    {
        return format!("write it as \"udp:{bare}\"");
    }
    if let Some(both) = mapped(udp, address) {
        return both;
    }
    let port = address.trim_start_matches(':').trim_end_matches("/tcp");
    if port != address && port.parse::<u16>().is_ok() {
        return format!("did you mean \"{udp}{port}\"?");
    }
    // Without brackets the port looks like a part of the address.
    if let Some((address, port)) = address.rsplit_once(':')
        && let (Ok(address), Ok(port)) = (address.parse::<Ipv6Addr>(), port.parse::<u16>())
    {
        return format!("write it in brackets: \"{udp}[{address}]:{port}\"");
    }
    let bare = address.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(address);
    let scheme = address.strip_prefix("//").or_else(|| address.split_once("://").map(|(_, rest)| rest));
    if let Some(address) = scheme {
        return format!("did you mean \"{udp}{address}\"?");
    }
    if let Ok(address) = bare.parse::<IpAddr>() {
        let port = if udp.is_empty() { 80 } else { 53 };
        return format!("add a port: \"{udp}{}\"", SocketAddr::new(address, port));
    }
    if address.starts_with('[') {
        return format!("write an address of IPv6 as \"{udp}[::1]:80\"");
    }
    match address.rsplit_once(':') {
        None if address.contains('/') => "begin the path of a socket with \"/\"".to_owned(),
        Some((kind, rest)) if rest.starts_with(['/', '@']) => match suggest::nearest(kind, KINDS) {
            Some(near) => format!("did you mean \"{near}:{rest}\"?"),
            None => SUPPORTED.to_owned(),
        },
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match port.parse::<u16>() {
                Ok(_) => {
                    format!("names are not looked up: write an address, such as \"{udp}[::]:{port}\"")
                }
                Err(_) => "ports are numbers from 1 to 65535".to_owned(),
            }
        }
        _ => SUPPORTED.to_owned(),
    }
}

/// A port of the host and one of the container, as other programs write it.
fn mapped(udp: &str, text: &str) -> Option<String> {
    let (outside, inside) = text.trim_end_matches("/tcp").rsplit_once(':')?;
    let inside: u16 = inside.parse().ok()?;
    let port = outside.rsplit_once(':').map_or(outside, |(_, port)| port);
    let is_mapped = port.parse::<u16>().is_ok() && (port == outside || outside.parse::<SocketAddr>().is_ok());
    is_mapped.then(|| format!("write listen = \"{udp}{outside}\" and target = \"{udp}0.0.0.0:{inside}\""))
}

impl Written for Pass {
    const EXPECTED: &'static str = "\"fd\", \"swap\", \"proxy\" or \"accept\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        match text {
            "fd" => Ok(Self::Fd),
            "swap" => Ok(Self::Swap),
            "proxy" => Ok(Self::Proxy),
            "accept" => Ok(Self::Accept),
            _ => Err(ValueError::new(format!("unknown value \"{text}\""))
                .with_help(suggest::help(text, &["fd", "swap", "proxy", "accept"]))),
        }
    }
}

impl Written for ProxyProtocol {
    const EXPECTED: &'static str = "\"v1\" or \"v2\"";

    fn read(text: &str) -> Result<Self, ValueError> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => Err(ValueError::new(format!("unknown value \"{text}\""))
                .with_help(suggest::help(text, &["v1", "v2"]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn addresses_are_read_and_displayed() {
        let tcp = |text: &str| Listen::Tcp(text.parse().unwrap());
        let udp = |text: &str| Listen::Udp(text.parse().unwrap());
        let path = |kind| Listen::Unix(kind, UnixName::Path(PathBuf::from("/run/x")));
        let name = |kind| Listen::Unix(kind, UnixName::Abstract("x".to_owned()));
        for (text, expected) in [
            ("0.0.0.0:80", tcp("0.0.0.0:80")),
            ("[::1]:80", tcp("[::1]:80")),
            ("udp:0.0.0.0:53", udp("0.0.0.0:53")),
            ("udp:[::]:53", udp("[::]:53")),
            ("/run/x", path(UnixType::Stream)),
            ("@x", name(UnixType::Stream)),
            ("datagram:/run/x", path(UnixType::Datagram)),
            ("datagram:@x", name(UnixType::Datagram)),
            ("seqpacket:/run/x", path(UnixType::SequentialPacket)),
            ("seqpacket:@x", name(UnixType::SequentialPacket)),
            ("vsock:1024", Listen::Vsock(VsockAddress { cid: None, port: 1024 })),
            ("vsock:2:1024", Listen::Vsock(VsockAddress { cid: Some(2), port: 1024 })),
            ("fifo:/run/x", Listen::Fifo(PathBuf::from("/run/x"))),
        ] {
            let read = Listen::read(text).unwrap();
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.to_string(), text);
        }
        for (text, displayed) in [("8080", "[::]:8080"), ("udp:53", "udp:[::]:53"), ("vsock::5", "vsock:5")] {
            assert_eq!(Listen::read(text).unwrap().to_string(), displayed);
        }
    }

    #[test]
    fn what_is_no_address_is_answered_with_what_was_meant() {
        for (text, help) in [
            ("udp:", "supported are"),
            ("udp:0", "write a number from 1 to 65535"),
            ("udp:localhost:53", "names are not looked up: write an address, such as \"udp:[::]:53\""),
            ("udp:1.2.3.4", "add a port: \"udp:1.2.3.4:53\""),
            ("udp:5353:53", "write listen = \"udp:5353\" and target = \"udp:0.0.0.0:53\""),
            ("udp://0.0.0.0:53", "did you mean \"udp:0.0.0.0:53\"?"),
            ("53/udp", "write it as \"udp:53\""),
            ("datagram:x", "write the path of a socket after \":\""),
            ("datagram:53", "write the path of a socket after \":\""),
            ("datagam:/run/x", "did you mean \"datagram:/run/x\"?"),
            ("vsock:x", "write \"vsock:PORT\""),
            ("vsock:2:4294967295", "write \"vsock:PORT\""),
            ("fifo:run/x", "write the path of a FIFO"),
            ("fifo:@x", "write the path of a FIFO"),
        ] {
            let error = Listen::read(text).unwrap_err();
            assert!(error.help().starts_with(help), "{text}: {error}");
        }
        for text in ["", "80000", "localhost:80", "@", "0", "1.2.3.4", "run/x", "seqpacket:@"] {
            assert!(Listen::read(text).is_err(), "{text}");
        }
        let name = "a".repeat(107);
        assert!(Listen::read(&format!("/{name}")).is_err() && Listen::read(&format!("@{name}")).is_ok());
        assert!(Listen::read(&format!("fifo:/{name}")).is_ok());
    }
}
