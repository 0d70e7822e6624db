//! Programs inside of containers, and the plan of a launch.

use super::access::{Action, Details};
use super::call::{Call, leaving};
use super::error::BusError;
use super::jobs::allowed_to;
use super::wire::DefinitionRow;
use crate::manager::driver::ExecRequest;
use crate::manager::machine::Managed;
use crate::unit::name::UnitName;
use rustix::net::{SendFlags, send};
use std::os::fd::OwnedFd;

/// Unit, command, environment, user, directory, and the three standard descriptors; a fourth is a leash.
type Asked = (String, Vec<String>, Vec<String>, String, String, Vec<zbus::OwnedFd>);

/// Runs a command in a running container and answers when it has ended, waitid(2).
pub(super) async fn exec(
    call: Call,
    (name, command, environment, user, directory, stdio): Asked,
) -> Result<(i32, i32), BusError> {
    let (stdio, leash) = unleashed(stdio);
    let stdio = stdio.try_into();
    let stdio = stdio.map_err(|_| BusError::InvalidArgs("stdio: three descriptors or four.".into()))?;
    let unit = allowed_to(&call, Action::Exec, &name, "exec").await?;
    if let Some(leash) = &leash {
        // Until then a client leaves its terminal to who types a password. It is a courtesy, and whoever gave us
        // something else than a socket gets none.
        let _ = send(leash, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
    let request = ExecRequest {
        unit,
        command,
        environment,
        user: optional(user),
        directory: optional(directory),
        stdio,
        leash,
    };
    let exit = call.manager().exec(request).await.ok_or_else(leaving)?;
    exit.map(|exit| exit.code_and_status()).map_err(BusError::from)
}

/// A leash comes after the three of the standard streams, or alone.
pub(super) fn unleashed(stdio: Vec<zbus::OwnedFd>) -> (Vec<OwnedFd>, Option<OwnedFd>) {
    let mut stdio: Vec<OwnedFd> = stdio.into_iter().map(OwnedFd::from).collect();
    let leash = (stdio.len() % 3 == 1).then(|| stdio.pop()).flatten();
    (stdio, leash)
}

fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// What rules of each unit in memory; holds the environment, as a plan does.
pub(super) async fn definitions(call: Call) -> Result<(Vec<DefinitionRow>,), BusError> {
    call.allow(Action::Inspect, Details::Verb("get-unit-definitions")).await?;
    let rows = call.with(move |manager| {
        let row = |(name, managed): (&UnitName, &Managed)| DefinitionRow {
            name: name.to_string(),
            load_state: managed.loaded.state.as_str().to_owned(),
            active_state: managed.active_state().as_str().to_owned(),
            definition: serde_json::to_string(&managed.unit()).unwrap_or_default(),
        };
        manager.machine().units().iter().map(row).collect()
    });
    Ok((rows.await?,))
}

/// The plan holds the environment, where many keep their secrets.
pub(super) async fn plan(call: Call, name: String) -> Result<(String,), BusError> {
    let unit = allowed_to(&call, Action::Inspect, &name, "plan").await?;
    let plan = call.with(move |manager| manager.plan(&unit)).await?;
    plan.map(|plan| (plan,)).map_err(BusError::Failed)
}
