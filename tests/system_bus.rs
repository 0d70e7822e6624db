//! The interfaces as they are introspected on a running daemon, and as the manual page org.sampan1(5) has them.

mod support;

use futures_util::StreamExt;
use rustix::process::Signal;
use sampan::sys::pidfd;
use std::collections::BTreeSet;
use std::process::Command;
use support::host::Host;
use support::units::shell;

const PAGE: &str = include_str!("../man/org.sampan1.5");

const OBJECTS: [&str; 4] =
    ["/org/sampan1", "/org/sampan1/unit/default_2etarget", "/org/sampan1/job/1", "/org/sampan1/transfer/1"];

/// The value of an attribute in a line of XML.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

/// Methods, properties and signals of our interface in introspection data, a line for each.
fn members(xml: &str) -> Vec<String> {
    let (mut members, mut is_ours) = (Vec::new(), false);
    let (mut head, mut takes, mut gives) = (String::new(), Vec::new(), Vec::new());
    for line in xml.lines().map(str::trim) {
        let name = attribute(line, "name").unwrap_or_default();
        let argument = || format!("{} {name}", attribute(line, "type").expect("arguments have types"));
        match line.split_once([' ', '>']).map_or(line, |(tag, _)| tag) {
            "<interface" => is_ours = name.starts_with("org.sampan1."),
            "<property" => members.extend(is_ours.then(|| format!("property {}", argument()))),
            "<annotation" if is_ours && attribute(line, "value") == Some("true") => {
                members.last_mut().expect("it is one of a property").push_str(" *");
            }
            "<method" | "<signal" => {
                head = format!("{} {name}", if line.starts_with("<m") { "method" } else { "signal" })
            }
            "<arg" if attribute(line, "direction") == Some("out") => gives.push(argument()),
            "<arg" => takes.push(argument()),
            "</method" | "</signal" => {
                let given =
                    if gives.is_empty() { String::new() } else { format!(" → {}", gives.join(", ")) };
                members.extend(is_ours.then(|| format!("{head}({}){given}", takes.join(", "))));
                (takes, gives) = (Vec::new(), Vec::new());
            }
            _ => {}
        }
    }
    members
}

/// A line of the manual page without its markup.
fn plain(line: &str) -> String {
    line.replace("\\(->", "→").replace("\\-", "-")
}

/// The members in a section of the manual page.
fn listed(section: &str) -> BTreeSet<String> {
    let (_, rest) = PAGE.split_once(&format!(".SH THE INTERFACE {section}\n")).expect("the section is there");
    let text = rest.split(".SH ").next().unwrap_or_default();
    let kinds = ["method ", "property ", "signal "];
    text.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).map(plain).collect()
}

#[test]
fn the_manual_lists_what_is_there_and_nothing_else() {
    let host = Host::start();
    for (object, section) in OBJECTS.into_iter().zip(["Manager", "Unit", "Job", "Transfer"]) {
        let xml = host.succeed(&["busctl", "introspect", "--xml-interface", "org.sampan1", object]);
        let there: BTreeSet<String> = members(&xml).into_iter().collect();
        let listed = listed(&format!("org.sampan1.{section}"));
        let missing: Vec<&String> = there.difference(&listed).collect();
        assert!(missing.is_empty(), "man/org.sampan1.5 lacks, of {section}: {missing:#?}");
        let wrong: Vec<&String> = listed.difference(&there).collect();
        assert!(wrong.is_empty(), "man/org.sampan1.5 has, and {section} has not: {wrong:#?}");
    }
}

/// Words of a text that begin so, up to what no name has in it.
fn names<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let word = |(at, _): (usize, &str)| {
        let rest = &text[at..];
        &rest[..rest
            .find(|letter: char| !letter.is_alphanumeric() && letter != '.' && letter != '-')
            .unwrap_or(rest.len())]
    };
    text.match_indices(begin).map(word).collect()
}

/// Terms that the manual page explains in one section.
fn terms(section: &str) -> BTreeSet<String> {
    let (_, rest) = PAGE.split_once(&format!(".SH {section}\n")).expect("the section is there");
    let terms = rest.split(".SH ").next().unwrap_or_default().split(".TP\n.B ").skip(1);
    terms.filter_map(|term| term.lines().next()).map(plain).collect()
}

#[test]
fn the_manual_lists_all_errors_and_actions() {
    let source = include_str!("../src/bus/error.rs");
    let errors = ["org.sampan1.Error.", "org.freedesktop.DBus.Error."];
    let errors: BTreeSet<String> =
        errors.iter().flat_map(|begin| names(source, begin)).map(str::to_owned).collect();
    assert_eq!(terms("ERRORS"), errors);
    let actions = include_str!("../units/org.sampan1.policy").lines().map(str::trim);
    let actions =
        actions.filter(|line| line.starts_with("<action ")).filter_map(|line| attribute(line, "id"));
    assert_eq!(terms("ACCESS"), actions.map(str::to_owned).collect());
}

#[test]
fn the_manual_renders_without_warnings() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/man/org.sampan1.5");
    let output =
        Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z", page]).output().expect("groff runs");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_process_leads_to_its_unit_and_a_unit_to_its_processes() {
    let host = Host::with_images(&["hello"]);
    let lasting = format!("sleep\0{}1234\0", std::process::id());
    let seconds = lasting.split('\0').nth(1).unwrap();
    host.unit("web.container", &shell(&format!("sleep 1234 & exec sleep {seconds}")));
    host.succeed(&["sampanctl", "start", "web"]);
    let pid = host.property("web", "MainPID");
    let manager = ["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager"];
    let call = |words: &[&str]| host.succeed(&[&manager, words].concat());
    let unit = "o \"/org/sampan1/unit/web_2econtainer\"";
    assert_eq!(call(&["GetUnitByPID", "u", &pid]).trim_end(), unit);
    host.wait_until("the second process runs", |host| {
        let listed =
            host.succeed(&[&manager, ["GetUnitProcesses", "s", "web.container"].as_slice()].concat());
        listed.contains(&format!("sampan-web.scope\" {pid} \"sleep {seconds}\""))
            && listed.contains("\"sleep 1234\"")
    });
    let error = host.fail(1, &[&manager, ["GetUnitProcesses", "s", "none.container"].as_slice()].concat());
    assert!(error.contains("none.container"), "{error}");

    // busctl(1) cannot hand descriptors over.
    let is_it = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == lasting.as_bytes())
    };
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let outside = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it).unwrap();
    let ask = |process: u32| -> zbus::Result<(zbus::OwnedObjectPath, String, Vec<u8>)> {
        let process = pidfd::open(process).unwrap();
        let address = format!("unix:path={}", host.path("/run/dbus/system_bus_socket").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connection = zbus::connection::Builder::address(address.as_str()).build().await?;
            let (name, path, interface) = ("org.sampan1", "/org/sampan1", "org.sampan1.Manager");
            let body = (zbus::Fd::from(&process),);
            let answer = connection.call_method(Some(name), path, Some(interface), "GetUnitByPIDFD", &body);
            answer.await?.body().deserialize()
        })
    };
    let (path, name, invocation) = ask(outside).unwrap();
    assert_eq!((path.as_str(), name.as_str()), ("/org/sampan1/unit/web_2econtainer", "web.container"));
    let invocation: String = invocation.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(invocation, host.property("web", "InvocationID"));
    let error = ask(host.init()).unwrap_err().to_string();
    assert!(error.contains("does not belong to any loaded unit"), "{error}");
}

#[test]
fn a_control_group_that_only_has_the_name_of_a_scope_is_of_no_unit() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.succeed(&["sampanctl", "start", "web"]);
    let script = r#"
        group=/sys/fs/cgroup$$(sed -n s/^0:://p /proc/self/cgroup)/sampan-web.scope
        mkdir $$group && echo $$$$ >$$group/cgroup.procs && systemd-notify --ready && exec sleep 1000
    "#;
    let stranger = ["systemd-run", "--unit=stranger", "--property=Delegate=yes", "--service-type=notify"];
    host.succeed(&[&stranger, ["--property=NotifyAccess=all", "sh", "-ec", script].as_slice()].concat());
    let pid = host.succeed(&["systemctl", "show", "--value", "--property=MainPID", "stranger"]);
    let pid = pid.trim();
    assert!(host.succeed(&["cat", &format!("/proc/{pid}/cgroup")]).ends_with("/sampan-web.scope\n"));
    let call = ["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager", "GetUnitByPID", "u"];
    let error = host.fail(1, &[&call[..], &[pid]].concat());
    assert!(error.contains("does not belong to any loaded unit"), "{error}");
    let error = host.fail(1, &["sampanctl", "status", pid]);
    assert!(error.contains(&format!("PID {pid} does not belong to any loaded unit.")), "{error}");
    let own = host.property("web", "MainPID");
    assert!(host.succeed(&["sampanctl", "status", &own]).contains("web.container"));
}

/// A process that hears nothing until this value is gone.
struct Stopped(u32);

impl Stopped {
    fn new(pid: u32) -> Self {
        pidfd::signal(pidfd::open(pid).unwrap(), Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        pidfd::signal(pidfd::open(self.0).unwrap(), Signal::CONT).unwrap();
    }
}

#[test]
fn nobody_waits_for_what_systemd_is_asked_for_others() {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &(shell("exec sleep 1000") + "[resources]\nip_accounting = true\n"));
    host.succeed(&["sampanctl", "start", "web"]);
    let address = format!("unix:path={}", host.path("/run/dbus/system_bus_socket").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = zbus::connection::Builder::address(address.as_str()).build().await.unwrap();
        let mut answers = zbus::MessageStream::from(&connection);
        let systemd = Stopped::new(host.init());
        let ask = async |property: &str| {
            let call = zbus::Message::method_call("/org/sampan1/unit/web_2econtainer", "Get");
            let call = call.destination("org.sampan1").interface("org.freedesktop.DBus.Properties");
            let call = call.build(&("org.sampan1.Unit", property)).unwrap();
            connection.send(&call).await.unwrap();
            call.primary_header().serial_num()
        };
        let slow = ask("IPIngressBytes").await;
        let quick = ask("ActiveState").await;
        let mut order = Vec::new();
        while order.len() < 2 {
            let answer = answers.next().await.unwrap().unwrap();
            order.extend(answer.header().reply_serial().filter(|serial| [slow, quick].contains(serial)));
        }
        assert_eq!(order, [quick, slow], "each call is answered when its answer is there");
        drop(systemd);
    });
    assert_ne!(host.property("web", "IPIngressBytes"), "[no data]");
}

#[test]
fn states_are_counted_as_names_are() {
    let host = Host::start();
    let long = "x".repeat(257);
    let manager = ["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager"];
    for call in [
        ["ListUnitsFiltered", "as", "1", &long].as_slice(),
        &["ListUnitsByPatterns", "asas", "1", &long, "0"],
        &["ListUnitFilesByPatterns", "asas", "1", &long, "0"],
    ] {
        let error = host.fail(1, &[&manager, call].concat());
        assert!(error.contains("At most 1024 names, states or patterns"), "{call:?}: {error}");
    }
    // A path may be longer than a name.
    let deep = format!("/srv/{}/{}/far.container.toml", "d".repeat(200), "e".repeat(200));
    host.write(&deep, "[container]\nimage = \"x\"\n");
    host.succeed(&["sampanctl", "link", &deep]);
    assert_eq!(
        host.succeed(&[&manager, ["GetUnitFileState", "s", "far.container"].as_slice()].concat()),
        "s \"linked\"\n"
    );
    let error = host.fail(
        1,
        &[
            &manager,
            ["LinkUnitFiles", "asbb", "1", &format!("/{}", "d/".repeat(2100)), "false", "false"].as_slice(),
        ]
        .concat(),
    );
    assert!(error.contains("paths of 4095 bytes"), "{error}");
}
