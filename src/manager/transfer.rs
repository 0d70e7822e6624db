//! Pulls that run, who wants them and how far they are: one for each image, however many units and users want it.

use crate::image::digest::Digest;
use crate::image::reference::Reference;
use crate::transfer::Step;
use crate::transfer::order::Order;
use crate::transfer::registry::Event;
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The longest pause before a registry that gave nothing is asked again by itself.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Pulls that one user may have asked for, and all users together.
const OF_USER_MAX: usize = 16;
const OF_ALL_MAX: usize = 256;

/// All of them, by their numbers.
#[derive(Debug, Default)]
pub struct Transfers {
    running: BTreeMap<u32, Transfer>,
    last: u32,
    failures: BTreeMap<Reference, Failures>,
}

/// Failures of an image in a row.
#[derive(Debug)]
struct Failures {
    count: u32,
    /// Why the last of them was one.
    reason: String,
    /// The last of them, on CLOCK_BOOTTIME.
    at: Duration,
}

impl Failures {
    /// When the pause after them is over.
    fn over(&self) -> Duration {
        let seconds = 1_u64.checked_shl(self.count.saturating_sub(1)).unwrap_or(u64::MAX);
        self.at.saturating_add(Duration::from_secs(seconds).min(PAUSE_MAX))
    }

    /// When they are no longer in a row with another one: units take their time between two attempts, too.
    fn forgotten(&self) -> Duration {
        self.over().saturating_add(PAUSE_MAX)
    }
}

/// One pull.
#[derive(Debug)]
pub struct Transfer {
    /// Its number.
    pub id: u32,
    /// What is brought.
    pub order: Order,
    /// How far it is.
    pub stage: Stage,
    /// The server that has the image, once it is known.
    pub server: String,
    /// What failed last, and is tried again; empty while all is well.
    pub trouble: String,
    /// Layers that are fetched, or have been, by their digests; parts of a source that are read.
    pub layers: BTreeMap<String, Layer>,
    waiting: Vec<Waiting>,
    /// Users who asked for it over the bus. It goes on when they leave.
    users: BTreeSet<u32>,
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Others come first, or it failed before and pauses.
    Waiting,
    /// Its processes run.
    Running,
}

/// Bytes of a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// Fetched so far.
    pub done: u64,
    /// All.
    pub total: u64,
}

/// What changed of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A server has the image, under a manifest of this digest.
    Resolved {
        /// Scheme, host and port.
        server: String,
        /// Of the manifest or index.
        digest: Digest,
    },
    /// Bytes of a layer have come: none at its begin, all at its end.
    Layer(String, Layer),
    /// An image of so many entries is written.
    Writing(u64),
    /// Something failed and is tried again, or elsewhere.
    Retrying(String),
}

/// A run that waits for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The unit.
    pub unit: UnitName,
    /// Its run.
    pub run: u64,
}

/// Who wants an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// A run, for as long as it waits.
    Run(Waiting),
    /// A user, by the number that the bus says.
    User(u32),
}

/// Why a user gets no more pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// The user has so many.
    #[error("{OF_USER_MAX} pulls of user {0} are under way already: wait until one is over, or cancel one.")]
    OfUser(u32),
    /// All users together have so many.
    #[error("{OF_ALL_MAX} pulls are under way already: wait until one is over, or cancel one.")]
    OfAll,
}

/// What became of a wish for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// A pull has to begin.
    New(u32),
    /// One is under way.
    Shared(u32),
}

impl Transfer {
    /// The image; empty where only the source names it.
    pub fn image(&self) -> String {
        self.order.image().map(ToString::to_string).unwrap_or_default()
    }

    /// The units that wait for it.
    pub fn units(&self) -> impl Iterator<Item = &UnitName> {
        self.waiting.iter().map(|waiting| &waiting.unit)
    }

    /// Bytes of all layers that are known of: fetched so far, and all.
    pub fn bytes(&self) -> Layer {
        self.layers.values().fold(Layer::default(), |sum, layer| Layer {
            done: sum.done.saturating_add(layer.done),
            total: sum.total.saturating_add(layer.total),
        })
    }
}

impl Transfer {
    fn serve(&mut self, party: Party) {
        match party {
            Party::Run(waiting) => self.waiting.push(waiting),
            Party::User(user) => drop(self.users.insert(user)),
        }
    }

    /// A part begins, of a size that nobody may know.
    fn begin(&mut self, part: String, total: u64) -> Change {
        let layer = Layer { done: 0, total };
        self.layers.insert(part.clone(), layer);
        self.trouble.clear();
        Change::Layer(part, layer)
    }

    fn advance(&mut self, part: String, done: u64) -> Option<Change> {
        let layer = self.layers.get_mut(&part)?;
        layer.done = if layer.total == 0 { done } else { done.min(layer.total) };
        self.trouble.clear();
        Some(Change::Layer(part, *layer))
    }

    /// All of a part has come, however much that was.
    fn finish(&mut self, part: String) -> Option<Change> {
        let layer = self.layers.get_mut(&part)?;
        layer.total = layer.total.max(layer.done);
        layer.done = layer.total;
        self.trouble.clear();
        Some(Change::Layer(part, *layer))
    }
}

impl Transfers {
    /// All pulls, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = &Transfer> {
        self.running.values()
    }

    /// One pull.
    pub fn get(&self, id: u32) -> Option<&Transfer> {
        self.running.get(&id)
    }

    /// The pull that a unit waits for.
    pub fn of(&self, unit: &UnitName) -> Option<&Transfer> {
        self.all().find(|transfer| transfer.units().any(|other| other == unit))
    }

    /// Has somebody have an image.
    pub fn join(&mut self, order: &Order, party: Party) -> Joined {
        let shared = self.running.values_mut().find(|transfer| order.is_met_by(&transfer.order));
        if let Some(transfer) = shared {
            transfer.serve(party);
            return Joined::Shared(transfer.id);
        }
        let id = self.number();
        let trouble = match order {
            Order::Pull(order) => self.failures.get(&order.image).map(|failures| failures.reason.clone()),
            Order::Import(_) => None,
        };
        let mut transfer = Transfer {
            id,
            order: order.clone(),
            stage: Stage::Waiting,
            server: String::new(),
            trouble: trouble.unwrap_or_default(),
            layers: BTreeMap::new(),
            waiting: Vec::new(),
            users: BTreeSet::new(),
        };
        transfer.serve(party);
        self.running.insert(id, transfer);
        Joined::New(id)
    }

    /// The number of another transfer.
    pub fn number(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        self.last
    }

    /// Whether a user may ask for one more pull; root has as many as all.
    ///
    /// # Errors
    /// When not.
    pub fn permits(&self, user: u32) -> Result<(), TooMany> {
        let of_users = || self.all().filter(|transfer| !transfer.users.is_empty());
        let of_user = of_users().filter(|transfer| transfer.users.contains(&user)).count();
        if user != 0 && of_user >= OF_USER_MAX {
            return Err(TooMany::OfUser(user));
        }
        if of_users().count() < OF_ALL_MAX { Ok(()) } else { Err(TooMany::OfAll) }
    }

    /// Has a run wait no longer. The answer is the pull that nobody waits for any more, which is forgotten.
    pub fn leave(&mut self, waiting: &Waiting) -> Option<Transfer> {
        let transfer = self.running.values_mut().find(|transfer| transfer.waiting.contains(waiting))?;
        transfer.waiting.retain(|other| other != waiting);
        let id = transfer.id;
        let is_wanted = !transfer.waiting.is_empty() || !transfer.users.is_empty();
        if is_wanted { None } else { self.running.remove(&id) }
    }

    /// The processes of a pull run.
    pub fn began(&mut self, id: u32) {
        if let Some(transfer) = self.running.get_mut(&id) {
            transfer.stage = Stage::Running;
        }
    }

    /// Takes in what happened to a pull, and answers with what is worth telling of it.
    pub fn tell(&mut self, id: u32, event: Event) -> Option<Change> {
        let transfer = self.running.get_mut(&id)?;
        match event {
            Event::Resolved { server, digest } => {
                transfer.server.clone_from(&server);
                transfer.trouble.clear();
                Some(Change::Resolved { server, digest })
            }
            Event::Started { blob, size } => Some(transfer.begin(blob.to_string(), size)),
            Event::Progress { blob, done } => transfer.advance(blob.to_string(), done),
            Event::Finished { blob } => transfer.finish(blob.to_string()),
            Event::Retrying { reason } => {
                transfer.trouble.clone_from(&reason);
                Some(Change::Retrying(reason))
            }
            // The end itself tells it.
            Event::Failed { .. } => None,
        }
    }

    /// The same of an import.
    pub fn step(&mut self, id: u32, step: Step) -> Option<Change> {
        let transfer = self.running.get_mut(&id)?;
        match step {
            Step::Begun { part, size } => Some(transfer.begin(part, size.unwrap_or_default())),
            Step::Advanced { part, done } => transfer.advance(part, done),
            Step::Ended { part } => transfer.finish(part),
            Step::Committing { entries } => Some(Change::Writing(entries)),
        }
    }

    /// Forgets a pull that is over; who waited for it.
    pub fn end(&mut self, id: u32) -> Option<(Order, Vec<Waiting>)> {
        self.running.remove(&id).map(|transfer| (transfer.order, transfer.waiting))
    }

    /// Notes that no registry gave an image to units.
    pub fn failed(&mut self, image: &Reference, reason: &str, now: Duration) {
        self.failures.retain(|_, failures| now <= failures.forgotten());
        let count = self.failures.get(image).map_or(0, |failures| failures.count).saturating_add(1);
        self.failures.insert(image.clone(), Failures { count, reason: reason.to_owned(), at: now });
    }

    /// Notes that an image came.
    pub fn succeeded(&mut self, image: &Reference) {
        self.failures.remove(image);
    }

    /// How long to leave registries alone, where nobody asked for the image: 1 second after the first failure,
    /// then twice as long each time.
    pub fn pause(&self, image: &Reference, now: Duration) -> Duration {
        self.failures.get(image).map_or(Duration::ZERO, |failures| failures.over().saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::Platform;
    use crate::store::Scrutiny;
    use crate::transfer::order::PullOrder;

    fn image(name: &str) -> Reference {
        Reference::parse(&format!("a.example/{name}")).unwrap()
    }

    fn order(name: &str) -> Order {
        Order::Pull(PullOrder::new(image(name)))
    }

    fn waiting(unit: &str, run: u64) -> Waiting {
        Waiting { unit: UnitName::parse(unit).unwrap(), run }
    }

    fn run(waiting: &Waiting) -> Party {
        Party::Run(waiting.clone())
    }

    #[test]
    fn units_that_want_one_image_share_its_pull() {
        let mut transfers = Transfers::default();
        let (web, api) = (waiting("web.container", 1), waiting("api.container", 4));
        let Joined::New(id) = transfers.join(&order("web"), run(&web)) else { panic!("it is the first") };
        assert_eq!(transfers.join(&order("web"), run(&api)), Joined::Shared(id));
        assert!(matches!(transfers.join(&order("db"), run(&waiting("db.container", 1))), Joined::New(_)));
        assert_eq!(transfers.of(&api.unit).unwrap().id, id);
        assert!(transfers.leave(&web).is_none(), "another one still waits");
        assert!(transfers.leave(&web).is_none(), "it has left already");
        assert_eq!(transfers.leave(&api).unwrap().id, id);
        assert!(transfers.get(id).is_none());
        assert!(matches!(transfers.join(&order("web"), run(&api)), Joined::New(new) if new != id));
    }

    #[test]
    fn what_a_user_asked_for_goes_on_without_units() {
        let mut transfers = Transfers::default();
        let web = waiting("web.container", 1);
        let Joined::New(id) = transfers.join(&order("web"), Party::User(1000)) else { panic!() };
        assert_eq!(transfers.join(&order("web"), run(&web)), Joined::Shared(id));
        assert!(transfers.leave(&web).is_none());
        assert!(transfers.get(id).is_some());
        let closely = Order::Pull(PullOrder { scrutiny: Scrutiny::Content, ..PullOrder::new(image("web")) });
        let Joined::New(other) = transfers.join(&closely, Party::User(1000)) else {
            panic!("it asks for more")
        };
        assert_ne!(other, id);
        transfers.end(id);
        assert_eq!(transfers.join(&order("web"), run(&web)), Joined::Shared(other), "it does more");
        let arm =
            PullOrder { platform: Some(Platform::parse("arm64").unwrap()), ..PullOrder::new(image("web")) };
        assert!(
            matches!(transfers.join(&Order::Pull(arm), run(&web)), Joined::New(_)),
            "it is another image"
        );
    }

    #[test]
    fn users_have_a_bounded_number_of_pulls() {
        let mut transfers = Transfers::default();
        let mut ask = |user: u32, name: String| {
            transfers.permits(user)?;
            transfers.join(&order(&name), Party::User(user));
            Ok(())
        };
        for number in 0..OF_USER_MAX {
            assert_eq!(ask(1000, format!("web{number}")), Ok(()));
        }
        assert_eq!(ask(1000, "more".to_owned()), Err(TooMany::OfUser(1000)));
        for number in OF_USER_MAX..OF_ALL_MAX {
            assert_eq!(ask(0, format!("web{number}")), Ok(()));
        }
        assert_eq!(ask(0, "more".to_owned()), Err(TooMany::OfAll));
        transfers.end(1);
        assert_eq!(transfers.permits(1000), Ok(()));
    }

    #[test]
    fn bytes_of_layers_add_up() {
        let mut transfers = Transfers::default();
        let Joined::New(id) = transfers.join(&order("web"), Party::User(0)) else { panic!() };
        let blobs = [Digest::of(b"1"), Digest::of(b"2")];
        for (blob, size) in blobs.iter().zip([10, 20]) {
            transfers.tell(id, Event::Started { blob: blob.clone(), size });
        }
        transfers.tell(id, Event::Progress { blob: blobs[1].clone(), done: 5 });
        transfers.tell(id, Event::Finished { blob: blobs[0].clone() });
        assert_eq!(transfers.get(id).unwrap().bytes(), Layer { done: 15, total: 30 });
    }

    #[test]
    fn failures_are_forgotten_when_nobody_tries_again() {
        let mut transfers = Transfers::default();
        let at = Duration::from_secs;
        for number in 0..100 {
            transfers.failed(&image(&format!("web{number}")), "no", at(100 * number));
        }
        assert_eq!(transfers.failures.len(), 1);
        let join = |transfers: &mut Transfers| match transfers.join(&order("web99"), Party::User(0)) {
            Joined::New(id) => transfers.get(id).unwrap().trouble.clone(),
            Joined::Shared(_) => panic!("it is the first"),
        };
        assert_eq!(join(&mut transfers), "no");
    }

    #[test]
    fn pauses_grow_with_failures_and_end_with_a_success() {
        let mut transfers = Transfers::default();
        let (web, at) = (image("web"), Duration::from_secs);
        assert_eq!(transfers.pause(&web, at(1)), at(0));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            transfers.failed(&web, "no", at(100));
            pauses.push(transfers.pause(&web, at(100)).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(transfers.pause(&web, at(130)), at(30));
        assert_eq!(transfers.pause(&web, at(200)), at(0));
        transfers.succeeded(&web);
        assert_eq!(transfers.pause(&web, at(100)), at(0));
    }
}
