//! A storm of clients: they connect, send, say nothing, half-close and reset at random moments, while their servers are
//! launched, idle out, freeze, thaw, crash and restart, and the manager is killed. Whom the kernel has accepted is
//! served, or closed by the server; nobody is refused, and nobody waits for ever.
//!
//! `SAMPAN_CLIENTS` says how many there are; `tests/soak clients` asks for thousands. `SAMPAN_SEED` repeats the choices
//! of a run, though not their moments.

mod support;

use rustix::net::sockopt::set_socket_linger;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;
use support::dice::Dice;
use support::host::Host;
use support::units::python;

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(30);
const THREADS: u64 = 12;

/// What becomes of the clients of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// Each that asks is answered.
    Answered,
    /// The server may close some, as it ends now and then.
    Closed,
}

/// Servers by their ports.
const SERVERS: [(u16, Promise, &str); 6] = [
    (8001, Promise::Answered, "idle_timeout = \"40ms\""),
    (
        8002,
        Promise::Answered,
        "idle_timeout = \"40ms\"\nidle_action = \"freeze\"\nidle_stop_after = \"60ms\"",
    ),
    (8003, Promise::Answered, "idle_timeout = \"30ms\"\nidle_action = \"freeze\""),
    (8004, Promise::Answered, "idle_timeout = \"60ms\""),
    (8005, Promise::Closed, "idle_timeout = \"60ms\""),
    (8006, Promise::Closed, ""),
];

/// Proxied, crashing and restarted ones; all others are swapped.
const PROXIED: u16 = 8004;
const CRASHING: u16 = 8005;
const RESTARTED: u16 = 8006;

/// Answers, and ends with every tenth client, which it may have left unserved.
const CRASHER: &str = r#"
import os, random, socket
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    if random.randrange(10) == 0:
        os._exit(1)
    try:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nHello from the crasher")
    except OSError:
        pass
    connection.close()
"#;

fn unit(port: u16, keys: &str) -> String {
    let pass = match port {
        PROXIED => "pass = \"proxy\"\ntarget = \"127.0.0.1:80\"",
        CRASHING => "pass = \"fd\"",
        _ => "pass = \"swap\"\ntarget = \"0.0.0.0:80\"",
    };
    let limits = "start_limit = { burst = 0 }\nrestart = \"on-failure\"\nrestart_delay = \"0\"\n";
    let payload = match port {
        CRASHING => python(CRASHER),
        _ => "[container]\nimage = \"localhost/web\"\nstop_signal = \"SIGQUIT\"\n".to_owned(),
    };
    let activation = format!("[activation]\nstart = \"socket\"\ntrigger_limit = {{ burst = 0 }}\n{keys}\n");
    format!("{payload}{limits}{activation}[socket.main]\nlisten = \"127.0.0.1:{port}\"\n{pass}\n")
}

fn clients() -> u64 {
    std::env::var("SAMPAN_CLIENTS")
        .map_or(720, |clients| clients.parse().expect("SAMPAN_CLIENTS is a number"))
}

/// One client, of a random kind. What it finds, where it asks for something.
fn visit(port: u16, dice: &mut Dice) -> std::io::Result<Option<String>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    match dice.below(6) {
        0 => {}
        1 => {
            let pause = Duration::from_millis(dice.below(120));
            sleep(pause);
        }
        2 => {
            let part = usize::try_from(dice.below(REQUEST.len() as u64)).expect("it is small");
            stream.write_all(&REQUEST[..part])?;
            sleep(Duration::from_millis(dice.below(60)));
            stream.write_all(&REQUEST[part..])?;
            return read(stream);
        }
        3 => {
            stream.write_all(REQUEST)?;
            stream.shutdown(Shutdown::Write)?;
            return read(stream);
        }
        4 => return Ok(None),
        _ => {
            stream.write_all(&REQUEST[..10])?;
            // It is closed by a reset.
            set_socket_linger(&stream, Some(Duration::ZERO))?;
            return Ok(None);
        }
    }
    stream.write_all(REQUEST)?;
    read(stream)
}

fn read(mut stream: TcpStream) -> std::io::Result<Option<String>> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(Some(answer))
}

fn check(port: u16, promise: Promise, found: std::io::Result<Option<String>>, host: &Host) {
    match (promise, found) {
        (_, Ok(None)) => {}
        (_, Ok(Some(answer))) if answer.contains("Hello from") => {}
        (Promise::Closed, Ok(Some(_))) => {}
        (Promise::Closed, Err(error))
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected
            ) => {}
        (_, found) => panic!("port {port}: {found:?}\n{}", host.recent()),
    }
}

/// What happens to servers and the manager meanwhile.
fn disturb(host: &Host, dice: &mut Dice) {
    sleep(Duration::from_millis(dice.below(300)));
    match dice.below(9) {
        0..=2 => {
            // It may be between two lives.
            drop(host.run(&["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "sampand"]));
        }
        3 => drop(host.succeed(&["systemctl", "restart", "sampand"])),
        4 => drop(host.succeed(&["sampanctl", "daemon-reload"])),
        5 => drop(host.run(&["sampanctl", "exec", "s8002", "nginx", "-v"])),
        8 => {
            let port = [8001, 8003, PROXIED, RESTARTED][usize::try_from(dice.below(4)).expect("it is small")];
            drop(host.run(&["sampanctl", "restart", "--overlap", &format!("s{port}")]));
        }
        _ => drop(host.succeed(&["sampanctl", "restart", &format!("s{RESTARTED}")])),
    }
}

#[test]
fn nobody_is_refused_and_nobody_waits_for_ever() {
    let host = Host::with_images(&["web", "servers"]);
    for (port, _, keys) in SERVERS {
        host.write(&format!("/etc/sampan/units/s{port}.container.toml"), &unit(port, keys));
    }
    host.succeed(&["sampanctl", "daemon-reload"]);
    let names = SERVERS.map(|(port, ..)| format!("s{port}"));
    host.succeed(&[&["sampanctl", "start"][..], &names.each_ref().map(String::as_str)].concat());
    let (left, over) = (AtomicU64::new(clients()), AtomicBool::new(false));
    scope(|threads| {
        let disturber = threads.spawn(|| {
            let mut dice = Dice::new(THREADS);
            while !over.load(Ordering::Relaxed) {
                disturb(&host, &mut dice);
            }
        });
        let visitors: Vec<_> = (0..THREADS)
            .map(|number| {
                let (host, left) = (&host, &left);
                threads.spawn(move || {
                    let mut dice = Dice::new(number);
                    host.in_network(|| {
                        while left
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                            .is_ok()
                        {
                            let server =
                                usize::try_from(dice.below(SERVERS.len() as u64)).expect("it is small");
                            let (port, promise, _) = SERVERS[server];
                            check(port, promise, visit(port, &mut dice), host);
                            sleep(Duration::from_millis(dice.below(80)));
                        }
                    });
                })
            })
            .collect();
        let ended: Vec<_> = visitors.into_iter().map(|visitor| visitor.join()).collect();
        over.store(true, Ordering::Relaxed);
        disturber.join().expect("the manager is disturbed");
        ended.into_iter().for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    });
    // All of them sleep in the end, and nothing of the manager has failed on the way.
    for name in &names[..5] {
        host.wait_until("it sleeps", |host| {
            ["listening", "frozen"].contains(&host.property(name, "SubState").as_str())
        });
    }
    host.succeed(&[&["sampanctl", "stop"][..], &names.each_ref().map(String::as_str)].concat());
    let left = host.run(&["sh", "-c", "ls -d /sys/fs/cgroup/sampan.slice/*.scope"]);
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "nothing is left");
}
