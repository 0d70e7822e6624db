//! Sockets as the kernel lists them over netlink, sock_diag(7), of one network namespace.

use super::namespace;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;
const HEADER: usize = 16;

/// A state of a socket; `TCP_*` of the kernel's `tcp_states.h`, which all families share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Connected, accepted or still in the queue.
    Established,
    /// Closed by the other side.
    CloseWait,
    /// Listening.
    Listen,
    /// Without a peer and not listening, as are the sockets that take datagrams of everybody.
    Unconnected,
}

impl State {
    fn number(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::Unconnected => 7,
            Self::CloseWait => 8,
            Self::Listen => 10,
        }
    }

    fn mask(self) -> u32 {
        1 << self.number()
    }
}

/// One TCP or UDP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InternetSocket {
    /// Its own address.
    pub local: SocketAddr,
    /// A number that no other socket ever gets.
    pub cookie: u64,
    /// Number of its inode; 0 for one that nobody has accepted yet.
    pub inode: u32,
    /// Whether shutdown(2) has ended its receiving.
    pub is_shut_down: bool,
}

/// One unix socket that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// The name as given to bind(2); an abstract one begins with a zero byte.
    pub name: Vec<u8>,
    /// Number of its inode.
    pub inode: u32,
    /// Stream, datagram or sequential packets.
    pub kind: SocketType,
    /// Its state.
    pub state: State,
    /// Of a listening socket, the connections that nobody has accepted yet; these are not listed themselves.
    pub queue: u32,
}

/// A way to ask for the sockets of one network.
#[derive(Debug)]
pub struct SockDiag {
    netlink: OwnedFd,
}

/// What is spoken at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// tcp(7)
    Tcp,
    /// udp(7)
    Udp,
}

impl SockDiag {
    /// Of our own network.
    ///
    /// # Errors
    /// As socket(2).
    pub fn here() -> io::Result<Self> {
        let kind = (AddressFamily::NETLINK, SocketType::DGRAM);
        let netlink = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
        Ok(Self { netlink })
    }

    /// Of the network of the process of a pidfd.
    ///
    /// # Errors
    /// As socket(2) and setns(2).
    pub fn of(process: BorrowedFd<'_>) -> io::Result<Self> {
        namespace::in_network_of(process, Self::here)
    }

    /// The control groups, by the numbers of their inodes, whose processes wait for clients at a port, of v4 or v6. A
    /// number is 0 where the kernel does not tell it, before Linux 5.8.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn waiting(&self, transport: Transport, port: u16) -> io::Result<Vec<u64>> {
        let mut groups = Vec::new();
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            let request = internet_request(family, transport, transport.waiting().mask(), port);
            self.dump(&request, |message| {
                if parse_internet(message).is_some_and(|socket| socket.local.port() == port) {
                    groups.push(control_group(message).unwrap_or_default());
                }
            })?;
        }
        Ok(groups)
    }

    /// The addresses with this port, of v4 or v6, at which somebody waits for clients.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn addresses(&self, transport: Transport, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            let request = internet_request(family, transport, transport.waiting().mask(), port);
            self.dump(&request, |message| {
                let socket = parse_internet(message).filter(|socket| socket.local.port() == port);
                addresses.extend(socket.map(|socket| socket.local));
            })?;
        }
        Ok(addresses)
    }
}

impl Transport {
    fn protocol(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The state of a socket that waits for clients.
    pub fn waiting(self) -> State {
        match self {
            Self::Tcp => State::Listen,
            Self::Udp => State::Unconnected,
        }
    }
}

/// `TCP_ESTABLISHED`, `TCP_FIN_WAIT1`, `TCP_FIN_WAIT2` and `TCP_CLOSE_WAIT` of the kernel's `tcp_states.h`: either side may
/// still have something to say.
const CONNECTED: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8;

/// TCP connections of one family with this local port that a server has, or that wait to be accepted. One that the
/// server has closed is the kernel's alone.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn connections(family: AddressFamily, port: u16) -> io::Result<Vec<InternetSocket>> {
    let request = internet_request(family, Transport::Tcp, CONNECTED, port);
    let mut found = Vec::new();
    SockDiag::here()?.dump(&request, |message| {
        let is_established = message.get(1) == Some(&State::Established.number());
        found.extend(
            parse_internet(message)
                .filter(|socket| socket.local.port() == port && (is_established || socket.inode != 0)),
        );
    })?;
    Ok(found)
}

/// struct inet_diag_req_v2: family, protocol, ext, pad, states, struct inet_diag_sockid
fn internet_request(family: AddressFamily, transport: Transport, states: u32, port: u16) -> Vec<u8> {
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let mut request = vec![family, transport.protocol(), 0, 0];
    request.extend(states.to_ne_bytes());
    request.extend(port.to_be_bytes());
    request.resize(request.len() + 2 + 16 + 16 + 4 + 8, 0);
    request
}

/// Sockets of one family, transport and state with this local port.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn internet(
    family: AddressFamily,
    transport: Transport,
    state: State,
    port: u16,
) -> io::Result<Vec<InternetSocket>> {
    let request = internet_request(family, transport, state.mask(), port);
    let mut found = Vec::new();
    SockDiag::here()?.dump(&request, |message| {
        found.extend(parse_internet(message).filter(|socket| socket.local.port() == port))
    })?;
    Ok(found)
}

/// struct inet_diag_msg: family, state, timer, retrans, sport, dport, src, dst, if, cookie, four numbers, inode
fn parse_internet(message: &[u8]) -> Option<InternetSocket> {
    const ATTRIBUTE_SHUTDOWN: u16 = 8;
    let port = u16::from_be_bytes(bytes(message, 4)?);
    let address = match AddressFamily::from_raw(u16::from(*message.first()?)) {
        AddressFamily::INET => IpAddr::from(Ipv4Addr::from(bytes::<4>(message, 8)?)),
        AddressFamily::INET6 => IpAddr::from(Ipv6Addr::from(bytes::<16>(message, 8)?)),
        _ => return None,
    };
    let cookie = u64::from_ne_bytes(bytes(message, 44)?);
    let inode = u32::from_ne_bytes(bytes(message, 68)?);
    let mut attributes = attributes(message.get(72..)?);
    let shut_down = attributes.find(|(kind, _)| *kind == ATTRIBUTE_SHUTDOWN);
    let is_shut_down = shut_down.is_some_and(|(_, value)| value.first().is_some_and(|how| how & 1 != 0));
    Some(InternetSocket { local: SocketAddr::new(address, port), cookie, inode, is_shut_down })
}

/// Unix sockets that have a name.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn unix() -> io::Result<Vec<UnixSocket>> {
    const SHOW_NAME_AND_QUEUE: u32 = 0x01 | 0x10;
    let family = u8::try_from(AddressFamily::UNIX.as_raw()).unwrap_or_default();
    // struct unix_diag_req: family, protocol, pad, states, inode, show, cookie
    let mut request = vec![family, 0, 0, 0];
    request.extend(STATES.iter().fold(0, |mask, state| mask | state.mask()).to_ne_bytes());
    request.extend(0_u32.to_ne_bytes());
    request.extend(SHOW_NAME_AND_QUEUE.to_ne_bytes());
    request.extend([0xff; 8]);
    let mut found = Vec::new();
    SockDiag::here()?.dump(&request, |message| found.extend(parse_unix(message)))?;
    Ok(found)
}

const STATES: [State; 3] = [State::Established, State::Listen, State::Unconnected];

/// struct unix_diag_msg: family, type, state, pad, inode, cookie; then attributes
fn parse_unix(message: &[u8]) -> Option<UnixSocket> {
    const ATTRIBUTE_NAME: u16 = 0;
    const ATTRIBUTE_QUEUE: u16 = 4;
    let state = STATES.into_iter().find(|state| message.get(2) == Some(&state.number()))?;
    let kind = SocketType::from_raw(u32::from(*message.get(1)?));
    let inode = u32::from_ne_bytes(bytes(message, 4)?);
    let mut socket = UnixSocket { name: Vec::new(), inode, kind, state, queue: 0 };
    for (kind, value) in attributes(message.get(16..)?) {
        match kind {
            // The kernel ends a path, and only that, with a zero byte.
            ATTRIBUTE_NAME => {
                let path = value.first().is_some_and(|first| *first != 0);
                let name = if path { value.strip_suffix(b"\0") } else { None };
                socket.name = name.unwrap_or(value).to_vec();
            }
            ATTRIBUTE_QUEUE if state == State::Listen => socket.queue = u32::from_ne_bytes(bytes(value, 0)?),
            _ => {}
        }
    }
    (!socket.name.is_empty()).then_some(socket)
}

/// The number of the inode of a TCP or UDP socket's control group, `INET_DIAG_CGROUP_ID`.
fn control_group(message: &[u8]) -> Option<u64> {
    const ATTRIBUTE_CONTROL_GROUP: u16 = 21;
    let mut attributes = attributes(message.get(72..)?);
    let (_, value) = attributes.find(|(kind, _)| *kind == ATTRIBUTE_CONTROL_GROUP)?;
    bytes(value, 0).map(u64::from_ne_bytes)
}

/// struct nlattr: length, type; then the value, padded to four bytes
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes(rest, 0)?));
        let kind = u16::from_ne_bytes(bytes(rest, 2)?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

impl SockDiag {
    /// Sends one request and hands each answer's payload to `each`.
    fn dump(&self, payload: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let length = u32::try_from(HEADER + payload.len()).map_err(io::Error::other)?;
        let mut request = Vec::new();
        request.extend(length.to_ne_bytes());
        request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request.extend(REQUEST_DUMP.to_ne_bytes());
        request.extend([0; 8]);
        request.extend(payload);
        send(&self.netlink, &request, SendFlags::empty())?;
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let (length, _) = recv(&self.netlink, buffer.as_mut_slice(), RecvFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some(length) = bytes(rest, 0).map(u32::from_ne_bytes) {
                let length = length as usize;
                let message = rest.get(HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
                match bytes(rest, 4).map(u16::from_ne_bytes) {
                    Some(MESSAGE_DONE) => return Ok(()),
                    Some(MESSAGE_ERROR) => return Err(error(message)),
                    Some(SOCK_DIAG_BY_FAMILY) => each(message),
                    _ => {}
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn error(message: &[u8]) -> io::Error {
    bytes(message, 0).map_or(io::ErrorKind::InvalidData.into(), |code| {
        io::Error::from_raw_os_error(i32::from_ne_bytes(code).wrapping_neg())
    })
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn inode(fd: impl AsFd) -> u32 {
        u32::try_from(rustix::fs::fstat(fd).unwrap().st_ino).unwrap()
    }

    #[test]
    fn listening_and_connected_tcp_sockets_are_listed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listed = |state| internet(AddressFamily::INET, Transport::Tcp, state, address.port()).unwrap();
        let [found] = listed(State::Listen)[..] else { panic!("one listens") };
        assert_eq!((found.local, found.inode, found.is_shut_down), (address, inode(&listener), false));
        let client = TcpStream::connect(address).unwrap();
        let [waiting] = listed(State::Established)[..] else { panic!("one waits") };
        assert_ne!(waiting.cookie, found.cookie);
        drop(client);
        assert_eq!(
            listed(State::CloseWait).iter().map(|socket| socket.cookie).collect::<Vec<_>>(),
            [waiting.cookie]
        );
    }

    #[test]
    fn a_connection_lasts_until_the_server_closes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let count = || connections(AddressFamily::INET, address.port()).unwrap().len();
        let (client, (served, _)) = (TcpStream::connect(address).unwrap(), listener.accept().unwrap());
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(count(), 1, "the server may still answer");
        served.shutdown(std::net::Shutdown::Write).unwrap();
        drop(served);
        assert_eq!(count(), 0);
        let (client, (served, _)) = (TcpStream::connect(address).unwrap(), listener.accept().unwrap());
        served.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(count(), 1, "the client may still say something");
        drop((client, served));
    }

    #[test]
    fn a_udp_socket_that_is_shut_down_is_told_from_one_that_is_not() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        let listed = || internet(AddressFamily::INET, Transport::Udp, State::Unconnected, port).unwrap();
        assert_eq!(listed().iter().map(|socket| socket.is_shut_down).collect::<Vec<_>>(), [false]);
        // It is, although this fails with ENOTCONN.
        rustix::net::shutdown(&receiver, rustix::net::Shutdown::Both).unwrap_err();
        assert_eq!(listed().iter().map(|socket| socket.is_shut_down).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn who_waits_for_clients_is_told_by_control_group() {
        let diag = SockDiag::here().unwrap();
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("::1", port)).unwrap();
        let groups = diag.waiting(Transport::Tcp, port).unwrap();
        assert!(groups.len() == 1 && groups[0] != 0, "{groups:?}");
        assert_eq!(diag.addresses(Transport::Tcp, port).unwrap(), [listener.local_addr().unwrap()]);
        assert!(diag.waiting(Transport::Udp, port).unwrap().is_empty());
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(diag.waiting(Transport::Udp, receiver.local_addr().unwrap().port()).unwrap(), groups);
    }

    #[test]
    fn unix_sockets_are_listed_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let (served, _) = listener.accept().unwrap();
        let _second = UnixStream::connect(&path).unwrap();
        let name = path.as_os_str().as_encoded_bytes().to_vec();
        let mut listed = unix().unwrap();
        listed.retain(|socket| socket.name == name);
        listed.sort_by_key(|socket| socket.state.number());
        let (inode, served) = (inode(&listener), inode(&served));
        let listening = UnixSocket { name, inode, kind: SocketType::STREAM, state: State::Listen, queue: 1 };
        let established =
            UnixSocket { inode: served, state: State::Established, queue: 0, ..listening.clone() };
        assert_eq!(listed, [established, listening]);
    }
}
