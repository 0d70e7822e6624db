//! Programs inside of containers, and the plan of a launch.

use super::access::{Action, Details};
use super::call::{Call, leaving};
use super::error::BusError;
use crate::manager::driver::ExecRequest;
use crate::unit::name::UnitName;
use std::os::fd::OwnedFd;

/// Unit, command, environment, user, directory, and the three standard descriptors; a fourth is a leash.
type Asked = (String, Vec<String>, Vec<String>, String, String, Vec<zbus::OwnedFd>);

/// Runs a command in a running container and answers when it has ended, waitid(2).
pub(super) async fn exec(
    call: Call,
    (name, command, environment, user, directory, stdio): Asked,
) -> Result<(i32, i32), BusError> {
    let mut stdio: Vec<OwnedFd> = stdio.into_iter().map(OwnedFd::from).collect();
    let leash = (stdio.len() == 4).then(|| stdio.pop()).flatten();
    let stdio = stdio.try_into();
    let stdio = stdio.map_err(|_| BusError::InvalidArgs("stdio: three descriptors or four.".into()))?;
    let asked = UnitName::parse(&name)?;
    let unit = call.with(move |manager| manager.ensure_loaded(&asked)).await?;
    call.allow(Action::Exec, Details::Unit { verb: "exec", unit: unit.as_str() }).await?;
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
    exit.map(|exit| exit.code_and_status()).map_err(BusError::Failed)
}

fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The plan holds the environment, where many keep their secrets.
pub(super) async fn plan(call: Call, name: String) -> Result<(String,), BusError> {
    let asked = UnitName::parse(&name)?;
    let unit = call.with(move |manager| manager.ensure_loaded(&asked)).await?;
    call.allow(Action::Inspect, Details::Unit { verb: "plan", unit: unit.as_str() }).await?;
    let plan = call.with(move |manager| manager.plan(&unit)).await?;
    plan.map(|plan| (plan,)).map_err(BusError::Failed)
}
