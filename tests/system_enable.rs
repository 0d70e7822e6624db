//! Enabling, masking and linking units as root and as another user, with the manager and without: the same words, and the
//! same links.

mod support;

use support::host::Host;
use support::units::shell;

/// A host with units to be enabled, on which a rule of polkit speaks for `nobody`.
fn host(rule: &str) -> Host {
    let host = Host::boot();
    let unit = |install: &str| shell("exec sleep 1000") + "[install]\n" + install + "\n";
    for (name, install) in [
        ("web.container", "wanted_by = [\"default.target\"]\nalias = [\"site.container\"]"),
        ("native.container", "wanted_by = [\"multi-user.target\"]"),
        ("bare.container", ""),
    ] {
        host.write(&format!("/etc/sampan/units/{name}.toml"), &unit(install));
    }
    host.write("/etc/sampan/units/other.target.toml", "[unit]\ndescription = \"Other\"\n");
    host.write("/srv/far.container.toml", &unit("wanted_by = [\"default.target\"]"));
    host.write("/srv/near.container.toml", &shell("exec sleep 1000"));
    host.write("/etc/sampan/presets/10-test.preset", "disable web.container\nenable *\n");
    host.write(
        "/etc/polkit-1/rules.d/10-test.rules",
        &format!("polkit.addRule(function(action, subject) {{ {rule} }});\n"),
    );
    host
}

/// What each verb is to be seen to do, one after the other.
const VERBS: &[&[&str]] = &[
    &["enable", "web", "bare"],
    &["enable", "web"],
    &["disable", "web"],
    &["enable", "--runtime", "native"],
    &["reenable", "native"],
    &["enable", "/srv/far.container.toml"],
    &["link", "/srv/near.container.toml"],
    &["link", "/srv/none.container.toml"],
    &["mask", "later"],
    &["enable", "later"],
    &["unmask", "later"],
    &["enable", "bare"],
    &["enable", "nothing"],
    &["disable", "nothing"],
    &["add-wants", "default.target", "bare"],
    &["add-requires", "multi-user.target", "bare"],
    &["preset", "--preset-mode=enable-only", "web"],
    &["preset", "web"],
    &["preset-all", "--preset-mode=disable-only"],
    &["preset-all"],
    &["set-default", "other.target"],
    &["set-default", "bare.container"],
    &["set-default", "default.target"],
    &["revert", "web"],
    &["mask", "web"],
    &["disable", "native", "far", "bare"],
];

/// What the verbs print, and how they end.
fn told(host: &Host, user: &[&str]) -> Vec<String> {
    let run = |verb: &&[&str]| {
        let output = host.run(&[user, &["sampanctl"], verb].concat());
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        format!("{}: {:?}\n{text}", verb.join(" "), output.status.code())
    };
    VERBS.iter().map(run).collect()
}

/// All links below the directories of units.
fn links(host: &Host) -> String {
    host.succeed(&[
        "sh",
        "-c",
        "find /etc/sampan /run/sampan/units /etc/systemd/system -type l -printf '%p %l\\n' | sort",
    ])
}

const NOBODY: &[&str] = &["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];

#[test]
fn whoever_does_it_the_words_and_the_links_are_the_same() {
    let alone = host("");
    alone.succeed(&["systemctl", "mask", "--runtime", "sampand"]);
    let expected = told(&alone, &[]);
    assert!(
        expected[0].contains("Created symlink /etc/sampan/units/default.target.wants/web"),
        "{expected:#?}"
    );
    assert!(expected[0].contains("bare.container has no [install] table"), "{expected:#?}");
    assert!(
        expected[12]
            .ends_with("Some(1)\nFailed to enable unit: Unit file nothing.container.toml does not exist.\n"),
        "{}",
        expected[12]
    );

    let managed = host("");
    managed.succeed(&["systemctl", "start", "sampand"]);
    for (found, expected) in told(&managed, &[]).iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(links(&managed), links(&alone));
    assert_eq!(managed.property("bare", "UnitFileState"), "static");
    drop(managed);

    let allowed = host("if (action.id.indexOf('org.sampan1.') == 0) return polkit.Result.YES;");
    // The manager is started for it.
    for (found, expected) in told(&allowed, NOBODY).iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(links(&allowed), links(&alone));
}

#[test]
fn a_user_without_a_rule_is_told_what_is_missing() {
    let host = host("");
    let before = links(&host);
    for verb in VERBS {
        let told = host.fail(4, &[NOBODY, &["sampanctl"], verb].concat());
        let action = "Interactive authentication required: org.sampan1.manage-unit-files (";
        assert!(told.contains(action) && told.contains("Become root"), "{verb:?}: {told}");
    }
    assert_eq!(links(&host), before);
    // Another root is a matter of files alone.
    let told = host.fail(1, &[NOBODY, &["sampanctl", "enable", "--root=/proc/self/root", "web"]].concat());
    assert!(told.contains("Permission denied"), "{told}");
}

#[test]
fn now_starts_what_a_user_enables() {
    let host = host("if (action.id.indexOf('org.sampan1.') == 0) return polkit.Result.YES;");
    host.write("/etc/sampan/units/other.target.toml", "[install]\nwanted_by = [\"default.target\"]\n");
    host.succeed(&[NOBODY, &["sampanctl", "enable", "--now", "other.target"]].concat());
    assert_eq!(host.property("other.target", "ActiveState"), "active");
    host.succeed(&[NOBODY, &["sampanctl", "enable", "native"]].concat());
    // systemd has been told of its new dependency.
    let wants = host.succeed(&["systemctl", "show", "--property=Wants", "--value", "multi-user.target"]);
    assert!(wants.contains("sampan@native.service"), "{wants}");
}
