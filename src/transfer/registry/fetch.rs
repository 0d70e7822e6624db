//! The fetcher: resolves one name, then serves the layout of that image to the worker.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::blob::{Delivery, Step};
use super::credentials::Keyring;
use super::document::{Found, Promise, Role, document};
use super::endpoint::endpoints;
use super::error::RegistryError;
use super::event::{Event, Events};
use super::parts::PartsDelivery;
use super::places::Places;
use super::retry::Patience;
use super::session::Resource;
use super::settings::Settings;
use crate::image::digest::Digest;
use crate::image::origin::signature_tag;
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::transfer::confine;
use crate::transfer::contract::{self, Answer};
use crate::transfer::request::{Parts, Request, Wanted};

/// Between two reports of one blob's progress.
const REPORT: Duration = Duration::from_millis(100);

/// Whether signatures of an image are of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// The policy asks for them.
    Fetch,
    /// Nobody does.
    Leave,
}

/// Who wants to see how a blob comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interest {
    /// It is a layer.
    People,
    /// It is small, and comes before layers.
    Nobody,
}

/// The fetcher at work.
struct Fetcher<W> {
    places: Places,
    top: Found,
    wanted: Signatures,
    /// Of each manifest that was asked for, the manifest of its signatures, where there are any.
    signatures: Mutex<Vec<(Digest, Found)>>,
    /// What is known of what is asked for: all else is layers, of documents that the store has.
    promises: Mutex<HashMap<Digest, Promise>>,
    events: Arc<Events<W>>,
}

/// Fetches what the worker at the other end of `channel` asks for, and tells of it. Returns when the worker has
/// ended. To be called while there is one thread.
///
/// # Errors
/// When the name leads nowhere; this is told as an event, too, as is what goes wrong later.
pub fn fetch<W: Write + Send + 'static>(
    name: &str,
    signatures: Signatures,
    paths: &Paths,
    channel: &OwnedFd,
    events: W,
) -> Result<(), RegistryError> {
    let events = Arc::new(Events::new(events));
    let result = resolve(name, signatures, paths, &events)
        .and_then(|fetcher| serve(&Arc::new(fetcher), channel).map_err(RegistryError::Worker));
    if let Err(error) = &result {
        events.tell(&Event::failed(error));
    }
    result
}

/// Reads what must be read from disk, gives up the disk, and asks.
fn resolve<W: Write>(
    name: &str,
    signatures: Signatures,
    paths: &Paths,
    events: &Arc<Events<W>>,
) -> Result<Fetcher<W>, RegistryError> {
    let reference = Reference::parse(name)?;
    let settings = Settings::load(paths).map_err(RegistryError::Settings)?;
    let endpoints =
        endpoints(&reference, &settings, &Keyring::from_environment(paths, settings.deadlines.helper))?;
    confine::confine_fetcher()?;
    let tell = |error: &RegistryError| events.tell(&Event::retrying(error));
    let (places, top) = Places::find(&reference, endpoints, settings.deadlines, tell)?;
    events.tell(&Event::Resolved { server: places.server(), digest: top.digest.clone() });
    let promises = Mutex::new(top.leads_to().into_iter().collect());
    let (digest, events) = (top.digest.clone(), Arc::clone(events));
    let fetcher = Fetcher { places, top, wanted: signatures, signatures: Mutex::default(), promises, events };
    fetcher.find_signatures(&digest)?;
    Ok(fetcher)
}

/// cosign keeps the signatures of an image beside it, under a tag that its digest makes.
fn signatures_of(digest: &Digest, places: &Places) -> Result<Option<Found>, RegistryError> {
    let resource = Resource::Manifest(signature_tag(digest));
    let patience = || Patience::new(places.deadlines.attempts);
    match places.anywhere(|session| patience().run(|_| {}, || document(session, &resource, None))) {
        Ok(found) => Ok(Some(found)),
        Err(RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn serve<W: Write + Send + 'static>(fetcher: &Arc<Fetcher<W>>, channel: &OwnedFd) -> io::Result<()> {
    while let Some((request, pipe)) = contract::receive(channel.as_fd())? {
        let own = Arc::clone(fetcher);
        std::thread::Builder::new().spawn(move || own.answer(request, pipe))?;
    }
    Ok(())
}

impl<W: Write> Fetcher<W> {
    fn answer(&self, request: Request, mut pipe: File) {
        let asked = match (digest_of(&request.name), request.wanted, request.name.as_str()) {
            (Some(digest), Wanted::Whole, _) => self.blob(digest, pipe),
            (Some(digest), Wanted::Parts(parts), _) => self.parts(&digest, parts, pipe, Interest::People),
            (Some(digest), Wanted::Tables(parts), _) => self.parts(&digest, parts, pipe, Interest::Nobody),
            (_, _, "oci-layout") => hand_over(pipe, br#"{"imageLayoutVersion":"1.0.0"}"#),
            (_, _, "index.json") => hand_over(pipe, self.index().to_string().as_bytes()),
            _ => Answer::Missing.write(&mut pipe).map_err(RegistryError::Worker),
        };
        // A worker that went away knows why.
        if let Err(error) = asked {
            self.tell_failure(&error);
        }
    }

    /// The index of a layout that holds this image.
    fn index(&self) -> serde_json::Value {
        let described = |found: &Found| {
            let Found { media_type, digest, bytes } = found;
            serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
        };
        let mut manifests = vec![described(&self.top)];
        manifests.extend(self.signatures().iter().map(|(signed, signatures)| {
            let mut descriptor = described(signatures);
            let tag = signature_tag(signed);
            descriptor["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": tag });
            descriptor
        }));
        serde_json::json!({ "schemaVersion": 2, "manifests": manifests })
    }

    fn blob(&self, digest: Digest, pipe: File) -> Result<(), RegistryError> {
        if let Some(bytes) = self.document(&digest) {
            return hand_over(pipe, &bytes);
        }
        let promise = self.promises().get(&digest).copied();
        let interest = match promise.map(|promise| promise.role) {
            Some(Role::Manifest) => return self.manifest(&digest, pipe),
            Some(Role::Config) => Interest::Nobody,
            Some(Role::Layer) | None => Interest::People,
        };
        let tell = self.teller(&digest, interest);
        let promised = promise.map(|promise| promise.size);
        let mut delivery = Delivery::new(digest.clone(), promised, pipe, &self.places.deadlines, tell);
        match self.places.anywhere(|session| delivery.fetch(session)) {
            Ok(()) => self.finished(&digest, interest),
            Err(error) => {
                // Before the worker can know of it, so that people hear the reason first.
                self.tell_failure(&error);
                delivery.fail().map_err(RegistryError::Worker)?;
            }
        }
        Ok(())
    }

    /// That parts cannot be had is no failure: the worker asks for the whole then.
    fn parts(
        &self,
        digest: &Digest,
        parts: Parts,
        pipe: File,
        interest: Interest,
    ) -> Result<(), RegistryError> {
        let tell = self.teller(digest, interest);
        let mut delivery = PartsDelivery::new(digest.clone(), parts, pipe, &self.places.deadlines, tell);
        match self.places.anywhere(|session| delivery.fetch(session)) {
            Ok(()) => self.finished(digest, interest),
            Err(_) => delivery.fail().map_err(RegistryError::Worker)?,
        }
        Ok(())
    }

    fn manifest(&self, digest: &Digest, mut pipe: File) -> Result<(), RegistryError> {
        let resource = Resource::Manifest(digest.to_string());
        let tell = |error: &RegistryError| self.events.tell(&Event::retrying(error));
        let found = self.places.anywhere(|session| {
            Patience::new(self.places.deadlines.attempts)
                .run(tell, || document(session, &resource, Some(digest)))
        });
        // Its signatures come before it, so that the layout has them when the worker looks for them.
        match found.and_then(|found| self.find_signatures(digest).map(|()| found)) {
            Ok(found) => {
                self.promises().extend(found.leads_to());
                hand_over(pipe, &found.bytes)
            }
            Err(error) => {
                self.tell_failure(&error);
                Answer::Failed.write(&mut pipe).map_err(RegistryError::Worker)
            }
        }
    }

    /// Finds the signatures of a manifest when somebody asks for them: they may be those of an index, or of what it
    /// leads to.
    fn find_signatures(&self, digest: &Digest) -> Result<(), RegistryError> {
        if self.wanted == Signatures::Leave || self.signatures().iter().any(|(signed, _)| signed == digest) {
            return Ok(());
        }
        if let Some(found) = signatures_of(digest, &self.places)? {
            self.promises().extend(found.leads_to());
            self.signatures().push((digest.clone(), found));
        }
        Ok(())
    }

    /// A document that is here already.
    fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        let signatures = self.signatures();
        let mut documents = std::iter::once(&self.top).chain(signatures.iter().map(|(_, found)| found));
        documents.find(|found| found.digest == *digest).map(|found| found.bytes.clone())
    }

    fn signatures(&self) -> MutexGuard<'_, Vec<(Digest, Found)>> {
        self.signatures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn promises(&self) -> MutexGuard<'_, HashMap<Digest, Promise>> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_failure(&self, error: &RegistryError) {
        if !matches!(error, RegistryError::Worker(_)) {
            self.events.tell(&Event::failed(error));
        }
    }

    /// Tells of the steps of a blob.
    fn teller(&self, blob: &Digest, interest: Interest) -> impl Fn(Step<'_>) {
        let shown = Mutex::new(Instant::now());
        move |step| match (interest, step) {
            (_, Step::Retry(error)) => self.events.tell(&Event::retrying(error)),
            (Interest::Nobody, _) => {}
            (_, Step::Begin(size)) => self.events.tell(&Event::Started { blob: blob.clone(), size }),
            (_, Step::Done(done)) => {
                let mut last = shown.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= REPORT {
                    *last = Instant::now();
                    self.events.tell(&Event::Progress { blob: blob.clone(), done });
                }
            }
        }
    }

    fn finished(&self, blob: &Digest, interest: Interest) {
        if interest == Interest::People {
            self.events.tell(&Event::Finished { blob: blob.clone() });
        }
    }
}

fn hand_over(mut pipe: File, bytes: &[u8]) -> Result<(), RegistryError> {
    let written = Answer::Found(bytes.len() as u64).write(&mut pipe).and_then(|()| pipe.write_all(bytes));
    written.map_err(RegistryError::Worker)
}

/// The digest in `blobs/ALGORITHM/DIGITS`.
fn digest_of(name: &str) -> Option<Digest> {
    Digest::parse(&name.strip_prefix("blobs/")?.replacen('/', ":", 1)).ok()
}
