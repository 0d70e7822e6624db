//! A socket in systemd's store outlives the service that opened it, against a real systemd in a private host.
//!
//! The test starts this program itself as a service. It has a `main` of its own, because what systemd passes
//! is to be taken before any thread exists, and the usual test runner starts one for each test.

mod support;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sampan::paths::Paths;
use sampan::socket::listen::Held;
use sampan::systemd::fdstore::{self, StoredDescriptor};
use sampan::systemd::notify::ServiceManager;
use sampan::unit::model::{Listen, Pass, Socket};
use sampan::unit::name::UnitName;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::inside;

const TEST: &str = "a_socket_in_the_store_outlives_its_service";

/// Longest wait for an answer; a test that comes near it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    match std::env::var(SERVICE).ok().and_then(|port| port.parse().ok()) {
        Some(port) => serve(port),
        None if has("--list") && has("--ignored") => {}
        None if has("--list") => println!("{TEST}: test"),
        None if !inside::is_inside() => inside::run_again(&[]),
        None => a_socket_in_the_store_outlives_its_service(),
    }
}

fn show(property: &str) -> String {
    let shown = Command::new("systemctl").args(["show", "--value", "-p", property, UNIT]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

/// The service that this program runs as.
const UNIT: &str = "sampan-test-store.service";

/// Tells this program that it runs as the service, with the port to listen at.
const SERVICE: &str = "SAMPAN_TEST_STORE";

/// Starts the service, restarts it, and speaks to a socket that the first run opened.
fn a_socket_in_the_store_outlives_its_service() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let program = std::env::current_exe().unwrap();
    let started = Command::new("systemd-run")
        .args(["--quiet", "--collect", &format!("--unit={UNIT}"), "--property=Type=notify"])
        .args(["--property=FileDescriptorStoreMax=8", &format!("--setenv={SERVICE}={port}")])
        .arg(program)
        .stdin(Stdio::null())
        .status();
    assert!(started.unwrap().success(), "this test runs inside a private systemd host");
    assert_eq!(show("NFileDescriptorStore"), "2");
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let restarted = Command::new("systemctl").args(["restart", UNIT]).status().unwrap();
    assert!(restarted.success());
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    let mut names: Vec<&str> = text.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["listen/store.container/http", "pidfd/store.container"]);
    assert_eq!(show("NFileDescriptorStore"), "1");
    assert!(Command::new("systemctl").args(["stop", UNIT]).status().unwrap().success());
}

/// The service: its first run stores a socket and a pidfd; its second answers on the socket.
fn serve(port: u16) {
    let passed = fdstore::take().unwrap();
    let systemd = ServiceManager::take_from_environment().unwrap();
    assert!(std::env::var_os("LISTEN_FDS").is_none() && std::env::var_os("NOTIFY_SOCKET").is_none());
    let unit = UnitName::parse("store.container").unwrap();
    let process = StoredDescriptor::Process { unit: unit.clone() };
    let name = StoredDescriptor::Listen { unit, socket: "http".to_owned() };
    let socket = Socket::new(Listen::Tcp(([127, 0, 0, 1], port).into()), Pass::Fd);
    if passed.is_empty() {
        let held = Held::open("http", socket.clone().into(), &Paths::default()).unwrap();
        systemd.store(&name, held.as_fd()).unwrap();
        // A process that is dead already: its pidfd is kept, for its exit status, until there is another of the name.
        for _ in 0..2 {
            let mut child = Command::new("true").spawn().unwrap();
            let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
            child.wait().unwrap();
            systemd.store(&process, pidfd.as_fd()).unwrap();
        }
        systemd.ready().unwrap();
        loop {
            std::thread::park();
        }
    }
    let names: String = passed.iter().map(|(name, _)| format!("{name}\n")).collect();
    let stored = passed.into_iter().find(|(found, _)| found.parse() == Ok(name.clone())).unwrap().1;
    let held = Held::adopt("http", socket.into(), stored).unwrap();
    systemd.remove(&process).unwrap();
    systemd.ready().unwrap();
    let listener = TcpListener::from(held.as_fd().try_clone_to_owned().unwrap());
    listener.accept().unwrap().0.write_all(names.as_bytes()).unwrap();
    loop {
        std::thread::park();
    }
}
