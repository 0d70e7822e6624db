//! `sampanctl plan` shows what a reload and the enabled set would do; `sampanctl apply` does it.

mod decide;

use super::args::PlanArgs;
use super::client::{Client, talk};
use super::error::{CliError, FAILURE};
use super::lifecycle::{self, Operation, Until};
use super::text::{Style, Tone};
use super::units::verify;
use crate::bus::wire::DefinitionRow;
use crate::paths::Paths;
use crate::unit::across;
use crate::unit::diagnostic::{self, Severity};
use crate::unit::load::{Catalog, load_all_and};
use crate::unit::name::{UnitKind, UnitName};
use decide::{Action, Known, Step, decide};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

/// The exit status of a plan that would change something, or has, when asked for.
const CHANGES: u8 = 2;

#[derive(Serialize)]
struct Plan {
    steps: Vec<Step>,
}

/// Whether a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `plan`, and `apply --dry-run`.
    Show,
    /// `apply`.
    Apply,
}

/// Runs the verb.
///
/// # Errors
/// When the manager cannot be reached or does not do what it is asked for.
pub fn run(purpose: Purpose, args: &PlanArgs, paths: &Paths) -> anyhow::Result<u8> {
    talk(async |client| {
        let known = known(client).await?;
        let catalog = load_all_and(paths, known.keys());
        let broken = tell_errors(&catalog, paths)?;
        let steps = decide(&known, &catalog);
        let plan = Plan { steps };
        args.display.show(&plan, |layout| text(&plan.steps, layout.style))?;
        let status = match purpose {
            Purpose::Apply if !args.dry_run => apply(client, &plan.steps, paths).await?,
            _ => 0,
        };
        Ok(match status {
            _ if broken => FAILURE,
            0 if args.detailed_exitcode && !plan.steps.is_empty() => CHANGES,
            status => status,
        })
    })
}

/// What is wrong with the files that are to be read.
fn tell_errors(catalog: &Catalog, paths: &Paths) -> io::Result<bool> {
    let found: Vec<_> = catalog.diagnostics.iter().cloned().chain(across::check(catalog, paths)).collect();
    let style =
        if io::stderr().is_terminal() { diagnostic::Style::Colored } else { diagnostic::Style::Plain };
    io::stderr().write_all(verify::text(&found, style).as_bytes())?;
    Ok(found.iter().any(|diagnostic| diagnostic.severity == Severity::Error))
}

/// What the manager has in memory.
async fn known(client: &Client) -> anyhow::Result<BTreeMap<UnitName, Known>> {
    let rows: zbus::Result<Vec<DefinitionRow>> = client.call("GetUnitDefinitions", &()).await;
    let rows = rows.map_err(|error| CliError::of_call("get definitions of units", error))?;
    let mut known = BTreeMap::new();
    for row in rows {
        let name = UnitName::of_dependency(&row.name)?;
        if name.kind() == UnitKind::Native {
            continue;
        }
        let is_up = !matches!(row.active_state.as_str(), "inactive" | "failed");
        // A manager of another version may say what this program does not understand.
        known.insert(name, Known { unit: serde_json::from_str(&row.definition).ok(), is_up });
    }
    Ok(known)
}

async fn apply(client: &Client, steps: &[Step], paths: &Paths) -> anyhow::Result<u8> {
    client.reload().await?;
    let mut status = 0;
    for (action, operation) in [
        (Action::Stop, Operation::Stop),
        (Action::Restart, Operation::Restart),
        (Action::Start, Operation::Start),
    ] {
        let units: Vec<String> =
            steps.iter().filter(|step| step.action == action).map(|step| step.unit.clone()).collect();
        if !units.is_empty() {
            status = status.max(lifecycle::follow(client, operation, &units, Until::Done, paths).await?);
        }
    }
    Ok(status)
}

fn text(steps: &[Step], style: Style) -> String {
    let mut text = String::new();
    for step in steps {
        let (sign, word, tone) = look(step.action);
        text.push_str(&style.paint(tone, &format!("{sign} {word} {}", step.unit)));
        text.push_str(&format!(": {}\n", step.reason));
        for change in &step.changes {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
            text.push_str(&format!("    {}: {} → {}\n", change.key, value(&change.old), value(&change.new)));
        }
    }
    text + &summary(steps)
}

fn look(action: Action) -> (char, &'static str, Tone) {
    match action {
        Action::Stop => ('-', "stop", Tone::Bad),
        Action::Restart => ('~', "restart", Tone::Moving),
        Action::Start => ('+', "start", Tone::Good),
        Action::Update => ('~', "update", Tone::Normal),
        Action::Add => ('+', "add", Tone::Normal),
        Action::Forget => ('-', "forget", Tone::Normal),
        Action::Keep => ('!', "keep", Tone::Bad),
    }
}

fn summary(steps: &[Step]) -> String {
    let count = |action| steps.iter().filter(|step| step.action == action).count();
    if steps.is_empty() {
        return "Nothing to do.\n".to_owned();
    }
    let words: Vec<String> = [
        Action::Start,
        Action::Restart,
        Action::Stop,
        Action::Update,
        Action::Add,
        Action::Forget,
        Action::Keep,
    ]
    .into_iter()
    .filter(|action| count(*action) > 0)
    .map(|action| format!("{} to {}", count(action), look(action).1))
    .collect();
    format!("{}.\n", words.join(", "))
}
