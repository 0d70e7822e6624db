//! Containers that stand still: they hear nothing, and cannot tell that they live.

use super::Manager;
use super::live::LiveRun;
use super::now;
use crate::manager::accounting;
use crate::manager::machine::Event;
use crate::systemd::notify_server::Notification;
use crate::unit::name::UnitName;
use std::fs;
use std::path::PathBuf;

impl Manager {
    /// The control group that is frozen with a container: that of its scope.
    pub(super) fn frozen_group(&self, live: &LiveRun) -> Option<PathBuf> {
        let of_scope = || accounting::directory(&self.paths, live.process.get()?.pid);
        live.group().or_else(of_scope)
    }

    pub(super) fn is_frozen(&self, live: &LiveRun) -> bool {
        self.frozen_group(live).is_some_and(|group| accounting::is_frozen(&group))
    }

    /// What is frozen would hear no signal, and no command in it would go on.
    pub(super) fn thaw(&self, live: &LiveRun) {
        let Some(group) = self.frozen_group(live) else { return };
        let freezer = group.join("cgroup.freeze");
        // Processes that are on their way there count as well.
        if fs::read_to_string(&freezer).is_ok_and(|value| value.trim() == "1")
            && let Err(error) = fs::write(&freezer, "0")
        {
            tracing::warn!("{}: cannot thaw: {error}", group.display());
        }
    }

    /// Grants those more time that should have told that they live, and are frozen or were so a while ago.
    pub(super) fn excuse_the_frozen(&mut self) {
        for unit in self.machine.watchdogs_due(now().boottime) {
            let Some(live) = self.runs.get(&unit).cloned() else { continue };
            let is_frozen = self.is_frozen(&live);
            if live.excused.replace(is_frozen) || is_frozen {
                self.excuse(&unit, &live);
            }
        }
    }

    /// A unit has been thawed: its time to tell that it lives begins anew.
    pub fn thawed(&mut self, unit: &UnitName) {
        if let Some(live) = self.runs.get(unit).cloned() {
            self.excuse(unit, &live);
        }
    }

    /// Somebody needs a container that may sleep.
    pub fn wake_up(&mut self, unit: &UnitName) {
        self.event(Event::Wanted { unit: unit.clone() });
    }

    fn excuse(&mut self, unit: &UnitName, live: &LiveRun) {
        self.event(Event::Notified { unit: unit.clone(), run: live.number(), what: Notification::Watchdog });
    }
}
