//! Methods about unit files: their states, and the links that enable, disable and mask them.

use super::access::{Action, Details};
use super::call::Call;
use super::error::BusError;
use super::publish;
use crate::paths::Paths;
use crate::unit::enable::{self, Change, EnableError, Manner, Outcome};
use crate::unit::links::Lasting;
use crate::unit::name::UnitName;
use crate::unit::pattern::matches_any;
use crate::unit::search::Search;
use crate::unit::state::{self, FileState};

/// What was done to the file system: `symlink` or `unlink`, the link, and where it leads.
type Changes = Vec<(String, String, String)>;

/// Unit files in one of these states and with a name like one of these; all where none is given.
pub(super) async fn list(
    call: Call,
    states: Vec<String>,
    patterns: Vec<String>,
) -> Result<(Vec<(String, String)>,), BusError> {
    let rows = call.with(move |manager| {
        let paths = manager.paths();
        let names = Search::new(paths).names();
        let names = names.into_iter().filter(|name| matches_any(&patterns, name.as_str()));
        let rows =
            names.filter_map(|name| Some((name.to_string(), state::of(paths, &name)?.word().to_owned())));
        rows.filter(|(_, state)| states.is_empty() || states.contains(state)).collect()
    });
    Ok((rows.await?,))
}

pub(super) async fn state(call: Call, file: String) -> Result<(String,), BusError> {
    let name = UnitName::parse(&file)?;
    let state = call.with(move |manager| state::of(manager.paths(), &name)).await?;
    let unknown = || BusError::NoSuchUnit(format!("Unit file {file} does not exist."));
    Ok((state.map(FileState::word).ok_or_else(unknown)?.to_owned(),))
}

/// The first of the answer says whether any of the units has an `[install]` table.
pub(super) async fn enable(call: Call, names: Vec<String>) -> Result<(bool, Changes), BusError> {
    let count = names.len();
    let outcome =
        change(call, names, "enable", |paths, names| enable::enable(paths, names, Manner::default())).await?;
    Ok((outcome.without_install.len() < count, changes(outcome)))
}

pub(super) async fn reenable(call: Call, names: Vec<String>) -> Result<(bool, Changes), BusError> {
    let count = names.len();
    let outcome =
        change(call, names, "reenable", |paths, names| enable::reenable(paths, names, Manner::default()))
            .await?;
    Ok((outcome.without_install.len() < count, changes(outcome)))
}

pub(super) async fn disable(call: Call, names: Vec<String>) -> Result<(Changes,), BusError> {
    Ok((changes(
        change(call, names, "disable", |paths, names| enable::disable(paths, names, Lasting::Always)).await?,
    ),))
}

pub(super) async fn mask(call: Call, names: Vec<String>) -> Result<(Changes,), BusError> {
    Ok((changes(
        change(call, names, "mask", |paths, names| enable::mask(paths, names, Lasting::Always)).await?,
    ),))
}

pub(super) async fn unmask(call: Call, names: Vec<String>) -> Result<(Changes,), BusError> {
    Ok((changes(
        change(call, names, "unmask", |paths, names| enable::unmask(paths, names, Lasting::Always)).await?,
    ),))
}

type Act = fn(&Paths, &[UnitName]) -> Result<Outcome, EnableError>;

async fn change(call: Call, names: Vec<String>, verb: &'static str, act: Act) -> Result<Outcome, BusError> {
    let units: Vec<UnitName> = names.iter().map(|name| UnitName::parse(name)).collect::<Result<_, _>>()?;
    for unit in &units {
        call.allow(Action::ManageUnitFiles, Details::Unit { verb, unit: unit.as_str() }).await?;
    }
    let outcome = call.with(move |manager| act(manager.paths(), &units)).await??;
    publish::unit_files_changed(&call.shared).await;
    Ok(outcome)
}

fn changes(outcome: Outcome) -> Changes {
    let text = |path: &std::path::Path| path.display().to_string();
    let change = |change: &Change| match change {
        Change::Linked { link, target } => ("symlink".to_owned(), text(link), text(target)),
        Change::Removed(link) => ("unlink".to_owned(), text(link), String::new()),
    };
    outcome.changes.iter().map(change).collect()
}
