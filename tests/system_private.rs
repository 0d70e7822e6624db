//! Root's own way to the manager, beside the bus.

mod support;

use futures_util::StreamExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use support::host::Host;
use support::units::shell;
use zbus::connection::Builder;
use zbus::{Connection, Message, MessageStream};

/// A file of the host's `/run`.
fn run(host: &Host, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root/run/{name}", host.init()))
}

/// A host with a unit, and a way from here: the kernel does not say of a process outside who it is.
fn host() -> Host {
    let host = Host::with_images(&["hello"]);
    host.unit("web.container", &shell("exec sleep 1000"));
    host.write("/etc/systemd/system/way.socket", "[Socket]\nListenStream=/run/way\n");
    let proxy = "/lib/systemd/systemd-socket-proxyd --connections-max=1000 /run/sampan/private";
    host.write("/etc/systemd/system/way.service", &format!("[Service]\nExecStart={proxy}\n"));
    host.succeed(&["systemctl", "start", "way.socket", "sampand"]);
    host
}

fn way(host: &Host) -> UnixStream {
    UnixStream::connect(run(host, "way")).expect("the way is open")
}

async fn connect(host: &Host) -> zbus::Result<Connection> {
    Builder::unix_stream(way(host)).p2p().build().await
}

async fn call(connection: &Connection, path: &str, member: &str, words: &[&str]) -> zbus::Result<Message> {
    let (interface, own) = path.split_once(' ').expect("an interface and a path");
    match words {
        [] => connection.call_method(None::<&str>, own, Some(interface), member, &()).await,
        [word] => connection.call_method(None::<&str>, own, Some(interface), member, &(word,)).await,
        [word, other] => {
            connection.call_method(None::<&str>, own, Some(interface), member, &(word, other)).await
        }
        _ => unreachable!("no call takes more"),
    }
}

const MANAGER: &str = "org.sampan1.Manager /org/sampan1";
const BUS: &str = "org.freedesktop.DBus /org/freedesktop/DBus";

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

#[test]
fn it_is_for_root_and_leads_to_the_same_calls_and_to_the_signals_that_are_asked_for() {
    let host = host();
    let mode = std::fs::metadata(run(&host, "sampan/private")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    block_on(async {
        let connection = connect(&host).await.expect("root gets in");
        let mut messages = MessageStream::from(&connection);
        let unknown = call(&connection, BUS, "ListNames", &[]).await.unwrap_err().to_string();
        assert!(unknown.contains("there is no bus here"), "{unknown}");
        call(&connection, BUS, "AddMatch", &["type='nothing'"]).await.unwrap_err();
        let rule = "type='signal',interface='org.sampan1.Manager',member='JobRemoved'";
        call(&connection, BUS, "AddMatch", &[rule]).await.expect("signals can be asked for");
        let answer = call(&connection, MANAGER, "StartUnit", &["web.container", "replace"]).await;
        let job: zbus::OwnedObjectPath = answer.unwrap().body().deserialize().unwrap();
        let mut signals = Vec::new();
        while signals.is_empty() {
            let message = messages.next().await.expect("the connection lasts").unwrap();
            signals.extend((message.message_type() == zbus::message::Type::Signal).then_some(message));
        }
        let (_, ended, unit, result): (u32, zbus::OwnedObjectPath, String, String) =
            signals[0].body().deserialize().expect("nothing is told but ends of jobs");
        assert_eq!((ended, unit.as_str(), result.as_str()), (job, "web.container", "done"));
    });
}

#[test]
fn who_is_too_many_there_goes_by_the_bus() {
    let host = host();
    host.succeed(&["sampanctl", "start", "web"]);
    block_on(async {
        let mut peers = Vec::new();
        let refused = loop {
            match connect(&host).await {
                Ok(peer) => peers.push(peer),
                Err(error) => break error,
            }
            assert!(peers.len() <= 256, "there is a limit");
        };
        assert!(matches!(refused, zbus::Error::InputOutput(_) | zbus::Error::Handshake(_)), "{refused}");
        host.succeed(&["sampanctl", "restart", "web"]);
        drop(peers);
    });
    host.wait_until("there is room again", |host| block_on(connect(host)).is_ok());
    host.wait_property("web", "ActiveState", "active");
}

#[test]
fn who_does_not_read_its_signals_is_left_alone_and_holds_nobody_up() {
    let host = host();
    host.succeed(&["sampanctl", "start", "web"]);
    block_on(async {
        let connection = Builder::unix_stream(way(&host))
            .p2p()
            .max_queued(std::num::NonZeroUsize::MIN)
            .build()
            .await
            .unwrap();
        // Its queue is full with the first, and what follows is left to the kernel, and then to the manager.
        let mut messages = MessageStream::from(&connection);
        call(&connection, BUS, "AddMatch", &["type='signal'"]).await.unwrap();
        let busy = connect(&host).await.unwrap();
        // Two signals each, and more of them than there is room for on the way.
        for _ in 0..4000 {
            let start = call(&busy, MANAGER, "StartUnit", &["web.container", "replace"]).await;
            start.expect("others are answered");
        }
        while messages.next().await.is_some() {}
    });
    host.wait_property("web", "ActiveState", "active");
}
