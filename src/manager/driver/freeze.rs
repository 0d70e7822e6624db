//! Freezes and thaws containers by their control group, cgroups(7) `cgroup.freeze`.

use super::{Manager, Note, now};
use crate::manager::accounting;
use crate::manager::machine::{Event, Freezer, RequestError};
use crate::sys::readiness::until_urgent;
use crate::unit::name::UnitName;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;

/// How long the processes of a container may take to stand still.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Manager {
    /// Freezes or thaws the container of a unit on somebody's request.
    ///
    /// # Errors
    /// When none is up.
    pub fn freeze(&mut self, unit: &UnitName, target: Freezer) -> Result<(), RequestError> {
        let (answer, actions) = self.machine.freeze(now(), unit, target);
        self.carry_out(actions);
        answer
    }

    /// Begins at once, so that a signal that follows a thaw is heard; tells when it is done.
    pub(super) fn set_freezer(&mut self, unit: &UnitName, run: u64, target: Freezer) {
        let first = self.run_of(unit, run).and_then(|live| live.process.get().map(|process| process.pid));
        let Some(group) = first.and_then(|pid| accounting::directory(&self.paths, pid)) else { return };
        let word = if target == Freezer::Frozen { "1" } else { "0" };
        if let Err(error) = fs::write(group.join("cgroup.freeze"), word) {
            tracing::warn!(SAMPAN_UNIT = %unit, "{}: cannot freeze or thaw: {error}", group.display());
        }
        let (unit, notes) = (unit.clone(), self.notes.clone());
        tokio::task::spawn_local(async move {
            let _ = tokio::time::timeout(TIMEOUT, until(&group, target)).await;
            let state = state(&group).unwrap_or_default();
            // The receiver lives as long as the loop.
            let _ = notes.send(Note::Event(Event::Freezer { unit, run, state }));
        });
    }

    /// Learns the state of a container that a predecessor may have frozen.
    pub(super) fn read_freezer(&self, unit: &UnitName, run: u64, pid: u32) {
        let group = accounting::directory(&self.paths, pid);
        if let Some(state) = group.and_then(|group| state(&group).ok()) {
            self.later(Event::Freezer { unit: unit.clone(), run, state });
        }
    }
}

/// The kernel tells a change of `cgroup.events` by POLLPRI.
async fn until(group: &Path, target: Freezer) -> io::Result<()> {
    let mut events = File::open(group.join("cgroup.events"))?;
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        if parse(&text) == target {
            return Ok(());
        }
        until_urgent(&events).await?;
    }
}

fn state(group: &Path) -> io::Result<Freezer> {
    Ok(parse(&fs::read_to_string(group.join("cgroup.events"))?))
}

fn parse(events: &str) -> Freezer {
    if events.lines().any(|line| line == "frozen 1") { Freezer::Frozen } else { Freezer::Running }
}
