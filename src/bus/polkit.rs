//! Questions to polkit, polkit(8): `org.freedesktop.PolicyKit1.Authority`. The subject is the caller's unique name
//! on the bus, because a process id can be another process by the time that it is looked up.

use super::call::Call;
use futures_util::StreamExt;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, Variant, fdo};

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
    /// It has left meanwhile.
    Gone,
    /// It may once its user has given a password, and polkit was not to ask for it.
    Challenge,
}

/// The authority on the system bus.
#[derive(Debug)]
pub(super) struct Authority {
    connection: Connection,
    /// How many questions were asked: each has a number, by which it is taken back.
    asked: Cell<u64>,
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
    fn cancel_check_authorization(&self, cancellation: &str) -> zbus::Result<()>;
}

impl Authority {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, asked: Cell::default() }
    }

    /// Whether the caller of a method may do an action; why polkit could not say. A question that nobody waits for any
    /// longer is taken back, so that no one is asked for a password in vain.
    pub(super) async fn check(
        &self,
        call: &Call,
        name: &str,
        action: &str,
        details: &BTreeMap<&'static str, &str>,
    ) -> Result<Verdict, String> {
        let (flags, patience) = match call.is_interactive() {
            true => (ALLOW_USER_INTERACTION, INTERACTIVE),
            false => (0, ALONE),
        };
        let subject = ("system-bus-name", HashMap::from([("name", Variant::from(name))]));
        let number = self.asked.replace(self.asked.get() + 1);
        let cancellation = format!("sampan-{number}");
        let leaves = self.leaving(name).await.map_err(reason)?;
        let authority = self.authority().await.map_err(reason)?;
        let verdict = tokio::select! {
            answer = authority.check_authorization(&subject, action, details, flags, &cancellation) => {
                return match answer {
                    Ok((true, ..)) => Ok(Verdict::Yes),
                    Ok((false, true, _)) => Ok(Verdict::Challenge),
                    Ok((false, false, _)) => Ok(Verdict::No),
                    Err(error) => Err(reason(error)),
                };
            }
            () = leaves => Ok(Verdict::Gone),
            () = tokio::time::sleep(patience) => {
                Err(format!("polkit gave no answer within {} s.", patience.as_secs()))
            }
        };
        if let Err(error) = authority.cancel_check_authorization(&cancellation).await {
            tracing::debug!("polkit: {error}");
        }
        verdict
    }

    async fn authority(&self) -> zbus::Result<PolicyKitProxy<'_>> {
        PolicyKitProxy::builder(&self.connection).cache_properties(CacheProperties::No).build().await
    }

    /// Ends when a client has left the bus.
    async fn leaving(&self, client: &str) -> zbus::Result<impl Future<Output = ()> + use<>> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender("org.freedesktop.DBus");
        let rule = rule.member("NameOwnerChanged").arg(0, client.to_owned()).arg(2, "").build();
        let mut leaving = MessageStream::for_match_rule(rule?, &self.connection, None).await?;
        Ok(async move {
            leaving.next().await;
        })
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
