//! Links that the verbs make, and what they say about them.

use super::catalog::{Host, name};
use sampan::paths::Paths;
use sampan::unit::enable::{self, Conflict, EnableError, Manner, Outcome, PresetMode};
use sampan::unit::links::Lasting;
use sampan::unit::preset::Presets;
use sampan::unit::search::LinkKind;

use sampan::unit::load::{Loaded, load_all};
use sampan::unit::name::UnitName;
use sampan::unit::state;
use std::fs;

const INSTALLED: &str = "[container]\nimage = \"a\"\n[install]\nwanted_by = [\"default.target\"]\n";

const RUNTIME: Manner = Manner { lasting: Lasting::UntilReboot, conflict: Conflict::Refuse };

fn enable(paths: &Paths, units: &[UnitName]) -> Result<Outcome, EnableError> {
    enable::enable(paths, units, Manner::default())
}

fn disable(paths: &Paths, units: &[UnitName]) -> Result<Outcome, EnableError> {
    enable::disable(paths, units, Lasting::Always)
}

fn reenable(paths: &Paths, units: &[UnitName]) -> Result<Outcome, EnableError> {
    enable::reenable(paths, units, Manner::default())
}

fn mask(paths: &Paths, units: &[UnitName]) -> Result<Outcome, EnableError> {
    enable::mask(paths, units, Manner::default())
}

fn unmask(paths: &Paths, units: &[UnitName]) -> Result<Outcome, EnableError> {
    enable::unmask(paths, units, Lasting::Always)
}

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

#[test]
fn a_file_that_has_the_name_of_an_alias_is_no_link_to_be_removed() {
    let host = Host::new()
        .write("etc/sampan/units/web.container.toml", INSTALLED)
        .link("etc/sampan/units/blog.container.toml", "web.container.toml")
        .write("run/sampan/units/blog.container.toml", INSTALLED);
    let outcome = disable(&host.paths(), &names(&["web.container"])).unwrap();
    assert_eq!(told(&host, &outcome), ["Removed \"/etc/sampan/units/blog.container.toml\"."]);
    assert_eq!(
        fs::read_to_string(host.root().join("run/sampan/units/blog.container.toml")).unwrap(),
        INSTALLED
    );
}

#[test]
fn what_is_done_until_reboot_is_told_apart() {
    let host = Host::new().write("usr/lib/sampan/units/web.container.toml", INSTALLED);
    let (paths, web) = (host.paths(), names(&["web.container"]));
    let link = "/run/sampan/units/default.target.wants/web.container.toml";
    let outcome = enable::enable(&paths, &web, RUNTIME).unwrap();
    assert_eq!(
        told(&host, &outcome),
        [format!("Created symlink {link} → /usr/lib/sampan/units/web.container.toml.")]
    );
    assert_eq!(word(&host, "web.container"), "enabled-runtime");
    assert_eq!(told(&host, &disable(&paths, &web).unwrap()), [format!("Removed \"{link}\".")]);
    enable::mask(&paths, &web, Manner { lasting: Lasting::UntilReboot, ..Manner::default() }).unwrap();
    assert_eq!(word(&host, "web.container"), "masked-runtime");
    assert_eq!(unmask(&paths, &web).unwrap().changes.len(), 1);
    assert_eq!(word(&host, "web.container"), "disabled");
}

#[test]
fn a_unit_of_systemd_gets_a_link_that_starts_ours() {
    let native =
        |by: &str| format!("[container]\nimage = \"a\"\n[install]\n{by} = [\"multi-user.target\"]\n");
    let host = Host::new()
        .write("etc/sampan/units/web.container.toml", &native("wanted_by"))
        .write("etc/sampan/units/w@.container.toml", &native("required_by"))
        .write("etc/sampan/units/own.container.toml", &native("wanted_by").replace("multi-user", "site"))
        .write("etc/systemd/system/site.target", "")
        .write("usr/lib/systemd/system/sampan@.service", "");
    let units = names(&["web.container", "w@blue.container", "own.container"]);
    let outcome = enable(&host.paths(), &units).unwrap();
    let link = |beside: &str, name: &str| {
        let template = "/usr/lib/systemd/system/sampan@.service";
        format!("Created symlink /etc/systemd/system/{beside}/sampan@{name}.service → {template}.")
    };
    assert_eq!(
        told(&host, &outcome),
        [
            link("multi-user.target.requires", "w@blue"),
            link("multi-user.target.wants", "web"),
            link("site.target.wants", "own"),
        ]
    );
    for unit in ["web.container", "w@blue.container", "w@.container", "own.container"] {
        assert_eq!(word(&host, unit), "enabled", "{unit}");
    }
    assert_eq!(disable(&host.paths(), &names(&["web.container", "w@.container"])).unwrap().changes.len(), 2);
    assert_eq!(word(&host, "web.container"), "disabled");
    assert!(load_all(&host.paths()).diagnostics.is_empty());
}

#[test]
fn preset_files_decide_by_the_first_line_that_matches() {
    let host = Host::new()
        .write("usr/lib/sampan/units/web.container.toml", INSTALLED)
        .write("usr/lib/sampan/units/db.container.toml", INSTALLED)
        .write("usr/lib/sampan/units/other.container.toml", INSTALLED)
        .write("usr/lib/sampan/units/w@.container.toml", INSTALLED)
        .write("usr/lib/sampan/presets/50-site.preset", "enable web.container\nenable w@.container a b\n")
        .write("usr/lib/sampan/presets/10-early.preset", "disable web.container\n")
        .link("etc/sampan/presets/10-early.preset", "/dev/null")
        .write("etc/sampan/presets/90-none.preset", "# nothing else\n; at all\n\n disable *\n");
    let paths = host.paths();
    enable(&paths, &names(&["db.container"])).unwrap();
    let (outcome, failures) = enable::preset_all(&paths, PresetMode::Full, Manner::default()).unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(outcome.changes.len(), 4, "{outcome:?}");
    for (unit, expected) in [
        ("web.container", "enabled"),
        ("db.container", "disabled"),
        ("other.container", "disabled"),
        ("w@a.container", "enabled"),
        ("w@b.container", "enabled"),
        ("w@c.container", "disabled"),
    ] {
        assert_eq!(word(&host, unit), expected, "{unit}");
    }
    let presets = Presets::read(&paths).unwrap();
    assert_eq!(presets.of(&name("w@a.container")).word(), "enabled");
    assert_eq!(presets.of(&name("w@c.container")).word(), "disabled");
    let host = host.write("etc/sampan/presets/00-bad.preset", "enable\nstart web.container\nenable web\n");
    let faults: Vec<String> =
        Presets::read(&host.paths()).unwrap_err().iter().map(|fault| fault.to_string()).collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(
        faults[2]
            .ends_with("00-bad.preset:3:1: this is not the name of a unit (did you mean \"web.container\"?)")
    );
}

#[test]
fn without_preset_files_units_are_enabled() {
    let host = Host::new().write("usr/lib/sampan/units/web.container.toml", INSTALLED);
    let preset = |mode| {
        enable::preset(&host.paths(), &names(&["web.container"]), mode, Manner::default()).unwrap();
        word(&host, "web.container")
    };
    assert_eq!(preset(PresetMode::DisableOnly), "disabled");
    assert_eq!(preset(PresetMode::EnableOnly), "enabled");
    assert_eq!(preset(PresetMode::Full), "enabled");
}

#[test]
fn revert_takes_back_what_was_laid_over_a_package() {
    let host = Host::new()
        .write("usr/lib/sampan/units/web.container.toml", INSTALLED)
        .write("etc/sampan/units/web.container.toml", INSTALLED)
        .write("etc/sampan/units/web.container.toml.d/10.toml", "[container]\n")
        .write("run/sampan/units/web.container.d/20.toml", "[container]\n")
        .write("etc/sampan/units/mine.container.toml", INSTALLED)
        .write("etc/sampan/units/mine.container.toml.d/10.toml", "[container]\n");
    let outcome = enable::revert(&host.paths(), &names(&["web.container", "mine.container"])).unwrap();
    assert_eq!(
        told(&host, &outcome),
        [
            "Removed \"/etc/sampan/units/web.container.toml\".",
            "Removed \"/etc/sampan/units/web.container.toml.d/10.toml\".",
            "Removed \"/run/sampan/units/web.container.d/20.toml\".",
            "Removed \"/etc/sampan/units/mine.container.toml.d/10.toml\".",
        ]
    );
    assert!(host.root().join("etc/sampan/units/mine.container.toml").exists());
    assert!(!host.root().join("etc/sampan/units/web.container.toml.d").exists());
}

#[test]
fn files_elsewhere_become_units_by_a_link() {
    let host = Host::new().write("srv/web.container.toml", INSTALLED).write("srv/readme", "");
    let file = |name: &str| vec![host.root().join("srv").join(name)];
    enable::link(&host.paths(), &file("web.container.toml"), Manner::default()).unwrap();
    assert_eq!(word(&host, "web.container"), "linked");
    for (name, expected) in
        [("readme", "it is not named as a unit"), ("none.container.toml", "there is no such file")]
    {
        let error = enable::link(&host.paths(), &file(name), Manner::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(disable(&host.paths(), &names(&["web.container"])).unwrap().changes.len(), 0);
}

#[test]
fn another_target_can_be_started_at_boot_and_has_the_links_of_both_names() {
    let host = Host::new()
        .write("usr/lib/sampan/units/shop.target.toml", "[unit]\ndescription = \"Shop\"\n")
        .write("etc/sampan/units/web.container.toml", INSTALLED)
        .write("etc/sampan/units/db.container.toml", "[container]\nimage = \"a\"\n");
    let paths = host.paths();
    assert_eq!(enable::default_target(&paths).unwrap(), name("default.target"));
    enable(&paths, &names(&["web.container"])).unwrap();
    enable::add_dependency(
        &paths,
        &name("shop.target"),
        &names(&["db.container"]),
        LinkKind::Requires,
        Manner::default(),
    )
    .unwrap();
    enable::set_default_target(&paths, &name("shop.target")).unwrap();
    assert_eq!(enable::default_target(&paths).unwrap(), name("shop.target"));
    let catalog = load_all(&paths);
    let Some(Loaded::Good(target)) = catalog.find(&name("default.target")) else { panic!("no target") };
    assert_eq!(target.name, name("shop.target"));
    assert!(target.dependencies.wants.contains(&name("web.container")));
    assert!(target.dependencies.requires.contains(&name("db.container")));
    assert!(matches!(
        enable::set_default_target(&paths, &name("web.container")),
        Err(EnableError::NotTarget(_))
    ));
    enable::set_default_target(&paths, &name("default.target")).unwrap();
    assert_eq!(enable::default_target(&paths).unwrap(), name("default.target"));
}

/// systemd has a target of that name on every host, and it is another one.
#[test]
fn the_default_target_is_ours_where_systemd_has_one() {
    let host = Host::new()
        .write("usr/lib/systemd/system/default.target", "[Unit]\n")
        .write("usr/lib/systemd/system/multi-user.target", "[Unit]\n")
        .write("etc/sampan/units/web.container.toml", INSTALLED);
    enable(&host.paths(), &names(&["web.container"])).unwrap();
    assert!(host.root().join("etc/sampan/units/default.target.wants/web.container.toml").is_symlink());
    assert!(!host.root().join("etc/systemd/system").exists());
}

#[test]
fn the_units_of_a_user_are_elsewhere() {
    let host = Host::new();
    let home = host.root().join("home/me");
    let paths = host.paths().of_user(|variable| match variable {
        "HOME" => Some(home.display().to_string()),
        "XDG_RUNTIME_DIR" => Some(host.root().join("run/user/1").display().to_string()),
        _ => None,
    });
    let file = home.join(".local/share/sampan/units/web.container.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, INSTALLED).unwrap();
    enable(&paths, &names(&["web.container"])).unwrap();
    assert!(home.join(".config/sampan/units/default.target.wants/web.container.toml").is_symlink());
    assert!(matches!(load_all(&paths).find(&name("web.container")), Some(Loaded::Good(_))));
}
