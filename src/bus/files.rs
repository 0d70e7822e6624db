//! Methods about unit files: their states, and the links that enable, disable and mask them.

use super::access::{Action, Details};
use super::call::Call;
use super::error::BusError;
use super::process::failed;
use super::publish;
use super::wire::ChangeRow;
use super::words::Words;
use crate::manager::driver::Manager;
use crate::paths::Paths;
use crate::unit::enable::{self, EnableError, Manner, Outcome, PresetMode};
use crate::unit::links::Lasting;
use crate::unit::load::Loader;
use crate::unit::name::UnitName;
use crate::unit::pattern::matches_any;
use crate::unit::search::{LinkKind, unit_of_file};
use crate::unit::state::{self, FileState};
use std::path::PathBuf;

type Changes = Vec<ChangeRow>;

/// Unit files in one of these states and with a name like one of these; all where none is given.
pub(super) fn list(
    manager: &Manager,
    states: &[String],
    patterns: &[String],
) -> Result<(Vec<(String, String)>,), BusError> {
    Words::Names.check(states)?;
    Words::Names.check(patterns)?;
    let loader = Loader::new(manager.paths());
    let names = loader.search().names().into_iter().filter(|name| matches_any(patterns, name.as_str()));
    let rows =
        names.filter_map(|name| Some((name.to_string(), state::of_with(&loader, &name)?.word().to_owned())));
    Ok((rows.filter(|(_, state)| states.is_empty() || states.contains(state)).collect(),))
}

pub(super) fn state(manager: &Manager, file: &str) -> Result<(String,), BusError> {
    let state = state::of(manager.paths(), &UnitName::parse(file)?);
    let unknown = || BusError::NoSuchUnit(format!("Unit file {file} does not exist."));
    Ok((state.map(FileState::word).ok_or_else(unknown)?.to_owned(),))
}

/// Unit files, whether what is done ends with the boot, and whether links that are in the way are replaced.
type Asked = (Vec<String>, bool, bool);

fn manner((_, runtime, force): &Asked) -> Manner {
    Manner::of_options(*runtime, *force)
}

/// The first of the answer says whether any of the units has an `[install]` table.
pub(super) async fn enable(call: Call, asked: Asked) -> Result<(bool, Changes), BusError> {
    install(call, "enable", asked, enable::enable).await
}

pub(super) async fn reenable(call: Call, asked: Asked) -> Result<(bool, Changes), BusError> {
    install(call, "reenable", asked, enable::reenable).await
}

pub(super) async fn preset(call: Call, asked: Asked) -> Result<(bool, Changes), BusError> {
    preset_with(call, PresetMode::Full, asked).await
}

pub(super) async fn preset_with_mode(
    call: Call,
    (names, mode, runtime, force): (Vec<String>, String, bool, bool),
) -> Result<(bool, Changes), BusError> {
    preset_with(call, preset_mode(&mode)?, (names, runtime, force)).await
}

async fn preset_with(call: Call, mode: PresetMode, asked: Asked) -> Result<(bool, Changes), BusError> {
    let act = move |paths: &Paths, names: &[UnitName], manner| enable::preset(paths, names, mode, manner);
    install(call, "preset", asked, act).await
}

fn preset_mode(word: &str) -> Result<PresetMode, BusError> {
    let unknown = || {
        let word = word.escape_debug();
        BusError::InvalidArgs(format!(
            "Preset mode \"{word}\" is not known: use full, enable-only or disable-only."
        ))
    };
    PresetMode::of_word(word).ok_or_else(unknown)
}

async fn install(
    call: Call,
    verb: &'static str,
    asked: Asked,
    act: impl FnOnce(&Paths, &[UnitName], Manner) -> Result<Outcome, EnableError> + Send + 'static,
) -> Result<(bool, Changes), BusError> {
    let (count, manner) = (asked.0.len(), manner(&asked));
    let outcome = change(&call, verb, asked.0, move |paths, names| act(paths, names, manner)).await?;
    let carries_install_info = outcome.without_install.len() < count;
    Ok((carries_install_info, done(&call, outcome).await?))
}

pub(super) async fn disable(
    call: Call,
    (names, runtime): (Vec<String>, bool),
) -> Result<(Changes,), BusError> {
    let act =
        move |paths: &Paths, names: &[UnitName]| enable::disable(paths, names, Lasting::of_runtime(runtime));
    changes(call, "disable", names, act).await
}

pub(super) async fn mask(call: Call, asked: Asked) -> Result<(Changes,), BusError> {
    let manner = manner(&asked);
    let act = move |paths: &Paths, names: &[UnitName]| enable::mask(paths, names, manner);
    changes(call, "mask", asked.0, act).await
}

pub(super) async fn unmask(
    call: Call,
    (names, runtime): (Vec<String>, bool),
) -> Result<(Changes,), BusError> {
    let act =
        move |paths: &Paths, names: &[UnitName]| enable::unmask(paths, names, Lasting::of_runtime(runtime));
    changes(call, "unmask", names, act).await
}

/// Makes files from elsewhere units of their names. They are looked at once polkit has allowed it: until then nobody
/// learns which files there are.
pub(super) async fn link(call: Call, asked: Asked) -> Result<(Changes,), BusError> {
    let manner = manner(&asked);
    Words::Paths.check(&asked.0)?;
    let files: Vec<PathBuf> = asked.0.into_iter().map(PathBuf::from).collect();
    for file in &files {
        let name = unit_of_file(file).filter(|_| file.is_absolute()).ok_or_else(|| {
            BusError::InvalidArgs(format!("{} is no absolute path of a unit file.", file.display()))
        })?;
        call.allow(Action::ManageUnitFiles, Details::Unit { verb: "link", unit: name.as_str() }).await?;
    }
    let outcome = call.with(move |manager| enable::link(manager.paths(), &files, manner)).await??;
    Ok((done(&call, outcome).await?,))
}

/// Does for all units what the preset files say. A unit that cannot be enabled stops no other; it is a row of its own.
pub(super) async fn preset_all(
    call: Call,
    (mode, runtime, force): (String, bool, bool),
) -> Result<(Changes,), BusError> {
    let mode = preset_mode(&mode)?;
    call.allow(Action::ManageUnitFiles, Details::Verb("preset-all")).await?;
    let manner = Manner::of_options(runtime, force);
    let outcome = call.with(move |manager| enable::preset_all(manager.paths(), mode, manner)).await?;
    let (outcome, failures) = outcome?;
    let mut changes = done(&call, outcome).await?;
    changes.extend(failures.iter().map(ChangeRow::of_failure));
    Ok((changes,))
}

pub(super) async fn revert(call: Call, names: Vec<String>) -> Result<(Changes,), BusError> {
    changes(call, "revert", names, enable::revert).await
}

/// Has a target want, or require, units.
pub(super) async fn add_dependency(
    call: Call,
    (names, target, kind, runtime, force): (Vec<String>, String, String, bool, bool),
) -> Result<(Changes,), BusError> {
    let target = UnitName::of_dependency(&target)?;
    let kind = match kind.as_str() {
        "Wants" => LinkKind::Wants,
        "Requires" => LinkKind::Requires,
        "Upholds" => LinkKind::Upholds,
        _ => {
            return Err(BusError::InvalidArgs(format!(
                "\"{kind}\" is not known: use Wants, Requires or Upholds."
            )));
        }
    };
    let asked = (names, runtime, force);
    let manner = manner(&asked);
    let act =
        move |paths: &Paths, names: &[UnitName]| enable::add_dependency(paths, &target, names, kind, manner);
    changes(call, "add-dependency", asked.0, act).await
}

pub(super) fn default_target(manager: &Manager) -> Result<(String,), BusError> {
    Ok((enable::default_target(manager.paths())?.to_string(),))
}

/// A link in the way is replaced in any case, as `systemctl set-default` has it.
pub(super) async fn set_default_target(
    call: Call,
    (target, _force): (String, bool),
) -> Result<(Changes,), BusError> {
    let act = |paths: &Paths, names: &[UnitName]| {
        let target = names.first().ok_or_else(|| EnableError::NotFound(String::new()))?;
        enable::set_default_target(paths, target)
    };
    changes(call, "set-default", vec![target], act).await
}

/// The same for verbs whose answer is what was done.
async fn changes(
    call: Call,
    verb: &'static str,
    names: Vec<String>,
    act: impl FnOnce(&Paths, &[UnitName]) -> Result<Outcome, EnableError> + Send + 'static,
) -> Result<(Changes,), BusError> {
    let outcome = change(&call, verb, names, act).await?;
    Ok((done(&call, outcome).await?,))
}

async fn change(
    call: &Call,
    verb: &'static str,
    names: Vec<String>,
    act: impl FnOnce(&Paths, &[UnitName]) -> Result<Outcome, EnableError> + Send + 'static,
) -> Result<Outcome, BusError> {
    Words::Names.check(&names)?;
    let units: Vec<UnitName> = names.iter().map(|name| UnitName::parse(name)).collect::<Result<_, _>>()?;
    for unit in &units {
        call.allow(Action::ManageUnitFiles, Details::Unit { verb, unit: unit.as_str() }).await?;
    }
    Ok(call.with(move |manager| act(manager.paths(), &units)).await??)
}

/// Tells of what was done. Where links are beside systemd's own units systemd reads those again: whoever may call us
/// need not be allowed to ask it.
async fn done(call: &Call, outcome: Outcome) -> Result<Changes, BusError> {
    publish::unit_files_changed(&call.shared).await;
    let rows = outcome.changes.iter().map(ChangeRow::from).collect();
    let systemd = call.with(move |manager| {
        let concerned = outcome.concerns_systemd(manager.paths());
        concerned.then(|| manager.systemd().clone())
    });
    if let Some(systemd) = systemd.await? {
        systemd.reload().await.map_err(failed)?;
    }
    Ok(rows)
}
