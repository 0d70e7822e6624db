//! The manual pages, the schema and the list of what is not in effect yet say the same.

use sampan::cli::units::verify::{self, VerifyArgs, check};
use sampan::paths::Paths;
use sampan::unit::diagnostic::Style;
use sampan::unit::effect::is_later;
use sampan::unit::schema::{Key, keys};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// The pages that list keys.
const PAGES: [&str; 2] = ["man/sampan.unit.5", "man/sampan.container.5"];

/// The entries of a page's tables: `socket.*.listen` and the text below it, in one line.
fn entries(page: &str) -> BTreeMap<String, String> {
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    let (mut table, mut entry) = (None, None);
    for line in page.lines().skip_while(|line| *line != ".Sh TABLES") {
        if let Some(title) = line.strip_prefix(".Ss ") {
            table = Some(way_of(title));
        } else if let (Some(key), Some(table)) = (line.strip_prefix(".It Ic "), &table) {
            entry = Some(format!("{table}.{key}"));
        } else if line.starts_with(".El") || line.starts_with(".Sh") {
            entry = None;
        }
        if let Some(entry) = &entry {
            let text = entries.entry(entry.clone()).or_default();
            if !line.starts_with(".It") {
                text.push_str(line);
                text.push(' ');
            }
        }
    }
    entries
}

/// `[socket.NAME]` is `socket.*`.
fn way_of(title: &str) -> String {
    let title = title.trim_matches(['[', ']']);
    match title.split_once('.') {
        Some((table, _)) => format!("{table}.*"),
        None => title.to_owned(),
    }
}

#[test]
fn every_key_has_an_entry_and_every_entry_a_key() {
    let entries: BTreeMap<String, String> =
        PAGES.iter().flat_map(|page| entries(&fs::read_to_string(page).unwrap())).collect();
    let keys: BTreeMap<String, &Key> = keys().iter().map(|key| (key.way.join("."), key)).collect();
    assert!(entries.keys().eq(keys.keys()), "{:?}", entries.keys().collect::<Vec<_>>());
    for (name, key) in &keys {
        assert!(entries[name].starts_with(&key.sentence), "{name}: {}", key.sentence);
        let way: Vec<&str> = key.way.iter().map(String::as_str).collect();
        assert_eq!(entries[name].contains("Not in effect yet"), is_later(&way), "{name}");
    }
}

#[test]
fn the_examples_of_the_pages_are_units_without_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for page in PAGES.into_iter().chain(["man/sampan.target.5"]) {
        let page = fs::read_to_string(page).unwrap();
        let examples = page.split(".Sh EXAMPLES").nth(1).unwrap();
        for example in examples.split(".Pa ").skip(1) {
            let file = example.split_whitespace().next().unwrap();
            let text =
                example.split(".Bd -literal -offset indent\n").nth(1).unwrap().split(".Ed").next().unwrap();
            let below = file.strip_prefix("/etc/sampan/units/").unwrap_or(file);
            let path = directory.path().join("etc/sampan/units").join(below);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            checked += 1;
        }
    }
    assert_eq!(checked, 6);
    let missing = "[container]\nimage = \"localhost/db\"\n";
    fs::write(directory.path().join("etc/sampan/units/db.container.toml"), missing).unwrap();
    let found = check(&VerifyArgs { units: Vec::new() }, &Paths::new(directory.path()));
    assert_eq!(found, [], "{}", verify::text(&found, Style::Plain));
}

/// Every page, with mandoc(1).
#[test]
fn pages_are_rendered_without_a_warning() {
    let pages = fs::read_dir("man").unwrap().map(|page| page.unwrap().path());
    for page in pages {
        let output =
            Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&page).output().unwrap();
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
