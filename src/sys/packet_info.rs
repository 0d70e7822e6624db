//! Datagrams with the own address that they were sent to, `IP_PKTINFO` of ip(7) and `IPV6_PKTINFO` of ipv6(7): who
//! answers from a socket of all addresses answers from that one.

use rustix::io::Errno;
use rustix::net::AddressFamily;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// The own end of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Local {
    /// The address.
    pub ip: IpAddr,
    /// The number of the network interface.
    pub interface: u32,
}

/// What came with one recvmsg(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes.
    pub length: usize,
    /// Who has sent it.
    pub from: SocketAddr,
    /// Where to; `None` where the kernel does not tell.
    pub to: Option<Local>,
}

/// Has the kernel tell the address of each datagram.
///
/// # Errors
/// As setsockopt(2).
pub fn enable(socket: impl AsFd, family: AddressFamily) -> io::Result<()> {
    let (level, option) = match family {
        AddressFamily::INET6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        _ => (libc::IPPROTO_IP, libc::IP_PKTINFO),
    };
    let one: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads one integer of that length, which lives until the call returns.
    match unsafe { libc::setsockopt(descriptor, level, option, (&raw const one).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Room for one control message, aligned as its header.
#[repr(C)]
union Control {
    _header: libc::cmsghdr,
    bytes: [u8; 64],
}

fn empty() -> Control {
    Control { bytes: [0; 64] }
}

/// A message of one part with a place for an address.
fn message(
    part: &mut libc::iovec,
    address: &mut MaybeUninit<libc::sockaddr_storage>,
    control: &mut Control,
) -> libc::msghdr {
    // SAFETY: msghdr is integers and pointers, for which zero is a valid value.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = address.as_mut_ptr().cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut *control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    message
}

/// Takes one datagram without waiting for it. What does not fit into the buffer is lost.
///
/// # Errors
/// As recvmsg(2).
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Datagram, Errno> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let (mut address, mut control) = (MaybeUninit::zeroed(), empty());
    let mut message = message(&mut part, &mut address, &mut control);
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: all that the message points to lives until the call returns, with the lengths that it says.
    let length = unsafe { libc::recvmsg(descriptor, &raw mut message, libc::MSG_DONTWAIT) };
    let Ok(length) = usize::try_from(length) else { return Err(last_error()) };
    // SAFETY: all bits of it are zero or written by the kernel, and it has no invalid values.
    let address = unsafe { address.assume_init() };
    let from = socket_address(&address).ok_or(Errno::AFNOSUPPORT)?;
    Ok(Datagram { length, from, to: local(&message) })
}

fn local(message: &libc::msghdr) -> Option<Local> {
    // SAFETY: the message is as recvmsg(2) has left it: its control messages are whole and in the given length.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    // SAFETY: it points to the bytes behind that header.
    let data = unsafe { libc::CMSG_DATA(header) };
    match (header.cmsg_level, header.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // SAFETY: that is what a message of this type has; it need not be aligned.
            let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
            let ip = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
            Some(Local { ip: ip.into(), interface: info.ipi_ifindex.cast_unsigned() })
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: as above.
            let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
            Some(Local { ip: Ipv6Addr::from(info.ipi6_addr.s6_addr).into(), interface: info.ipi6_ifindex })
        }
        _ => None,
    }
}

/// Sends one datagram from an address of ours, without waiting for room.
///
/// # Errors
/// As sendmsg(2).
pub fn send(socket: impl AsFd, bytes: &[u8], to: &SocketAddr, from: &Local) -> Result<usize, Errno> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let (mut address, mut control) = (MaybeUninit::zeroed(), empty());
    let mut message = message(&mut part, &mut address, &mut control);
    message.msg_namelen = put_address(to, &mut address);
    match from.ip {
        IpAddr::V4(ip) => {
            let spec_dst = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
            let any = libc::in_addr { s_addr: 0 };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: spec_dst, ipi_addr: any };
            put_control(&mut message, (libc::IPPROTO_IP, libc::IP_PKTINFO), info);
        }
        IpAddr::V6(ip) => {
            // Only there an address is not enough.
            let interface = if ip.is_unicast_link_local() { from.interface } else { 0 };
            let address = libc::in6_addr { s6_addr: ip.octets() };
            let info = libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: interface };
            put_control(&mut message, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), info);
        }
    }
    let descriptor = socket.as_fd().as_raw_fd();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: all that the message points to lives until the call returns, and the kernel only reads it.
    let sent = unsafe { libc::sendmsg(descriptor, &raw const message, flags) };
    usize::try_from(sent).map_err(|_| last_error())
}

/// Puts one control message into the room of a message.
fn put_control<T>(message: &mut libc::msghdr, (level, kind): (libc::c_int, libc::c_int), info: T) {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() <= size_of::<Control>()) };
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: the room is that of a `Control`, which is aligned for the header and has space for the header and the
    // bytes behind it, as asserted; CMSG_LEN and CMSG_SPACE only calculate.
    unsafe {
        let header = message.msg_control.cast::<libc::cmsghdr>();
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(info);
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
    }
}

fn put_address(address: &SocketAddr, into: &mut MaybeUninit<libc::sockaddr_storage>) -> libc::socklen_t {
    match address {
        SocketAddr::V4(address) => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage has the size and the alignment for every address.
            unsafe { into.as_mut_ptr().cast::<libc::sockaddr_in>().write(value) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(address) => {
            let value = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: as above.
            unsafe { into.as_mut_ptr().cast::<libc::sockaddr_in6>().write(value) };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

fn socket_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is this, and a storage is large enough and aligned for it.
            let address = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port));
            Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// A socket of all addresses answers from the one that was asked.
    fn answered_from(bound: &str, asked: &str, client: &str) {
        let (server, client) = (UdpSocket::bind(bound).unwrap(), UdpSocket::bind(client).unwrap());
        let address = server.local_addr().unwrap();
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        enable(&server, family).unwrap();
        let asked = SocketAddr::new(asked.parse().unwrap(), address.port());
        assert_eq!(receive(&server, &mut [0; 9]).unwrap_err(), Errno::AGAIN);
        client.send_to(b"hello", asked).unwrap();
        let mut buffer = [0; 9];
        let received = receive(&server, &mut buffer).unwrap();
        assert_eq!(&buffer[..received.length], b"hello");
        let local = received.to.unwrap();
        assert_eq!(local.ip.to_canonical(), asked.ip());
        assert_eq!(received.from.port(), client.local_addr().unwrap().port());
        assert_eq!(send(&server, b"answer", &received.from, &local).unwrap(), 6);
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"answer"[..], asked));
    }

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        answered_from("0.0.0.0:0", "127.0.0.2", "127.0.0.1:0");
        answered_from("[::]:0", "127.0.0.2", "127.0.0.1:0");
        answered_from("[::]:0", "::1", "[::1]:0");
    }
}
