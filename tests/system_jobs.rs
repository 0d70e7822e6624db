//! Jobs on a private host: what units make of each other, and what job modes make of jobs.

mod support;

use support::host::Host;
use support::units::shell;

fn sleeper(relations: &str) -> String {
    format!("[unit]\n{relations}\n{}", shell("exec sleep 1000"))
}

#[test]
fn relations_bring_units_up_and_down_as_systemds_do() {
    let host = Host::with_images(&["hello"]);
    host.unit("db.container", &sleeper(""));
    host.unit("web.container", &sleeper("part_of = [\"db.container\"]\nafter = [\"db.container\"]"));
    host.unit("rival.container", &sleeper("conflicts = [\"db.container\"]"));
    host.unit("keeper.container", &sleeper("upholds = [\"held.container\"]"));
    host.unit("held.container", &sleeper(""));
    host.unit("rescue.container", &sleeper(""));
    let fails = format!("[unit]\non_failure = [\"rescue.container\"]\n{}", shell("exit 3"));
    host.unit("fails.container", &fails);

    host.succeed(&["sampanctl", "start", "db", "web"]);
    let first = host.property("web", "InvocationID");
    host.succeed(&["sampanctl", "restart", "db"]);
    host.wait_property("web", "SubState", "running");
    assert_ne!(host.property("web", "InvocationID"), first, "part_of has it restarted");

    host.succeed(&["sampanctl", "start", "rival"]);
    assert_eq!(host.property("db", "ActiveState"), "inactive");
    assert_eq!(host.property("web", "ActiveState"), "inactive");
    assert_eq!(host.property("rival", "SubState"), "running");

    host.succeed(&["sampanctl", "start", "keeper"]);
    host.wait_property("held", "SubState", "running");
    host.succeed(&["sampanctl", "stop", "held"]);
    host.wait_property("held", "SubState", "running");

    host.run(&["sampanctl", "start", "fails"]);
    host.wait_property("rescue", "SubState", "running");
    assert_eq!(host.property("fails", "Result"), "exit-code");
    // What has failed is still known to the manager's successor.
    host.succeed(&["systemctl", "restart", "sampand"]);
    assert_eq!(host.property("fails", "ActiveState"), "failed");
    assert_eq!(host.property("fails", "Result"), "exit-code");
}

#[test]
fn a_cycle_is_named_whole_and_keeps_nothing_from_stopping() {
    let host = Host::with_images(&["hello"]);
    for (unit, other) in [("a", "b"), ("b", "c"), ("c", "a")] {
        let relations = format!("requires = [\"{other}.container\"]\nafter = [\"{other}.container\"]");
        host.unit(&format!("{unit}.container"), &sleeper(&relations));
    }
    let error = host.fail(1, &["sampanctl", "start", "a"]);
    for unit in
        ["a.container after b.container", "b.container after c.container", "c.container after a.container"]
    {
        assert!(error.contains(unit), "{error}");
    }
    for unit in ["a", "b", "c"] {
        host.succeed(&["sampanctl", "start", "--job-mode=ignore-dependencies", unit]);
    }
    host.succeed(&["sampanctl", "stop", "a"]);
    for unit in ["a", "b", "c"] {
        assert_eq!(host.property(unit, "ActiveState"), "inactive");
    }
}
