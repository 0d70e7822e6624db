//! Descriptors that outlive the manager in systemd's store, systemd.service(5) `FileDescriptorStoreMax=`.
//! They come back at the next start by their names, which say what they are.

use super::SystemdError;
use crate::unit::name::UnitName;
use std::fmt;
use std::os::fd::OwnedFd;
use std::str::FromStr;

const RECEIVED: &str = "received";
const BOOTED: &str = "booted";

/// What a stored descriptor is. Its text is the `FDNAME=`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoredDescriptor {
    /// `listen/UNIT/SOCKET`: a listening socket.
    Listen {
        /// The unit.
        unit: UnitName,
        /// The socket's name in the unit.
        socket: String,
    },
    /// `pidfd/UNIT`: the first process of a container.
    Process {
        /// The unit.
        unit: UnitName,
    },
    /// `notifier/UNIT`: the seccomp listener of a container with `pass = "swap"`.
    Notifier {
        /// The unit.
        unit: UnitName,
    },
    /// `proxy/UNIT`: what moves bytes for a container with `pass = "proxy"`.
    Proxy {
        /// The unit.
        unit: UnitName,
    },
    /// `notify/UNIT`: where the payload of a container tells of itself, sd_notify(3).
    Notify {
        /// The unit.
        unit: UnitName,
    },
    /// `output/UNIT`: the FIFO that a container has as `/dev/stdout`, with what nobody has read yet.
    Output {
        /// The unit.
        unit: UnitName,
    },
    /// `journal/UNIT`: the stream to the journal for what comes out of that FIFO.
    Journal {
        /// The unit.
        unit: UnitName,
    },
    /// `connection/UNIT/SOCKET`: what a container was made for that is being launched.
    Connection {
        /// The unit.
        unit: UnitName,
        /// The name of the socket that it came by, in the unit that listens.
        socket: String,
    },
    /// `record/UNIT`: the memory with a record for which there was no space.
    Record {
        /// The unit.
        unit: UnitName,
    },
    /// `received`: the memory of the bind(2) that was received last.
    Received,
    /// `booted`: the enabled units have been started, and there was no space to note it.
    Booted,
}

/// The name of a descriptor is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not the name of a stored descriptor of ours")]
pub struct UnknownName(pub String);

/// What systemd does with a stored descriptor that signals an error or hang-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnHangUp {
    /// Keeps it, `FDPOLL=0`.
    Keep,
    /// Closes it.
    Drop,
}

impl StoredDescriptor {
    /// The pidfd of a dead container still tells its exit status, and its FIFO what it wrote last. A listener
    /// without processes tells nothing, and a stream whose journal has gone takes nothing.
    pub(super) fn on_hang_up(&self) -> OnHangUp {
        match self {
            Self::Listen { .. } | Self::Process { .. } | Self::Output { .. } => OnHangUp::Keep,
            // A client that has gone may have said something before.
            Self::Connection { .. } => OnHangUp::Keep,
            Self::Notify { .. } | Self::Record { .. } | Self::Received | Self::Booted => OnHangUp::Keep,
            Self::Notifier { .. } | Self::Proxy { .. } | Self::Journal { .. } => OnHangUp::Drop,
        }
    }
}

/// No descriptor of systemd's store has a colon in its name, sd_pid_notify_with_fds(3), and no unit of ours what stands
/// for one here.
const COLON: &str = "~";

impl fmt::Display for StoredDescriptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |unit: &UnitName| unit.as_str().replace(':', COLON);
        match self {
            Self::Listen { unit, socket } => write!(formatter, "listen/{}/{socket}", plain(unit)),
            Self::Process { unit } => write!(formatter, "pidfd/{}", plain(unit)),
            Self::Notifier { unit } => write!(formatter, "notifier/{}", plain(unit)),
            Self::Proxy { unit } => write!(formatter, "proxy/{}", plain(unit)),
            Self::Notify { unit } => write!(formatter, "notify/{}", plain(unit)),
            Self::Output { unit } => write!(formatter, "output/{}", plain(unit)),
            Self::Journal { unit } => write!(formatter, "journal/{}", plain(unit)),
            Self::Connection { unit, socket } => write!(formatter, "connection/{}/{socket}", plain(unit)),
            Self::Record { unit } => write!(formatter, "record/{}", plain(unit)),
            Self::Booted => formatter.write_str(BOOTED),
            Self::Received => formatter.write_str(RECEIVED),
        }
    }
}

impl FromStr for StoredDescriptor {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            RECEIVED => return Ok(Self::Received),
            BOOTED => return Ok(Self::Booted),
            _ => {}
        }
        let parse = || {
            let (kind, rest) = text.split_once('/')?;
            let (unit, socket) =
                rest.split_once('/').map_or((rest, None), |(unit, socket)| (unit, Some(socket)));
            let unit = UnitName::parse(&unit.replace(COLON, ":")).ok()?;
            match (kind, socket) {
                ("listen", Some(socket)) => Some(Self::Listen { unit, socket: socket.to_owned() }),
                ("connection", Some(socket)) => Some(Self::Connection { unit, socket: socket.to_owned() }),
                ("pidfd", None) => Some(Self::Process { unit }),
                ("notifier", None) => Some(Self::Notifier { unit }),
                ("proxy", None) => Some(Self::Proxy { unit }),
                ("notify", None) => Some(Self::Notify { unit }),
                ("output", None) => Some(Self::Output { unit }),
                ("journal", None) => Some(Self::Journal { unit }),
                ("record", None) => Some(Self::Record { unit }),
                _ => None,
            }
        };
        parse().ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Takes what systemd passed at the start of this process, with the names, and clears `$LISTEN_*`. To be
/// called first in `main`, before any thread or runtime.
///
/// # Errors
/// When threads exist already, or a promised descriptor is not open.
pub fn take() -> Result<Vec<(String, OwnedFd)>, SystemdError> {
    crate::sys::descriptor::take_passed().map_err(|source| SystemdError::Passed { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_descriptor_is() {
        let unit = UnitName::parse("web@blue.container").unwrap();
        let instance = UnitName::parse("web@0-::1:80-::1:4000.container").unwrap();
        for descriptor in [
            StoredDescriptor::Listen { unit: unit.clone(), socket: "http".to_owned() },
            StoredDescriptor::Process { unit: unit.clone() },
            StoredDescriptor::Notifier { unit: unit.clone() },
            StoredDescriptor::Proxy { unit: unit.clone() },
            StoredDescriptor::Output { unit: unit.clone() },
            StoredDescriptor::Journal { unit: unit.clone() },
            StoredDescriptor::Record { unit: unit.clone() },
            StoredDescriptor::Process { unit: instance.clone() },
            StoredDescriptor::Connection { unit: instance, socket: "http".to_owned() },
            StoredDescriptor::Received,
            StoredDescriptor::Booted,
        ] {
            assert!(!descriptor.to_string().contains(':'), "systemd would refuse it");
            assert_eq!(descriptor.to_string().parse(), Ok(descriptor));
        }
        assert_eq!(StoredDescriptor::Process { unit }.to_string(), "pidfd/web@blue.container");
    }

    #[test]
    fn other_names_are_refused() {
        for name in
            ["stored", "pidfd/../x", "listen/web.container", "pidfd/web.container/x", "x/web.container"]
        {
            assert_eq!(name.parse::<StoredDescriptor>(), Err(UnknownName(name.to_owned())));
        }
    }
}
