//! Launching: a plan is data before it is action. [`plan`] makes it from a unit, an image's configuration and
//! facts of the host; [`spawn`] hands it to a fresh `sampan-launch`; [`run`] performs it there.
//!
//! The launcher is three processes (see [`protocol`]). A enters the namespaces of the container and gives birth to B
//! in the control group of its scope (`birthplace`). Its helper stays on the host and does what needs the host's
//! privilege (`outside`, `host`): id maps and the mounts that come from the host, each made as a detached tree that B
//! is given. B is process 1 of the container: it mounts the rest in its own user namespace (`inside`), gives up its
//! privileges (`execute`) and becomes the payload.
#![forbid(unsafe_code)]

mod birthplace;
pub mod capability;
mod channel;
mod credentials;
mod device;
mod execute;
mod failure;
mod filter;
mod hint;
mod host;
pub mod identity;
mod idmap;
mod init;
mod inside;
pub mod journal;
mod label;
mod moment;
mod mounts;
mod named;
mod outside;
pub mod plan;
pub mod profile;
pub mod protocol;
mod root;
pub mod run;
mod scheduling;
mod separation;
mod settings;
mod sized;
pub mod spawn;
mod standard;
pub mod status;
pub mod step;
pub mod system;
mod target;
mod user;
mod work;
