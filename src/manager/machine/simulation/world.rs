//! The world around the core: what its actions do, and when it hears of them. Everything may fail, be late, and be
//! lost when the manager dies.

use super::super::*;
use super::fixture::name;
use super::generate::{Flavour, Versions, natives};
use crate::systemd::notify_server::Notification;
use crate::unit::model::{Otherwise, Stage, Unit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Whether a history is told as it is lived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Silent,
    Aloud,
}

pub struct World {
    pub machine: Machine,
    telling: Telling,
    /// Whether a manager has just begun, and has not yet adopted what lives.
    pub adopts: bool,
    /// What the files of each unit may say.
    pub versions: BTreeMap<UnitName, Versions>,
    /// What they say now, read or not.
    pub files: BTreeMap<UnitName, Loaded>,
    /// What rules.
    pub units: BTreeMap<UnitName, Arc<Unit>>,
    /// Jobs that ran, and units that were up or had a job, when files were read last: another order ruled then.
    pub begun: BTreeSet<JobId>,
    pub risen: BTreeSet<UnitName>,
    pub now: Duration,
    pub pending: VecDeque<Event>,
    pub seeking: BTreeMap<UnitName, u64>,
    /// Containers that live, with their runs.
    pub alive: BTreeMap<UnitName, u64>,
    /// Those of them that SIGKILL has been sent to, and that may hang in the kernel.
    pub killed: BTreeSet<UnitName>,
    pub open: BTreeSet<UnitName>,
    /// Units of which the next connection is told.
    pub looked_at: BTreeSet<UnitName>,
    /// Containers that are frozen.
    pub standing: BTreeSet<UnitName>,
    /// Commands around payloads that are under way.
    pub commands: BTreeMap<UnitName, (u64, Stage)>,
    /// Units whose launch is still to be followed by their last commands.
    pub unseen: BTreeSet<UnitName>,
    pub jobs: BTreeSet<JobId>,
    /// Launches of the last 10 seconds since the last reset.
    pub launches: BTreeMap<UnitName, Vec<Duration>>,
    /// The run of each unit that was counted last.
    pub counted: BTreeMap<UnitName, u64>,
    /// Units that somebody started without regard to others.
    pub lawless: BTreeSet<UnitName>,
    pub watched: BTreeMap<UnitName, NativeState>,
}

impl World {
    pub fn new(units: &[Versions], telling: Telling) -> Self {
        let name = |versions: &Versions| versions[0].name.clone();
        let file = |versions: &Versions| (name(versions), Loaded::good(versions[0].clone()));
        let mut world = Self {
            machine: Machine::default(),
            telling,
            adopts: false,
            versions: units.iter().map(|versions| (name(versions), versions.clone())).collect(),
            files: units.iter().map(file).collect(),
            units: BTreeMap::new(),
            begun: BTreeSet::new(),
            risen: BTreeSet::new(),
            now: Duration::from_secs(1),
            pending: VecDeque::new(),
            seeking: BTreeMap::new(),
            alive: BTreeMap::new(),
            killed: BTreeSet::new(),
            open: BTreeSet::new(),
            looked_at: BTreeSet::new(),
            standing: BTreeSet::new(),
            commands: BTreeMap::new(),
            unseen: BTreeSet::new(),
            jobs: BTreeSet::new(),
            launches: BTreeMap::new(),
            counted: BTreeMap::new(),
            lawless: BTreeSet::new(),
            watched: BTreeMap::new(),
        };
        for unit in units {
            world.tell(format_args!("{}: {:?}", unit[0].name, unit[0].dependencies));
        }
        world.load(0);
        world
    }

    pub fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.telling == Telling::Aloud {
            eprintln!("{what}");
        }
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { realtime: self.now, boottime: self.now, monotonic: self.now }
    }

    pub fn step(&mut self, [what, unit, choice]: [u8; 3], flavour: Flavour) {
        let unit = name(usize::from(unit) % self.files.len());
        match what % 16 {
            0..=2 => self.request(unit, Verb::Start, mode(choice), choice),
            3 => self.request(unit, Verb::Stop, mode(choice), choice),
            4 => {
                let verb = [
                    Verb::Restart,
                    Verb::TryRestart,
                    Verb::ReloadOrRestart,
                    Verb::Reload,
                    Verb::RestartOverlapping,
                    Verb::RestartOverlapping,
                ];
                self.request(unit, verb[usize::from(choice) % 6], JobMode::Replace, choice);
            }
            5 => self.disturb(unit, choice),
            6 => {
                self.now += Duration::from_secs(u64::from(choice));
                self.handle(Event::TimersDue, choice);
            }
            7 if flavour == Flavour::Crashes => self.crash(choice),
            7 if flavour == Flavour::Natives => self.change_native(choice),
            7 if flavour == Flavour::Times => self.notify(&unit, choice),
            7 if flavour == Flavour::Reloads => match choice % 8 {
                0..=4 => self.rewrite(unit, choice),
                5 => self.crash(choice),
                6 => self.change_native(choice),
                _ => self.notify(&unit, choice),
            },
            _ => {
                if let Some(event) = self.pending.pop_front() {
                    self.handle(event, choice);
                }
            }
        }
    }

    fn disturb(&mut self, unit: UnitName, choice: u8) {
        match choice % 7 {
            5 | 6 => {
                if let Some(run) = self.alive.get(&unit).copied() {
                    self.handle(Event::Idle { unit, run }, choice);
                }
            }
            0 => self.handle(Event::StopRequested { unit }, choice),
            1 => self.handle(Event::Connection { unit, socket: "s".into() }, choice),
            2 => {
                self.end_retired(&unit, choice);
                self.launches.clear();
                self.handle(Event::ResetFailed { unit: None }, choice);
            }
            3 => {
                if let Some(id) = self.machine.jobs().keys().next().copied() {
                    self.handle(Event::JobCanceled(id), choice);
                }
            }
            _ if choice.is_multiple_of(2) => self.handle(Event::ClockSet, choice),
            _ => self.load(choice),
        }
    }

    fn notify(&mut self, unit: &UnitName, choice: u8) {
        let Some(run) = self.alive.get(unit).copied() else { return };
        let unit = unit.clone();
        let what = match choice % 9 {
            0 => Notification::Ready,
            1 => Notification::Reloading(Some(self.now)),
            2 => Notification::Stopping,
            3 => Notification::Watchdog,
            4 => Notification::WatchdogTrigger,
            5 => Notification::WatchdogTime(Duration::from_secs(u64::from(choice))),
            6 => Notification::ExtendTimeout(Duration::from_secs(5)),
            7 => return self.handle(Event::Listening { unit, run }, choice),
            _ => {
                let sick = HealthState::Unhealthy("x".into());
                let health = if choice.is_multiple_of(2) { HealthState::Healthy } else { sick };
                return self.handle(Event::Health { unit, run, health }, choice);
            }
        };
        self.handle(Event::Notified { unit, run, what }, choice);
    }

    pub fn handle(&mut self, event: Event, choice: u8) {
        let command = |stage: &Stage| matches!(stage, Stage::Condition | Stage::StartPre);
        if let Event::CommandsDone { unit, run, stage, .. } = &event
            && self.commands.get(unit) == Some(&(*run, *stage))
        {
            self.commands.remove(unit);
        }
        let ended = match &event {
            Event::Ended { unit, run, .. } | Event::LaunchFailed { unit, run, .. } => Some((unit, run)),
            Event::CommandsDone { unit, run, stage, .. } if command(stage) => Some((unit, run)),
            _ => None,
        };
        if let Some((unit, run)) = ended
            && self.alive.get(unit) == Some(run)
        {
            self.alive.remove(unit);
            if self.killed.remove(unit) && self.machine.unit(unit).is_none_or(|unit| !unit.phase.has_run()) {
                // It was given up.
                self.unseen.remove(unit);
            }
        }
        if let Event::ImageReady { unit, run, .. } = &event
            && self.seeking.get(unit) == Some(run)
        {
            self.seeking.remove(unit);
        }
        match &event {
            Event::Loaded(_) | Event::LoadedMore(_) => self.tell(format_args!("{:?} reload", self.now)),
            event => self.tell(format_args!("{:?} {event:?}", self.now)),
        }
        let actions = self.machine.handle(self.stamp(), event);
        self.carry_out(actions, choice);
    }

    pub fn request(&mut self, unit: UnitName, verb: Verb, mode: JobMode, choice: u8) {
        if matches!(mode, JobMode::IgnoreDependencies | JobMode::IgnoreRequirements) {
            self.lawless.insert(unit.clone());
        }
        self.tell(format_args!("{:?} {verb:?} {unit}, {mode:?}", self.now));
        let before = self.machine.jobs().len();
        let (answer, actions) = self.machine.request(self.stamp(), &Request { unit, verb, mode });
        assert!(answer.is_ok() || actions.is_empty() && before == self.machine.jobs().len(), "{answer:?}");
        self.carry_out(actions, choice);
    }

    fn carry_out(&mut self, actions: Vec<Action>, choice: u8) {
        let mut stopped = BTreeSet::new();
        for action in actions {
            self.tell(format_args!("    {action:?}"));
            self.note_motion(&action, choice);
            match action {
                Action::OpenSockets(unit) => self.open_sockets(unit, choice),
                Action::CloseSockets(unit) => {
                    self.open.remove(&unit);
                }
                Action::WatchNative(unit) => {
                    self.watched.insert(unit.clone(), native(choice));
                    self.pending.push_back(Event::NativeState { unit, state: native(choice) });
                }
                Action::UnwatchNative(unit) => assert!(self.watched.remove(&unit).is_some(), "{unit}"),
                Action::RunNative { unit, job, kind } => self.run_native(unit, job, kind, choice),
                Action::CheckConditions(unit) => self.check_conditions(unit, choice),
                Action::SeekImage { unit, run } => self.seek_image(unit, run, choice),
                Action::LeaveImage { unit, run } => {
                    assert_eq!(self.seeking.remove(&unit), Some(run), "{unit} left an image it did not seek");
                }
                Action::Launch { unit, run } => self.launch(unit, run, choice),
                Action::RunCommands { unit, run, stage } => self.run_commands(unit, run, stage, choice),
                Action::EndCommands { unit, run } => self.end_commands(unit, run),
                Action::Terminate { unit, run } if choice.is_multiple_of(3) => {
                    self.pending.push_back(Event::Ended { unit, run, exit: Exit::Code(0) });
                }
                Action::Abort { unit, run } if choice.is_multiple_of(3) => {
                    self.pending.push_back(Event::Ended { unit, run, exit: Exit::Core(6) });
                }
                Action::Kill { unit, run } => {
                    self.killed.insert(unit.clone());
                    self.pending.push_back(Event::Ended { unit, run, exit: Exit::Signal(9) });
                }
                Action::Reload { unit, run } if choice.is_multiple_of(2) => {
                    self.pending.push_back(Event::Reloaded { unit, run, result: Ok(()) });
                }
                Action::Reload { unit, run } => {
                    self.pending.push_back(Event::Reloaded { unit, run, result: Err(failure("no")) });
                }
                Action::JobNew(id, unit) => {
                    assert!(self.jobs.insert(id), "a job number came twice");
                    stopped.remove(&unit);
                }
                Action::JobRemoved(id, unit, kind, result) => {
                    assert!(self.jobs.remove(&id), "a job ended twice");
                    if (kind, result) == (JobKind::Stop, JobResult::Done) {
                        stopped.insert(unit);
                    }
                }
                Action::ReadStamp(unit) => {
                    let last = choice.is_multiple_of(2).then_some(Duration::ZERO);
                    self.pending.push_back(Event::StampRead { unit, last });
                }
                Action::Retire { unit, retired, run } => {
                    // Another one than the one that was stopped.
                    stopped.remove(&retired);
                    self.retire(&unit, retired, run);
                }
                Action::Recall { unit, retired, run } => self.recall(unit, &retired, run),
                Action::Removed(unit) => {
                    self.units.remove(&unit);
                    self.launches.remove(&unit);
                }
                _ => {}
            }
        }
        self.check_stopped(&stopped);
        if !self.adopts {
            let machine = &self.machine;
            self.risen.retain(|name| machine.unit(name).is_some_and(|managed| !managed.is_idle()));
            self.check();
        }
    }

    fn open_sockets(&mut self, unit: UnitName, choice: u8) {
        let result = if choice.is_multiple_of(7) { Err(failure("busy")) } else { Ok(()) };
        self.open.insert(unit.clone());
        self.pending.push_back(Event::SocketsOpened { unit, result });
    }

    fn check_conditions(&mut self, unit: UnitName, choice: u8) {
        let otherwise = if choice.is_multiple_of(2) { Otherwise::Skip } else { Otherwise::Fail };
        let unmet = Unmet { otherwise, text: "x".into(), at: self.stamp() };
        let result = if choice.is_multiple_of(3) { Err(unmet) } else { Ok(()) };
        self.pending.push_back(Event::ConditionsChecked { unit, result });
    }

    /// The image is there, has to be pulled, and may not be had.
    fn seek_image(&mut self, unit: UnitName, run: u64, choice: u8) {
        assert!(self.seeking.insert(unit.clone(), run).is_none(), "{unit} seeks two images at once");
        self.note_launch(&unit, run);
        if !choice.is_multiple_of(3) {
            self.pending.push_back(Event::Pulling { unit: unit.clone(), run });
        }
        let result = if choice % 3 == 2 { Err(failure("no such image")) } else { Ok(()) };
        self.pending.push_back(Event::ImageReady { unit, run, result });
    }

    fn launch(&mut self, unit: UnitName, run: u64, choice: u8) {
        assert!(self.alive.insert(unit.clone(), run).is_none(), "{unit} was launched twice");
        self.note_launch(&unit, run);
        self.unseen.insert(unit.clone());
        let commands = &self.units[&unit].body.container().unwrap().commands;
        let before = [Stage::Condition, Stage::StartPre].into_iter().find(|stage| commands.has(*stage));
        if let Some(stage) = before {
            if choice % 5 == 1 {
                let result = Err(broken(i32::from(choice)));
                self.pending.push_back(Event::CommandsDone { unit, run, stage, result });
                return;
            }
            self.pending.push_back(Event::StartPreBegun { unit: unit.clone(), run });
        }
        if choice % 5 == 1 {
            let failure = failure("no image");
            self.pending.push_back(Event::LaunchFailed { unit, run, process: None, failure });
            return;
        }
        let launched = Launched { pid: 7, invocation: "i".into() };
        self.pending.push_back(Event::Started { unit: unit.clone(), run, launched });
        self.pending.push_back(Event::Executed { unit: unit.clone(), run });
        if choice % 5 == 2 {
            let what = Notification::Ready;
            self.pending.push_back(Event::Notified { unit: unit.clone(), run, what });
        }
        if choice % 5 >= 3 {
            self.pending.push_back(Event::Ended { unit, run, exit: Exit::Code(i32::from(choice % 2)) });
        }
    }

    fn run_commands(&mut self, unit: UnitName, run: u64, stage: Stage, choice: u8) {
        let known = self.commands.insert(unit.clone(), (run, stage));
        assert!(known.is_none(), "{unit} runs commands twice at once: {known:?}");
        if stage == Stage::StopPost {
            assert!(!self.alive.contains_key(&unit), "{unit} is seen off while its container lives");
            self.unseen.remove(&unit);
        }
        let result = match choice % 4 {
            0 => return,
            1 => Err(broken(i32::from(choice))),
            _ => Ok(()),
        };
        self.pending.push_back(Event::CommandsDone { unit, run, stage, result });
    }

    fn end_commands(&mut self, unit: UnitName, run: u64) {
        let underway = self.commands.get(&unit).copied().filter(|(own, _)| *own == run);
        if let Some((run, stage)) = underway {
            self.commands.remove(&unit);
            self.pending.push_back(Event::CommandsDone { unit, run, stage, result: Err(failure("killed")) });
        }
    }

    fn run_native(&mut self, unit: UnitName, job: JobId, kind: JobKind, choice: u8) {
        let done = !choice.is_multiple_of(4);
        if let Some(state) = self.watched.get_mut(&unit) {
            state.active = match (kind, done) {
                (JobKind::Stop, _) => ActiveState::Inactive,
                (_, true) => ActiveState::Active,
                (_, false) => ActiveState::Failed,
            };
            state.job = None;
            self.pending.push_back(Event::NativeState { unit: unit.clone(), state: state.clone() });
        }
        let result = if done { JobResult::Done } else { JobResult::Failed };
        self.pending.push_back(Event::NativeDone { unit, job, result });
    }

    fn change_native(&mut self, choice: u8) {
        let unit = natives()[usize::from(choice / 16) % 3].clone();
        if let Some(state) = self.watched.get_mut(&unit) {
            *state = native(choice);
            let state = state.clone();
            self.handle(Event::NativeState { unit, state }, choice);
        }
    }

    /// The host goes down: everything must end.
    pub fn end(&mut self) {
        self.handle(Event::ShuttingDown, 0);
        self.fall_silent();
        self.check_end();
    }

    fn fall_silent(&mut self) {
        for _ in 0..2000 {
            if let Some(event) = self.pending.pop_front() {
                self.handle(event, 0);
            } else if let Some(deadline) = self.machine.next_deadline() {
                self.now = self.now.max(deadline);
                self.handle(Event::TimersDue, 0);
            } else {
                return;
            }
        }
        panic!("it never falls silent: {:?}", self.machine.next_deadline());
    }
}

fn failure(message: &str) -> Failure {
    Failure { message: message.into(), errno: 0, exit: None }
}

fn broken(code: i32) -> Failure {
    Failure { exit: Some(Exit::Code(code)), ..failure("no") }
}

/// Mostly as people do it.
fn mode(choice: u8) -> JobMode {
    if choice < 192 { JobMode::Replace } else { JobMode::ALL[usize::from(choice) % 8] }
}

fn native(choice: u8) -> NativeState {
    let active = [
        ActiveState::Active,
        ActiveState::Inactive,
        ActiveState::Activating,
        ActiveState::Failed,
        ActiveState::Active,
    ];
    let job = [None, None, Some(NativeJob::Start), Some(NativeJob::Stop), Some(NativeJob::Restart)];
    NativeState {
        load: if choice % 11 == 10 { NativeLoad::NotFound } else { NativeLoad::Loaded },
        active: active[usize::from(choice) % 5],
        job: job[usize::from(choice / 5) % 5],
    }
}
