//! A container is brought to a standstill, and looked at once more: what comes from then on stays in the queues of its
//! sockets, for whoever serves next.
//!
//! The freezer is set directly, as the request of a client waits for it to be lifted; systemd's own freezer of the
//! scope is not used meanwhile.

use super::super::sockets::milliseconds;
use super::super::{Manager, Note};
use super::Watched;
use super::reclaim::Reclaim;
use crate::manager::accounting;
use crate::manager::machine::{Event, Phase, Purpose};
use crate::sys::readiness;
use crate::unit::model::Stage;
use crate::unit::name::UnitName;
use crate::unit::value::TimeSpan;
use rustix::fs::{Mode, OFlags, open};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::task::JoinHandle;

/// A process that hangs in the kernel stands still for nobody.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(2);

/// A container that stands still, or is being brought to it.
#[derive(Debug)]
pub(super) struct Standstill {
    task: JoinHandle<()>,
    since: Instant,
    reclaim: Option<Reclaim>,
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Manager {
    /// Brings a container to a standstill and looks whether somebody uses it after all.
    pub(in super::super) fn bring_to_standstill(&mut self, unit: &UnitName, run: u64, purpose: Purpose) {
        let watched = self.watched(unit).filter(|watched| watched.live.number() == run);
        let Some(watched) = watched.filter(|watched| watched.group.is_some()) else {
            return self.later(Event::Wanted { unit: unit.clone() });
        };
        if purpose == Purpose::Stop && self.can_defer(unit) {
            self.sockets.defer(unit);
        }
        let (name, notes) = (unit.clone(), self.notes.clone());
        let task = tokio::task::spawn_local(async move {
            let event = match stand_still(&watched).await {
                Ok(true) => Event::Frozen { unit: name, run },
                Ok(false) => Event::Wanted { unit: name },
                Err(error) => {
                    tracing::warn!(SAMPAN_UNIT = %name, "{name}: cannot be frozen: {error}");
                    Event::Wanted { unit: name }
                }
            };
            // The receiver lives as long as the loop.
            let _ = notes.send(Note::Event(event));
        });
        let standstill = Standstill { task, since: Instant::now(), reclaim: None };
        self.sleepers.standing.insert(unit.clone(), standstill);
    }

    /// Whether new connections can wait for the next run: the commands that stop a container may use its sockets.
    fn can_defer(&self, unit: &UnitName) -> bool {
        let container = self.machine.unit(unit).and_then(|managed| managed.container());
        container.is_some_and(|container| !container.commands.has(Stage::Stop))
    }

    /// The core has decided what becomes of a container that stands still.
    pub(super) fn follow_standstill(&mut self, unit: &UnitName) {
        let Some(standing) = self.sleepers.standing.get_mut(unit) else { return };
        let Some(managed) = self.machine.unit(unit) else { return };
        let idle = TimeSpan(managed.idle().map(|idle| idle.timeout));
        match managed.phase {
            Phase::Frozen if standing.reclaim.is_none() => {
                let took = milliseconds(standing.since.elapsed());
                tracing::info!(SAMPAN_UNIT = %unit, "{unit}: Idle for {idle}, frozen in {took} ms.");
                let live = self.runs.get(unit);
                let group = live.and_then(|live| live.group());
                standing.reclaim = group.map(|group| Reclaim::begin(unit.clone(), group));
            }
            // It goes on by an action of its own.
            Phase::Freezing | Phase::Frozen | Phase::Running => {}
            _ => {
                if managed.job.is_none() {
                    tracing::info!(SAMPAN_UNIT = %unit, "{unit}: Idle for {idle}, stopping.");
                }
                self.sleepers.standing.remove(unit);
            }
        }
    }

    /// Lets a container go on that stands still as nobody used it.
    pub(in super::super) fn end_standstill(&mut self, unit: &UnitName, run: u64) {
        let Some(live) = self.run_of(unit, run) else { return };
        let standing = self.sleepers.standing.remove(unit);
        self.thaw(&live);
        self.sockets.admit(unit);
        self.begin_checks(unit);
        let slept = standing.filter(|standing| standing.reclaim.is_some());
        self.sockets.woken(unit, slept.map(|standing| standing.since.elapsed()));
    }
}

/// Whether it stands still and nobody uses it.
async fn stand_still(watched: &Watched) -> io::Result<bool> {
    let Some(group) = &watched.group else { return Ok(false) };
    let mut doorbell = watched.doorbell();
    fs::write(group.join("cgroup.freeze"), "1")?;
    tokio::time::timeout(FREEZE_TIMEOUT, until_frozen(group))
        .await
        .map_err(|_| io::Error::other("a process of it hangs in the kernel (state D)"))??;
    Ok(watched.uses().is_empty() && !doorbell.has_rung())
}

/// cgroups(7): a change of `cgroup.events` is an exceptional condition of the file.
async fn until_frozen(group: &Path) -> io::Result<()> {
    let events = open(group.join("cgroup.events"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let watch = readiness::watch_exceptions(&events)?;
    while !accounting::is_frozen(group) {
        watch.ready(Interest::PRIORITY).await?.clear_ready();
    }
    Ok(())
}
