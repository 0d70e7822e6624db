//! `sampanctl critical-chain`: which units a start waited for, one after the other, as systemd-analyze(1) shows it.

use super::args::ChainArgs;
use super::client::{Client, talk};
use super::display::Layout;
use super::error::{CliError, FAILURE};
use super::select;
use super::suggestion;
use super::text::{Tone, time};
use super::unit_properties::{UnitProperties, list};
use crate::paths::Paths;
use crate::unit::name::UnitName;
use serde::Serialize;
use std::collections::BTreeMap;

/// One unit of a chain. Times are microseconds, of when it was up since the first of the chain began, and of its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Link {
    unit: String,
    at: Option<u64>,
    time: Option<u64>,
}

/// A unit's last start.
#[derive(Debug, Clone, Default)]
struct Start {
    begun: u64,
    up: u64,
    after: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(args: &ChainArgs, paths: &Paths) -> anyhow::Result<u8> {
    let mut status = 0;
    let chains = talk(async |client| {
        let mut chains = Vec::new();
        for name in select::units(client, &args.units).await? {
            let starts = starts(client, &name).await?;
            if starts.is_empty() {
                suggestion::complain_of_unknown(&name, paths);
                status = FAILURE;
                continue;
            }
            chains.push(chain(&name, &starts));
        }
        Ok(chains)
    })?;
    args.display.show(&chains, |layout| chains.iter().map(|chain| render(chain, layout)).collect())?;
    Ok(status)
}

/// The starts of a unit and of all that it is ordered after.
async fn starts(client: &Client, root: &str) -> Result<BTreeMap<String, Start>, CliError> {
    let (mut starts, mut queue) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(name) = queue.pop() {
        if starts.contains_key(&name) || UnitName::parse(&name).is_err() {
            continue;
        }
        let values = client.values(&name).await?;
        let unit = UnitProperties::new(&values);
        let after = list(&values, "After");
        queue.extend(after.iter().cloned());
        starts.insert(name, Start { begun: unit.inactive_exit, up: unit.active_enter, after });
    }
    Ok(starts)
}

/// From the unit back: each time to the one that was up last of those that it waited for.
fn chain(root: &str, starts: &BTreeMap<String, Start>) -> Vec<Link> {
    let mut names = vec![root.to_owned()];
    while let Some(next) =
        names.last().and_then(|name| starts.get(name)).and_then(|start| waited(start, starts))
    {
        if names.contains(&next) {
            break;
        }
        names.push(next);
    }
    let of = |name: &String| starts.get(name).cloned().unwrap_or_default();
    let first = names.iter().map(|name| of(name).begun).filter(|begun| *begun != 0).min().unwrap_or_default();
    let link = |name: &String| {
        let start = of(name);
        let up = start.up != 0 && start.up >= start.begun;
        Link {
            unit: name.clone(),
            at: up.then(|| start.up.saturating_sub(first)),
            time: up.then(|| start.up - start.begun).filter(|time| *time > 0 && start.begun != 0),
        }
    };
    names.iter().map(link).collect()
}

/// What was up only after this start began was not waited for.
fn waited(start: &Start, starts: &BTreeMap<String, Start>) -> Option<String> {
    let up =
        |name: &&String| starts.get(*name).map(|other| other.up).filter(|up| *up != 0 && *up <= start.up);
    start.after.iter().filter(|name| up(name).is_some()).max_by_key(|name| up(name)).cloned()
}

fn render(chain: &[Link], layout: &Layout) -> String {
    let mut text = String::new();
    for (depth, link) in chain.iter().enumerate() {
        let branch = match depth {
            0 => String::new(),
            _ => format!("{}{}", "  ".repeat(depth - 1), layout.style.glyphs.last_branch()),
        };
        let at = link.at.map(|at| format!(" @{}", time::span(at))).unwrap_or_default();
        let took = link.time.map(|time| format!(" +{}", time::span(time))).unwrap_or_default();
        text.push_str(&format!("{branch}{}{at}{}\n", link.unit, layout.style.paint(Tone::Bad, &took)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_goes_back_over_what_was_up_last() {
        let start = |begun, up, after: &[&str]| Start {
            begun,
            up,
            after: after.iter().map(|name| (*name).to_owned()).collect(),
        };
        let starts = BTreeMap::from([
            ("default.target".to_owned(), start(9_000_000, 9_000_000, &["web.container", "log.container"])),
            ("web.container".to_owned(), start(4_000_000, 9_000_000, &["db.container"])),
            ("db.container".to_owned(), start(1_000_000, 4_000_000, &["web.container"])),
            ("log.container".to_owned(), start(1_000_000, 1_500_000, &[])),
        ]);
        insta::assert_snapshot!(render(&chain("default.target", &starts), &Layout::PLAIN), @r"
        default.target @8s
        └─web.container @8s +5s
          └─db.container @3s +3s
        ");
    }
}
