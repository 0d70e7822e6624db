//! Conditions and asserts on a private host, as status, show and lists tell them.

mod support;

use support::host::Host;
use support::units::shell;

#[test]
fn a_condition_skips_a_start_and_an_assertion_fails_it() {
    let host = Host::with_images(&["hello"]);
    let unit = |name: &str, keys: &str| {
        host.unit(&format!("{name}.container"), &format!("[unit]\n{keys}\n{}", shell("exec sleep 1000")));
    };
    unit("skipped", "condition = { path_exists = \"/srv/wanted\" }");
    host.succeed(&["sampanctl", "start", "skipped"]);
    let status = host.answer(3, &["sampanctl", "status", "skipped"]);
    assert!(status.starts_with("○ skipped.container\n"), "{status}");
    assert!(status.contains("Active: inactive (dead)"), "{status}");
    assert!(status.contains("  Condition: start condition unmet at "), "{status}");
    assert!(status.contains("└─path_exists = \"/srv/wanted\""), "{status}");
    assert_eq!(host.property("skipped", "ConditionResult"), "no");
    assert_eq!(host.property("skipped", "Result"), "success");
    assert_eq!(host.answer(1, &["sampanctl", "is-failed", "skipped"]), "inactive\n");
    assert_eq!(host.succeed(&["sampanctl", "list-units", "--failed", "--no-legend"]), "");

    unit("failing", "assert = { path_exists = \"/srv/wanted\" }");
    let told = host.fail(1, &["sampanctl", "start", "failing"]);
    assert!(told.starts_with("Assertion failed on job for failing.container."), "{told}");
    let status = host.answer(3, &["sampanctl", "status", "failing"]);
    assert!(status.contains("start assertion failed at "), "{status}");
    assert_eq!(host.property("failing", "AssertResult"), "no");

    // Once it holds, both start, and nothing is said any more.
    host.write("/srv/wanted", "");
    host.succeed(&["sampanctl", "start", "skipped", "failing"]);
    for name in ["skipped", "failing"] {
        let status = host.succeed(&["sampanctl", "status", name]);
        assert!(!status.contains("unmet") && !status.contains("assertion failed"), "{status}");
    }
}

#[test]
fn negations_and_alternatives_are_those_of_systemd() {
    let host = Host::with_images(&["hello"]);
    host.write("/srv/here", "");
    for (name, condition, starts) in [
        ("not-there", "path_exists = \"!/srv/gone\"", true),
        ("not-here", "path_exists = \"!/srv/here\"", false),
        ("one-of", "path_exists = [\"|/srv/gone\", \"|/srv/here\"]", true),
        ("none-of", "path_exists = [\"|/srv/gone\", \"|/srv/lost\"]", false),
        ("all-of", "path_exists = [\"/srv/here\", \"/srv/gone\"]", false),
        ("and-one", "path_exists = [\"/srv/here\", \"|/srv/here\", \"|!/srv/here\"]", true),
    ] {
        let table = format!("[unit.condition]\n{condition}\n{}", shell("exec sleep 1000"));
        host.unit(&format!("{name}.container"), &table);
        host.succeed(&["sampanctl", "start", name]);
        let state = if starts { "active" } else { "inactive" };
        assert_eq!(host.property(name, "ActiveState"), state, "{condition}");
    }
}

#[test]
fn what_depends_on_a_skipped_unit_starts_and_on_a_failed_assertion_does_not() {
    let host = Host::with_images(&["hello"]);
    for (name, key) in [("skipped", "condition"), ("failing", "assert")] {
        let keys = format!("[unit]\n{key} = {{ path_exists = \"/srv/gone\" }}\n");
        host.unit(&format!("{name}.container"), &format!("{keys}{}", shell("exec sleep 1000")));
        let needs = format!("[unit]\nrequires = [\"{name}.container\"]\nafter = [\"{name}.container\"]\n");
        host.unit(&format!("after-{name}.container"), &format!("{needs}{}", shell("exec sleep 1000")));
    }
    host.succeed(&["sampanctl", "start", "after-skipped"]);
    assert_eq!(host.property("after-skipped", "ActiveState"), "active");
    let told = host.fail(1, &["sampanctl", "start", "after-failing"]);
    assert!(told.contains("A dependency job for after-failing.container failed."), "{told}");
}
