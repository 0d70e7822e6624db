//! Health checks on a private host: commands, ports and questions, of real servers.

mod support;

use serde_json::json;
use std::time::{Duration, Instant};
use support::host::Host;
use support::image::{Layer, write_layout};
use support::units::{python, shell};

/// A table of checks in quick succession.
fn quick(check: &str) -> String {
    format!(
        "[health]\n{check}\ninterval = \"100ms\"\nstart_interval = \"50ms\"\ntimeout = \"1s\"\nretries = 2\n"
    )
}

#[test]
fn a_command_tells_how_a_container_is_and_only_changes_are_told() {
    let host = Host::with_images(&["hello"]);
    let check = "command = [\"sh\", \"-c\", \"echo looked; cat /tmp/sick 2>/dev/null && exit 1; exit 0\"]";
    host.unit("web.container", &(shell("exec sleep 1000") + &quick(check)));
    let mut journal = host.journal(&["--unit=sampand"]);
    host.succeed(&["sampanctl", "start", "web"]);
    journal.wait("web.container: Healthy.");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Health: healthy (last check "), "{status}");
    assert_eq!(host.property("web", "HealthOutput"), "looked");
    host.succeed(&["sampanctl", "exec", "web", "sh", "-c", "echo 'a cold' > /tmp/sick"]);
    host.wait_property("web", "HealthState", "unhealthy");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Health: unhealthy (") && status.contains("failed in a row"), "{status}");
    assert!(host.property("web", "HealthOutput").contains("a cold"));

    // A manager that comes goes on with what was known, and tells nothing anew.
    host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    assert_eq!(host.property("web", "HealthState"), "unhealthy");
    host.succeed(&["sampanctl", "exec", "web", "rm", "/tmp/sick"]);
    host.wait_property("web", "HealthState", "healthy");
    let lines = host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--quiet"]);
    let told = |word: &str| lines.matches(word).count();
    assert_eq!((told(": Healthy."), told(": Unhealthy:")), (2, 1), "{lines}");
    assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "--all", "run-*"]), "");
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "HealthState"), "");
}

#[test]
fn nothing_else_is_checked_until_a_container_has_started() {
    let host = Host::with_images(&["hello"]);
    let table = quick("command = [\"sh\", \"-c\", \"echo well | tee /tmp/checked\"]")
        + "on_unhealthy = \"stop\"\n[health.startup]\ninterval = \"50ms\"\n\
           command = [\"sh\", \"-c\", \"echo look; test -e /tmp/up\"]\n";
    let unit = shell("exec sleep 1000") + &table;
    host.unit("slow.container", &(unit.clone() + "successes = 2\n"));
    host.succeed(&["sampanctl", "start", "slow"]);
    for _ in 0..3 {
        next_check(&host, "slow");
        assert_eq!(host.property("slow", "HealthOutput"), "look");
    }
    assert_eq!(host.property("slow", "HealthState"), "starting");
    // A manager that comes does not know that anything has started.
    host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    next_check(&host, "slow");
    assert_eq!(host.property("slow", "HealthState"), "starting");
    host.succeed(&["sampanctl", "exec", "slow", "sh", "-c", "! test -e /tmp/checked && echo > /tmp/up"]);
    host.wait_property("slow", "HealthState", "healthy");
    assert_eq!(host.property("slow", "HealthOutput"), "well");
    // It is asked once whether it has started.
    host.succeed(&["sampanctl", "exec", "slow", "rm", "/tmp/up"]);
    next_check(&host, "slow");
    next_check(&host, "slow");
    assert_eq!(host.property("slow", "HealthState"), "healthy");

    host.unit("never.container", &(unit + "retries = 3\n"));
    host.succeed(&["sampanctl", "start", "never"]);
    host.wait_property("never", "ActiveState", "failed");
    assert_eq!(host.property("never", "Result"), "unhealthy");
    let status = host.answer(3, &["sampanctl", "status", "never"]);
    assert!(status.contains("Error: health: has not started: look"), "{status}");
}

#[test]
fn a_check_whose_program_is_missing_does_not_hold_its_container() {
    let host = Host::with_images(&["hello"]);
    let table = quick("command = [\"nope\"]");
    host.unit("web.container", &(shell("exec sleep 1000") + "stop_timeout = \"10s\"\n" + &table));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_property("web", "HealthState", "unhealthy");
    assert!(host.property("web", "HealthOutput").contains("nope: No such file or directory"));
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "Result"), "success");
}

#[test]
fn a_check_that_does_not_end_is_ended_with_all_that_it_began() {
    let host = Host::with_images(&["hello"]);
    let check = "command = [\"sh\", \"-c\", \"sleep 4321; echo over\"]\n";
    let table = format!(
        "[health]\n{check}interval = \"100ms\"\nstart_interval = \"50ms\"\ntimeout = \"300ms\"\nretries = 1\n"
    );
    host.unit("web.container", &(shell("exec sleep 1000") + &table));
    host.succeed(&["sampanctl", "start", "web"]);
    host.wait_property("web", "HealthState", "unhealthy");
    assert_eq!(host.property("web", "HealthOutput"), "no answer after 0.3 s");
    // One may be on its way.
    let processes = host.run(&["pgrep", "--count", "--full", "sleep 4321"]);
    let count: u32 = String::from_utf8_lossy(&processes.stdout).trim().parse().unwrap();
    assert!(count <= 2, "{count}");
    host.succeed(&["sampanctl", "stop", "web"]);
    assert!(!host.run(&["pgrep", "--full", "sleep 4321"]).status.success());
}

#[test]
fn a_start_waits_for_health_and_its_time_is_bounded() {
    let host = Host::with_images(&["servers"]);
    let program = "import http.server, os, time\n\
        class Handler(http.server.BaseHTTPRequestHandler):\n  \
          def do_GET(self):\n    \
            self.send_response(200 if os.path.exists('/tmp/warm') else 503)\n    \
            self.end_headers()\n\
        http.server.HTTPServer(('127.0.0.1', 8000), Handler).serve_forever()\n";
    let unit = python(program) + "ready = \"health\"\nstart_timeout = \"20s\"\n";
    host.unit("web.container", &(unit + &quick("http = \"http://localhost:8000/health?deep\"")));
    let mut starting = host.command(&["sampanctl", "start", "web"]).spawn().unwrap();
    host.wait_log("web", "503");
    assert_eq!(host.property("web", "SubState"), "start");
    assert_eq!(host.property("web", "HealthState"), "starting");
    host.succeed(&["sampanctl", "exec", "web", "sh", "-c", "echo > /tmp/warm"]);
    assert!(starting.wait().unwrap().success());
    assert_eq!(host.property("web", "HealthOutput"), "HTTP/1.0 200 OK");
    let cold = python("import time\ntime.sleep(1000)") + "ready = \"health\"\nstart_timeout = \"1s\"\n";
    host.unit("cold.container", &(cold + &quick("tcp = 8000")));
    let told = host.fail(1, &["sampanctl", "start", "cold"]);
    assert_eq!(host.property("cold", "Result"), "timeout");
    let why = "start: not healthy in time: 127.0.0.1:8000: Connection refused";
    assert!(told.contains(&format!("Job for cold.container timed out: {why}.")), "{told}");
    assert!(host.answer(3, &["sampanctl", "status", "cold"]).contains(why));
}

/// Waits for one more check, of which no signal tells.
fn next_check(host: &Host, unit: &str) {
    let before = host.property(unit, "HealthTimestamp");
    let deadline = Instant::now() + Duration::from_secs(30);
    while host.property(unit, "HealthTimestamp") == before {
        assert!(Instant::now() < deadline, "no check of {unit}");
    }
}

#[test]
fn servers_are_asked_where_their_clients_find_them() {
    let host = Host::with_images(&["web", "servers"]);
    // nginx and Redis listen with the sockets of the host, and Redis inside too.
    let http = quick("http = \"http://localhost/\"");
    host.unit(
        "web.container",
        &format!("[container]\nimage = \"localhost/web\"\nready = \"health\"\n[socket.http]\nlisten = \"0.0.0.0:8080\"\ntarget = \"0.0.0.0:80\"\n{http}"),
    );
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "HealthOutput"), "HTTP/1.1 200 OK");
    let redis = "[container]\nimage = \"localhost/servers\"\ncommand = [\"/usr/bin/redis-server\", \"--dir\", \"/tmp\"]\nready = \"health\"\n";
    host.unit("redis.container", &format!("{redis}{}", quick("command = [\"redis-cli\", \"ping\"]")));
    host.unit("cache.container", &format!("{redis}{}", quick("tcp = \"127.0.0.1:6379\"")));
    host.succeed(&["sampanctl", "start", "redis", "cache"]);
    assert_eq!(host.property("redis", "HealthOutput"), "PONG");
    assert_eq!(host.property("cache", "HealthState"), "healthy");
    // A container that is frozen is not asked, so nothing is held against it.
    let group = host.property("redis", "ControlGroup");
    let freeze = |value: &str| {
        host.succeed(&["sh", "-c", &format!("echo {value} > /sys/fs/cgroup{group}/cgroup.freeze")])
    };
    freeze("1");
    let before = host.property("redis", "HealthTimestamp");
    (0..4).for_each(|_| next_check(&host, "cache"));
    assert_eq!(host.property("redis", "HealthTimestamp"), before);
    freeze("0");
    next_check(&host, "redis");
    assert_eq!(host.property("redis", "HealthState"), "healthy");
}

#[test]
fn the_check_of_an_image_is_made_where_the_unit_wants_it() {
    let host = Host::with_images(&["hello"]);
    let layout = host.shared().join("checked");
    let config = json!({
        "Cmd": ["/bin/sleep", "1000"],
        "Healthcheck": { "Test": ["CMD-SHELL", "echo by the image"], "Interval": 100_000_000, "Retries": 1 },
    });
    write_layout(&layout, vec![Layer::busybox()], &config);
    host.import("checked", "localhost/checked");
    let unit = |name: &str, more: &str| {
        host.unit(
            &format!("{name}.container"),
            &format!("[container]\nimage = \"localhost/checked\"\n{more}"),
        );
        host.succeed(&["sampanctl", "start", name]);
    };
    unit("plain", "");
    assert_eq!(host.property("plain", "HealthState"), "");
    unit("ready", "ready = \"health\"\n");
    assert_eq!(host.property("ready", "HealthOutput"), "by the image");
    unit("table", "[health]\nstart_interval = \"10ms\"\n");
    host.wait_property("table", "HealthState", "healthy");
    host.unit("none.container", &(shell("exec sleep 1000") + "[health]\n"));
    host.fail(1, &["sampanctl", "start", "none"]);
    assert!(host.property("none", "LaunchError").contains("the image has no HEALTHCHECK"));
}

#[test]
fn an_unhealthy_container_is_restarted_or_stopped_where_the_unit_wants_it() {
    let host = Host::with_images(&["hello"]);
    let check = "command = [\"test\", \"!\", \"-e\", \"/tmp/sick\"]";
    let unit = |name: &str, action: &str| {
        let table = quick(&format!("{check}\non_unhealthy = \"{action}\""));
        host.unit(&format!("{name}.container"), &(shell("exec sleep 1000") + &table));
        host.succeed(&["sampanctl", "start", name]);
        host.wait_property(name, "HealthState", "healthy");
        let first = host.property(name, "MainPID");
        host.succeed(&["sampanctl", "exec", name, "sh", "-c", "echo > /tmp/sick"]);
        first
    };
    let first = unit("again", "restart");
    // The new root knows nothing of the sickness.
    host.wait_until("another run that is well", |host| {
        !["0", first.as_str()].contains(&host.property("again", "MainPID").as_str())
            && host.property("again", "HealthState") == "healthy"
    });
    unit("ended", "stop");
    host.wait_until("it is down", |host| {
        matches!(host.property("ended", "ActiveState").as_str(), "failed" | "inactive")
    });
    let status = host.answer(3, &["sampanctl", "status", "ended"]);
    assert!(status.contains("nhealthy"), "{status}");
    unit("left", "none");
    host.wait_property("left", "HealthState", "unhealthy");
    assert_eq!(host.succeed(&["sampanctl", "is-active", "left"]), "active\n");
}

/// Neither the stop signal nor the commands of a stop come to one that is to be killed, and the policy decides what
/// follows.
#[test]
fn an_unhealthy_container_that_is_to_be_killed_is_killed() {
    let host = Host::with_images(&["hello"]);
    let check = "command = [\"test\", \"!\", \"-e\", \"/tmp/sick\"]";
    let script = "trap 'echo asked to end' TERM; while :; do sleep 0.1; done";
    let keys = "exec_stop = [\"sh\", \"-c\", \"echo the stop has begun\"]\n";
    let table = quick(&format!("{check}\non_unhealthy = \"kill\""));
    for (unit, restart) in [("down", "restart = \"no\"\n"), ("again", "restart = \"on-abnormal\"\n")] {
        host.unit(&format!("{unit}.container"), &(shell(script) + keys + restart + &table));
        host.succeed(&["sampanctl", "start", unit]);
        host.wait_property(unit, "HealthState", "healthy");
        host.succeed(&["sampanctl", "exec", unit, "sh", "-c", "echo > /tmp/sick"]);
    }
    host.wait_property("down", "ActiveState", "failed");
    assert_eq!(host.property("down", "Result"), "unhealthy");
    let status = host.answer(3, &["sampanctl", "status", "down"]);
    assert!(status.contains("signal=KILL") && status.contains("health: "), "{status}");
    host.wait_until("another run", |host| {
        host.property("again", "NRestarts") == "1" && host.property("again", "HealthState") == "healthy"
    });
    for unit in ["down", "again"] {
        let log = host.succeed(&["sampanctl", "logs", "--no-pager", unit]);
        assert!(!log.contains("asked to end") && !log.contains("the stop has begun"), "{unit}: {log}");
    }
}

#[test]
fn failures_during_the_start_period_do_not_count() {
    let host = Host::with_images(&["hello"]);
    let check = "command = [\"test\", \"-e\", \"/tmp/warm\"]\nstart_period = \"1h\"";
    host.unit("web.container", &(shell("exec sleep 1000") + &quick(check)));
    host.succeed(&["sampanctl", "start", "web"]);
    // More checks than it has retries.
    (0..4).for_each(|_| next_check(&host, "web"));
    assert_eq!(host.property("web", "HealthState"), "starting");
    host.succeed(&["sampanctl", "exec", "web", "sh", "-c", "echo > /tmp/warm"]);
    host.wait_property("web", "HealthState", "healthy");
    // After the first success they do.
    host.succeed(&["sampanctl", "exec", "web", "rm", "/tmp/warm"]);
    host.wait_property("web", "HealthState", "unhealthy");
}

/// Whatever is run around the payload: checks begin with it, and a manager that comes while it is not quite up, or reads
/// its configuration again, goes on with them.
#[test]
fn containers_with_commands_around_them_are_checked() {
    let host = Host::with_images(&["hello"]);
    let before = "exec_condition = [\"true\"]\nexec_start_pre = [\"true\"]\n";
    let waits = shell("exec sleep 1000") + before + "ready = \"health\"\nstart_timeout = \"20s\"\n";
    host.unit("waits.container", &(waits + &quick("command = [\"true\"]")));
    host.succeed(&["sampanctl", "start", "waits"]);
    let after =
        "exec_start_post = [\"sh\", \"-c\", \"echo up; while ! test -e /tmp/go; do usleep 10000; done\"]\n";
    let slow = shell("exec sleep 1000") + before + after;
    host.unit("slow.container", &(slow + &quick("command = [\"true\"]")));
    host.succeed(&["sampanctl", "start", "--no-block", "slow"]);
    host.wait_log("slow", "up");
    host.succeed(&["systemctl", "kill", "--signal=KILL", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
    assert_eq!(host.property("slow", "SubState"), "start-post");
    next_check(&host, "slow");
    host.succeed(&["sampanctl", "exec", "slow", "touch", "/tmp/go"]);
    host.wait_property("slow", "SubState", "running");
}

/// What is found before a container is up counts from the moment at which it is.
#[test]
fn a_container_that_is_unhealthy_when_it_comes_up_gets_what_its_unit_says() {
    let host = Host::with_images(&["hello"]);
    let after = "exec_start_post = [\"sh\", \"-c\", \"while ! test -e /tmp/go; do usleep 10000; done\"]\n";
    let table = quick("command = [\"false\"]\non_unhealthy = \"stop\"");
    host.unit("web.container", &(shell("exec sleep 1000") + after + &table));
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    host.wait_property("web", "HealthState", "unhealthy");
    assert_eq!(host.property("web", "SubState"), "start-post");
    // The stop that this brings about ends it, too, if it comes before it has told its status.
    host.run(&["sampanctl", "exec", "web", "touch", "/tmp/go"]);
    host.wait_property("web", "ActiveState", "failed");
    assert_eq!(host.property("web", "Result"), "unhealthy");
}
