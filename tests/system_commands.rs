//! Commands before and after a payload on a private host: where they run, what they see, what their failures come to,
//! and that neither a stop nor the death of the manager loses one.

mod support;

use support::host::Host;
use support::units::shell;

/// A command of the container's shell.
fn inside(script: &str) -> String {
    format!("[\"sh\", \"-c\", '''{script}''']")
}

/// One of the host's.
fn outside(script: &str) -> String {
    format!("{{ command = [\"/bin/sh\", \"-c\", '''{script}'''], host = true }}")
}

fn list(key: &str, commands: &[String]) -> String {
    format!("{key} = [{}]\n", commands.join(", "))
}

#[test]
fn commands_run_around_a_payload_in_its_container_and_on_the_host() {
    let host = Host::with_images(&["hello"]);
    let text = shell("cat /made; exec sleep 1000")
        + &list(
            "exec_start_pre",
            &[
                outside("mkdir -p /srv/made; echo pre-host $(id -u) >> /srv/order; cat /proc/self/cgroup"),
                inside("echo from pre > /made; echo pre-inside in $(hostname)"),
                outside("echo second >> /srv/order"),
                "[\"-false\"]".to_owned(),
            ],
        )
        + &list(
            "exec_start_post",
            &[inside("echo post of $MAINPID sees $(cat /made)"), outside("echo post $MAINPID >> /srv/order")],
        )
        + &list(
            "exec_stop",
            &[inside("echo stopping $MAINPID; touch /stopped"), outside("echo stop >> /srv/order")],
        )
        + &list(
            "exec_stop_post",
            &[
                inside("ls /made; echo late $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS"),
                outside("echo late $SERVICE_RESULT >> /srv/order"),
            ],
        )
        + "[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv/made\"\n";
    host.unit("web.container", &text);
    host.succeed(&["sampanctl", "start", "web"]);
    let main = host.property("web", "MainPID");
    let blamed = host.succeed(&["sampanctl", "blame", "web"]);
    assert!(
        blamed.contains("start-pre-host ") && blamed.contains("start-pre ") && blamed.contains("exec "),
        "{blamed}"
    );
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "Result"), "success");
    let order = host.succeed(&["cat", "/srv/order"]);
    assert_eq!(order, format!("pre-host 0\nsecond\npost {main}\nstop\nlate success\n"));
    let log = host.succeed(&["sampanctl", "logs", "--output=cat", "web"]);
    for line in [
        "sampan.slice/sampan-web-start-pre-",
        "pre-inside in web",
        "from pre",
        "post of 1 sees from pre",
        "stopping 1",
        "late success killed TERM",
        "/made: No such file or directory",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let units = host.succeed(&["systemctl", "list-units", "--all", "--plain", "--no-legend", "sampan-*"]);
    assert!(!units.contains("sampan-web-"), "{units}");
}

#[test]
fn a_failure_is_told_with_its_command_and_its_code() {
    let host = Host::with_images(&["hello"]);
    let post = list("exec_stop_post", &[outside("echo $SERVICE_RESULT >> /srv/results")]);
    for (key, commands, result, sentence) in [
        (
            "exec_start_pre",
            inside("exit 7"),
            "exit-code",
            "exec_start_pre: sh: code=exited, status=7; \"sampanctl logs web\"",
        ),
        ("exec_start_pre", outside("exit 8"), "exit-code", "exec_start_pre: /bin/sh: code=exited, status=8"),
        (
            "exec_start_pre",
            "[\"nope\"]".to_owned(),
            "exit-code",
            "exec_start_pre: execute: nope: No such file",
        ),
        ("exec_start_pre", inside("kill -KILL $$"), "signal", "exec_start_pre: sh: code=killed, signal=9"),
        ("exec_start_post", inside("exit 9"), "exit-code", "exec_start_post: sh: code=exited, status=9"),
        ("exec_condition", inside("exit 255"), "exit-code", "exec_condition: sh: code=exited, status=255"),
    ] {
        host.write("/srv/results", "");
        host.unit("web.container", &(shell("exec sleep 1000") + &list(key, &[commands]) + &post));
        host.succeed(&["sampanctl", "daemon-reload"]);
        host.fail(1, &["sampanctl", "start", "web"]);
        assert_eq!(host.property("web", "ActiveState"), "failed", "{key}");
        assert_eq!(host.property("web", "Result"), result, "{sentence}");
        let status = host.answer(3, &["sampanctl", "status", "web"]);
        assert!(status.contains(sentence), "{sentence}: {status}");
        assert_eq!(host.succeed(&["cat", "/srv/results"]), format!("{result}\n"), "{sentence}");
        host.succeed(&["sampanctl", "reset-failed", "web"]);
    }

    host.unit("web.container", &(shell("exec sleep 1000") + &list("exec_condition", &[inside("exit 3")])));
    host.succeed(&["sampanctl", "daemon-reload"]);
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "ActiveState"), "inactive");
    assert_eq!(host.property("web", "Result"), "exec-condition");
    let status = host.answer(3, &["sampanctl", "status", "web"]);
    assert!(status.contains("exec_condition: sh: code=exited, status=3"), "{status}");
}

#[test]
fn time_limits_and_stops_end_commands() {
    let host = Host::with_images(&["hello"]);
    for command in [inside("exec sleep 4321"), outside("exec sleep 4321")] {
        for (key, limit, result) in [
            ("exec_start_pre", "start_timeout = \"1s\"\n", "timeout"),
            ("exec_start_post", "start_timeout = \"1s\"\n", "timeout"),
            ("exec_stop", "stop_timeout = \"1s\"\n", "timeout"),
            ("exec_stop_post", "stop_timeout = \"1s\"\n", "timeout"),
        ] {
            let text = shell("trap 'exit 0' TERM; while :; do sleep 0.1; done")
                + "start_limit = { burst = 0 }\n"
                + limit
                + &list(key, std::slice::from_ref(&command));
            host.unit("web.container", &text);
            host.succeed(&["sampanctl", "daemon-reload"]);
            if key.starts_with("exec_start") {
                host.fail(1, &["sampanctl", "start", "web"]);
            } else {
                host.succeed(&["sampanctl", "start", "web"]);
                host.succeed(&["sampanctl", "stop", "web"]);
            }
            assert_eq!(host.property("web", "Result"), result, "{key} {command}");
            assert_eq!(host.property("web", "LaunchError"), format!("{key}: timed out, killed"), "{command}");
            assert!(!host.run(&["pgrep", "--full", "sleep 4321"]).status.success(), "{key} {command}");
        }
        let text = shell("exec sleep 1000") + &list("exec_start_pre", std::slice::from_ref(&command));
        host.unit("web.container", &text);
        host.succeed(&["sampanctl", "daemon-reload"]);
        host.succeed(&["sampanctl", "start", "--no-block", "web"]);
        host.wait_property("web", "SubState", "start-pre");
        host.succeed(&["sampanctl", "stop", "web"]);
        assert_eq!(host.property("web", "SubState"), "dead");
        assert!(!host.run(&["pgrep", "--full", "sleep 4321"]).status.success(), "{command}");
    }
}

#[test]
fn a_payload_that_does_not_end_in_time_is_killed_with_all_that_it_has() {
    let host = Host::with_images(&["hello"]);
    let script = "trap '' TERM; setsid sh -c 'exec sleep 4321' & echo up; while :; do sleep 0.1; done";
    host.unit("web.container", &(shell(script) + "stop_timeout = \"1s\"\n"));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_log("web", "up");
    host.succeed(&["sampanctl", "stop", "web"]);
    let told =
        ["ActiveState", "Result", "ExecMainStatus", "LaunchError"].map(|name| host.property("web", name));
    assert_eq!(told, ["failed", "timeout", "9", "stop: not over in time, killed"]);
    assert!(
        host.answer(3, &["sampanctl", "status", "web"]).contains("Error: stop: not over in time, killed")
    );
    assert!(!host.run(&["pgrep", "--full", "sleep 4321"]).status.success());
    // What a start finds then is not held against it.
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "LaunchError"), "");
}

#[test]
fn a_manager_that_dies_in_a_stage_leaves_it_to_its_successor() {
    let host = Host::with_images(&["hello"]);
    for (place, command) in [
        ("inside", inside("until test -e /data/go; do sleep 0.1; done; echo done >> /data/log")),
        ("outside", outside("until test -e /srv/data/go; do sleep 0.1; done; echo done >> /srv/data/log")),
    ] {
        for (key, state) in [
            ("exec_condition", "condition"),
            ("exec_start_pre", "start-pre"),
            ("exec_start_post", "start-post"),
            ("exec_stop", "stop"),
            ("exec_stop_post", "stop-post"),
        ] {
            let what = format!("{key} {place}");
            host.succeed(&["rm", "-rf", "/srv/data"]);
            host.succeed(&["mkdir", "--mode=0777", "/srv/data"]);
            let text = shell("exec sleep 1000")
                + "start_limit = { burst = 0 }\n"
                + &list(key, std::slice::from_ref(&command))
                + "[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv/data\"\n";
            host.unit("web.container", &text);
            host.succeed(&["sampanctl", "daemon-reload"]);
            host.succeed(&["sampanctl", "start", "--no-block", "web"]);
            if key.starts_with("exec_stop") {
                host.wait_property("web", "SubState", "running");
                host.succeed(&["sampanctl", "stop", "--no-block", "web"]);
            }
            host.wait_property("web", "SubState", state);
            host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
            host.succeed(&["systemctl", "start", "sampand"]);
            host.wait_property("web", "SubState", state);
            host.write("/srv/data/go", "");
            let last = if key.starts_with("exec_stop") { "dead" } else { "running" };
            host.wait_until(&what, |host| host.property("web", "SubState") == last);
            assert_eq!(host.succeed(&["cat", "/srv/data/log"]), "done\n", "{what}");
            host.succeed(&["sampanctl", "stop", "web"]);
            assert_eq!(host.property("web", "Result"), "success", "{what}");
        }
    }
}

/// Has the next launcher pause when it has told two processes of a third, which is the container's first: the manager,
/// and not yet its helper, which the third waits for.
fn slow_launcher(host: &Host) {
    let launcher = host.succeed(&["pgrep", "--oldest", "--exact", "sampan-ready"]);
    let launcher = launcher.trim();
    let pause = "--inject=sendmsg:delay_exit=1s:when=4";
    let tracer = format!("--unit=tracer-of-{launcher}");
    host.succeed(&["systemd-run", &tracer, "strace", "--output=/dev/null", pause, "--attach", launcher]);
    host.journal(&[&tracer]).wait("attached");
}

#[test]
fn commands_come_to_a_container_that_is_faster_than_its_launcher() {
    let host = Host::with_images(&["hello"]);
    let text = shell("exec sleep 1000")
        + &list("exec_start_pre", &[inside("echo before")])
        + &list("exec_stop_post", &[inside("echo after")]);
    host.unit("web.container", &text);
    slow_launcher(&host);
    host.succeed(&["sampanctl", "start", "web"]);
    slow_launcher(&host);
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "Result"), "success");
    assert_eq!(host.succeed(&["sampanctl", "logs", "--output=cat", "web"]).matches("before\n").count(), 1);
    host.wait_log("web", "after");
}

#[test]
fn a_oneshot_that_remains_is_undone_by_its_stop_commands() {
    let host = Host::with_images(&["hello"]);
    let text = shell("echo up > /state/it")
        + "type = \"oneshot\"\nremain_after_exit = true\nroot = \"persistent\"\n"
        + &list("exec_start_post", &[outside("echo post >> /srv/order")])
        + &list("exec_stop", &[inside("cat /state/it; rm /state/it; echo undone")])
        + "[mount.\"/state\"]\ntype = \"volume\"\nsource = \"state\"\n";
    host.unit("net.container", &text);
    host.succeed(&["sampanctl", "start", "net"]);
    assert_eq!(host.property("net", "SubState"), "exited");
    assert_eq!(host.succeed(&["cat", "/srv/order"]), "post\n");
    host.succeed(&["sampanctl", "restart", "net"]);
    host.succeed(&["sampanctl", "stop", "net"]);
    assert_eq!(host.property("net", "ActiveState"), "inactive");
    let log = host.succeed(&["sampanctl", "logs", "--output=cat", "net"]);
    assert_eq!(log.matches("undone").count(), 2, "{log}");
}

#[test]
fn a_host_that_goes_down_runs_the_last_commands() {
    let host = Host::with_images(&["hello"]);
    host.succeed(&["mkdir", "--mode=0777", "/srv/data"]);
    let text = shell("exec sleep 1000")
        + &list(
            "exec_stop",
            &[inside("echo stop inside >> /data/order"), outside("echo stop outside >> /srv/data/order")],
        )
        + &list(
            "exec_stop_post",
            &[inside("echo post inside >> /data/order"), outside("echo post outside >> /srv/data/order")],
        )
        + "[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv/data\"\n";
    host.unit("web.container", &text);
    host.succeed(&["sampanctl", "start", "web"]);
    host.reboot();
    let order = host.succeed(&["cat", "/srv/data/order"]);
    assert_eq!(order, "stop inside\nstop outside\npost inside\npost outside\n");
}

#[test]
fn a_command_that_cannot_be_run_is_told_as_what_it_is() {
    let host = Host::with_images(&["hello"]);
    for (command, told) in [
        (
            "[\"nosuch\"]",
            "exec_start_pre: execute: nosuch: No such file or directory; the program, or the interpreter it names, is not in the image: correct the command",
        ),
        (
            "{ command = [\"true\"], user = \"nobodyhere\" }",
            "exec_start_pre: resolve user: nobodyhere: The image's /etc/passwd has no such user; correct the command's user, or give its number",
        ),
    ] {
        host.unit("web.container", &(shell("exec sleep 1000") + &format!("exec_start_pre = [{command}]\n")));
        host.fail(1, &["sampanctl", "start", "web"]);
        assert_eq!(host.property("web", "LaunchError"), told);
    }
}

#[test]
fn a_command_that_hangs_is_the_control_process() {
    let host = Host::with_images(&["hello"]);
    let post = list("exec_start_post", &[inside("echo waits; exec sleep 4321")]);
    host.unit("web.container", &(shell("exec sleep 1000") + &post));
    let told = host.fail(1, &["sampanctl", "kill", "--kill-whom=control", "web"]);
    assert!(told.contains("web.container has no process"), "{told}");
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    host.wait_log("web", "waits");
    let main = host.property("web", "MainPID");
    host.succeed(&["sampanctl", "kill", "--kill-whom=control", "--signal=KILL", "web"]);
    host.wait_property("web", "SubState", "failed");
    assert!(host.property("web", "LaunchError").starts_with("exec_start_post: sh: "), "{main}");
    host.unit("plain.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "plain"]);
    let told = host.fail(1, &["sampanctl", "kill", "--kill-whom=control", "plain"]);
    assert!(told.contains("plain.container has no control process"), "{told}");
}

fn oneshot(commands: &str, more: &str) -> String {
    format!(
        "[container]\nimage = \"localhost/hello\"\nentrypoint = [\"sh\", \"-c\"]\ntype = \"oneshot\"\n\
         command = {commands}\n{more}"
    )
}

/// As `ExecStart=` of a oneshot of systemd's, systemd.service(5).
#[test]
fn a_oneshot_runs_its_commands_one_after_the_other() {
    let host = Host::with_images(&["hello"]);
    let bind = "[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/srv/data\"\n";
    host.succeed(&["mkdir", "--mode=0777", "/srv/data"]);
    let commands = "[[\"echo one; echo made > /tmp/here\"], \
                    [\"echo two; until test -e /data/go; do sleep 0.1; done\"], [\"cat /tmp/here; echo three\"]]";
    host.unit("job.container", &oneshot(commands, bind));
    host.succeed(&["sampanctl", "start", "--no-block", "job"]);
    host.wait_log("job", "two");
    let status = host.succeed(&["sampanctl", "status", "job"]);
    assert!(status.contains("Active: activating (start)"), "{status}");
    assert_eq!(status.lines().filter(|line| line.ends_with(" sampan-init")).count(), 2, "{status}");
    let running: Vec<&str> = status.lines().filter(|line| line.contains("sh -c echo")).collect();
    assert!(matches!(running[..], [line] if line.contains("echo two")), "{status}");
    // Nobody but their own init says that their turn has come.
    host.succeed(&["sh", "-c", "kill -USR1 $(pgrep -x sampan-init | tail -n 1)"]);
    // A manager that is killed has nothing to do with it.
    host.succeed(&["systemctl", "kill", "--signal=SIGKILL", "--kill-whom=main", "sampand"]);
    host.wait_until("another manager", |host| {
        host.run(&["sampanctl", "is-active", "job"]).status.code() == Some(3)
    });
    host.write("/srv/data/go", "");
    host.wait_log("job", "three");
    host.wait_property("job", "ActiveState", "inactive");
    assert_eq!(host.property("job", "Result"), "success");
    let log = host.succeed(&["sampanctl", "logs", "--no-pager", "--output=cat", "job"]);
    let said: Vec<&str> = log.lines().filter(|line| ["one", "two", "made", "three"].contains(line)).collect();
    assert_eq!(said, ["one", "two", "made", "three"], "{log}");
    assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-job.scope"]), "");
}

#[test]
fn the_first_command_of_a_oneshot_that_fails_is_the_last() {
    let host = Host::with_images(&["hello"]);
    for (name, commands, status, said) in [
        (
            "first",
            "[[\"exit 7\"], [\"echo never\"], [\"echo never\"]]",
            "status=7",
            "command 1 of 3 has failed",
        ),
        (
            "second",
            "[[\"true\"], [\"kill -KILL $$\"], [\"echo never\"]]",
            "signal=KILL",
            "command 2 of 3 has",
        ),
        ("asked", "[[\"kill -TERM $$\"], [\"echo never\"]]", "signal=TERM", "command 1 of 2 has failed"),
        ("third", "[[\"true\"], [\"true\"], [\"exit 3\"]]", "status=3", ""),
    ] {
        host.unit(&format!("{name}.container"), &oneshot(commands, ""));
        host.fail(1, &["sampanctl", "start", name]);
        let page = host.answer(3, &["sampanctl", "status", name]);
        assert!(page.contains(status) && page.contains("Active: failed"), "{name}: {page}");
        if !said.is_empty() {
            host.wait_log(name, said);
        }
        let log = host.succeed(&["sampanctl", "logs", "--no-pager", "--output=cat", name]);
        assert!(!log.lines().any(|line| line == "never"), "{name}: {log}");
    }
    let codes = "[[\"exit 75\"], [\"kill -USR1 $$\"], [\"echo went on\"], [\"exit 75\"]]";
    host.unit("codes.container", &oneshot(codes, "success_exit_status = [\"TEMPFAIL\", \"SIGUSR1\"]\n"));
    host.succeed(&["sampanctl", "start", "codes"]);
    host.wait_log("codes", "went on");
    let page = host.answer(3, &["sampanctl", "status", "codes"]);
    assert!(page.contains("inactive (dead)") && page.contains("status=75"), "{page}");
    let missing = oneshot("[[\"/bin/true\"], [\"/no/such\"]]", "").replace("[\"sh\", \"-c\"]", "[]");
    host.unit("missing.container", &missing);
    host.fail(1, &["sampanctl", "start", "missing"]);
    host.wait_log("missing", "command 2 of 2: execute: /no/such: ");
    assert!(host.answer(3, &["sampanctl", "status", "missing"]).contains("status=203"));
    // One that ends well on its stop signal is the last, too.
    let stopped = "[[\"trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done\"], [\"echo never\"]]";
    host.unit("stopped.container", &oneshot(stopped, ""));
    host.succeed(&["sampanctl", "start", "--no-block", "stopped"]);
    host.wait_log("stopped", "ready");
    host.succeed(&["sampanctl", "stop", "stopped"]);
    let log = host.succeed(&["sampanctl", "logs", "--no-pager", "--output=cat", "stopped"]);
    assert!(!log.lines().any(|line| line == "never"), "{log}");
    assert!(!host.run(&["pgrep", "-x", "sampan-init"]).status.success());
}
