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

#[test]
fn job_modes_decide_between_jobs() {
    let host = Host::with_images(&["hello"]);
    let silent = format!("{}type = \"notify\"\nstart_timeout = \"5min\"\n", shell("exec sleep 1000"));
    host.unit("slow.container", &silent);
    host.unit("done.container", &sleeper(""));
    host.unit("only.container", &sleeper("allow_isolate = true\nrequires = [\"needed.container\"]"));
    host.unit("needed.container", &sleeper(""));

    host.succeed(&["sampanctl", "start", "--no-block", "slow"]);
    let error = host.fail(4, &["sampanctl", "stop", "--job-mode=fail", "slow"]);
    assert!(error.contains("slow.container has a start job already"), "{error}");
    host.succeed(&["sampanctl", "stop", "slow"]);
    assert_eq!(host.property("slow", "ActiveState"), "inactive");

    host.succeed(&["sampanctl", "start", "--no-block", "--job-mode=replace-irreversibly", "slow"]);
    let error = host.fail(4, &["sampanctl", "stop", "slow"]);
    assert!(error.contains("slow.container has a start job that cannot be replaced"), "{error}");
    host.succeed(&["sampanctl", "cancel"]);
    assert!(!host.succeed(&["sampanctl", "list-jobs"]).contains("slow"));
    host.succeed(&["sampanctl", "stop", "slow"]);

    host.succeed(&["sampanctl", "start", "--job-mode=ignore-requirements", "only"]);
    assert_eq!(host.property("needed", "ActiveState"), "inactive");
    host.succeed(&["sampanctl", "start", "done"]);
    let error = host.fail(4, &["sampanctl", "isolate", "done"]);
    assert!(error.contains("allow_isolate"), "{error}");
    host.succeed(&["sampanctl", "isolate", "only"]);
    assert_eq!(host.property("done", "ActiveState"), "inactive");
    assert_eq!(host.property("needed", "SubState"), "running");
    assert_eq!(host.property("only", "SubState"), "running");
}

#[test]
fn what_comes_after_a_success_is_started_then_and_only_then() {
    let host = Host::with_images(&["hello"]);
    host.unit("next.container", &sleeper(""));
    let work = |script: &str| {
        format!("[unit]\non_success = [\"next.container\"]\n{}type = \"oneshot\"\n", shell(script))
    };
    host.unit("work.container", &work("exit 4"));
    host.fail(1, &["sampanctl", "start", "work"]);
    assert_eq!(host.property("next", "ActiveState"), "inactive");
    host.unit("work.container", &work("exit 0"));
    host.succeed(&["sampanctl", "start", "work"]);
    host.wait_property("next", "SubState", "running");
}
