//! Images over the bus: pulls that users ask for, as root and as a user for whom a rule of polkit speaks or none does.

#[path = "support/harbour.rs"]
mod harbour;
#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;
mod support;

use harbour::{Harbour, State};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use support::host::{Host, Signals};

/// Runs a command as the user `nobody`.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
/// A rule of polkit that lets `nobody` do everything with images.
const RULE: &str = "polkit.addRule(function(action, subject) {
    if (subject.user == 'nobody' && action.id == 'org.sampan1.manage-images') return polkit.Result.YES;
});\n";

fn allow_images(host: &Host, rule: &str) {
    host.write("/etc/polkit-1/rules.d/10-test.rules", rule);
}

fn as_nobody<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&NOBODY, words].concat()
}

/// A call of the manager.
fn call<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager"], words].concat()
}

/// The object in an answer.
fn path(answer: &str) -> String {
    answer.trim_end().strip_prefix("o \"").and_then(|path| path.strip_suffix('"')).expect(answer).to_owned()
}

/// Waits for a signal of a transfer.
fn wait_for(signals: &mut Signals, transfer: &str, member: &str) -> String {
    signals.wait(&format!(
        "\"path\":\"{transfer}\",\"interface\":\"org.sampan1.Transfer\",\"member\":\"{member}\""
    ))
}

#[test]
fn a_pull_over_the_bus_is_that_of_everybody_who_wants_the_image() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    let mut signals = host.signals();
    harbour.tide.set(State::Ebb);
    let first = path(&host.succeed(&call(&["PullImage", "sa{sv}", &image, "0"])));
    assert_eq!(path(&host.succeed(&call(&["PullImage", "sa{sv}", &image, "0"]))), first);
    harbour.unit("web", &image, "");
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    host.wait_property("web", "SubState", "pull");
    assert_eq!(format!("/org/sampan1/transfer/{}", host.property("web", "Transfer")), first);
    host.succeed(&["sampanctl", "stop", "web"]);
    assert!(harbour.transfers().contains("\"running\""), "it goes on without the unit");
    harbour.tide.set(State::Flow);
    let imported = wait_for(&mut signals, &first, "Imported");
    assert!(imported.contains(&image), "{imported}");
    wait_for(&mut signals, &first, "Finished");
    host.succeed(&["sampanctl", "start", "web"]);
    assert_eq!(harbour.front.blobs(), 3, "a configuration and two layers, once");
    let again = ["PullImage", "sa{sv}", &image, "1", "only-if-missing", "b", "true"];
    let (requests, again) = (harbour.front.requests().len(), path(&host.succeed(&call(&again))));
    wait_for(&mut signals, &again, "Finished");
    assert_eq!(harbour.front.requests().len(), requests);
    harbour.assert_pulls_end();
    harbour.assert_store_is_sound();
}

#[test]
fn a_pull_is_for_those_whom_polkit_allows_and_can_be_cancelled() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    let pull = ["PullImage", "sa{sv}", &image, "0"];
    let told = host.fail(1, &as_nobody(&call(&pull)));
    assert!(
        told.contains(&format!(
            "Interactive authentication required: org.sampan1.manage-images (pull {image})"
        )),
        "{told}"
    );
    assert_eq!(harbour.transfers(), "a(ussttaso) 0\n");
    let one = RULE.replace(" return", &format!(" if (action.lookup('image') == '{image}') return"));
    allow_images(host, &one);
    let mut signals = host.signals();
    harbour.tide.set(State::Ebb);
    // The client leaves as soon as it has its answer.
    let transfer = path(&host.succeed(&as_nobody(&call(&pull))));
    host.wait_until("the pull runs", |_| harbour.transfers().contains("\"running\""));
    host.fail(1, &as_nobody(&call(&["PullImage", "sa{sv}", &harbour.name("team/db:1"), "0"])));
    let id = transfer.rsplit('/').next().expect("a number");
    host.succeed(&as_nobody(&call(&["CancelTransfer", "u", id])));
    wait_for(&mut signals, &transfer, "Canceled");
    harbour.assert_pulls_end();
    harbour.assert_store_is_sound();
    assert_eq!(host.succeed(&["sampanctl", "images", "--quiet"]), "");
}

#[test]
fn what_a_pull_cannot_be_is_a_named_error() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    for (options, told) in [
        (["1", "verfy", "b", "true"].as_slice(), "Option \"verfy\" is not known: use platform, verify, "),
        (&["1", "verify", "s", "yes"], "Option \"verify\" is a boolean."),
        (&["1", "platform", "s", "a/b/c/d"], "write it as linux/amd64"),
        (
            &["2", "platform", "s", "arm64", "only-if-missing", "b", "true"],
            "cannot stand beside \"platform\"",
        ),
    ] {
        let shown = host.fail(1, &call(&[&["PullImage", "sa{sv}", &image], options].concat()));
        assert!(shown.contains(told), "{shown}");
    }
    let shown = host.fail(1, &call(&["PullImage", "sa{sv}", "NO such", "0"]));
    assert!(shown.contains("NO such"), "{shown}");
    let mut signals = host.signals();
    let missing = harbour.name("team/none:1");
    let transfer = path(&host.succeed(&call(&["PullImage", "sa{sv}", &missing, "0"])));
    let failed = wait_for(&mut signals, &transfer, "Failed");
    assert!(failed.contains(&missing), "{failed}");
}

#[test]
fn one_user_has_a_bounded_number_of_pulls_and_delays_no_unit() {
    let harbour = Harbour::new();
    let host = &harbour.host;
    allow_images(host, RULE);
    harbour.tide.set(State::Ebb);
    let pull = |number: usize| {
        let name = harbour.name(&format!("team/many:{number}"));
        call(&["PullImage", "sa{sv}", &name, "0"]).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for number in 0..3 {
        harbour.push(&format!("team/many:{number}"), &number.to_string());
    }
    let ask = |number: usize, words: &[&str]| {
        let call = pull(number);
        let call: Vec<&str> = words.iter().copied().chain(call.iter().map(String::as_str)).collect();
        host.run(&call)
    };
    // Three that the registry holds up, and those behind them.
    for number in 0..16 {
        assert!(ask(number, &NOBODY).status.success());
    }
    let refused = ask(16, &NOBODY);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("16 pulls of user 65534 are under way already"), "{told}");
    assert!(ask(16, &[]).status.success(), "root has its own");
    let list = harbour.transfers();
    assert_eq!(list.matches("\"waiting\"").count(), 14, "{list}");
    // A unit's pull comes before all that wait.
    harbour.unit("web", &harbour.name("team/web:1"), "");
    host.succeed(&["sampanctl", "start", "--no-block", "web"]);
    harbour.wait_for_bytes("web");
    harbour.tide.set(State::Flow);
    host.wait_property("web", "SubState", "running");
    host.wait_until("all are over", |_| harbour.transfers() == "a(ussttaso) 0\n");
}

/// The rows of `ListImages`.
fn images(host: &Host, words: &[&str]) -> serde_json::Value {
    let words = [&["busctl", "--json=short", "call", "org.sampan1", "/org/sampan1"], words].concat();
    let answer: serde_json::Value = serde_json::from_str(&host.succeed(&words)).expect("JSON");
    answer["data"][0].clone()
}

#[test]
fn images_are_listed_named_and_removed() {
    let host = Host::with_images(&["hello", "web"]);
    let listed = images(&host, &["org.sampan1.Manager", "ListImages"]);
    let shown: serde_json::Value =
        serde_json::from_str(&host.succeed(&["sampanctl", "images", "--output=json"])).expect("JSON");
    for (row, image) in listed.as_array().unwrap().iter().zip(shown.as_array().unwrap()) {
        let digest = image["digest"].as_str().unwrap_or_default();
        assert_eq!((&row[0], &row[1], &row[2]), (&image["id"], &image["names"], &digest.into()));
        assert_eq!((&row[3], &row[4]), (&image["created"], &image["size"]));
        assert_eq!((&row[5], &row[6]), (&image["shared"], &image["own"]));
    }
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let some = images(&host, &["org.sampan1.Manager", "ListImagesByPatterns", "as", "1", "hel*"]);
    let (some, id) = (some.as_array().unwrap(), listed_id(&listed, "localhost/hello:latest"));
    assert_eq!((some.len(), some[0][0].as_str()), (1, Some(id.as_str())));

    assert_eq!(host.succeed(&call(&["TagImage", "ss", &id, "greeting"])), format!("s \"{id}\"\n"));
    host.unit("web.container", "[container]\nimage = \"localhost/hello\"\n");
    let remove = |image: &'static str| call(&["RemoveImage", "sa{sv}", image, "0"]);
    let told = host.fail(1, &remove("hello"));
    assert!(told.contains("web.container names it (/etc/sampan/units/web.container.toml, "), "{told}");
    assert_eq!(host.succeed(&remove("greeting")), "as 1 \"localhost/greeting:latest\"\n");
    let told = host.fail(1, &remove("greeting"));
    assert!(told.contains("no image \"greeting\" in the store"), "{told}");
    let forced = ["RemoveImage", "sa{sv}", "hello", "1", "force", "b", "true"];
    let gone = format!("as 2 \"localhost/hello:latest\" \"{id}\"\n");
    assert_eq!(host.succeed(&call(&forced)), gone);
    assert_eq!(host.succeed(&["sampanctl", "fsck"]), "");
}

fn listed_id(listed: &serde_json::Value, name: &str) -> String {
    let mut rows = listed.as_array().unwrap().iter();
    let row = rows.find(|row| row[1].as_array().unwrap().iter().any(|own| own == name)).expect(name);
    row[0].as_str().unwrap().to_owned()
}

#[test]
fn what_runs_is_never_removed_and_no_id_goes_around_a_rule() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &support::units::shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web"]);
    let image = "localhost/hello:latest";
    let forced = ["RemoveImage", "sa{sv}", image, "1", "force", "b", "true"];
    let told = host.fail(1, &call(&forced));
    assert!(told.contains("web.container runs from this image; stop it first"), "{told}");
    host.succeed(&["sampanctl", "stop", "web"]);
    let denied = "Interactive authentication required: org.sampan1.manage-images (remove ";
    let told = host.fail(1, &as_nobody(&call(&forced)));
    assert!(told.contains(denied), "{told}");
    host.succeed(&["sampanctl", "tag", image, "mine"]);
    allow_images(
        &host,
        &RULE.replace(" return", " if (action.lookup('image') == 'localhost/mine:latest') return"),
    );
    let id = listed_id(&images(&host, &["org.sampan1.Manager", "ListImages"]), "localhost/mine:latest");
    let told = host.fail(1, &as_nobody(&call(&["RemoveImage", "sa{sv}", &id, "1", "force", "b", "true"])));
    assert!(told.contains(denied), "the other name would go, too: {told}");
    host.fail(1, &as_nobody(&call(&["TagImage", "ss", &id, "other"])));
    host.succeed(&as_nobody(&call(&["TagImage", "ss", "mine", "mine"])));
    host.succeed(&as_nobody(&call(&["RemoveImage", "sa{sv}", "mine", "0"])));
    assert_eq!(listed_id(&images(&host, &["org.sampan1.Manager", "ListImages"]), image), id);
}

#[test]
fn lists_that_are_asked_for_at_once_are_one() {
    let host = Host::with_images(&["hello"]);
    let call = "busctl call org.sampan1 /org/sampan1 org.sampan1.Manager ListImages";
    let storm =
        format!("for i in $(seq 200); do {call} >/srv/list.$i & done; wait; cat /srv/list.* | sort -u");
    assert_eq!(host.succeed(&["sh", "-c", &storm]), host.succeed(&["sh", "-c", call]));
    let threads = "cat /proc/$(systemctl show --value --property=MainPID sampand)/status | grep Threads";
    assert_eq!(host.succeed(&["sh", "-c", threads]), "Threads:\t1\n");
}

/// Calls `ImportImage` as root; the transfer or the error.
fn import(
    host: &Host,
    source: BorrowedFd<'_>,
    name: &str,
    options: &[(&str, &str)],
) -> Result<String, String> {
    let address = format!("unix:path={}", host.path("/run/dbus/system_bus_socket").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let bus = zbus::conn::Builder::address(address.as_str()).build().await.expect("the host has a bus");
        let manager = (Some("org.sampan1"), "/org/sampan1", Some("org.sampan1.Manager"));
        let options: HashMap<&str, zbus::Variant<'_>> =
            options.iter().map(|(name, value)| (*name, (*value).into())).collect();
        let body = (zbus::Fd::from(source), name, options);
        let answer = bus.call_method(manager.0, manager.1, manager.2, "ImportImage", &body).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(answer.body().deserialize::<zbus::OwnedObjectPath>().expect("a path").to_string())
    })
}

#[test]
fn what_a_client_has_opened_is_imported() {
    let host = Host::with_images(&["hello"]);
    let mut signals = host.signals();
    let archive = File::open(host.shared().join("hello.tar")).expect("the archive is there");
    let transfer = import(&host, archive.as_fd(), "again", &[]).expect("it is taken");
    let imported = wait_for(&mut signals, &transfer, "Imported");
    assert!(imported.contains("localhost/again:latest"), "{imported}");
    wait_for(&mut signals, &transfer, "Finished");

    // A pipe gives what comes; in the meantime the daemon does other things.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let transfer = import(&host, reader.as_fd(), "tree", &[("format", "tree")]).expect("it is taken");
    drop(reader);
    host.wait_until("the import runs", |host| {
        host.succeed(&call(&["ListTransfers"])).contains("\"localhost/tree:latest\" \"running\"")
    });
    let kind = ["busctl", "get-property", "org.sampan1", &transfer, "org.sampan1.Transfer", "Type"];
    assert_eq!(host.succeed(&kind), "s \"import\"\n");
    let mut tree = tar::Builder::new(writer);
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    tree.append_data(&mut header, "etc/hostname", b"one".as_slice()).expect("somebody reads");
    drop(tree.into_inner().expect("somebody reads"));
    wait_for(&mut signals, &transfer, "Progress");
    wait_for(&mut signals, &transfer, "Writing");
    wait_for(&mut signals, &transfer, "Finished");
    assert!(host.succeed(&["sampanctl", "files", "tree"]).contains("/etc/hostname"));

    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let transfer = import(&host, reader.as_fd(), "", &[]).expect("it is taken");
    drop(reader);
    let scopes = "sampan-pull-*.scope";
    host.succeed(&call(&["CancelTransfer", "u", transfer.rsplit('/').next().expect("a number")]));
    wait_for(&mut signals, &transfer, "Canceled");
    let gone = format!(
        "while pgrep -x sampan-import >/dev/null; do :; done; systemctl list-units --no-legend '{scopes}'"
    );
    assert_eq!(host.succeed(&["timeout", "100", "sh", "-c", &gone]), "");
    assert_eq!(host.succeed(&["sampanctl", "fsck"]), "");
}

#[test]
fn what_a_client_could_not_read_is_not_imported_for_it() {
    let host = Host::with_images(&["hello"]);
    let path = host.shared().join("hello.tar");
    let flags = |flags| rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).expect("it opens");
    let refused = "The descriptor is none of a file or a pipe that is open for reading.";
    for source in [
        flags(rustix::fs::OFlags::PATH),
        flags(rustix::fs::OFlags::WRONLY),
        File::open(host.shared()).expect("it opens").into(),
        File::open("/dev/zero").expect("it opens").into(),
        std::os::unix::net::UnixStream::pair().expect("a pair").0.into(),
    ] {
        let told = import(&host, source.as_fd(), "no", &[]).expect_err("it is refused");
        assert!(told.contains(refused), "{told}");
    }
    let archive = File::open(&path).expect("the archive is there");
    for (name, options, told) in [
        ("NO", &[][..], "NO"),
        (
            "no",
            &[("quiet", "")],
            "Option \"quiet\" is not known: use keep-names, format, platform, changes, verify.",
        ),
        ("no", &[("format", "zip")], "the forms are oci, docker and tree"),
    ] {
        let error = import(&host, archive.as_fd(), name, options).expect_err("it is refused");
        assert!(error.contains(told), "{error}");
    }
    let mut signals = host.signals();
    let text = File::open(host.path("/etc/hostname")).expect("it opens");
    let transfer = import(&host, text.as_fd(), "no", &[]).expect("it is taken");
    wait_for(&mut signals, &transfer, "Failed");
    assert_eq!(host.succeed(&["sampanctl", "images", "--no-legend"]).lines().count(), 1);
}

/// What a command wrote to both outputs.
fn both(host: &Host, words: &[&str]) -> (String, String) {
    let output = host.run(words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{words:?}: {}{}", text(&output.stderr), host.recent());
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_verbs_of_a_user_do_and_say_what_those_of_root_do() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    allow_images(host, RULE);
    let pull = ["sampanctl", "pull", &image];
    let (told, shown) = both(host, &as_nobody(&pull));
    host.succeed(&["sampanctl", "remove", &image]);
    host.succeed(&["sampanctl", "gc"]);
    let (root_told, root_shown) = both(host, &pull);
    assert_eq!(told, root_told);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&shown), sorted(&root_shown));
    assert!(shown.lines().filter(|line| line.starts_with("Fetched ")).count() == 2, "{shown}");

    let name = format!("{}/team/*", harbour.front.host());
    for words in [
        ["sampanctl", "images"].as_slice(),
        &["sampanctl", "images", "--no-legend", &image],
        &["sampanctl", "images", "--quiet"],
        &["sampanctl", "images", "--output=json", &name],
        &["sampanctl", "tag", &image, "one", "two"],
        &["sampanctl", "tag", &image, "one", "--output=json"],
    ] {
        assert_eq!(both(host, &as_nobody(words)), both(host, words), "{words:?}");
    }
    let removed = host.succeed(&as_nobody(&["sampanctl", "remove", "one", "two"]));
    assert_eq!(removed, "Removed localhost/one:latest.\nRemoved localhost/two:latest.\n");
    let told = host.fail(1, &as_nobody(&["sampanctl", "remove", "one"]));
    assert_eq!(told, host.fail(1, &["sampanctl", "remove", "one"]));
    harbour.unit("web", &image, "");
    let told = host.fail(1, &as_nobody(&["sampanctl", "remove", &image]));
    assert_eq!(told, host.fail(1, &["sampanctl", "remove", &image]));
    assert!(told.contains("web.container names it"), "{told}");
    let none = harbour.name("team/none:1");
    let words = ["sampanctl", "pull", "--quiet", &none];
    assert_eq!(host.fail(1, &as_nobody(&words)), host.fail(1, &words));
    harbour.assert_store_is_sound();
}

#[test]
fn a_user_imports_what_the_user_may_read() {
    let host = Host::with_images(&["hello"]);
    allow_images(&host, RULE);
    host.succeed(&["chmod", "644", "/srv/hello.tar"]);
    let words = ["sampanctl", "import", "/srv/hello.tar", "--name", "mine"];
    // The bus starts the manager for it.
    host.succeed(&["systemctl", "stop", "sampand"]);
    let (told, _) = both(&host, &as_nobody(&words));
    assert_eq!(told, both(&host, &words).0);
    let tree = "mkdir -p /tmp/tree/etc && echo one >/tmp/tree/etc/hostname && cd /tmp/tree && tar -c . |
        sampanctl import - --format tree --name tree --change 'CMD [\"/bin/true\"]'";
    let (told, shown) = both(&host, &as_nobody(&["sh", "-c", tree]));
    assert!(told.ends_with(" localhost/tree:latest\n"), "{told}");
    assert!(shown.contains("Read the archive\n") && shown.contains("Writing the image ("), "{shown}");
    assert!(host.succeed(&["sampanctl", "inspect", "tree"]).contains("/bin/true"));
    let told = host.fail(1, &as_nobody(&["sampanctl", "import", "/tmp/tree"]));
    assert!(told.contains("/tmp/tree: only root imports a folder: \"tar -C FOLDER -c ."), "{told}");
    host.succeed(&["chmod", "600", "/srv/hello.tar"]);
    let told = host.fail(1, &as_nobody(&words));
    assert!(told.contains("/srv/hello.tar: Permission denied"), "{told}");
    let told = host.fail(1, &as_nobody(&["sh", "-c", "echo no | sampanctl import -"]));
    assert_eq!(told, host.fail(1, &["sh", "-c", "echo no | sampanctl import -"]));
    assert_eq!(host.succeed(&["sampanctl", "fsck"]), "");
}

#[test]
fn without_a_rule_a_user_is_told_the_way_out() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    host.write("/tmp/archive", "");
    assert_eq!(host.succeed(&as_nobody(&["sampanctl", "images", "--no-legend"])), "", "looking is free");
    for (words, what) in [
        (["sampanctl", "pull", &image].as_slice(), format!("pull {image}")),
        (&["sampanctl", "import", "/tmp/archive", "--name", "one"], "import localhost/one:latest".to_owned()),
        (&["sampanctl", "remove", "one"], "remove one".to_owned()),
        (&["sampanctl", "tag", "one", "two"], "tag localhost/two:latest".to_owned()),
    ] {
        let told = host.fail(4, &as_nobody(words));
        let denied =
            format!("Interactive authentication required: org.sampan1.manage-images ({what}). Become root,");
        assert!(told.contains(&denied), "{told}");
    }
    host.succeed(&["systemctl", "mask", "--now", "sampand"]);
    let told = host.fail(1, &as_nobody(&["sampanctl", "images"]));
    assert!(told.contains("Failed to connect to sampand"), "{told}");
    assert_eq!(host.succeed(&["sampanctl", "images", "--no-legend"]), "", "root needs no manager");
    host.succeed(&["sampanctl", "pull", "--quiet", &image]);
    let told = host.fail(1, &as_nobody(&["sampanctl", "images", "--store", "/var/lib/sampan"]));
    assert!(told.contains("Permission denied"), "{told}");
}

#[test]
fn a_pull_of_a_user_outlives_a_restart_of_the_daemon() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    allow_images(host, RULE);
    harbour.tide.set(State::Ebb);
    let pull = host.command(&as_nobody(&["sampanctl", "pull", &image])).spawn().expect("it runs");
    host.wait_until("the pull runs", |_| harbour.transfers().contains("\"running\""));
    host.succeed(&["systemctl", "restart", "sampand"]);
    harbour.tide.set(State::Flow);
    let output = pull.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", host.recent());
    harbour.assert_pulls_end();
    harbour.assert_store_is_sound();
}

#[test]
fn a_container_keeps_its_tree_while_that_is_mended() {
    let harbour = Harbour::new();
    let (host, image) = (&harbour.host, harbour.name("team/web:1"));
    harbour.unit("web", &image, "");
    host.succeed(&["sampanctl", "start", "web"]);
    let mends = [vec!["sampanctl", "pull", "--verify", &image], vec!["sampanctl", "fsck", "--repair"]];
    for mend in mends {
        host.succeed(&["sh", "-c", "touch -d 2001-01-01 /var/lib/sampan/images/*/rootfs/bin"]);
        host.succeed(&["sh", "-c", "rm /var/lib/sampan/images/*/rootfs/version"]);
        host.succeed(&mend);
        harbour.assert_store_is_sound();
        let names = host.succeed(&["sampanctl", "exec", "web", "/bin/busybox", "ls", "/", "/bin"]);
        assert!(names.contains("version") && names.contains("busybox"), "{mend:?}: {names}");
    }
}
