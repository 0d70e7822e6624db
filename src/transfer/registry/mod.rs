//! Images from registries, by the OCI distribution specification.
//!
//! Two processes share the work, so that who talks to strangers cannot write the store, and who writes the
//! store cannot talk to strangers. The *fetcher* ([`fetch`]) has the network and nothing else: it reads
//! settings and credentials, gives up the disk, resolves the name and serves an OCI image layout. The import
//! worker has the store and no network, and sees that layout as any other source; a layer it knows is never
//! asked for. [`Pull`] starts both and joins them by a socket pair ([`super::contract`]). The worker believes
//! nothing: every digest and size is checked there.
//!
//! From a name to bytes: [`Settings::meaning`] makes a full name of a short one, `endpoint` lists where it may
//! be had (mirrors, then the registry), `places` asks them in turn, `session` asks one of them, with a `token`
//! where it must, `client` sends single requests, and `blob` and `parts` stream with patience. Credentials are bound to
//! scheme, host and port: no redirect sees them.

mod blob;
mod challenge;
mod client;
mod credentials;
mod document;
mod endpoint;
mod error;
mod event;
mod fetch;
mod helper;
mod origin;
mod parts;
mod places;
mod proxy;
mod pull;
mod retry;
mod secret;
mod session;
mod settings;
mod tls;
mod token;

pub use crate::image::short_name::{Meaning, ShortNameError};
pub use error::RegistryError;
pub use event::Event;
pub use fetch::{Signatures, fetch};
pub use pull::{Order, Pull, PullError};
pub use settings::Settings;
