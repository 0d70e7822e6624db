//! The places of one image in turn: who has its name, and who else may have its parts.

use std::io;
use std::iter::once;
use std::sync::{Arc, Mutex, PoisonError};

use super::document::{Found, document};
use super::endpoint::Endpoint;
use super::error::{Failure, RegistryError};
use super::retry::Patience;
use super::session::{Resource, Session};
use super::settings::Deadlines;
use crate::image::reference::Reference;

/// All endpoints of an image, with a session for each that was asked.
#[derive(Debug)]
pub(super) struct Places {
    endpoints: Vec<Endpoint>,
    sessions: Vec<Mutex<Option<Arc<Session>>>>,
    /// That which had the name.
    first: usize,
    pub(super) deadlines: Deadlines,
}

impl Places {
    /// Asks each endpoint for a name, until one has it. `tell` hears of what fails on the way.
    ///
    /// # Errors
    /// When none has it.
    pub(super) fn find(
        reference: &Reference,
        endpoints: Vec<Endpoint>,
        deadlines: Deadlines,
        tell: impl Fn(&RegistryError),
    ) -> Result<(Self, Found), RegistryError> {
        let mut earlier = Vec::new();
        for (first, endpoint) in endpoints.iter().enumerate() {
            let is_last = first + 1 == endpoints.len();
            // A mirror that is down is not waited for.
            let patience = Patience::new(if is_last { deadlines.attempts } else { 1 });
            let asked = patience.run(&tell, || {
                let session = endpoint.open(&deadlines)?;
                let found = document(&session, &wanted(reference), reference.digest())?;
                Ok((session, found))
            });
            match asked {
                Ok((session, found)) => {
                    let mut sessions: Vec<_> = endpoints.iter().map(|_| Mutex::new(None)).collect();
                    sessions[first] = Mutex::new(Some(Arc::new(session)));
                    return Ok((Self { endpoints, sessions, first, deadlines }, found));
                }
                Err(error) if is_last => return Err(everywhere(earlier, error)),
                Err(error) => {
                    tell(&error);
                    earlier.push(error.to_string());
                }
            }
        }
        Err(RegistryError::NoRegistry(reference.clone()))
    }

    /// The server that had the name.
    pub(super) fn server(&self) -> String {
        self.session(self.first).map(|session| session.server()).unwrap_or_default()
    }

    /// Tries the endpoint that had the name, then the others.
    ///
    /// # Errors
    /// What the first said.
    pub(super) fn anywhere<T>(
        &self,
        mut attempt: impl FnMut(&Session) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let others = (0..self.endpoints.len()).filter(|index| *index != self.first);
        let mut reason = None;
        for index in once(self.first).chain(others) {
            match self.session(index).map_err(Failure::into_error).and_then(|session| attempt(&session)) {
                Ok(done) => return Ok(done),
                Err(error @ RegistryError::Worker(_)) => return Err(error),
                // What the endpoint said that had the name tells most.
                Err(error) => reason = reason.or(Some(error)),
            }
        }
        Err(reason.unwrap_or(RegistryError::Worker(io::ErrorKind::NotFound.into())))
    }

    fn session(&self, index: usize) -> Result<Arc<Session>, Failure> {
        let mut slot = self.sessions[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = slot.as_ref() {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.endpoints[index].open(&self.deadlines)?);
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }
}

fn wanted(reference: &Reference) -> Resource {
    let digest = reference.digest().map(ToString::to_string);
    Resource::Manifest(digest.unwrap_or_else(|| reference.tag().unwrap_or("latest").to_owned()))
}

/// One error that tells what every endpoint said.
fn everywhere(earlier: Vec<String>, last: RegistryError) -> RegistryError {
    match earlier.is_empty() {
        true => last,
        false => RegistryError::Everywhere { earlier, last: Box::new(last) },
    }
}
