//! Namespaces that a launcher enters before it knows which container it is for: a new network alone takes the kernel
//! longer than all else that a launcher does before its container is born.

use super::failure::During;
use super::protocol::StepError;
use super::settings;
use super::step::{NamespaceSetting, Plan};
use super::work::Work;
use crate::sys::namespace::{Namespace, raise_loopback, unshare};
use crate::unit::model::ProcessSettings;
use rustix::system::sethostname;

/// Those that most containers have to themselves. That of mounts is not among them: as long as the launcher waited, its
/// copies would hold what the host unmounts. That of processes comes with the first one, and that of control groups
/// begins at the group that who makes it is in.
const AHEAD: [Namespace; 4] = [Namespace::User, Namespace::Network, Namespace::Ipc, Namespace::Hostname];

/// Which namespaces a launcher is in that has no plan yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Separation {
    /// The host's.
    None,
    /// New ones, for a container that has nothing of the host's, and a network.
    Ahead,
}

impl Separation {
    /// How far a launcher can be ahead of this.
    pub fn of(work: &Work) -> Self {
        match work {
            Work::Start(plan) if is_apart(plan) => Self::Ahead,
            Work::Start(_) | Work::Join(_) => Self::None,
        }
    }

    /// Enters what there is to enter without a plan.
    pub fn enter_ahead() -> Result<Self, StepError> {
        // From inside the host's privilege is out of reach.
        settings::prepare(&ProcessSettings::default())?;
        unshare(&AHEAD).during("enter namespace", "unshare")?;
        set(&NamespaceSetting::Loopback)?;
        Ok(Self::Ahead)
    }

    /// Does what needs the host's privilege, once it is known what.
    pub fn prepare(self, settings: &ProcessSettings) -> Result<(), StepError> {
        match self {
            Self::None => settings::prepare(settings),
            Self::Ahead => settings::merge_memory(settings),
        }
    }

    /// Enters all others of the container that a process can be in before the container is.
    pub fn enter_rest(self, plan: &Plan) -> Result<(), StepError> {
        let user = plan.ids.map(|_| Namespace::User);
        let wanted = user.into_iter().chain([Namespace::Mount]).chain(plan.namespaces.iter().copied());
        let is_early = |namespace: &Namespace| *namespace != Namespace::ControlGroup;
        let is_left = |namespace: &Namespace| self == Self::None || !AHEAD.contains(namespace);
        let namespaces: Vec<_> = wanted.filter(is_early).filter(is_left).collect();
        unshare(&namespaces).during("enter namespace", "unshare")
    }

    /// Sets in the namespaces what is not set yet.
    pub fn set_rest(self, plan: &Plan) -> Result<(), StepError> {
        let is_left = |setting: &&NamespaceSetting| {
            self == Self::None || !matches!(setting, NamespaceSetting::Loopback)
        };
        plan.settings.iter().filter(is_left).try_for_each(set)
    }
}

fn set(setting: &NamespaceSetting) -> Result<(), StepError> {
    match setting {
        NamespaceSetting::Hostname(name) => sethostname(name.as_bytes()).during("set hostname", name),
        NamespaceSetting::Loopback => raise_loopback().during("raise loopback", "lo"),
    }
}

fn is_apart(plan: &Plan) -> bool {
    let is_new = |namespace: &Namespace| match namespace {
        Namespace::User => plan.ids.is_some(),
        other => plan.namespaces.contains(other),
    };
    AHEAD.iter().all(is_new)
        && plan.settings.contains(&NamespaceSetting::Loopback)
        && settings::ask_nothing_of_the_host(&plan.execute.settings)
}
