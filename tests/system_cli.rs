//! The command line on a private host, as its user sees it: pages and lists, commands inside of containers, logs,
//! figures, and the completions of shells.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use support::host::Host;
use support::units::shell;

/// A word that is written so that it does not match itself in a list of processes.
const LONG: &str = "sleep 98765";

#[test]
fn the_command_line_serves_its_user() {
    let host = Host::with_images(&["hello"]);
    let script = format!("echo serving; {LONG} & exec sleep 1000");
    let head = "[unit]\ndescription = \"The site\"\ndocumentation = [\"man:httpd(8)\"]\n";
    host.unit("web.container", &format!("{head}{}", shell(&script)));
    host.unit("worker@.container", &shell("echo working; exec sleep 1000"));
    let labels = "[container.labels]\n\"org.example.team\" = \"sea\"\n";
    host.unit("broken.container", &(shell("exit 3") + labels));
    host.succeed(&["sampanctl", "start", "web", "worker@a"]);
    host.wait_log("web", "serving");
    host.run(&["sampanctl", "start", "broken"]);
    host.wait_property("broken", "ActiveState", "failed");

    pages(&host);
    lists(&host);
    relations(&host);
    images_and_volumes(&host);
    names_that_nobody_knows(&host);
    logs(&host);
    figures(&host);
    inside(&host);
    completions(&host);
    changes(&host);
}

fn json(host: &Host, words: &[&str]) -> Value {
    let text = host.succeed(words);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}\n{text}"))
}

fn pages(host: &Host) {
    let page = host.succeed(&["sampanctl", "status", "web"]);
    for expected in [
        "● web.container - The site\n",
        "     Loaded: loaded (/etc/sampan/units/web.container.toml; static)\n",
        "     Active: active (running) since ",
        "       Docs: man:httpd(8)\n",
        "      Image: localhost/hello (",
        "     CGroup: /sampan.slice/sampan-web.scope\n             ├─",
        &format!(" {LONG}\n"),
        "web[",
    ] {
        assert!(page.contains(expected), "{expected:?} is not in\n{page}");
    }
    assert!(!page.contains('\x1b'), "a pipe gets no colours: {page}");
    let ascii = host.succeed(&["env", "LANG=C", "sampanctl", "status", "web"]);
    assert!(ascii.starts_with("* web.container") && ascii.contains("|-") && ascii.contains("`-"), "{ascii}");
    let colored = host.succeed(&["env", "SYSTEMD_COLORS=16", "sampanctl", "status", "web"]);
    assert!(colored.starts_with("\x1b[0;1;32m●\x1b[0m web.container"), "{colored}");

    let main = host.property("web", "MainPID");
    assert!(host.succeed(&["sampanctl", "status", &main]).contains("● web.container"));
    assert!(
        host.fail(1, &["sampanctl", "status", "1"]).contains("PID 1 does not belong to any loaded unit.")
    );

    let failed = host.answer(3, &["sampanctl", "status", "broken"]);
    assert!(failed.starts_with("× broken.container"), "{failed}");
    assert!(failed.contains("Active: failed (Result: exit-code) since"), "{failed}");
    assert!(
        failed.contains("Main PID: ") && failed.contains("(code=exited, status=3/NOTIMPLEMENTED)"),
        "{failed}"
    );
    assert!(failed.contains("Next: see what it said in \"sampanctl logs -I broken\""), "{failed}");

    let overview = host.succeed(&["sampanctl", "status"]);
    assert!(
        overview.contains("    State: degraded\n") && overview.contains("   Failed: 1 unit\n"),
        "{overview}"
    );
    assert_eq!(host.answer(1, &["sampanctl", "is-system-running"]), "degraded\n");
    let whole = json(host, &["sampanctl", "status", "--output=json", "web"]);
    assert_eq!(whole[0]["ActiveState"], "active");
    assert!(
        whole[0]["Log"].as_array().is_some_and(|log| log.iter().any(|line| line["MESSAGE"] == "serving"))
    );
    assert_eq!(
        host.succeed(&["sampanctl", "show", "-P", "Id,ActiveState", "web"]),
        "web.container\nactive\n"
    );
    assert!(host.succeed(&["sampanctl", "show"]).contains("Version="));
    assert_eq!(host.property("web", "CPUQuotaPerSecUSec"), "infinity");
}

fn lists(host: &Host) {
    let table = host.succeed(&["sampanctl", "list-units"]);
    assert!(table.starts_with("  UNIT "), "{table}");
    assert!(table.lines().any(|line| line.starts_with("● broken.container ")), "{table}");
    assert!(table.contains("loaded units listed."), "{table}");
    let plain = host.succeed(&["sampanctl", "list-units", "--plain", "--legend=no", "web*", "worker*"]);
    let first: Vec<&str> = plain.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(first, ["web.container", "worker@a.container"]);
    assert_eq!(host.succeed(&["sampanctl", "list-units", "-q", "none*"]), "");
    let rows = json(host, &["sampanctl", "list-units", "--output=json", "--failed"]);
    assert_eq!(rows[0]["unit"], "broken.container");
    assert_eq!(rows[0]["active"], "failed");
    assert_eq!(rows[0]["labels"]["org.example.team"], "sea");
    let pretty = host.succeed(&["sampanctl", "list-units", "--output=json-pretty", "web"]);
    assert!(pretty.starts_with("[\n  {\n    \"unit\": \"web.container\","), "{pretty}");
    assert_eq!(host.succeed(&["sampanctl", "list-jobs"]), "No jobs running.\n");
    assert!(host.fail(1, &["sampanctl", "cancel", "4242"]).contains("4242"));
}

fn relations(host: &Host) {
    let head = "[unit]\nafter = [\"dbus.service\"]\nwants = [\"dbus.service\", \"gone.service\"]\n\
                requisite = [\"web.container\"]\nupholds = [\"worker@a.container\"]\n";
    host.unit("hub.container", &format!("{head}{}", shell("exec sleep 1000")));
    host.unit(
        "part.container",
        &format!("[unit]\npart_of = [\"hub.container\"]\n{}", shell("exec sleep 1000")),
    );
    assert_eq!(
        host.succeed(&["sampanctl", "list-dependencies", "hub"]),
        "hub.container\n● ├─dbus.service\n○ ├─gone.service\n○ ├─part.container\n● ├─web.container\n\
         ● └─worker@a.container\n"
    );
    let above = |unit: &str| host.succeed(&["sampanctl", "list-dependencies", "--reverse", "--plain", unit]);
    assert_eq!(above("web"), "web.container\n  hub.container\n");
    assert_eq!(above("worker@a"), "worker@a.container\n  hub.container\n");
    assert_eq!(above("part"), "part.container\n  hub.container\n");
    host.succeed(&["rm", "/etc/sampan/units/hub.container.toml", "/etc/sampan/units/part.container.toml"]);
    host.succeed(&["sampanctl", "daemon-reload"]);
}

fn images_and_volumes(host: &Host) {
    let image = |words: &[&str]| json(host, &[&["sampanctl"], words].concat());
    assert_eq!(image(&["images", "-o", "json"])[0]["names"][0], "localhost/hello:latest");
    assert_eq!(host.succeed(&["sampanctl", "images", "--output=json"]).lines().count(), 1);
    let pretty = host.succeed(&["sampanctl", "images", "--output=json-pretty"]);
    assert!(pretty.starts_with("[\n  {\n"), "{pretty}");
    let files = image(&["files", "hello", "--output=json"]);
    assert_eq!(files, image(&["files", "hello", "-o", "json-pretty"]));
    assert_eq!(image(&["inspect", "hello", "-o", "json"]), image(&["inspect", "hello", "-o", "json-pretty"]));
    assert_eq!(host.succeed(&["sampanctl", "volumes", "list", "-o", "json"]), "[]\n");

    let told = host.fail(1, &["sampanctl", "import", "/nope"]);
    assert!(told.contains("No such file or directory") && !told.contains("os error"), "{told}");
    let told = host.fail(1, &["sampanctl", "pull", "localhost:1/web"]);
    assert!(told.contains("Connection refused") && !told.contains("os error"), "{told}");
}

fn names_that_nobody_knows(host: &Host) {
    let unknown = host.fail(1, &["sampanctl", "strat", "web"]);
    assert_eq!(unknown, "Unknown command verb 'strat', did you mean 'start'?\n");
    let status = host.fail(4, &["sampanctl", "status", "wbe"]);
    assert_eq!(status, "Unit wbe.container could not be found. Did you mean \"web\"?\n");
    let told = host.fail(1, &["sampanctl", "verify", "wbe"]);
    assert!(told.contains("unit wbe.container could not be found. Did you mean \"web\"?"), "{told}");
    assert!(host.fail(5, &["sampanctl", "start", "wbe"]).ends_with("not found. Did you mean \"web\"?\n"));
    let user = host.fail(1, &["sampanctl", "--user", "list-units"]);
    assert!(user.starts_with("Failed to connect to the manager of this user: "), "{user}");
}

fn logs(host: &Host) {
    host.succeed(&["journalctl", "--sync"]);
    let log = host.succeed(&["sampanctl", "logs", "web"]);
    assert!(log.contains(": serving\n") && log.contains("Started sampan-web.scope"), "{log}");
    assert_eq!(host.succeed(&["sampanctl", "logs", "--payload", "-o", "cat", "web"]), "serving\n");
    // What sampand says of a unit belongs to it, and a template means its instances.
    let failed = host.succeed(&["sampanctl", "logs", "-o", "cat", "broken"]);
    assert!(failed.contains("broken.container: Failed with result 'exit-code'."), "{failed}");
    assert!(host.succeed(&["sampanctl", "logs", "-o", "cat", "--payload", "worker@"]).contains("working"));
    assert!(host.succeed(&["sampanctl", "logs", "-o", "cat", "w*"]).contains("serving"));
    host.succeed(&["sampanctl", "restart", "web"]);
    host.wait_until("two lines", |host| {
        host.succeed(&["sampanctl", "logs", "--payload", "-o", "cat", "web"]) == "serving\nserving\n"
    });
    let payload = |which: &str| {
        host.succeed(&[
            "sampanctl",
            "logs",
            &format!("--invocation={which}"),
            "--payload",
            "-o",
            "cat",
            "web",
        ])
    };
    assert_eq!(payload("0"), "serving\n");
    assert_eq!(payload("-1"), "serving\n");
    assert!(host.succeed(&["sampanctl", "logs", "-I", "web"]).contains("Started sampan-web.scope"));
    assert!(host.fail(1, &["sampanctl", "logs", "--invocation=-9", "web"]).contains("No such run"));

    // A run that ends without a word is the last one all the same.
    host.unit("mute.container", &shell("echo first; exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "mute"]);
    host.wait_log("mute", "first");
    host.unit("mute.container", &shell("exit 4"));
    host.run(&["sampanctl", "restart", "mute"]);
    host.wait_property("mute", "ActiveState", "failed");
    let mut about = host.journal(&["SAMPAN_UNIT=mute.container"]);
    about.wait("Failed with result");
    let last = host.succeed(&["sampanctl", "logs", "-I", "-o", "cat", "mute"]);
    assert!(last.contains("Started sampan-mute.scope") && !last.contains("first"), "{last}");
    assert!(last.contains("mute.container: Failed with result 'exit-code'."), "{last}");
    let same = host.property("mute", "InvocationID");
    let same = host.succeed(&["sampanctl", "logs", &format!("--invocation={same}"), "-o", "cat", "mute"]);
    assert_eq!(same, last);
    assert_eq!(host.succeed(&["sampanctl", "logs", "-I", "--payload", "-o", "cat", "mute"]), "");
    assert!(host.succeed(&["sampanctl", "logs", "--invocation=-1", "mute"]).contains(": first\n"));

    // What is refused of one is told, and the others go on.
    let refused = host.fail(5, &["sampanctl", "reset-failed", "nosuch", "mute"]);
    assert!(refused.contains("Failed to reset failed state of unit nosuch.container"), "{refused}");
    for (verb, failed) in [("kill", "kill"), ("freeze", "freeze"), ("thaw", "thaw")] {
        let refused = host.fail(5, &["sampanctl", verb, "nosuch"]);
        assert_eq!(
            refused,
            format!("Failed to {failed} unit nosuch.container: Unit nosuch.container not loaded.\n")
        );
    }
    assert_eq!(host.property("mute", "ActiveState"), "inactive");
}

fn figures(host: &Host) {
    let table = host.succeed(&["sampanctl", "top", "-b", "-n", "1", "-d", "0.1"]);
    assert!(table.starts_with("UNIT ") && table.contains("web.container"), "{table}");
    let rows = json(host, &["sampanctl", "top", "-1", "-d", "100ms", "-o", "json", "web"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!(rows[0]["unit"], "web.container");
    assert!(rows[0]["cpu_percent"].is_number());
    let blame = host.succeed(&["sampanctl", "blame", "web"]);
    assert!(blame.contains(" web.container"), "{blame}");
    let chain = host.succeed(&["sampanctl", "critical-chain", "web"]);
    assert!(chain.starts_with("web.container @"), "{chain}");
}

fn inside(host: &Host) {
    let run = |words: &[&str]| host.succeed(&[&["sampanctl", "exec", "web"], words].concat());
    assert_eq!(run(&["sh", "-c", "printf 'a\\000b'"]), "a\0b");
    let invocation = host.property("web", "InvocationID");
    assert_eq!(run(&["sh", "-c", "echo $INVOCATION_ID"]), format!("{invocation}\n"));
    host.answer(143, &["sampanctl", "exec", "web", "sh", "-c", "kill -TERM $$"]);
    assert!(host.fail(5, &["sampanctl", "exec", "wbe", "true"]).contains("not found. Did you mean \"web\"?"));
    let told = host.fail(127, &["sampanctl", "exec", "web", "nope"]);
    assert!(told.contains("Failed to execute in web.container: nope: No such file"), "{told}");
    let told = host.fail(126, &["sampanctl", "exec", "web", "/etc/passwd"]);
    assert!(told.contains("/etc/passwd: Permission denied"), "{told}");

    // With a terminal of its own, of the size of ours, and what is typed there.
    let typed = "stty rows 33 cols 99; (sleep 0.3; echo 'stty size; exit 7') | sampanctl exec -it web sh; echo code $?";
    let seen = host.succeed(&["script", "-qec", typed, "/dev/null"]);
    assert!(seen.contains("33 99") && seen.contains("code 7"), "{seen}");
    // What runs on in the background holds up nobody.
    let behind =
        "sampanctl exec -t web sh -c 'trap \"\" HUP; (trap \"\" HUP; sleep 30) & exit 5'; echo code $?";
    let seen = host.succeed(&["script", "-qec", behind, "/dev/null"]);
    assert!(seen.contains("code 5"), "{seen}");

    // A signal to the client is one to the command; the end of the client is its end.
    let mut client = host
        .command(&[
            "sh",
            "-c",
            "echo $$; exec sampanctl exec web sh -c \
            'trap \"echo caught; exit 9\" INT; echo up; while :; do sleep 0.1; done'",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pid = lines.next().unwrap();
    assert_eq!(lines.next().as_deref(), Some("up"));
    host.succeed(&["kill", "-INT", &pid]);
    assert_eq!(lines.next().as_deref(), Some("caught"));
    assert_eq!(client.wait().unwrap().code(), Some(9));

    let mut client = host
        .command(&["sh", "-c", "echo $$; exec sampanctl exec web sh -c 'echo up; sleep 43210; echo over'"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pid = lines.next().unwrap();
    assert_eq!(lines.next().as_deref(), Some("up"));
    host.succeed(&["kill", "-KILL", &pid]);
    assert_eq!(lines.next(), None, "the command is gone, and with it the last who could write");
    client.wait().unwrap();
    assert!(!host.run(&["pgrep", "-x", "-f", "sleep 43210"]).status.success());
    assert_eq!(host.succeed(&["sampanctl", "is-active", "web"]), "active\n");
}

/// Answers of the shells themselves, which have the scripts that are installed.
fn completions(host: &Host) {
    let bash = |line: &str, index: usize| {
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "source <(sampanctl completions bash); COMP_WORDS=({}); COMP_CWORD={index}; COMP_LINE='{line}'; \
             COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9; f=$(complete -p sampanctl | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $f sampanctl '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words[index],
            words[index - 1],
        );
        host.succeed(&["bash", "-c", &script])
    };
    let has = |answer: &str, word: &str| answer.lines().any(|line| line.trim() == word);
    assert!(has(&bash("sampanctl start w", 2), "web"));
    assert!(has(&bash("sampanctl inspect h", 2), "hello:latest"));
    assert!(has(&bash("sampanctl show -p MainP", 3), "MainPID"));
    let fish = |line: &str| {
        let script = format!("sampanctl completions fish | source; complete --do-complete '{line}'");
        host.succeed(&["fish", "-c", &script])
    };
    assert!(fish("sampanctl start w").lines().any(|line| line.split('\t').next() == Some("web")));
    assert!(fish("sampanctl show -p MainP").lines().any(|line| line.split('\t').next() == Some("MainPID")));
    assert!(fish("sampanctl inspect h").lines().any(|line| line.split('\t').next() == Some("hello:latest")));
    assert!(fish("sampanctl cri").lines().any(|line| line.starts_with("critical-chain\t")));
    // zsh at a terminal of its own, in which Tab is pressed.
    let zsh = |line: &str, seen: &str| {
        let script = format!(
            "zmodload zsh/zpty; export TERM=xterm; zpty z zsh -f -i; \
             zpty -w z 'PROMPT=; autoload -Uz compinit; compinit -u -D; source <(sampanctl completions zsh); print RE''ADY'; \
             zpty -r -m z ready '*READY*'; zpty -w -n z $'{line}\t'; zpty -r -m z seen '*{seen}*'; print -r -- found"
        );
        assert_eq!(host.succeed(&["timeout", "60", "zsh", "-fc", &script]), "found\n", "{line}");
    };
    zsh("sampanctl start we", "web");
    zsh("sampanctl critical-c", "critical-chain");
    zsh("sampanctl inspect hel", "hello:latest");
    zsh("sampanctl show -p MainP", "MainPID");

    // Without a manager they are silent, and start none.
    host.succeed(&["systemctl", "stop", "sampand"]);
    assert!(has(&bash("sampanctl start w", 2), "web"));
    assert!(!has(&bash("sampanctl show -p MainP", 3), "MainPID"));
    host.fail(3, &["systemctl", "is-active", "--quiet", "sampand"]);
    host.succeed(&["systemctl", "start", "sampand"]);
}

fn changes(host: &Host) {
    host.succeed(&["sampanctl", "set-property", "web", "tasks_max=77"]);
    assert_eq!(host.property("web", "TasksMax"), "77");
    assert!(host.fail(1, &["sampanctl", "set-property", "web", "task_max=77"]).contains("tasks_max"));
    host.succeed(&["sampanctl", "freeze", "web"]);
    assert!(host.succeed(&["sampanctl", "status", "web"]).contains("(running) (frozen) since"));
    host.succeed(&["sampanctl", "thaw", "web"]);
    host.unit("short.container", &shell("exit 4"));
    host.answer(1, &["sampanctl", "start", "--wait", "short"]);
    let told = host.run(&["sampanctl", "restart", "-T", "web"]).stderr;
    assert!(String::from_utf8_lossy(&told).contains("Enqueued anchor job "), "{told:?}");
}
