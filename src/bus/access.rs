//! Who may do what. Anybody may look; what changes something is asked of polkit, action by action. Root, as the
//! bus knows it by its credentials, is not asked about.

use super::call::Call;
use super::error::BusError;
use super::polkit::{Authority, Verdict};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::{BusName, UniqueName};
use zbus::proxy::CacheProperties;

/// Calls of one user that may wait for an answer of others at the same time.
const CALLS_MAX: usize = 32;

/// Connections whose users are remembered. The bus never gives a unique name a second time.
const USERS_MAX: usize = 512;

/// The actions that polkit knows of us: `units/org.sampan1.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Start, stop, kill, freeze, and set limits of units; jobs.
    ManageUnits,
    /// Enable, disable, mask and link unit files.
    ManageUnitFiles,
    /// Read all unit files again.
    ReloadDaemon,
    /// Pull and remove images.
    ManageImages,
    /// Run programs inside of containers.
    Exec,
    /// See what may hold secrets: the plan of a launch.
    Inspect,
}

impl Action {
    /// Its id.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::ManageUnits => "org.sampan1.manage-units",
            Self::ManageUnitFiles => "org.sampan1.manage-unit-files",
            Self::ReloadDaemon => "org.sampan1.reload-daemon",
            Self::ManageImages => "org.sampan1.manage-images",
            Self::Exec => "org.sampan1.exec",
            Self::Inspect => "org.sampan1.inspect",
        }
    }
}

/// What a rule of polkit can look up about a question, as systemd's: `unit`, `verb`, and `image`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Details<'a> {
    /// A verb of a unit.
    Unit {
        /// `start`, `stop`, ….
        verb: &'static str,
        /// `web.container`.
        unit: &'a str,
    },
    /// A verb of an image.
    Image {
        /// `pull`, `remove`.
        verb: &'static str,
        /// As the caller named it.
        image: &'a str,
    },
    /// A verb.
    Verb(&'static str),
}

impl<'a> Details<'a> {
    pub(super) fn map(&self) -> BTreeMap<&'static str, &'a str> {
        match *self {
            Self::Unit { verb, unit } => [("verb", verb), ("unit", unit)].into(),
            Self::Image { verb, image } => [("verb", verb), ("image", image)].into(),
            Self::Verb(verb) => [("verb", verb)].into(),
        }
    }
}

impl fmt::Display for Details<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit { verb, unit: subject } | Self::Image { verb, image: subject } => {
                write!(formatter, "{verb} {subject}")
            }
            Self::Verb(verb) => formatter.write_str(verb),
        }
    }
}

/// Answers whether a caller may do something, and keeps how much each user asks for at once.
#[derive(Debug)]
pub(super) struct Access {
    bus: DBusProxy<'static>,
    authority: Authority,
    users: RefCell<BTreeMap<Rc<str>, u32>>,
    waiting: Rc<RefCell<BTreeMap<u32, usize>>>,
}

/// One call that waits; it counts for as long as this lives.
#[derive(Debug)]
pub(super) struct Waiting {
    user: u32,
    all: Rc<RefCell<BTreeMap<u32, usize>>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut all = self.all.borrow_mut();
        if let Some(count) = all.get_mut(&self.user) {
            *count -= 1;
        }
        all.retain(|_, count| *count > 0);
    }
}

impl Access {
    /// Asks over this connection.
    pub(super) async fn new(connection: &Connection) -> zbus::Result<Self> {
        let bus = DBusProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        let authority = Authority::new(connection.clone());
        Ok(Self { bus, authority, users: RefCell::default(), waiting: Rc::default() })
    }

    /// Counts a call that waits for others; `None` where its user has too many of them. Root has as many as it
    /// wants.
    pub(super) fn enter(&self, user: u32) -> Result<Option<Waiting>, BusError> {
        if user == 0 {
            return Ok(None);
        }
        let mut all = self.waiting.borrow_mut();
        let count = all.entry(user).or_default();
        if *count >= CALLS_MAX {
            return Err(BusError::LimitsExceeded(format!(
                "{CALLS_MAX} calls of user {user} are under way already: wait until one is answered."
            )));
        }
        *count += 1;
        Ok(Some(Waiting { user, all: Rc::clone(&self.waiting) }))
    }

    /// Goes on where the caller may do this. An error, a question without an answer and a caller that is gone are
    /// a no.
    pub(super) async fn allow(
        &self,
        call: &Call,
        name: &str,
        action: Action,
        details: Details<'_>,
    ) -> Result<(), BusError> {
        if call.user() == 0 {
            return Ok(());
        }
        let what = format!("{action} ({details})", action = action.id());
        match self.authority.check(call, name, action.id(), &details.map()).await {
            // Whoever asked for a thing and left does not get it.
            Ok(Verdict::Yes) if self.ask_user(name).await.is_ok() => Ok(()),
            Ok(Verdict::Yes | Verdict::Gone) => {
                tracing::info!("{what}: the caller is gone, nothing is done.");
                Err(BusError::AccessDenied(format!("Access denied: {what}: the caller is gone.")))
            }
            Ok(Verdict::No) => {
                Err(BusError::AccessDenied(format!("Access denied: polkit does not allow {what}.")))
            }
            Ok(Verdict::Challenge) => Err(BusError::InteractiveAuthorizationRequired(format!(
                "Interactive authentication required: {what}. Become root, or see org.sampan1(5) for a rule of polkit."
            ))),
            Err(reason) => Err(BusError::AccessDenied(format!("Access denied: {what}: {reason}"))),
        }
    }

    /// Whose connection it is, as the bus says.
    pub(super) async fn user(&self, sender: &str) -> Result<u32, BusError> {
        if let Some(user) = self.users.borrow().get(sender) {
            return Ok(*user);
        }
        let user = self.ask_user(sender).await?;
        let mut users = self.users.borrow_mut();
        if users.len() >= USERS_MAX {
            users.clear();
        }
        users.insert(Rc::from(sender), user);
        Ok(user)
    }

    async fn ask_user(&self, sender: &str) -> Result<u32, BusError> {
        let unknown = |reason: String| BusError::AccessDenied(format!("Access denied: {sender}: {reason}"));
        let name = UniqueName::try_from(sender).map_err(|error| unknown(error.to_string()))?;
        let user = self.bus.get_connection_unix_user(BusName::Unique(name)).await;
        user.map_err(|error| unknown(error.to_string()))
    }
}
