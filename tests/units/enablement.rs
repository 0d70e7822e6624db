//! Links that the verbs make, and what they say about them.

use super::catalog::{Host, name};
use sampan::unit::enable::{EnableError, Outcome, disable, enable, mask, reenable, unmask};
use sampan::unit::name::UnitName;
use sampan::unit::state;
use std::fs;

const INSTALLED: &str = "[container]\nimage = \"a\"\n[install]\nwanted_by = [\"default.target\"]\n";

fn names(words: &[&str]) -> Vec<UnitName> {
    words.iter().map(|word| name(word)).collect()
}

/// What is told, with the root taken off.
fn told(host: &Host, outcome: &Outcome) -> Vec<String> {
    let root = host.root().to_str().unwrap();
    outcome.changes.iter().map(|change| change.to_string().replace(root, "")).collect()
}

fn word(host: &Host, unit: &str) -> &'static str {
    state::of(&host.paths(), &name(unit)).map_or("not-found", state::FileState::word)
}

#[test]
fn a_unit_is_enabled_and_disabled_in_the_words_of_systemctl() {
    let host = Host::new().write("etc/sampan/units/web.container.toml", INSTALLED);
    let units = names(&["web.container"]);
    assert_eq!(word(&host, "web.container"), "disabled");
    let link = "/etc/sampan/units/default.target.wants/web.container.toml";
    let outcome = enable(&host.paths(), &units).unwrap();
    assert_eq!(
        told(&host, &outcome),
        [format!("Created symlink {link} → /etc/sampan/units/web.container.toml.")]
    );
    assert_eq!(word(&host, "web.container"), "enabled");
    assert_eq!(enable(&host.paths(), &units).unwrap(), Outcome::default());
    let outcome = reenable(&host.paths(), &units).unwrap();
    assert_eq!(outcome.changes.len(), 2);
    let outcome = disable(&host.paths(), &units).unwrap();
    assert_eq!(told(&host, &outcome), [format!("Removed \"{link}\".")]);
    assert_eq!(word(&host, "web.container"), "disabled");
    assert!(!host.root().join("etc/sampan/units/default.target.wants").exists());
}

#[test]
fn everything_in_install_becomes_a_link() {
    let text = "[container]\nimage = \"a\"\n[install]\nrequired_by = [\"shop.target\"]\nalias = [\"blog.container\"]\nalso = [\"db.container\"]\n";
    let host = Host::new()
        .write("usr/lib/sampan/units/web.container.toml", text)
        .write("usr/lib/sampan/units/db.container.toml", INSTALLED);
    let outcome = enable(&host.paths(), &names(&["web.container"])).unwrap();
    assert_eq!(
        told(&host, &outcome),
        [
            "Created symlink /etc/sampan/units/blog.container.toml → /usr/lib/sampan/units/web.container.toml.",
            "Created symlink /etc/sampan/units/default.target.wants/db.container.toml → /usr/lib/sampan/units/db.container.toml.",
            "Created symlink /etc/sampan/units/shop.target.requires/web.container.toml → /usr/lib/sampan/units/web.container.toml.",
        ]
    );
    assert_eq!((word(&host, "blog.container"), word(&host, "web.container")), ("alias", "enabled"));
    assert_eq!(disable(&host.paths(), &names(&["blog.container"])).unwrap().changes.len(), 3);
}

#[test]
fn templates_are_enabled_by_instance() {
    let host = Host::new()
        .write("etc/sampan/units/w@.container.toml", INSTALLED)
        .write("etc/sampan/units/d@.container.toml", &format!("{INSTALLED}default_instance = \"main\"\n"));
    let paths = host.paths();
    assert!(matches!(enable(&paths, &names(&["w@.container"])), Err(EnableError::Template(..))));
    let outcome = enable(&paths, &names(&["w@blue.container", "d@.container"])).unwrap();
    assert_eq!(
        told(&host, &outcome),
        [
            "Created symlink /etc/sampan/units/default.target.wants/d@main.container.toml → /etc/sampan/units/d@.container.toml.",
            "Created symlink /etc/sampan/units/default.target.wants/w@blue.container.toml → /etc/sampan/units/w@.container.toml.",
        ]
    );
    for (unit, expected) in
        [("w@blue.container", "enabled"), ("w@red.container", "disabled"), ("w@.container", "enabled")]
    {
        assert_eq!(word(&host, unit), expected, "{unit}");
    }
    assert_eq!(disable(&paths, &names(&["w@.container"])).unwrap().changes.len(), 1);
}

#[test]
fn masks_are_made_and_taken_away_and_never_hide_a_file_of_the_administrator() {
    let host = Host::new()
        .write("usr/lib/sampan/units/web.container.toml", INSTALLED)
        .write("etc/sampan/units/mine.container.toml", INSTALLED);
    let (paths, web) = (host.paths(), names(&["web.container"]));
    let outcome = mask(&paths, &web).unwrap();
    assert_eq!(told(&host, &outcome), ["Created symlink /etc/sampan/units/web.container.toml → /dev/null."]);
    assert_eq!(word(&host, "web.container"), "masked");
    assert!(matches!(enable(&paths, &web), Err(EnableError::Masked(_))));
    assert_eq!(
        told(&host, &unmask(&paths, &web).unwrap()),
        ["Removed \"/etc/sampan/units/web.container.toml\"."]
    );
    assert_eq!(word(&host, "web.container"), "disabled");
    let error = mask(&paths, &names(&["mine.container"])).unwrap_err();
    let mine = host.root().join("etc/sampan/units/mine.container.toml");
    assert_eq!(error.to_string(), format!("File {} already exists.", mine.display()));
    assert!(fs::read_to_string(mine).unwrap() == INSTALLED);
}

#[test]
fn nothing_is_done_when_one_of_the_units_is_wrong() {
    let host = Host::new()
        .write("etc/sampan/units/web.container.toml", INSTALLED)
        .write("etc/sampan/units/bad.container.toml", "[container]\nimagee = \"a\"\n")
        .write(
            "etc/sampan/units/thief.container.toml",
            "[container]\nimage = \"a\"\n[install]\nalias = [\"web.container\"]\n",
        );
    for (other, expected) in [
        ("none.container", "Unit file none.container.toml does not exist."),
        ("bad.container", "unknown key \"imagee\" (did you mean \"image\"?)"),
        ("thief.container", "web.container.toml already exists."),
    ] {
        let error = enable(&host.paths(), &names(&["web.container", other])).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(word(&host, "web.container"), "disabled");
    }
    assert_eq!(word(&host, "bad.container"), "bad");
}

#[test]
fn a_unit_with_nothing_to_install_is_static() {
    let host = Host::new()
        .write("etc/sampan/units/web.container.toml", "[container]\nimage = \"a\"\n")
        .write("etc/sampan/units/all.target.toml", "[install]\nalso = [\"web.container\"]\n")
        .write("srv/my.toml", INSTALLED)
        .link("etc/sampan/units/my.container.toml", "/srv/my.toml");
    let outcome = enable(&host.paths(), &names(&["web.container"])).unwrap();
    assert_eq!(outcome.without_install, names(&["web.container"]));
    for (unit, expected) in [
        ("web.container", "static"),
        ("all.target", "indirect"),
        ("my.container", "linked"),
        ("x.container", "not-found"),
        ("default.target", "static"),
    ] {
        assert_eq!(word(&host, unit), expected, "{unit}");
    }
}
