//! Answers the bind(2) calls of containers with the sockets that are held for them, and tells of servers that those
//! are not fit for.

use super::sockets::{OpenSocket, SocketCopy};
use super::{Manager, Note};
use crate::socket::swap::{Answer, Notifier, SwapSocket};
use crate::sys::readiness;
use crate::sys::seccomp_notify::Received;
use crate::systemd::fdstore::StoredDescriptor;
use crate::unit::model::{Listen, Pass};
use crate::unit::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

impl Manager {
    /// Answers the bind(2) calls of a container with the sockets that are held for it.
    pub(super) fn answer_binds(&mut self, unit: &UnitName, notifier: OwnedFd) {
        let Some(live) = self.runs.get(unit) else { return };
        let run = live.number();
        if let Ok(copy) = notifier.try_clone() {
            // One that is answered anew has the same.
            let _ = live.notifier.set(copy);
        }
        self.store_descriptor(&StoredDescriptor::Notifier { unit: unit.clone() }, notifier.as_fd());
        let swapped = self.sockets.of(unit).iter().filter(|open| open.held.socket().pass == Pass::Swap);
        let sockets: Vec<SocketCopy> = swapped.map(OpenSocket::copy).collect();
        let task = tokio::task::spawn_local(answer(
            Notifier::new(notifier),
            self.sockets.received.clone(),
            sockets,
            (unit.clone(), run),
            self.notes.clone(),
        ));
        if let Some(former) = self.sockets.notifiers.insert(unit.clone(), task) {
            former.abort();
        }
    }
}

impl SocketCopy {
    fn to_swap(&self) -> SwapSocket<'_> {
        SwapSocket { name: &self.name, socket: &self.socket, fd: self.fd.as_fd() }
    }
}

/// A server that binds both versions does it within this time.
const BIND_INTERVAL: Duration = Duration::from_secs(1);

async fn answer(
    notifier: Notifier,
    received: Rc<Received>,
    swapped: Vec<SocketCopy>,
    (unit, run): (UnitName, u64),
    notes: UnboundedSender<Note>,
) {
    let sockets: Vec<SwapSocket<'_>> = swapped.iter().map(SocketCopy::to_swap).collect();
    let Ok(readiness) = readiness::watch_in_time(&notifier).await else { return };
    let mut told = BTreeSet::new();
    let mut unfit = Unfit::default();
    let mut next = Some(notifier.answer_left(&received, &sockets));
    loop {
        match next.take() {
            None | Some(Ok(Answer::Nothing)) => {}
            Some(Ok(Answer::Closed)) => return,
            Some(Ok(answer)) => {
                unfit.note(&answer);
                note_answer((&unit, run), answer, &notes);
            }
            Some(Err(error)) => {
                tracing::warn!(SAMPAN_UNIT = %unit, "{unit}: cannot answer bind(2) of the payload: {error}");
            }
        }
        let ready = tokio::select! {
            ready = readiness.readable() => ready,
            () = tokio::time::sleep(BIND_INTERVAL), if told != notifier.bound_alone() || unfit.is_news() => {
                told = notifier.bound_alone();
                told.iter().for_each(|address| tell_bound_alone(&unit, *address));
                unfit.tell(&unit, &swapped);
                continue;
            }
        };
        let Ok(mut ready) = ready else { return };
        let answer = notifier.answer(&received, &sockets);
        if matches!(answer, Ok(Answer::Nothing) | Err(_)) {
            ready.clear_ready();
        }
        next = Some(answer);
    }
}

/// A server that takes mapped addresses for what they are serves as ever.
fn tell_bound_alone(unit: &UnitName, address: SocketAddr) {
    let port = address.port();
    tracing::warn!(
        SAMPAN_UNIT = %unit,
        "{unit}: The server binds {address} and no address of IPv6, and has the socket of \"[::]:{port}\": should it \
         close connections by IPv4, listen on \"0.0.0.0:{port}\""
    );
}

/// UDP sockets that a server did not get because it binds the other version of IP, and not yet that of the socket.
#[derive(Debug, Default)]
struct Unfit {
    /// By the names of the sockets.
    bound: BTreeMap<String, SocketAddr>,
    /// Those of which enough is said.
    settled: BTreeSet<String>,
}

impl Unfit {
    fn note(&mut self, answer: &Answer) {
        match answer {
            Answer::Unfit { name, address } if !self.settled.contains(name) => {
                self.bound.insert(name.clone(), *address);
            }
            Answer::Swapped { name } => {
                self.bound.remove(name);
                self.settled.insert(name.clone());
            }
            _ => {}
        }
    }

    fn is_news(&self) -> bool {
        !self.bound.is_empty()
    }

    fn tell(&mut self, unit: &UnitName, swapped: &[SocketCopy]) {
        for (name, address) in std::mem::take(&mut self.bound) {
            let any = if address.is_ipv4() { "0.0.0.0" } else { "[::]" };
            let own = swapped.iter().find(|swapped| swapped.name == name).map(|own| &own.socket.listen);
            let Some(Listen::Udp(own)) = own else { continue };
            tracing::warn!(
                SAMPAN_UNIT = %unit,
                "{unit}: The server binds {address} by UDP, and could not answer by [socket.{name}], which is of the \
                 other version of IP: listen on \"udp:{any}:{}\"",
                own.port()
            );
            self.settled.insert(name);
        }
    }
}

fn note_answer((unit, run): (&UnitName, u64), answer: Answer, notes: &UnboundedSender<Note>) {
    tracing::debug!(SAMPAN_UNIT = %unit, "{unit}: bind: {answer:?}");
    if let Answer::Swapped { name } = answer {
        // The receiver lives as long as the loop.
        let _ = notes.send(Note::Bound(unit.clone(), run, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_binds_both_versions_is_not_told_of() {
        let name = || "dns".to_owned();
        let unfit = || Answer::Unfit { name: name(), address: ([0, 0, 0, 0], 53).into() };
        let news_after = |answers: &[Answer]| {
            let mut told = Unfit::default();
            answers.iter().for_each(|answer| told.note(answer));
            told.is_news()
        };
        assert!(news_after(&[unfit()]));
        assert!(!news_after(&[unfit(), Answer::Swapped { name: name() }]));
        assert!(!news_after(&[Answer::Swapped { name: name() }, unfit()]));
        assert!(!news_after(&[Answer::Continued]));
    }
}
