//! Links of units as the manager changes them, over the bus: it may where its caller may not, once polkit has said so.

use crate::bus::wire::ChangeRow;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::units::enable::{Change, Done, Order, files, files_outside, unit_names};
use crate::paths::Paths;
use crate::unit::enable::{Conflict, Outcome, PresetMode};
use crate::unit::links::Lasting;
use crate::unit::name::UnitName;
use crate::unit::search::LinkKind;
use serde::Serialize;
use std::path::PathBuf;
use zbus::DynamicType;
use zbus::zvariant::DynamicDeserialize;

type Rows = Vec<ChangeRow>;

/// Does it. What is answered, and what goes wrong, is as in the files.
///
/// # Errors
/// When a word is no name, or the manager refuses or cannot be reached.
pub async fn perform(client: &Client, order: &Order<'_>, paths: &Paths) -> anyhow::Result<Done> {
    let bus = Bus { client, action: order.change.action() };
    let (runtime, force) = options(order);
    let names: Vec<String> = match order.change {
        Change::Link | Change::PresetAll(_) => Vec::new(),
        _ => unit_names(order.words)?.iter().map(ToString::to_string).collect(),
    };
    let rows: Rows = match &order.change {
        Change::Enable => return bus.install("EnableUnitFiles", &names, order, paths).await,
        Change::Reenable => return bus.install("ReenableUnitFiles", &names, order, paths).await,
        Change::Preset(mode) => return bus.preset(&names, *mode, order).await,
        Change::PresetAll(mode) => bus.call("PresetAllUnitFiles", &(mode.word(), runtime, force)).await?,
        Change::Disable => bus.call("DisableUnitFiles", &(names, runtime)).await?,
        Change::Mask => bus.call("MaskUnitFiles", &(names, runtime, force)).await?,
        Change::Unmask => bus.call("UnmaskUnitFiles", &(names, runtime)).await?,
        Change::Revert => bus.call("RevertUnitFiles", &(names,)).await?,
        Change::Link => bus.link(&files(order.words)?, order).await?,
        Change::AddTo(target, kind) => {
            let kind = match kind {
                LinkKind::Wants => "Wants",
                LinkKind::Requires => "Requires",
                LinkKind::Upholds => "Upholds",
            };
            let asked = (names, target.as_str(), kind, runtime, force);
            bus.call("AddDependencyUnitFiles", &asked).await?
        }
        Change::SetDefault(target) => bus.call("SetDefaultTarget", &(target.as_str(), force)).await?,
    };
    Ok(done(rows))
}

/// Calls of one verb.
#[derive(Clone, Copy)]
struct Bus<'a> {
    client: &'a Client,
    action: &'static str,
}

impl Bus<'_> {
    async fn call<B, R>(self, method: &'static str, body: &B) -> Result<R, CliError>
    where
        B: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        let answer = self.client.call(method, body).await;
        answer.map_err(|error| CliError::of_call(self.action, error).of_unit_files())
    }

    async fn link(self, files: &[PathBuf], order: &Order<'_>) -> Result<Rows, CliError> {
        let (runtime, force) = options(order);
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.call("LinkUnitFiles", &(files, runtime, force)).await
    }

    /// Files elsewhere are linked before their units are enabled.
    async fn install(
        self,
        method: &'static str,
        names: &[String],
        order: &Order<'_>,
        paths: &Paths,
    ) -> anyhow::Result<Done> {
        let outside = files_outside(order.words, paths)?;
        let mut rows = if outside.is_empty() { Rows::new() } else { self.link(&outside, order).await? };
        let (runtime, force) = options(order);
        let (carries_install_info, more): (bool, Rows) = self.call(method, &(names, runtime, force)).await?;
        rows.extend(more);
        self.installed(names, carries_install_info, rows).await
    }

    async fn preset(self, names: &[String], mode: PresetMode, order: &Order<'_>) -> anyhow::Result<Done> {
        let (runtime, force) = options(order);
        let asked = (names, mode.word(), runtime, force);
        let (carries_install_info, rows) = self.call("PresetUnitFilesWithMode", &asked).await?;
        self.installed(names, carries_install_info, rows).await
    }

    async fn installed(
        self,
        names: &[String],
        carries_install_info: bool,
        rows: Rows,
    ) -> anyhow::Result<Done> {
        let mut done = done(rows);
        for name in names {
            // With one of several units that has none the answer does not say which.
            let is_bare = match carries_install_info {
                false => true,
                true if names.len() == 1 => false,
                true => self.call::<_, String>("GetUnitFileState", &(name,)).await? == "static",
            };
            if is_bare {
                done.outcome.without_install.push(UnitName::parse(name)?);
            }
        }
        Ok(done)
    }
}

/// Until the next boot only, and whether links in the way are replaced, as they travel.
fn options(order: &Order<'_>) -> (bool, bool) {
    (order.manner.lasting == Lasting::UntilReboot, order.manner.conflict == Conflict::Replace)
}

fn done(rows: Rows) -> Done {
    let (mut outcome, mut failures) = (Outcome::default(), Vec::new());
    for row in rows {
        match row.read() {
            Ok(change) => outcome.changes.push(change),
            Err(reason) => failures.push(reason),
        }
    }
    Done { outcome, failures }
}
