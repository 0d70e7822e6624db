//! Records that another version of the manager has written, or that are damaged: whatever they say, everything
//! that is up stays up.

mod support;

use support::host::Host;
use support::units::{python, shell, socket};

const UNITS: [&str; 6] = ["job", "bound", "web", "idle", "once", "leaner"];

/// A host with units of each kind, two of which go down with what they are bound to.
fn host() -> Host {
    let host = Host::with_images(&["hello", "web"]);
    let sleeper = shell("exec sleep 100000");
    host.unit("job.container", &(sleeper.clone() + "restart = \"always\"\n"));
    host.unit("goal.target", "[unit]\ndescription = \"Goal\"\n");
    host.unit(
        "bound.container",
        &format!("[unit]\nbinds_to = [\"goal.target\"]\nafter = [\"goal.target\"]\n{sleeper}"),
    );
    host.unit("once.container", &(shell("exit 0") + "type = \"oneshot\"\nremain_after_exit = true\n"));
    host.unit(
        "leaner.container",
        &format!("[unit]\nbinds_to = [\"once.container\"]\nafter = [\"once.container\"]\n{sleeper}"),
    );
    let nginx = "[container]\nimage = \"localhost/web\"\n";
    for (unit, port) in [("web", 8001), ("idle", 8002)] {
        let swap = socket(&format!("127.0.0.1:{port}"), "\"swap\"\ntarget = \"0.0.0.0:80\"");
        host.unit(&format!("{unit}.container"), &format!("{nginx}{swap}"));
    }
    host.succeed(&["sampanctl", "start", "job", "bound", "web", "idle", "leaner"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    host
}

/// What must stay as it is.
fn identity(host: &Host) -> Vec<String> {
    UNITS
        .iter()
        .flat_map(|unit| ["MainPID", "SubState", "NRestarts"].map(|fact| host.property(unit, fact)))
        .collect()
}

/// Has the manager end, every record changed by a program of Python, and the next manager begin: what that one says.
fn change_records(host: &Host, change: &str) -> String {
    let program = format!(
        "import glob, json\nfor path in glob.glob('/run/sampan/state/*.json'):\n    old = open(path, 'rb').read()\n    \
         record = json.loads(old)\n    {change}\n    open(path, 'wb').write(new if isinstance(new, bytes) else json.dumps(new).encode())\n"
    );
    host.write("/run/change.py", &program);
    let cursor = host.succeed(&["journalctl", "--lines=0", "--show-cursor"]);
    let cursor = cursor.trim().rsplit(": ").next().expect("a cursor").to_owned();
    let between = "[Service]\nExecStartPre=python3 /run/change.py\n";
    host.write("/run/systemd/system/sampand.service.d/between.conf", between);
    host.succeed(&["sh", "-c", "systemctl daemon-reload && systemctl restart sampand"]);
    host.succeed(&["journalctl", "--unit=sampand", "--output=cat", "--after-cursor", &cursor])
}

#[test]
fn whatever_records_say_nothing_that_is_up_goes_down() {
    let host = host();
    let before = identity(&host);
    let changes = [
        // Newer ones.
        (
            "record['format'] = 99; record['mood'] = {'good': [1]}; record['facts']['wings'] = 2; new = record",
            "newer sampand (format 99)",
        ),
        (
            "record['phase'] = 'hovering'; record['result'] = 'sunburn'; record['job'] = 'dance'; new = record",
            "hovering",
        ),
        ("record['run'] = 'many'; record['stamps'] = 5; record['facts'] = []; new = record", "this record"),
        // Damaged ones.
        ("new = old[:len(old) // 2]", "ignoring this record"),
        ("new = b''", "ignoring this record"),
        ("new = bytes(range(256)) * 20", "ignoring this record"),
        ("new = [[]]", "ignoring this record"),
        // The oldest that can be.
        ("new = {key: record[key] for key in ('unit', 'phase', 'run') if key in record}", ""),
    ];
    for (change, told) in changes {
        let journal = change_records(&host, change);
        assert_eq!(identity(&host), before, "{change}\n{}", host.recent());
        assert!(journal.contains(told), "{change}: {journal}");
        assert_eq!(host.succeed(&["sampanctl", "is-active", "goal.target"]), "active\n", "{change}");
        assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"), "{change}");
    }
    assert!(host.get("127.0.0.1:8002").contains("Hello from nginx"));
    host.succeed(&["sampanctl", "stop", "goal.target", "once", "job", "web", "idle"]);
    assert_eq!(host.succeed(&["systemctl", "list-units", "--no-legend", "sampan-*.scope"]), "");
    assert_eq!(host.property("web", "Result"), "success");
}

#[test]
fn what_says_nothing_new_is_not_written() {
    let host = Host::with_images(&["servers"]);
    let program = "
import os, socket, time
own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
own.connect(os.environ[\"NOTIFY_SOCKET\"])
own.send(b\"READY=1\")
while not os.path.exists(\"/srv/go\"): time.sleep(0.05)
for number in range(1000): own.send(b\"STATUS=number %%d\" %% number)
time.sleep(100000)";
    let mount = "[mount.\"/srv\"]\ntype = \"bind\"\nsource = \"/srv\"\n";
    host.unit("talk.container", &(python(program) + "type = \"notify\"\n" + mount));
    host.succeed(&["sampanctl", "start", "talk"]);
    let record = || host.succeed(&["stat", "--format=%i %y", "/run/sampan/state/talk.container.json"]);
    let before = record();
    let others =
        ["setpriv", "--reuid=65534", "--clear-groups", "cat", "/run/sampan/state/talk.container.json"];
    assert!(host.fail(1, &others).contains("Permission denied"), "a record holds the environment");
    std::fs::write(host.shared().join("go"), "").expect("the gate opens");
    host.wait_property("talk", "StatusText", "number 999");
    assert_eq!(record(), before);
}
