//! Questions to polkit, polkit(8): `org.freedesktop.PolicyKit1.Authority`. The subject is the caller's unique name
//! on the bus, because a process id can be another process by the time that it is looked up.

use super::call::Call;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use zbus::{Connection, Variant, fdo};

/// How long a person may take for a password.
const INTERACTIVE: Duration = Duration::from_secs(120);

/// How long polkit may take by itself; it may have to be started.
const ALONE: Duration = Duration::from_secs(30);

/// `AllowUserInteraction` of `CheckAuthorization`.
const ALLOW_USER_INTERACTION: u32 = 1;

/// polkit's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The caller may.
    Yes,
    /// It may not.
    No,
    /// It may once its user has given a password, and polkit was not to ask for it.
    Challenge,
}

/// The authority on the system bus.
#[derive(Debug)]
pub(super) struct Authority {
    connection: Connection,
}

#[zbus::proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
trait PolicyKit {
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Variant<'_>>),
        action: &str,
        details: &BTreeMap<&str, &str>,
        flags: u32,
        cancellation: &str,
    ) -> zbus::Result<(bool, bool, HashMap<String, String>)>;
}

impl Authority {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Whether the caller of a method may do an action; why polkit could not say.
    pub(super) async fn check(
        &self,
        call: &Call,
        action: &str,
        details: &BTreeMap<&'static str, &str>,
    ) -> Result<Verdict, String> {
        let (flags, patience) = match call.is_interactive() {
            true => (ALLOW_USER_INTERACTION, INTERACTIVE),
            false => (0, ALONE),
        };
        let subject = ("system-bus-name", HashMap::from([("name", Variant::from(call.sender()))]));
        let question = async {
            let authority = PolicyKitProxy::builder(&self.connection)
                .cache_properties(zbus::proxy::CacheProperties::No)
                .build()
                .await?;
            authority.check_authorization(&subject, action, details, flags, "").await
        };
        match tokio::time::timeout(patience, question).await {
            Ok(Ok((true, ..))) => Ok(Verdict::Yes),
            Ok(Ok((false, true, _))) => Ok(Verdict::Challenge),
            Ok(Ok((false, false, _))) => Ok(Verdict::No),
            Ok(Err(error)) => Err(reason(error)),
            Err(_) => Err(format!("polkit gave no answer within {} s.", patience.as_secs())),
        }
    }
}

fn reason(error: zbus::Error) -> String {
    match error {
        zbus::Error::FDO(error) if matches!(*error, fdo::Error::ServiceUnknown(_)) => {
            "polkit, which could allow it, is not installed. Become root.".to_owned()
        }
        error => format!("polkit could not be asked: {error}."),
    }
}
