//! Images before launches: whether the store has what a unit wants, and pulls of what it has not; how transfers go on
//! and end.

use super::Manager;
use super::boot::Network;
use super::control::failure;
use super::errand::{Errand, Queue, Refused, Signals, Slots, Told};
use super::handle::Notice;
use crate::image::reference::Reference;
use crate::manager::machine::{Event, Failure};
use crate::manager::transfer::{Change, Joined, Party, Transfers, Waiting};
use crate::paths::Paths;
use crate::store::{Store, StoreError};
use crate::transfer::Report;
use crate::transfer::errand::Fault;
use crate::transfer::order::{Order, PullOrder};
use crate::transfer::registry::{Meaning, Settings};
use crate::unit::diagnostic::Style;
use crate::unit::model::{Container, ImageSource, PullPolicy, Unit};
use crate::unit::name::UnitName;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// Pulls of the manager: what is known of them, and how they are reached.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    pub(super) transfers: Transfers,
    pub(super) signals: BTreeMap<u32, Rc<Signals>>,
    slots: Rc<Slots>,
    pub(super) network: Rc<Network>,
}

/// What is told of a pull.
#[derive(Debug, Clone)]
pub enum TransferNotice {
    /// It is wanted: an image of this name, if that is known.
    New(String),
    /// Something of it changed.
    Changed(Change),
    /// The image is in the store.
    Finished(Report),
    /// It is not, and why.
    Failed(String),
    /// Nobody waits for it any more.
    Canceled,
}

/// Whose wish a start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Somebody waits for a job.
    Somebody,
    /// A restart by the policy, or a connection: it may come again and again.
    Nobody,
}

/// What is to be done about an image.
enum Need {
    /// It is there.
    Nothing,
    /// It is to be pulled.
    Pull(Reference),
}

/// The store as it reads a name: a short one by the host's settings of now. While those are wrong it is one of
/// Docker Hub, if such a one is there; nothing is pulled.
pub(super) fn naming(store: &Store, paths: &Paths, name: &str) -> Store {
    if Reference::parse(name).is_ok() {
        return store.clone();
    }
    let names = Settings::load(paths).map(|settings| settings.names).unwrap_or_default();
    store.clone().with_short_names(names)
}

/// Why the image of a unit is not in the store, which nothing is going to change.
pub(super) fn missing(unit: &Unit, container: &Container, error: &StoreError) -> Failure {
    let file = unit.fragment.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let message = match (&container.image, container.pull, error) {
        (ImageSource::Reference(name), PullPolicy::Never, StoreError::NoImage(_)) => format!(
            "image: {name} is not in the store, and {file} says pull = \"never\": run \"sampanctl pull {name}\""
        ),
        _ => format!("image: {error}"),
    };
    failure(message, number_of(error))
}

/// What is not in the store is missing; of all else the kernel says why.
pub(super) fn number_of(error: &StoreError) -> i32 {
    let errno = match error {
        StoreError::Io { cause, .. } => cause.raw_os_error(),
        _ => None,
    };
    errno.unwrap_or(libc::ENOENT)
}

impl Manager {
    /// The pulls that run.
    pub fn transfers(&self) -> &Transfers {
        &self.pulls.transfers
    }

    pub(super) fn seek_image(&mut self, unit: &UnitName, run: u64) {
        let Some(managed) = self.machine.unit(unit) else { return };
        // A restart by the policy has a job too.
        let asked_for = managed.job.is_some() && managed.restarts == 0;
        let wish = if asked_for { Wish::Somebody } else { Wish::Nobody };
        let Some(container) = managed.container() else { return };
        let ImageSource::Reference(name) = &container.image else { return };
        match self.need(name, container.pull) {
            Ok(Need::Nothing) => self.later(Event::ImageReady { unit: unit.clone(), run, result: Ok(()) }),
            Ok(Need::Pull(image)) if !self.pause(&image, wish).is_zero() && self.goes_without(unit) => {
                self.later(Event::ImageReady { unit: unit.clone(), run, result: Ok(()) });
            }
            Ok(Need::Pull(image)) => self.pull(&image, Waiting { unit: unit.clone(), run }, wish),
            Err(failure) => self.later(Event::ImageReady { unit: unit.clone(), run, result: Err(failure) }),
        }
    }

    fn need(&self, name: &str, policy: PullPolicy) -> Result<Need, Failure> {
        let store = naming(&self.store, &self.paths, name);
        let found = match store.resolve(name) {
            Ok(_) => true,
            Err(StoreError::NoImage(_)) => false,
            Err(error) => return Err(failure(format!("image: {error}"), number_of(&error))),
        };
        if policy == PullPolicy::Never || found && policy == PullPolicy::Missing {
            return Ok(Need::Nothing);
        }
        match self.source(name, &store) {
            // What a digest pins is never newer.
            Ok(image) if found && policy == PullPolicy::Newer && image.digest().is_some() => {
                Ok(Need::Nothing)
            }
            Ok(image) => Ok(Need::Pull(image)),
            Err(reason) if found && policy == PullPolicy::Newer => {
                tracing::warn!("{name}: {reason}; what the store has is taken");
                Ok(Need::Nothing)
            }
            Err(reason) if found => Err(failure(format!("pull: {reason}"), libc::ENOENT)),
            Err(reason) => {
                Err(failure(format!("image: {name} is not in the store, nor pulled: {reason}"), libc::ENOENT))
            }
        }
    }

    /// The full name of what a pull of this name gets, or why there is none.
    ///
    /// # Errors
    /// When the name may mean several images or none, or the settings of registries are wrong.
    pub fn pull_source(&self, name: &str) -> Result<Reference, String> {
        self.source(name, &naming(&self.store, &self.paths, name))
    }

    /// The full name of what is to be pulled: the one by which the store has it, or what a pull of it would get.
    fn source(&self, name: &str, store: &Store) -> Result<Reference, String> {
        let known = store.name(name).map_err(|error| error.to_string())?.map(|known| known.to_string());
        let settings = Settings::load(&self.paths).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(|fault| fault.render(Style::Plain)).collect();
            format!("the settings of registries are wrong\n{}", faults.join("\n"))
        })?;
        match settings.meaning(known.as_deref().unwrap_or(name)).map_err(|error| error.to_string())? {
            Meaning::One(reference) => Ok(reference),
            Meaning::Several(references) => {
                let all: Vec<String> = references.iter().map(ToString::to_string).collect();
                Err(format!("\"{name}\" may mean {}: write the one that you mean", all.join(" or ")))
            }
        }
    }

    fn pull(&mut self, image: &Reference, waiting: Waiting, wish: Wish) {
        tracing::info!(SAMPAN_UNIT = %waiting.unit, "{}: Pulling {image}.", waiting.unit);
        self.later(Event::Pulling { unit: waiting.unit.clone(), run: waiting.run });
        let order = Order::Pull(PullOrder::new(image.clone()));
        match self.pulls.transfers.join(&order, Party::Run(waiting)) {
            Joined::New(id) => {
                self.begin_transfer(id, order, None, Queue::Units, self.pause(image, wish));
            }
            Joined::Shared(id) => {
                let Some(signals) = self.pulls.signals.get(&id) else { return };
                signals.needed.notify_one();
                if wish == Wish::Somebody {
                    signals.hurry.notify_one();
                }
            }
        }
    }

    /// How long to wait before registries are asked for an image that they did not give.
    fn pause(&self, image: &Reference, wish: Wish) -> Duration {
        match wish {
            Wish::Somebody => Duration::ZERO,
            Wish::Nobody => self.pulls.transfers.pause(image, super::now().boottime),
        }
    }

    pub(super) fn begin_transfer(
        &mut self,
        id: u32,
        order: Order,
        source: Option<OwnedFd>,
        queue: Queue,
        pause: Duration,
    ) {
        let signals = Rc::new(Signals::default());
        self.pulls.signals.insert(id, signals.clone());
        let image = order.image().map(ToString::to_string).unwrap_or_default();
        self.tell(Notice::Transfer(id, TransferNotice::New(image)));
        let errand = Errand {
            id,
            order,
            source,
            queue,
            paths: self.paths.clone(),
            systemd: self.systemd.clone(),
            slots: self.pulls.slots.clone(),
            network: self.pulls.network.clone(),
            signals,
            notes: self.notes.clone(),
        };
        drop(tokio::task::spawn_local(errand.run(pause)));
    }

    pub(super) fn leave_image(&mut self, unit: &UnitName, run: u64) {
        let waiting = Waiting { unit: unit.clone(), run };
        let Some(abandoned) = self.pulls.transfers.leave(&waiting) else { return };
        self.canceled(abandoned.id, &abandoned.order);
    }

    fn canceled(&mut self, id: u32, order: &Order) {
        if let Some(signals) = self.pulls.signals.remove(&id) {
            signals.cancel.notify_one();
        }
        tracing::info!("{order}: canceled.");
        self.tell(Notice::Transfer(id, TransferNotice::Canceled));
    }

    /// Ends a pull, and with it the starts that wait for it; whether there was one.
    pub fn cancel_transfer(&mut self, id: u32) -> bool {
        let Some((order, waiting)) = self.pulls.transfers.end(id) else { return false };
        self.canceled(id, &order);
        for Waiting { unit, run } in waiting {
            let canceled = failure(format!("{order}: canceled"), libc::ECANCELED);
            self.event(Event::ImageReady { unit, run, result: Err(canceled) });
        }
        true
    }

    /// Takes in what a pull tells. One that was abandoned is not heard any more.
    pub(super) fn take_transfer(&mut self, id: u32, told: Told) {
        match told {
            Told::Began => self.pulls.transfers.began(id),
            Told::Happened(happening) => {
                let change = self.pulls.transfers.tell(id, happening);
                self.transfer_changed(id, change);
            }
            Told::Stepped(step) => {
                let change = self.pulls.transfers.step(id, step);
                self.transfer_changed(id, change);
            }
            Told::Over(result) => {
                self.pulls.signals.remove(&id);
                let Some((order, waiting)) = self.pulls.transfers.end(id) else { return };
                match (order, result) {
                    (Order::Pull(order), Ok(report)) => self.pulled(id, &order.image, waiting, report),
                    (Order::Pull(order), Err(refused)) => self.refused(id, &order.image, waiting, &refused),
                    (order @ Order::Import(_), result) => self.imported(id, &order, result),
                }
            }
        }
    }

    fn transfer_changed(&self, id: u32, change: Option<Change>) {
        let Some(change) = change else { return };
        if let Change::Retrying(reason) = &change {
            tracing::info!("{reason}; trying again.");
        }
        self.tell(Notice::Transfer(id, TransferNotice::Changed(change)));
    }

    fn imported(&self, id: u32, order: &Order, result: Result<Report, Refused>) {
        let notice = match result {
            Ok(report) => {
                report.images.iter().for_each(|image| tracing::info!("{order}: has brought {}.", image.id));
                TransferNotice::Finished(report)
            }
            Err(Refused { reason, .. }) => {
                tracing::info!("{order}: {reason}");
                TransferNotice::Failed(reason)
            }
        };
        self.tell(Notice::Transfer(id, notice));
    }

    fn pulled(&mut self, id: u32, image: &Reference, waiting: Vec<Waiting>, report: Report) {
        for imported in &report.images {
            tracing::info!("Pulled {image} ({}).", imported.id);
            imported.notices.iter().for_each(|notice| tracing::info!("{image}: {notice}"));
        }
        self.pulls.transfers.succeeded(image);
        self.tell(Notice::Transfer(id, TransferNotice::Finished(report)));
        for waiting in waiting {
            self.go_on(image, waiting);
        }
    }

    /// Launches what waited for an image, unless its unit has come to name another one meanwhile.
    fn go_on(&mut self, pulled: &Reference, waiting: Waiting) {
        let container = self.machine.unit(&waiting.unit).and_then(|managed| managed.container());
        let need = match container.map(|container| (&container.image, container.pull)) {
            Some((ImageSource::Reference(name), PullPolicy::Never)) => self.need(name, PullPolicy::Never),
            Some((ImageSource::Reference(name), _)) => self.need(name, PullPolicy::Missing),
            _ => Ok(Need::Nothing),
        };
        let Waiting { unit, run } = waiting.clone();
        match need {
            Ok(Need::Pull(image)) if image != *pulled => self.pull(&image, waiting, Wish::Somebody),
            Ok(_) => self.event(Event::ImageReady { unit, run, result: Ok(()) }),
            Err(failure) => self.event(Event::ImageReady { unit, run, result: Err(failure) }),
        }
    }

    fn refused(&mut self, id: u32, image: &Reference, waiting: Vec<Waiting>, refused: &Refused) {
        let reason = format!("{image}: {}", refused.reason);
        // Users see at once that it failed, and nothing tries again for them.
        if !waiting.is_empty() {
            self.pulls.transfers.failed(image, &reason, super::now().boottime);
        }
        self.tell(Notice::Transfer(id, TransferNotice::Failed(reason.clone())));
        for Waiting { unit, run } in waiting {
            let result = if refused.fault == Fault::Registry && self.goes_without(&unit) {
                tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {reason}; what the store has is taken");
                Ok(())
            } else {
                Err(failure(format!("pull: {reason}"), 0))
            };
            self.event(Event::ImageReady { unit, run, result });
        }
    }

    /// Whether a unit takes what the store has when no registry gives it anything newer.
    fn goes_without(&self, unit: &UnitName) -> bool {
        let Some(container) = self.machine.unit(unit).and_then(|managed| managed.container()) else {
            return false;
        };
        let ImageSource::Reference(name) = &container.image else { return false };
        container.pull == PullPolicy::Newer && naming(&self.store, &self.paths, name).resolve(name).is_ok()
    }
}
