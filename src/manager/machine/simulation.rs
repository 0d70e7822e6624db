//! Random units, requests, failures and delays against the core, with its promises checked at each step:
//! no job is lost, no container is launched twice, order is kept, a stop always ends, and when the world
//! falls silent nothing is left half done.

use super::*;
use crate::systemd::notify_server::Notification;
use crate::unit::model::{
    Body, Container, Dependencies, Handling, ImageSource, Install, Listen, NetworkMode, Pass, PullPolicy,
    ReadyOn, Resources, RestartPolicy, RootMode, Security, ServiceType, Socket, StartLimit, StartOn, Unit,
    UserNamespace,
};
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) fn name(index: usize) -> UnitName {
    UnitName::parse(&format!("u{index}.container")).unwrap()
}

pub(super) fn container() -> Container {
    Container {
        image: ImageSource::Reference("x".into()),
        entrypoint: None,
        command: None,
        pull: PullPolicy::Never,
        user: None,
        working_directory: None,
        stop_signal: None,
        environment: BTreeMap::new(),
        environment_file: Vec::new(),
        kind: ServiceType::Exec,
        root: RootMode::Ephemeral,
        restart: RestartPolicy::No,
        ready: ReadyOn::Exec,
        restart_delay: Duration::from_millis(100),
        restart_steps: 0,
        restart_delay_max: None,
        success_exit_status: BTreeSet::new(),
        restart_prevent_exit_status: BTreeSet::new(),
        restart_force_exit_status: BTreeSet::new(),
        start_limit: StartLimit { burst: 5, interval: Duration::from_secs(10) },
        start_timeout: Some(Duration::from_secs(90)),
        stop_timeout: Some(Duration::from_secs(90)),
        runtime_max: None,
        runtime_randomized_extra: Duration::ZERO,
        watchdog: None,
        watchdog_signal: 6,
        reload: None,
        remain_after_exit: false,
        health: None,
        sockets: BTreeMap::new(),
        start: StartOn::Boot,
        resources: Resources::default(),
        security: Security {
            user_namespace: UserNamespace::Auto,
            capabilities: None,
            add_capabilities: Default::default(),
            drop_capabilities: Default::default(),
            no_new_privileges: true,
            system_calls: Default::default(),
            read_only_paths: Default::default(),
            mask_paths: Default::default(),
        },
        network: NetworkMode::Private,
        hostname: "x".into(),
        mounts: BTreeMap::new(),
    }
}

pub(super) fn unit(name: UnitName, container: Container, dependencies: Dependencies) -> Arc<Unit> {
    Arc::new(Unit {
        name,
        fragment: None,
        drop_ins: Vec::new(),
        description: String::new(),
        documentation: Vec::new(),
        dependencies,
        conditions: Vec::new(),
        handling: Handling::default(),
        body: Body::Container(Box::new(container)),
        install: Install::default(),
    })
}

pub(super) fn on_socket(mut container: Container) -> Container {
    let socket = Socket {
        listen: Listen::Abstract("x".into()),
        target: None,
        pass: Pass::Fd,
        mode: 0o666,
        user: None,
        group: None,
        backlog: 1,
    };
    container.sockets.insert("s".into(), socket);
    container.start = StartOn::Socket;
    container
}

fn arbitrary_units() -> impl Strategy<Value = Vec<Arc<Unit>>> {
    let policies = [RestartPolicy::No, RestartPolicy::Always, RestartPolicy::OnFailure];
    let kinds = [ServiceType::Exec, ServiceType::Notify, ServiceType::Oneshot];
    // Dependencies go to lower numbers only, so that no cycle arises; cycles have tests of their own.
    let one = (0..3usize, 0..3usize, any::<bool>(), any::<[u8; 4]>(), any::<[bool; 5]>());
    prop::collection::vec(one, 1..6).prop_map(move |specifications| {
        let of = |index: usize, (policy, kind, socket, targets, flags): (_, _, _, [u8; 4], [bool; 5])| {
            let mut own = container();
            own.restart = policies[policy];
            own.kind = kinds[kind];
            own.ready = if own.kind == ServiceType::Notify { ReadyOn::Notify } else { ReadyOn::Exec };
            if targets[0] % 2 == 0 {
                own.pull = PullPolicy::Missing;
            }
            if socket {
                own = on_socket(own);
            }
            let mut dependencies = Dependencies::default();
            let sets = [
                &mut dependencies.requires,
                &mut dependencies.wants,
                &mut dependencies.after,
                &mut dependencies.binds_to,
                &mut dependencies.conflicts,
            ];
            for (at, set) in sets.into_iter().enumerate().filter(|(at, _)| flags[*at] && index > 0) {
                set.insert(name(usize::from(targets[at % 4]) % index));
            }
            unit(name(index), own, dependencies)
        };
        specifications
            .into_iter()
            .enumerate()
            .map(|(index, specification)| of(index, specification))
            .collect()
    })
}

/// What the core's actions do, and when it hears of them: in any order, after any delay.
struct World {
    machine: Machine,
    now: Duration,
    pending: VecDeque<Event>,
    seeking: BTreeMap<UnitName, u64>,
    alive: BTreeMap<UnitName, u64>,
    open: BTreeSet<UnitName>,
    jobs: BTreeSet<JobId>,
}

impl World {
    fn new(units: &[Arc<Unit>]) -> Self {
        let mut world = Self {
            machine: Machine::default(),
            now: Duration::from_secs(1),
            pending: VecDeque::new(),
            seeking: BTreeMap::new(),
            alive: BTreeMap::new(),
            open: BTreeSet::new(),
            jobs: BTreeSet::new(),
        };
        let loaded = units.iter().map(|unit| (unit.name.clone(), Loaded::good(unit.clone()))).collect();
        world.handle(Event::Loaded(loaded), 0);
        world
    }

    fn stamp(&self) -> Stamp {
        Stamp { realtime: self.now, boottime: self.now, monotonic: self.now }
    }

    fn handle(&mut self, event: Event, choice: u8) {
        if let Event::Ended { unit, .. } | Event::LaunchFailed { unit, .. } = &event {
            self.alive.remove(unit);
        }
        if let Event::ImageReady { unit, run, .. } = &event
            && self.seeking.get(unit) == Some(run)
        {
            self.seeking.remove(unit);
        }
        let actions = self.machine.handle(self.stamp(), event);
        self.carry_out(actions, choice);
    }

    fn request(&mut self, unit: UnitName, verb: Verb, choice: u8) {
        let request = Request { unit, verb, mode: JobMode::Replace };
        let (_, actions) = self.machine.request(self.stamp(), &request);
        self.carry_out(actions, choice);
    }

    fn carry_out(&mut self, actions: Vec<Action>, choice: u8) {
        for action in actions {
            match action {
                Action::OpenSockets(unit) => self.open_sockets(unit, choice),
                Action::CloseSockets(unit) => {
                    self.open.remove(&unit);
                }
                Action::SeekImage { unit, run } => self.seek_image(unit, run, choice),
                Action::LeaveImage { unit, run } => {
                    assert_eq!(
                        self.seeking.remove(&unit),
                        Some(run),
                        "{unit} left an image that it did not seek"
                    );
                }
                Action::Launch { unit, run } => self.launch(unit, run, choice),
                Action::Terminate { unit, run } if choice.is_multiple_of(3) => {
                    self.pending.push_back(Event::Ended { unit, run, exit: Exit::Code(0) });
                }
                Action::Kill { unit, run } => {
                    self.pending.push_back(Event::Ended { unit, run, exit: Exit::Signal(9) });
                }
                Action::JobNew(id, _) => assert!(self.jobs.insert(id), "a job number came twice"),
                Action::JobRemoved(id, unit, kind, result) => self.job_removed(id, &unit, kind, result),
                _ => {}
            }
        }
        self.check();
    }

    fn open_sockets(&mut self, unit: UnitName, choice: u8) {
        let failure = Failure { message: "busy".into(), errno: 98, exit: None };
        let result = if choice.is_multiple_of(7) { Err(failure) } else { Ok(()) };
        self.open.insert(unit.clone());
        self.pending.push_back(Event::SocketsOpened { unit, result });
    }

    /// The image is there, has to be pulled, and may not be had.
    fn seek_image(&mut self, unit: UnitName, run: u64, choice: u8) {
        assert!(self.seeking.insert(unit.clone(), run).is_none(), "{unit} seeks two images at once");
        if !choice.is_multiple_of(3) {
            self.pending.push_back(Event::Pulling { unit: unit.clone(), run });
        }
        let failure = Failure { message: "no such image".into(), errno: 0, exit: None };
        let result = if choice % 3 == 2 { Err(failure) } else { Ok(()) };
        self.pending.push_back(Event::ImageReady { unit, run, result });
    }

    fn launch(&mut self, unit: UnitName, run: u64, choice: u8) {
        assert!(self.alive.insert(unit.clone(), run).is_none(), "{unit} was launched twice");
        if choice % 5 == 1 {
            let failure = Failure { message: "no image".into(), errno: 2, exit: None };
            self.pending.push_back(Event::LaunchFailed { unit, run, failure });
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

    fn job_removed(&mut self, id: JobId, unit: &UnitName, kind: JobKind, result: JobResult) {
        assert!(self.jobs.remove(&id), "a job ended twice");
        if kind == JobKind::Stop
            && result == JobResult::Done
            && self.machine.unit(unit).unwrap().job.is_none()
        {
            let phase = self.machine.unit(unit).unwrap().phase;
            assert!(phase.is_down(), "{unit} is {phase:?} after its stop");
        }
    }

    fn check(&self) {
        let of_machine: BTreeSet<JobId> = self.machine.jobs().keys().copied().collect();
        assert_eq!(of_machine, self.jobs, "a job was lost");
        for (name, managed) in self.machine.units() {
            if let Some(job) = managed.job {
                assert_eq!(&self.machine.jobs()[&job].unit, name);
            }
            let later = managed.unit().unwrap().dependencies.after.iter();
            for earlier in later.filter(|earlier| managed.job.is_some() && *earlier != name) {
                self.check_order(name, earlier);
            }
        }
    }

    /// Of two start jobs the later one runs only once the earlier one is over.
    fn check_order(&self, later: &UnitName, earlier: &UnitName) {
        let job = |unit| self.machine.unit(unit).and_then(|unit| self.machine.jobs().get(&unit.job?));
        let (Some(second), Some(first)) = (job(later), job(earlier)) else { return };
        if first.kind == JobKind::Start && second.kind == JobKind::Start && first.id < second.id {
            assert_eq!(second.phase, JobPhase::Waiting, "{later} runs before {earlier} is up");
        }
    }

    fn fall_silent(&mut self) {
        for _ in 0..2000 {
            if let Some(event) = self.pending.pop_front() {
                self.handle(event, 0);
            } else if let Some(deadline) = self.machine.next_deadline() {
                self.now = self.now.max(deadline);
                self.handle(Event::TimersDue, 0);
            } else {
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(
        units in arbitrary_units(),
        steps in prop::collection::vec((0..10u8, any::<u8>(), any::<u8>()), 1..60),
    ) {
        let mut world = World::new(&units);
        for (what, which, choice) in steps {
            let unit = name(usize::from(which) % units.len());
            match what {
                0 => world.request(unit, Verb::Start, choice),
                1 => world.request(unit, Verb::Stop, choice),
                2 => world.request(unit, Verb::Restart, choice),
                3 => world.handle(Event::StopRequested { unit }, choice),
                4 => world.handle(Event::Connection { unit, socket: "s".into() }, choice),
                5 => {
                    world.now += Duration::from_secs(u64::from(choice));
                    world.handle(Event::TimersDue, choice);
                }
                6 => world.handle(Event::ResetFailed { unit: None }, choice),
                _ => if let Some(event) = world.pending.pop_front() {
                    world.handle(event, choice);
                },
            }
        }
        for unit in &units {
            world.request(unit.name.clone(), Verb::Stop, 0);
        }
        world.fall_silent();
        prop_assert!(world.machine.jobs().is_empty(), "jobs are left: {:?}", world.machine.jobs());
        prop_assert!(world.seeking.is_empty(), "images are sought for nobody: {:?}", world.seeking);
        prop_assert!(world.alive.is_empty(), "containers are left: {:?}", world.alive);
        for (name, managed) in world.machine.units() {
            prop_assert!(managed.phase.is_down(), "{} is {:?}", name, managed.phase);
        }
        prop_assert!(world.open.is_empty(), "sockets are left: {:?}", world.open);
    }
}
