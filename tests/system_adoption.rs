//! What is adopted by a manager whose predecessor's records, or whose units' files, are lost.

mod support;

use support::host::Host;
use support::units::{shell, socket};

const STATE: &str = "/run/sampan/state";

/// A host with a container that answers its stop signal, and one behind a socket.
fn host() -> Host {
    let host = Host::with_images(&["hello", "web"]);
    host.unit("job.container", &shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"));
    let nginx = "[container]\nimage = \"localhost/web\"\n";
    let swap = socket("127.0.0.1:8001", "\"swap\"\ntarget = \"0.0.0.0:80\"");
    host.unit("web.container", &format!("{nginx}{swap}"));
    host.succeed(&["sampanctl", "start", "job", "web"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    host
}

#[test]
fn what_has_failed_is_told_once_and_remembered() {
    let host = Host::with_images(&["hello"]);
    host.unit("bad.container", &shell("sleep 0.2; exit 7"));
    host.unit("none.container", "[container]\nimage = \"localhost/hello\"\nentrypoint = [\"/none\"]\n");
    host.succeed(&["sampanctl", "start", "bad"]);
    host.wait_property("bad", "ActiveState", "failed");
    host.fail(1, &["sampanctl", "start", "none"]);
    let often = "restart = \"on-failure\"\nstart_limit = { burst = 2, interval = \"1h\" }\n";
    host.unit("often.container", &(shell("exit 7") + often));
    host.run(&["sampanctl", "start", "often"]);
    host.wait_property("often", "Result", "start-limit-hit");
    let blame = || host.succeed(&["sampanctl", "blame", "bad", "none"]);
    let before = blame();
    assert!(before.contains("bad.container") && before.contains("none.container"), "{before}");
    for restart in [&["restart", "sampand"][..], &["kill", "--signal=KILL", "--kill-whom=main", "sampand"]] {
        host.succeed(&[&["systemctl"], restart].concat());
        host.wait_property("bad", "ActiveState", "failed");
        assert_eq!(host.property("bad", "ExecMainStatus"), "7");
        assert_eq!(blame(), before);
    }
    for unit in ["bad", "none", "often"] {
        let told = host.succeed(&["journalctl", "--output=cat", &format!("SAMPAN_UNIT={unit}.container")]);
        assert_eq!(told.matches("Failed with result").count(), 1, "{told}");
    }
}

/// Has the manager killed, and something done before the next one comes.
fn between_managers(host: &Host, script: &str) {
    host.write(
        "/run/systemd/system/sampand.service.d/between.conf",
        &format!("[Service]\nExecStartPre=/bin/sh -c '{script}'\n"),
    );
    host.succeed(&["systemctl", "daemon-reload"]);
    host.succeed(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]);
    host.succeed(&["sampanctl", "list-units"]);
    host.succeed(&["rm", "/run/systemd/system/sampand.service.d/between.conf"]);
    host.succeed(&["systemctl", "daemon-reload"]);
}

fn pids(host: &Host) -> [String; 2] {
    ["job", "web"].map(|unit| host.property(unit, "MainPID"))
}

fn assert_control(host: &Host) {
    assert_eq!(host.property("job", "SubState"), "running");
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    host.succeed(&["sampanctl", "exec", "job", "true"]);
    host.succeed(&["sampanctl", "stop", "job", "web"]);
    host.wait_log("job", "bye");
    assert_eq!(
        (host.property("job", "Result"), host.property("job", "ActiveState")),
        ("success".into(), "inactive".into())
    );
    assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-*.scope"]), "");
}

#[test]
fn containers_without_records_are_found_by_their_scopes() {
    let host = host();
    let before = pids(&host);
    between_managers(&host, &format!("rm -r {STATE}"));
    assert_eq!(pids(&host), before);
    assert_control(&host);
}

#[test]
fn damaged_and_old_records_cost_no_container() {
    let host = host();
    let before = pids(&host);
    for damage in
        ["truncate --size=40", "truncate --size=0", "sed -i s/phase/phrase/", "sed -i s/,.stamps.*/}/"]
    {
        between_managers(&host, &format!("{damage} {STATE}/job.container.json {STATE}/web.container.json"));
        assert_eq!(pids(&host), before, "{damage}");
    }
    // A record that could not be replaced tells of another process.
    between_managers(
        &host,
        &format!("sed -i \"s/.pid.:[0-9]*/\\\\\\\"pid\\\\\\\":1/\" {STATE}/job.container.json"),
    );
    assert_eq!(pids(&host), before);
    assert_control(&host);
}

#[test]
fn a_unit_whose_file_has_gone_can_be_stopped_and_goes_then() {
    let host = host();
    host.succeed(&["rm", "/etc/sampan/units/job.container.toml"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
    assert!(host.succeed(&["sampanctl", "list-units"]).contains("job.container"));
    let before = pids(&host);
    between_managers(&host, "true");
    assert_eq!(pids(&host), before);
    assert!(host.answer(0, &["sampanctl", "status", "job"]).contains("not-found"));
    assert_control_of_job(&host);
}

fn assert_control_of_job(host: &Host) {
    host.succeed(&["sampanctl", "stop", "job"]);
    host.wait_log("job", "bye");
    host.wait_until("job is gone", |host| {
        !host.succeed(&["sampanctl", "list-units", "--all"]).contains("job.container")
    });
}
