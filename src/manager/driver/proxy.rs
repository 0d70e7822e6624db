//! `pass = "proxy"`: a `sampan-proxy` beside the container, in its scope and its network. It gets the sockets when the
//! payload runs, accepts nobody before the server listens, and ends with the container.

use super::control::reap;
use super::live::{LiveRun, until_ended};
use super::{Manager, Note};
use crate::launch::journal;
use crate::manager::accounting;
use crate::proxy::configuration::{self, Configuration, Lifetime, Target};
use crate::sys::beside::{self, Place};
use crate::sys::clone::ControlGroup;
use crate::sys::{pidfd, process};
use crate::systemd::fdstore::StoredDescriptor;
use crate::unit::model::{Listen, Pass, Socket, UnixName};
use crate::unit::name::UnitName;
use rustix::process::Signal;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

const PROGRAM: &str = "sampan-proxy";
/// How long a client that was accepted waits for a server that has gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client of datagrams keeps its flow.
const FLOW_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take with what the last clients have not read yet, once the server has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// The pause before another one, where one has ended by itself. Clients wait meanwhile.
const RESTART_DELAY: Duration = Duration::from_secs(1);

impl Manager {
    /// Begins to move bytes for a container whose payload runs.
    pub(super) fn start_proxy(&mut self, unit: &UnitName) {
        let Some(live) = self.runs.get(unit).filter(|live| !live.over.get() && !live.stopping.get()).cloned()
        else {
            return;
        };
        let proxied = self.sockets.of(unit).iter().filter(|open| open.held.socket().pass == Pass::Proxy);
        let (settings, sockets): (Vec<_>, Vec<_>) = proxied
            .filter_map(|open| {
                let settings = settings(open.held.name(), open.held.socket())?;
                Some((settings, open.held.as_fd()))
            })
            .unzip();
        if sockets.is_empty() || live.proxy.borrow().is_some() {
            return;
        }
        let names = settings.iter().map(|socket| socket.name.clone()).collect();
        if let Some(found) = self.find_proxy(&live) {
            return self.keep_proxy(unit, &live, Rc::new(found), None);
        }
        let configuration = Configuration { sockets: settings, lifetime: Lifetime::Container };
        match self.spawn_proxy(unit, &live, configuration, &sockets) {
            Ok((process, report)) => {
                let process = Rc::new(process);
                reap(process.clone());
                self.keep_proxy(unit, &live, process, Some((report, names)));
            }
            Err(error) => {
                tracing::error!(SAMPAN_UNIT = %unit, "{unit}: {PROGRAM}: {error}, trying again");
                self.note_proxy_ended(unit, &live);
            }
        }
    }

    /// Goes on with one that an earlier manager has started.
    pub(super) fn adopt_proxy(&mut self, unit: &UnitName, process: OwnedFd) {
        if let Some(live) = self.runs.get(unit).cloned() {
            self.keep_proxy(unit, &live, Rc::new(process), None);
        }
    }

    /// One that a manager has started which could not say so any more. A process of the container that calls itself so
    /// is in another pid namespace.
    fn find_proxy(&self, live: &LiveRun) -> Option<OwnedFd> {
        let pids = accounting::processes_below(&self.frozen_group(live)?);
        let is_ours =
            |pid: &u32| process::name(*pid).is_some_and(|name| name == PROGRAM) && process::is_of_host(*pid);
        let pid = pids.into_iter().find(is_ours)?;
        let held = pidfd::open(pid).ok()?;
        // The number may have become another's in between.
        is_ours(&pid).then_some(held)
    }

    fn keep_proxy(
        &mut self,
        unit: &UnitName,
        live: &Rc<LiveRun>,
        process: Rc<OwnedFd>,
        report: Option<(OwnedFd, Vec<String>)>,
    ) {
        self.store_descriptor(&StoredDescriptor::Proxy { unit: unit.clone() }, (*process).as_fd());
        *live.proxy.borrow_mut() = Some(process.clone());
        let (unit, run, notes) = (unit.clone(), live.number(), self.notes.clone());
        drop(tokio::task::spawn_local(async move {
            if let Some((report, names)) = report
                && listens(report).await
            {
                for name in names {
                    // The receiver lives as long as the loop.
                    let _ = notes.send(Note::Bound(unit.clone(), run, name));
                }
            }
            until_ended((*process).as_fd()).await;
            let _ = notes.send(Note::ProxyEnded(unit, run));
        }));
    }

    /// One has ended. Where the container lives on, its clients wait for another one.
    pub(super) fn proxy_ended(&mut self, unit: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        *live.proxy.borrow_mut() = None;
        self.unstore_descriptor(&StoredDescriptor::Proxy { unit: unit.clone() });
        if !live.over.get() && !live.stopping.get() {
            tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: {PROGRAM} has ended, starting another one.");
            self.note_proxy_ended(unit, &live);
        }
    }

    fn note_proxy_ended(&self, unit: &UnitName, live: &Rc<LiveRun>) {
        let (unit, run, notes) = (unit.clone(), live.number(), self.notes.clone());
        drop(tokio::task::spawn_local(async move {
            tokio::time::sleep(RESTART_DELAY).await;
            // The receiver lives as long as the loop.
            let _ = notes.send(Note::ProxyDue(unit, run));
        }));
    }

    fn spawn_proxy(
        &self,
        unit: &UnitName,
        live: &LiveRun,
        configuration: Configuration,
        sockets: &[BorrowedFd<'_>],
    ) -> io::Result<(OwnedFd, OwnedFd)> {
        let process = live.process.get().ok_or(io::ErrorKind::NotFound)?;
        let group = self.frozen_group(live).ok_or(io::ErrorKind::NotFound)?;
        let group = File::open(group)?;
        let (report, writer) = io::pipe()?;
        let errors = journal::open(&self.paths.journal_stream(), PROGRAM, &unit.scope())?;
        let configuration = memory(&configuration)?;
        let streams = [configuration.as_fd(), writer.as_fd(), errors.as_fd()];
        let place = Place { group: ControlGroup::Directory(group.as_fd()), network: process.pidfd.as_fd() };
        let passed = [&streams, sockets, &[process.pidfd.as_fd()]].concat();
        let started = beside::start(&self.paths.helper(PROGRAM), place, &passed)?;
        Ok((started, report.into()))
    }
}

impl LiveRun {
    /// Has the proxy of a container accept nobody any more.
    pub(super) fn drain_proxy(&self) {
        if let Some(proxy) = self.proxy.borrow().as_ref() {
            // It may have ended, which is as good.
            let _ = pidfd::signal(&**proxy, Signal::TERM);
        }
    }

    /// Ends it once what its server has said is with the clients, or they take too long.
    pub(super) async fn end_proxy(&self) {
        let Some(proxy) = self.proxy.borrow().clone() else { return };
        // Told a second time it waits for nothing that has no end of its own.
        let _ = pidfd::signal(&*proxy, Signal::TERM);
        let _ = pidfd::signal(&*proxy, Signal::CONT);
        if tokio::time::timeout(DRAIN_TIMEOUT, until_ended((*proxy).as_fd())).await.is_err() {
            let _ = pidfd::signal(&*proxy, Signal::KILL);
        }
    }
}

/// Whether it says that all servers listen.
async fn listens(report: OwnedFd) -> bool {
    let Ok(mut report) = Receiver::from_owned_fd(report) else { return false };
    matches!(report.read(&mut [0; 64]).await, Ok(1..))
}

fn settings(name: &str, socket: &Socket) -> Option<configuration::Socket> {
    Some(configuration::Socket {
        name: name.to_owned(),
        target: target(socket.proxy_target()?)?,
        proxy_protocol: socket.proxy_protocol,
        max_connections: socket.max_connections.unwrap_or(Socket::PROXY_CONNECTIONS),
        max_connections_per_source: socket.max_connections_per_source,
        connect_timeout: CONNECT_TIMEOUT,
        idle_timeout: FLOW_TIMEOUT,
    })
}

/// What a unit can have as one is checked when it is read.
fn target(listen: Listen) -> Option<Target> {
    match listen {
        Listen::Tcp(address) | Listen::Udp(address) => Some(Target::Internet(address)),
        Listen::Unix(_, UnixName::Abstract(name)) => Some(Target::Abstract(name)),
        Listen::Unix(_, UnixName::Path(_)) | Listen::Vsock(_) | Listen::Fifo(_) => None,
    }
}

fn memory(configuration: &Configuration) -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("configuration", flags)?);
    file.write_all(&serde_json::to_vec(configuration)?)?;
    file.rewind()?;
    Ok(file)
}
