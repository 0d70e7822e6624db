//! The interfaces as they are introspected on a running daemon, and as the manual page org.sampan1(5) has them.

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use support::host::Host;

const PAGE: &str = include_str!("../man/org.sampan1.5");

const OBJECTS: [&str; 4] =
    ["/org/sampan1", "/org/sampan1/unit/default_2etarget", "/org/sampan1/job/1", "/org/sampan1/transfer/1"];

/// The value of an attribute in a line of XML.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

/// Methods, properties and signals of our interface in introspection data, a line for each.
fn members(xml: &str) -> Vec<String> {
    let (mut members, mut is_ours) = (Vec::new(), false);
    let (mut head, mut takes, mut gives) = (String::new(), Vec::new(), Vec::new());
    for line in xml.lines().map(str::trim) {
        let name = attribute(line, "name").unwrap_or_default();
        let argument = || format!("{} {name}", attribute(line, "type").expect("arguments have types"));
        match line.split_once([' ', '>']).map_or(line, |(tag, _)| tag) {
            "<interface" => is_ours = name.starts_with("org.sampan1."),
            "<property" => members.extend(is_ours.then(|| format!("property {}", argument()))),
            "<annotation" if is_ours && attribute(line, "value") == Some("true") => {
                members.last_mut().expect("it is one of a property").push_str(" *");
            }
            "<method" | "<signal" => {
                head = format!("{} {name}", if line.starts_with("<m") { "method" } else { "signal" })
            }
            "<arg" if attribute(line, "direction") == Some("out") => gives.push(argument()),
            "<arg" => takes.push(argument()),
            "</method" | "</signal" => {
                let given =
                    if gives.is_empty() { String::new() } else { format!(" → {}", gives.join(", ")) };
                members.extend(is_ours.then(|| format!("{head}({}){given}", takes.join(", "))));
                (takes, gives) = (Vec::new(), Vec::new());
            }
            _ => {}
        }
    }
    members
}

/// A line of the manual page without its markup.
fn plain(line: &str) -> String {
    line.replace("\\(->", "→").replace("\\-", "-")
}

/// The members in a section of the manual page.
fn listed(section: &str) -> BTreeSet<String> {
    let (_, rest) = PAGE.split_once(&format!(".SH THE INTERFACE {section}\n")).expect("the section is there");
    let text = rest.split(".SH ").next().unwrap_or_default();
    let kinds = ["method ", "property ", "signal "];
    text.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).map(plain).collect()
}

#[test]
fn the_manual_lists_what_is_there_and_nothing_else() {
    let host = Host::start();
    for (object, section) in OBJECTS.into_iter().zip(["Manager", "Unit", "Job", "Transfer"]) {
        let xml = host.succeed(&["busctl", "introspect", "--xml-interface", "org.sampan1", object]);
        let there: BTreeSet<String> = members(&xml).into_iter().collect();
        let listed = listed(&format!("org.sampan1.{section}"));
        let missing: Vec<&String> = there.difference(&listed).collect();
        assert!(missing.is_empty(), "man/org.sampan1.5 lacks, of {section}: {missing:#?}");
        let wrong: Vec<&String> = listed.difference(&there).collect();
        assert!(wrong.is_empty(), "man/org.sampan1.5 has, and {section} has not: {wrong:#?}");
    }
}

/// Words of a text that begin so, up to what no name has in it.
fn names<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let word = |(at, _): (usize, &str)| {
        let rest = &text[at..];
        &rest[..rest
            .find(|letter: char| !letter.is_alphanumeric() && letter != '.' && letter != '-')
            .unwrap_or(rest.len())]
    };
    text.match_indices(begin).map(word).collect()
}

/// Terms that the manual page explains in one section.
fn terms(section: &str) -> BTreeSet<String> {
    let (_, rest) = PAGE.split_once(&format!(".SH {section}\n")).expect("the section is there");
    let terms = rest.split(".SH ").next().unwrap_or_default().split(".TP\n.B ").skip(1);
    terms.filter_map(|term| term.lines().next()).map(plain).collect()
}

#[test]
fn the_manual_lists_all_errors_and_actions() {
    let source = include_str!("../src/bus/error.rs");
    let errors = ["org.sampan1.Error.", "org.freedesktop.DBus.Error."];
    let errors: BTreeSet<String> =
        errors.iter().flat_map(|begin| names(source, begin)).map(str::to_owned).collect();
    assert_eq!(terms("ERRORS"), errors);
    let actions = include_str!("../units/org.sampan1.policy").lines().map(str::trim);
    let actions =
        actions.filter(|line| line.starts_with("<action ")).filter_map(|line| attribute(line, "id"));
    assert_eq!(terms("ACCESS"), actions.map(str::to_owned).collect());
}

#[test]
fn the_manual_renders_without_warnings() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/man/org.sampan1.5");
    let output =
        Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z", page]).output().expect("groff runs");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
