//! `pass = "proxy"`: moves bytes between the sockets of a unit and a server that listens in a network of its own.
//!
//! One process with one thread for each unit whose container is there. It runs in the container's control group and
//! network, has no privileges, and dies and freezes with the container. The listening sockets are the manager's, which
//! holds them when there is no container. Clients are accepted only while the server listens ([`target`]); until then
//! they wait in the kernel's queue. `listener` takes connections and `receiver` datagrams, `connection` and `direction`
//! move bytes, `confine` is what all this runs behind.
#![forbid(unsafe_code)]

pub mod configuration;
mod confine;
mod connection;
mod direction;
pub mod header;
mod listener;
mod notice;
mod receiver;
mod shared;
mod sources;
mod table;
mod target;
mod turns;
mod watch;

pub use notice::Notice;
pub use turns::{ProxyError, run};
