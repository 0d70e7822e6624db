//! Images over the bus: pulls that users ask for, as root and as a user for whom a rule of polkit speaks or none does.

#[path = "support/harbour.rs"]
mod harbour;
#[path = "support/layout.rs"]
mod layout;
#[path = "support/registry.rs"]
mod registry;
mod support;

use harbour::{Harbour, State};
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
