//! Scopes against a real systemd, inside a private host.

mod support;

use futures_util::StreamExt;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sampan::systemd::SystemdError;
use sampan::systemd::manager::{DEFAULT_SLICE, HostState, Keeper, ScopeRequest, Systemd};
use sampan::systemd::signals::{Events, SystemdEvent};
use sampan::unit::model::Resources;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use support::inside;

/// Longest wait for an event; a test that comes near it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the test of this thread's name inside a private host.
fn run(test: impl Future<Output = ()>) {
    if !inside::is_inside() {
        let name = std::thread::current().name().expect("the harness names threads after tests").to_owned();
        return inside::run_again(&["--exact", &name, "--nocapture"]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

async fn connect() -> Systemd {
    Systemd::connect().await.expect("a private host has a systemd")
}

/// A process to put into a scope, as the launcher's child would be.
struct Payload(Child);

impl Payload {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.end();
    }
}

fn request(name: &str, payload: &Payload) -> ScopeRequest {
    ScopeRequest {
        devices: Vec::new(),
        name: format!("sampan-{name}.scope"),
        description: format!("Test of {name}"),
        slice: DEFAULT_SLICE.to_owned(),
        pid: payload.pid(),
        pidfd: pidfd_open(Pid::from_child(&payload.0), PidfdFlags::empty()).unwrap(),
        keeper: Keeper::Manager,
        resources: Resources { tasks_max: Some(77), ..Resources::default() },
        stop_timeout: Some(PATIENCE),
        stop_signal: 15,
        host: HostState::Up,
        after: Vec::new(),
    }
}

async fn wait_for(events: &mut Events, wanted: &SystemdEvent) {
    let search = async { while events.next().await.expect("the bus lasts") != *wanted {} };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("{wanted:?} does not come"));
}

fn show(unit: &str, property: &str) -> String {
    let shown = Command::new("systemctl").args(["show", "--value", "-p", property, unit]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_scope_is_started_found_and_stopped_through_us() {
    run(async {
        let systemd = connect().await;
        let mut events = systemd.events();
        let mut payload = Payload::start();
        let request = self::request("steered", &payload);
        let scope = request.name.clone();
        systemd.start_scope(&request).await.unwrap();

        let group = PathBuf::from("/sampan.slice/sampan-steered.scope");
        assert_eq!(systemd.control_group(&scope).await.unwrap(), Some(group.clone()));
        assert_eq!((show(&scope, "TasksMax"), show(&scope, "Delegate")), ("77".into(), "yes".into()));
        assert_eq!(show(&scope, "ActiveState"), "active");
        let processes =
            Path::new("/sys/fs/cgroup").join(group.strip_prefix("/").unwrap()).join("cgroup.procs");
        assert_eq!(std::fs::read_to_string(processes).unwrap(), format!("{}\n", payload.pid()));

        let other = Payload::start();
        let again = systemd.start_scope(&self::request("steered", &other)).await;
        assert!(matches!(again, Err(SystemdError::Running { .. })), "{again:?}");

        let mut stop = Command::new("systemctl").args(["stop", &scope]).spawn().unwrap();
        wait_for(&mut events, &SystemdEvent::RequestStop { scope: scope.clone() }).await;
        assert!(payload.0.try_wait().unwrap().is_none(), "systemd leaves the signal to us");
        payload.end();
        wait_for(&mut events, &SystemdEvent::ScopeRemoved { scope: scope.clone() }).await;
        assert!(stop.wait().unwrap().success());
        assert_eq!(systemd.control_group(&scope).await.unwrap(), None);
        systemd.wait_removed(&scope).await.unwrap();
        systemd.stop_scope(&scope).await.unwrap();
    });
}

#[test]
fn a_name_is_free_again_as_soon_as_its_processes_are_gone() {
    run(async {
        let systemd = connect().await;
        for _ in 0..20 {
            let mut payload = Payload::start();
            systemd.start_scope(&request("again", &payload)).await.unwrap();
            payload.end();
        }
        systemd.wait_removed("sampan-again.scope").await.unwrap();
    });
}

#[test]
fn scopes_started_at_once_each_get_their_own_answer() {
    run(async {
        let systemd = connect().await;
        let payloads: Vec<Payload> = (0..20).map(|_| Payload::start()).collect();
        let start = |(number, payload)| {
            let (systemd, request) = (systemd.clone(), request(&format!("many-{number}"), payload));
            tokio::task::spawn_local(async move { systemd.start_scope(&request).await })
        };
        let starts: Vec<_> = payloads.iter().enumerate().map(start).collect();
        for result in starts {
            result.await.unwrap().unwrap();
        }
        for number in 0..payloads.len() {
            assert_eq!(show(&format!("sampan-many-{number}.scope"), "ActiveState"), "active");
        }
        drop(payloads);
        for number in 0..20 {
            systemd.wait_removed(&format!("sampan-many-{number}.scope")).await.unwrap();
        }
    });
}

#[test]
fn a_process_that_has_ended_gets_no_scope() {
    run(async {
        let systemd = connect().await;
        let mut payload = Payload::start();
        let request = request("dead", &payload);
        payload.end();
        let dead = systemd.start_scope(&request).await.unwrap_err();
        assert!(dead.to_string().starts_with("sampan-dead.scope: "), "{dead}");
        assert_eq!(systemd.control_group(&request.name).await.unwrap(), None);
    });
}

#[test]
fn a_scope_around_a_process_that_was_ending_gives_its_name_free() {
    run(async {
        let systemd = connect().await;
        let mut ending = Payload::start();
        let request = request("hollow", &ending);
        ending.0.kill().unwrap();
        // It cannot be moved, and systemd is not told. A newer one may see it and refuse.
        drop(systemd.start_scope(&request).await);
        let payload = Payload::start();
        systemd.start_scope(&self::request("hollow", &payload)).await.unwrap();
        assert_eq!(systemd.processes(&request.name).await.unwrap(), [payload.pid()]);
        ending.end();
    });
}

#[test]
fn a_scope_that_is_given_up_is_ended_by_systemd_itself() {
    run(async {
        let systemd = connect().await;
        let mut payload = Payload::start();
        let request = request("forlorn", &payload);
        systemd.start_scope(&request).await.unwrap();
        systemd.give_up_scope(&request.name).await.unwrap();
        assert!(!payload.0.wait().unwrap().success());
        assert_eq!(systemd.control_group(&request.name).await.unwrap(), None);
        systemd.give_up_scope(&request.name).await.unwrap();
    });
}

#[test]
fn why_a_scope_failed_is_told() {
    run(async {
        let systemd = connect().await;
        let mut events = systemd.events();
        let mut payload = Payload::start();
        let mut request = request("stubborn", &payload);
        request.stop_timeout = Some(Duration::from_millis(100));
        systemd.start_scope(&request).await.unwrap();
        // Nobody does what systemd asks its controller for, so systemd kills.
        let stopped = systemd.stop_scope(&request.name).await;
        assert!(!payload.0.wait().unwrap().success());
        let scope = request.name.clone();
        wait_for(&mut events, &SystemdEvent::RequestStop { scope: scope.clone() }).await;
        wait_for(&mut events, &SystemdEvent::Result { scope: scope.clone(), result: "timeout".into() }).await;
        wait_for(&mut events, &SystemdEvent::ScopeRemoved { scope }).await;
        stopped.unwrap();
    });
}

/// Keeps systemd from reading what comes, or lets it go on.
fn freeze_systemd(state: &str) {
    let group = Path::new("/sys/fs/cgroup/init.scope");
    std::fs::write(group.join("cgroup.freeze"), state).unwrap();
    while !std::fs::read_to_string(group.join("cgroup.events")).unwrap().contains(&format!("frozen {state}"))
    {
        std::thread::yield_now();
    }
}

#[test]
fn a_scope_that_systemd_never_read_of_before_it_executed_itself_again_is_asked_for_again() {
    run(async {
        let systemd = connect().await;
        let bus = zbus::Connection::system().await.unwrap();
        let dbus = zbus::fdo::DBusProxy::new(&bus).await.unwrap();
        let payload = Payload::start();
        let request = request("unread", &payload);
        let scope = request.name.clone();
        freeze_systemd("1");
        let order = zbus::Message::method_call("/org/freedesktop/systemd1", "Reexecute")
            .destination("org.freedesktop.systemd1")
            .interface("org.freedesktop.systemd1.Manager")
            .build(&())
            .unwrap();
        bus.send(&order).await.unwrap();
        // The bus has handed the order on when it answers what came after it.
        dbus.get_id().await.unwrap();
        let start = tokio::task::spawn_local({
            let systemd = systemd.clone();
            async move { systemd.start_scope(&request).await }
        });
        tokio::task::yield_now().await;
        // Sent before this one's question is answered.
        dbus.get_id().await.unwrap();
        freeze_systemd("0");
        start.await.unwrap().unwrap();
        assert_eq!(systemd.processes(&scope).await.unwrap(), [payload.pid()]);
    });
}
