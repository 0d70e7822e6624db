//! `sampanctl list-dependencies`: what a unit needs, or what needs it, as a tree.

use super::args::DependencyArgs;
use super::client::{Client, ask};
use super::display::{Layout, Shape};
use super::error::{CliError, FAILURE};
use super::select;
use super::suggestion;
use super::unit_properties::{ActiveState, UnitProperties, Value, Values, list, text};
use crate::paths::Paths;
use crate::unit::name::UnitName;
use serde::Serialize;
use std::collections::BTreeMap;

/// One unit and those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Node {
    unit: String,
    active: String,
    dependencies: Vec<Node>,
}

/// Which properties lead to the units below: those that systemctl follows.
#[derive(Debug, Clone, Copy)]
struct Direction(&'static [&'static str]);

impl Direction {
    fn of(args: &DependencyArgs) -> Self {
        match args {
            args if args.reverse => {
                Self(&["RequiredBy", "RequisiteOf", "WantedBy", "PartOf", "BoundBy", "UpheldBy"])
            }
            args if args.after => Self(&["After"]),
            args if args.before => Self(&["Before"]),
            _ => Self(&["Requires", "Requisite", "Wants", "ConsistsOf", "BindsTo", "Upholds"]),
        }
    }

    fn below(self, unit: &Values) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for property in self.0 {
            names.extend(list(unit, property));
        }
        names.sort();
        names.dedup();
        names
    }
}

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(args: &DependencyArgs, paths: &Paths) -> anyhow::Result<u8> {
    let mut status = 0;
    let trees = ask(async |client| {
        let mut trees = Vec::new();
        for name in select::units(client, &args.units).await? {
            let units = reachable(client, &name, args).await?;
            if units.get(&name).is_none_or(|values| !UnitProperties::new(values).exists()) {
                suggestion::complain_of_unknown(&name, paths);
                status = FAILURE;
                continue;
            }
            trees.push(node(&name, &units, args, &mut Vec::new()));
        }
        Ok(trees)
    })?;
    args.display.show(&trees, |layout| trees.iter().map(|tree| render(tree, layout)).collect())?;
    Ok(status)
}

type Units = BTreeMap<String, Values>;

/// All units of the tree, each asked for once. Of systemd's own units there is the state, and the tree ends with them.
async fn reachable(client: &Client, root: &str, args: &DependencyArgs) -> Result<Units, CliError> {
    let mut units = Units::new();
    let mut queue = vec![root.to_owned()];
    while let Some(name) = queue.pop() {
        if units.contains_key(&name) {
            continue;
        }
        let values = match UnitName::parse(&name) {
            Ok(_) => client.values(&name).await?,
            Err(_) => native(client, &name).await,
        };
        queue.extend(Direction::of(args).below(&values));
        units.insert(name, values);
    }
    Ok(units)
}

/// What is known of a unit of systemd's own.
async fn native(client: &Client, name: &str) -> Values {
    let state = client.native_state(name).await;
    state.map(|state| ("ActiveState".to_owned(), Value::Text(state))).into_iter().collect()
}

/// The tree below a unit. As systemctl, only targets are opened unless all are wanted, and none twice on one
/// path.
fn node(name: &str, units: &Units, args: &DependencyArgs, path: &mut Vec<String>) -> Node {
    let values = units.get(name);
    let active = values.map(|values| text(values, "ActiveState")).unwrap_or_default();
    let opened = path.is_empty() || args.all || name.ends_with(".target");
    let mut dependencies = Vec::new();
    if opened && !path.iter().any(|seen| seen == name) {
        path.push(name.to_owned());
        for below in values.map(|values| Direction::of(args).below(values)).unwrap_or_default() {
            if !path.contains(&below) {
                dependencies.push(node(&below, units, args, path));
            }
        }
        path.pop();
    }
    Node { unit: name.to_owned(), active, dependencies }
}

fn render(root: &Node, layout: &Layout) -> String {
    let mut text = format!("{}\n", root.unit);
    match layout.shape {
        Shape::Drawn => branches(root, "", layout, &mut text),
        Shape::Plain => indented(root, "  ", &mut text),
    }
    text
}

fn branches(node: &Node, indentation: &str, layout: &Layout, text: &mut String) {
    let glyphs = layout.style.glyphs;
    for (index, child) in node.dependencies.iter().enumerate() {
        let last = index + 1 == node.dependencies.len();
        let (branch, rail) =
            if last { (glyphs.last_branch(), "  ") } else { (glyphs.branch(), glyphs.rail()) };
        let state = ActiveState::of_word(&child.active);
        // Nobody has told the state of a unit of systemd's when that does not answer.
        let dot = match child.active.as_str() {
            "" => " ".to_owned(),
            _ => layout.style.dot(state.tone(), state.dot()),
        };
        text.push_str(&format!("{dot} {indentation}{branch}{}\n", child.unit));
        branches(child, &format!("{indentation}{rail}"), layout, text);
    }
}

fn indented(node: &Node, indentation: &str, text: &mut String) {
    for child in &node.dependencies {
        text.push_str(&format!("{indentation}{}\n", child.unit));
        indented(child, &format!("{indentation}  "), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, LookVerb, Verb};
    use crate::cli::of::Of;
    use clap::Parser;

    fn unit(requires: &[&str], wants: &[&str]) -> Values {
        let list = |names: &[&str]| Value::List(names.iter().map(|name| (*name).to_owned()).collect());
        Values::from([
            ("ActiveState".to_owned(), Value::Text("active".to_owned())),
            ("Requires".to_owned(), list(requires)),
            ("Wants".to_owned(), list(wants)),
        ])
    }

    fn shown(line: &str) -> String {
        let Verb::Look(Of(LookVerb::ListDependencies(args))) = Cli::parse_from(line.split(' ')).verb else {
            panic!("{line}")
        };
        let units = Units::from([
            ("default.target".to_owned(), unit(&[], &["blog.target", "web.container"])),
            ("blog.target".to_owned(), unit(&["blog.container"], &["default.target"])),
            ("blog.container".to_owned(), unit(&["db.container"], &[])),
            ("db.container".to_owned(), unit(&[], &[])),
            ("web.container".to_owned(), unit(&["db.container"], &[])),
        ]);
        let layout = Layout { shape: args.display.layout().shape, ..Layout::PLAIN };
        render(&node("default.target", &units, &args, &mut Vec::new()), &layout)
    }

    #[test]
    fn targets_are_opened() {
        insta::assert_snapshot!(shown("sampanctl list-dependencies"), @r"
        default.target
        ● ├─blog.target
        ● │ └─blog.container
        ● └─web.container
        ");
    }

    #[test]
    fn all_opens_containers_and_cycles_end() {
        insta::assert_snapshot!(shown("sampanctl list-dependencies --all"), @r"
        default.target
        ● ├─blog.target
        ● │ └─blog.container
        ● │   └─db.container
        ● └─web.container
        ●   └─db.container
        ");
    }

    #[test]
    fn plain_trees_have_neither_dots_nor_branches() {
        insta::assert_snapshot!(shown("sampanctl list-dependencies --plain"), @r"
        default.target
          blog.target
            blog.container
          web.container
        ");
    }
}
