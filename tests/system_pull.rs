//! Units whose image a start has to pull: what people see of it, and that it delays, costs and leaves nothing that
//! it should not.

#[path = "support/harbour.rs"]
mod harbour;
#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;
mod support;

use harbour::{Harbour, State};
use std::process::{Child, Stdio};
use support::host::Host;
use support::units::socket;

/// A command that goes on while the test does.
fn begin(host: &Host, words: &[&str]) -> Child {
    host.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How it ended, and what it wrote to standard error.
fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn version(host: &Host, unit: &str) -> String {
    host.succeed(&["sampanctl", "exec", unit, "--", "/bin/cat", "/version"])
}

#[test]
fn an_image_that_is_missing_is_pulled_once_and_shown() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    harbour.unit("web", &image, "");
    let (status, shown) = end(begin(host, &["sampanctl", "start", "web"]));
    assert_eq!(status, Some(0), "{shown}");
    for line in [
        format!("Pulling {image}"),
        format!("Pulling {image} from http://{}", harbour.front.host()),
        format!("Pulled {image}"),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(shown.lines().filter(|line| line.starts_with("Fetched ")).count() == 2, "two layers: {shown}");
    assert_eq!(version(host, "web"), "one");
    host.journal(&["--unit=sampand"]).wait(&format!("web.container: Pulling {image}."));
    host.journal(&["--unit=sampand"]).wait(&format!("Pulled {image} (sha256:"));
    let requests = harbour.front.requests().len();
    host.succeed(&["sampanctl", "restart", "web"]);
    assert_eq!(harbour.front.requests().len(), requests, "what is there is not asked for");
    harbour.assert_pulls_end();
    harbour.assert_store_is_sound();
}

#[test]
fn a_pull_is_seen_and_limited_and_a_stop_ends_it() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    harbour.unit("web", &image, "start_timeout = \"1s\"\nrestart = \"always\"\n");
    harbour.tide.set(State::Ebb);
    let start = begin(host, &["sampanctl", "start", "web"]);
    harbour.wait_for_bytes("web");
    let status = host.succeed(&["sampanctl", "status", "web"]);
    assert!(status.contains("Active: activating (pull) since"), "{status}");
    assert!(status.contains(&format!("Pull: {image} (")), "{status}");
    let transfers = harbour.transfers();
    assert!(
        transfers.contains(&image)
            && transfers.contains("\"running\"")
            && transfers.contains("web.container"),
        "{transfers}"
    );
    let object = host.succeed(&[
        "busctl",
        "introspect",
        "--no-legend",
        "org.sampan1",
        "/org/sampan1/transfer/1",
        "org.sampan1.Transfer",
    ]);
    assert!(object.contains(&image) && object.contains(".Layers"), "{object}");

    let scope = host.succeed(&["systemctl", "list-units", "--no-legend", "--plain", "sampan-pull-*.scope"]);
    let scope = scope.split_whitespace().next().expect("a scope of its own").to_owned();
    let property = |name: &str| {
        host.succeed(&["systemctl", "show", "--value", &format!("--property={name}"), &scope])
            .trim_end()
            .to_owned()
    };
    assert_eq!(
        (property("MemoryMax"), property("TasksMax"), property("Slice")),
        ((512 << 20).to_string(), "256".to_owned(), "sampan.slice".to_owned())
    );
    let group = host.succeed(&["cat", &format!("/sys/fs/cgroup{}/cgroup.procs", property("ControlGroup"))]);
    assert_eq!(group.lines().count(), 3, "the fetcher, the worker and who joins them: {group}");
    let daemon = host.succeed(&["systemctl", "show", "--value", "--property=MainPID", "sampand"]);
    let memory = host.succeed(&["grep", "RssAnon", &format!("/proc/{}/status", daemon.trim_end())]);
    let memory: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(memory < 8 << 10, "sampand takes {memory} KiB during a pull");

    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(host.property("web", "ActiveState"), "inactive");
    let (code, shown) = end(start);
    assert_eq!(code, Some(1));
    assert!(shown.contains("Job for web.container canceled."), "{shown}");
    harbour.assert_pulls_end();
    harbour.assert_store_is_sound();
    assert_eq!(host.succeed(&["sampanctl", "images", "--quiet"]), "");
    harbour.tide.set(State::Flow);
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(version(host, "web"), "one");
}

#[test]
fn units_of_one_image_share_a_pull() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    for unit in ["one", "two", "three"] {
        harbour.unit(unit, &image, "");
    }
    harbour.tide.set(State::Ebb);
    let start = begin(host, &["sampanctl", "start", "one", "two", "three"]);
    harbour.wait_for_bytes("one");
    host.wait_property("three", "SubState", "pull");
    let transfers = ["one", "two", "three"].map(|unit| host.property(unit, "Transfer"));
    assert_eq!(transfers, ["1", "1", "1"]);
    host.succeed(&["sampanctl", "stop", "two"]);
    assert_eq!(host.property("one", "SubState"), "pull", "others still wait");
    harbour.tide.set(State::Flow);
    assert_eq!(end(start).0, Some(1), "the second was stopped");
    assert_eq!((version(host, "one"), version(host, "three")), ("one".into(), "one".into()));
    assert_eq!(host.property("two", "ActiveState"), "inactive");
    assert_eq!(harbour.front.blobs(), 3, "a configuration and two layers, once");
}

#[test]
fn a_registry_that_is_down_is_met_as_the_unit_says() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    for policy in ["missing", "always", "newer", "never"] {
        harbour.unit(policy, &image, &format!("pull = \"{policy}\"\n"));
    }
    harbour.tide.set(State::Down);
    for policy in ["missing", "always", "newer"] {
        let error = host.fail(1, &["sampanctl", "start", policy]);
        assert!(
            error.contains(&format!("pull: {image}: cannot talk to http://{}", harbour.front.host())),
            "{error}"
        );
        let status = host.answer(3, &["sampanctl", "status", policy]);
        assert!(
            status.contains("failed (Result: resources)") && status.contains("cannot talk to"),
            "{status}"
        );
    }
    let error = host.fail(1, &["sampanctl", "start", "never"]);
    let wanted = format!(
        "{image} is not in the store, and /etc/sampan/units/never.container.toml says pull = \"never\": run \"sampanctl pull {image}\""
    );
    assert!(error.contains(&wanted), "{error}");

    harbour.tide.set(State::Flow);
    host.succeed(&["sampanctl", "start", "newer"]);
    host.succeed(&["sampanctl", "stop", "newer"]);
    harbour.tide.set(State::Down);
    for policy in ["missing", "never", "newer"] {
        host.succeed(&["sampanctl", "start", policy]);
        assert_eq!(version(host, policy), "one");
    }
    host.journal(&["--unit=sampand"]).wait("what the store has is taken");
    host.fail(1, &["sampanctl", "start", "always"]);
    harbour.unit("again", &image, "pull = \"newer\"\nrestart = \"always\"\n");
    host.succeed(&["sampanctl", "start", "again"]);
    let requests = harbour.front.requests().len();
    host.succeed(&["sampanctl", "kill", "--signal=KILL", "again"]);
    host.wait_property("again", "NRestarts", "1");
    host.wait_property("again", "SubState", "running");
    assert_eq!(
        harbour.front.requests().len(),
        requests,
        "a restart does not wait for a registry that is down"
    );
    harbour.assert_store_is_sound();
}

#[test]
fn a_tag_that_moved_is_followed_where_the_unit_says_so() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    for policy in ["missing", "always", "newer", "never"] {
        harbour.unit(policy, &image, &format!("pull = \"{policy}\"\n"));
    }
    host.succeed(&["sampanctl", "start", "missing", "always"]);
    let requests = harbour.front.requests().len();
    host.succeed(&["sampanctl", "restart", "always"]);
    assert_eq!(harbour.front.requests().len(), requests + 1, "one request for an image that is known");
    harbour.push("team/web:1", "two");
    host.succeed(&["sampanctl", "restart", "missing"]);
    assert_eq!(version(host, "missing"), "one");
    host.succeed(&["sampanctl", "start", "newer"]);
    assert_eq!(version(host, "newer"), "two");
    harbour.push("team/web:1", "three");
    host.succeed(&["sampanctl", "restart", "always"]);
    assert_eq!(version(host, "always"), "three");
    harbour.push("team/web:1", "four");
    host.succeed(&["sampanctl", "start", "never"]);
    assert_eq!(version(host, "never"), "three");
}

#[test]
fn an_image_that_no_registry_gives_is_named_and_asked_for_with_patience() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    let gone = harbour.name("team/web:9");
    harbour.unit("gone", &gone, "restart = \"on-failure\"\n");
    let error = host.fail(1, &["sampanctl", "start", "gone"]);
    let told = format!("pull: {gone}: http://{} has no image team/web:9", harbour.front.host());
    assert!(error.contains(&told), "{error}");
    host.wait_property("gone", "NRestarts", "2");
    let status = host.succeed(&["sampanctl", "status", "gone"]);
    assert!(status.contains("activating (pull)") && status.contains(&told["pull: ".len()..]), "{status}");
    // The third attempt follows the second only after two seconds.
    let asked = harbour.front.requests().len();
    assert!(asked <= 3, "{asked} requests");
    host.succeed(&["sampanctl", "stop", "gone"]);

    let wrong = harbour.name(&format!("team/web@sha256:{}", "0".repeat(64)));
    harbour.unit("wrong", &wrong, "");
    let error = host.fail(1, &["sampanctl", "start", "wrong"]);
    assert!(error.contains(&wrong) && error.contains("has no manifest team/web@sha256:0000"), "{error}");
    harbour.assert_store_is_sound();
}

#[test]
fn a_registry_that_gives_another_image_than_is_pinned_is_refused() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    let behind = harbour.registry.port;
    let pinned = format!("sha256:{}", "0".repeat(64));
    // It answers to the pinned digest with the image that it has.
    let own = pinned.clone();
    let liar = host.in_network(move || {
        registry::Front::start(behind, move |request| {
            let mut other = request.clone();
            other.path = request.path.replace(&own, "1");
            registry::Reply::Raw(Box::new(move |stream| {
                let _ = std::io::Write::write_all(stream, &registry::ask(behind, &other));
            }))
        })
    });
    let image = format!("{}/team/web@{pinned}", liar.host());
    harbour.unit("web", &image, "");
    let error = host.fail(1, &["sampanctl", "start", "web"]);
    assert!(error.contains(&image) && error.contains("digest"), "{error}");
    assert_eq!(host.succeed(&["sampanctl", "images", "--quiet"]), "");
    harbour.assert_store_is_sound();
}

#[test]
fn a_killed_manager_takes_its_pulls_along_and_its_successor_begins_anew() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    harbour.unit("web", &harbour.name("team/web:1"), "");
    for end in
        ["kill -KILL $(systemctl show --property=MainPID --value sampand)", "systemctl restart sampand"]
    {
        harbour.tide.set(State::Ebb);
        host.succeed(&["sampanctl", "start", "--no-block", "web"]);
        harbour.wait_for_bytes("web");
        let before = host.succeed(&["pgrep", "-x", "sampan-import"]);
        host.succeed(&["sh", "-c", end]);
        let script = "for pid; do while kill -0 $pid 2>/dev/null; do :; done; done";
        let mut words = vec!["timeout", "100", "sh", "-c", script, "sh"];
        words.extend(before.lines());
        host.succeed(&words);
        harbour.wait_for_bytes("web");
        assert_eq!(host.property("web", "SubState"), "pull", "the successor pulls");
        harbour.tide.set(State::Flow);
        host.wait_property("web", "SubState", "running");
        assert_eq!(version(host, "web"), "one");
        host.succeed(&["sampanctl", "stop", "web"]);
        harbour.assert_pulls_end();
        harbour.assert_store_is_sound();
        host.succeed(&["sampanctl", "remove", "--force", &harbour.name("team/web:1")]);
        host.succeed(&["sampanctl", "gc"]);
    }
}

#[test]
fn a_first_connection_waits_for_the_image() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    let server = "entrypoint = [\"/bin/httpd\", \"-f\", \"-h\", \"/\", \"-p\", \"8000\"]\ncommand = []\n";
    harbour.unit(
        "web",
        &harbour.name("team/web:1"),
        &(server.to_owned() + &socket("127.0.0.1:8000", "\"swap\"")),
    );
    harbour.tide.set(State::Ebb);
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(host.property("web", "SubState"), "listening", "a start that waits for traffic pulls nothing");
    assert_eq!(harbour.front.requests().len(), 0);
    let clients: Vec<_> = (0..5).map(|_| host.connect("127.0.0.1:8000").unwrap()).collect();
    harbour.wait_for_bytes("web");
    host.succeed(&["sh", "-c", "kill -KILL $(systemctl show --property=MainPID --value sampand)"]);
    harbour.wait_for_bytes("web");
    harbour.tide.set(State::Flow);
    for client in clients {
        let answer = support::host::exchange(client, b"GET /version HTTP/1.0\r\n\r\n").unwrap();
        assert!(answer.ends_with("one"), "{answer}");
    }
    host.succeed(&["sampanctl", "stop", "web"]);
}

#[test]
fn a_short_name_means_what_it_means_to_a_pull() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    let prefix = harbour.name("team");
    let settings = format!(
        "short_names = [\"{prefix}\", \"{}\"]\n[transfer]\nattempts = 1\n[alias]\nsite = \"{prefix}/web:1\"\n",
        harbour.name("other")
    );
    host.write("/etc/sampan/registries.toml", &settings);
    harbour.unit("web", "web:1", "");
    let error = host.fail(1, &["sampanctl", "start", "web"]);
    assert!(error.contains(&format!("\"web:1\" may mean {prefix}/web:1 or ")), "{error}");
    host.succeed(&["sampanctl", "pull", "--quiet", &format!("{prefix}/web:1")]);
    // The one that the store has is meant.
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(version(host, "web"), "one");
    let inspected = host.succeed(&["sampanctl", "inspect", "web:1"]);
    assert!(inspected.contains(&format!("{prefix}/web:1")), "{inspected}");
    harbour.push("team/web:1", "two");
    harbour.unit("site", "site", "pull = \"newer\"\n");
    host.succeed(&["sampanctl", "start", "site"]);
    assert_eq!(version(host, "site"), "two");
}

/// The members of the signals of transfers, up to one of these, in their order, each once.
fn members(signals: &mut support::events::Events, last: &str) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    while members.last().is_none_or(|member| member != last) {
        let line = signals.next().expect("a signal");
        let signal: serde_json::Value = serde_json::from_str(&line).unwrap();
        if signal["interface"] == "org.sampan1.Transfer" {
            members.push(signal["member"].as_str().unwrap().to_owned());
        }
    }
    members.dedup();
    members
}

#[test]
fn signals_tell_how_a_pull_goes_on() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    harbour.unit("web", &harbour.name("team/web:1"), "");
    harbour.unit("gone", &harbour.name("team/web:9"), "");
    let mut signals = host.signals();
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(members(&mut signals, "Finished"), ["Began", "Resolved", "Progress", "Imported", "Finished"]);
    host.fail(1, &["sampanctl", "start", "gone"]);
    assert_eq!(members(&mut signals, "Failed"), ["Began", "Failed"]);
    harbour.tide.set(State::Ebb);
    harbour.push("team/web:1", "two");
    host.succeed(&["sampanctl", "stop", "web"]);
    host.succeed(&["sampanctl", "remove", "--force", &harbour.name("team/web:1")]);
    host.succeed(&["sampanctl", "gc"]);
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    harbour.wait_for_bytes("web");
    host.succeed(&["sampanctl", "stop", "web"]);
    assert_eq!(members(&mut signals, "Canceled"), ["Began", "Resolved", "Progress", "Canceled"]);
    let left = host.succeed(&["busctl", "tree", "--list", "org.sampan1"]);
    assert!(!left.contains("/transfer/"), "{left}");
}

#[test]
fn no_more_than_three_pulls_run_at_once() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    for number in 1..=5 {
        harbour.push(&format!("team/site:{number}"), &number.to_string());
        harbour.unit(&format!("site{number}"), &harbour.name(&format!("team/site:{number}")), "");
    }
    let wants = "[unit]\nwants = [\"site1.container\", \"site2.container\", \"site3.container\", \"site4.container\", \"site5.container\"]\n";
    host.unit("all.target", wants);
    harbour.tide.set(State::Ebb);
    let start = begin(host, &["sampanctl", "start", "all.target"]);
    host.wait_until("pulls", |_| {
        let list = harbour.transfers();
        list.matches("\"running\"").count() == 3 && list.matches("\"waiting\"").count() == 2
    });
    harbour.tide.set(State::Flow);
    assert_eq!(end(start).0, Some(0));
    for number in 1..=5 {
        let unit = format!("site{number}");
        host.wait_property(&unit, "SubState", "running");
        assert_eq!(version(host, &unit), number.to_string());
    }
    harbour.assert_store_is_sound();
}

#[test]
fn a_unit_that_comes_to_name_another_image_gets_that_one() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    harbour.push("team/web:2", "two");
    harbour.unit("web", &harbour.name("team/web:1"), "");
    harbour.tide.set(State::Ebb);
    let start = begin(host, &["sampanctl", "start", "web"]);
    harbour.wait_for_bytes("web");
    harbour.unit("web", &harbour.name("team/web:2"), "");
    harbour.tide.set(State::Flow);
    let (status, shown) = end(start);
    assert_eq!(status, Some(0), "{shown}");
    assert_eq!(version(host, "web"), "two");
}
