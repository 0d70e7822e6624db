//! What a user would notice of the core, one story each.

use super::simulation::{container, name, on_socket, unit};
use super::*;
use crate::systemd::notify_server::Notification;
use crate::unit::model::{Container, Dependencies, PullPolicy, ReadyOn, RestartPolicy, ServiceType, Unit};
use std::sync::Arc;

fn machine(units: &[Arc<Unit>]) -> Machine {
    let mut machine = Machine::default();
    let loaded = units.iter().map(|unit| (unit.name.clone(), Loaded::good(unit.clone()))).collect();
    machine.handle(at(1), Event::Loaded(loaded));
    machine
}

fn at(seconds: u64) -> Stamp {
    let time = Duration::from_secs(seconds);
    Stamp { realtime: time, boottime: time, monotonic: time }
}

fn plain(index: usize) -> Arc<Unit> {
    unit(name(index), container(), Dependencies::default())
}

fn with(index: usize, change: impl FnOnce(&mut Dependencies)) -> Arc<Unit> {
    let mut dependencies = Dependencies::default();
    change(&mut dependencies);
    unit(name(index), container(), dependencies)
}

fn of(index: usize, change: impl FnOnce(&mut Container)) -> Arc<Unit> {
    let mut own = container();
    change(&mut own);
    unit(name(index), own, Dependencies::default())
}

fn notifying(index: usize) -> Arc<Unit> {
    of(index, |container| {
        container.kind = ServiceType::Notify;
        container.ready = ReadyOn::Notify;
    })
}

fn ask(machine: &mut Machine, verb: Verb, index: usize) -> (Result<JobId, RequestError>, Vec<Action>) {
    machine.request(at(1), &Request { unit: name(index), verb, mode: JobMode::Replace })
}

fn launches(actions: &[Action]) -> Vec<&UnitName> {
    let launched = actions.iter().filter_map(|action| match action {
        Action::Launch { unit, .. } => Some(unit),
        _ => None,
    });
    launched.collect()
}

fn results(actions: &[Action]) -> Vec<(UnitName, JobResult)> {
    let removed = actions.iter().filter_map(|action| match action {
        Action::JobRemoved(_, unit, _, result) => Some((unit.clone(), *result)),
        _ => None,
    });
    removed.collect()
}

fn executed(machine: &mut Machine, index: usize) -> Vec<Action> {
    let run = machine.unit(&name(index)).unwrap().run.as_ref().unwrap().number;
    machine.handle(at(1), Event::Executed { unit: name(index), run })
}

fn ended(machine: &mut Machine, index: usize, exit: Exit) -> Vec<Action> {
    let run = machine.unit(&name(index)).unwrap().run.as_ref().unwrap().number;
    machine.handle(at(1), Event::Ended { unit: name(index), run, exit })
}

fn run(machine: &mut Machine, index: usize) {
    ask(machine, Verb::Start, index).0.unwrap();
    executed(machine, index);
    assert_eq!(phase(machine, index), Phase::Running);
}

fn phase(machine: &Machine, index: usize) -> Phase {
    machine.unit(&name(index)).unwrap().phase
}

#[test]
fn a_requirement_is_up_before_what_is_after_it() {
    let second = with(1, |dependencies| {
        dependencies.requires.insert(name(0));
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[plain(0), second]);
    let (answer, actions) = ask(&mut machine, Verb::Start, 1);
    answer.unwrap();
    assert_eq!(launches(&actions), [&name(0)]);
    let actions = executed(&mut machine, 0);
    assert_eq!(launches(&actions), [&name(1)]);
}

#[test]
fn what_is_not_ordered_starts_in_parallel() {
    let both = with(2, |dependencies| dependencies.wants.extend([name(0), name(1)]));
    let mut machine = machine(&[plain(0), plain(1), both]);
    assert_eq!(launches(&ask(&mut machine, Verb::Start, 2).1).len(), 3);
}

#[test]
fn a_failed_requirement_fails_what_waits_for_it() {
    let second = with(1, |dependencies| {
        dependencies.requires.insert(name(0));
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[plain(0), second]);
    ask(&mut machine, Verb::Start, 1).0.unwrap();
    let failure = Failure { message: "no image".into(), errno: 2, exit: None };
    let actions = machine.handle(at(1), Event::LaunchFailed { unit: name(0), run: 1, failure });
    assert_eq!(results(&actions), [(name(0), JobResult::Failed), (name(1), JobResult::Dependency)]);
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Failed, Phase::Dead));
}

#[test]
fn a_stop_takes_what_requires_it_along_in_reverse_order() {
    let second = with(1, |dependencies| {
        dependencies.requires.insert(name(0));
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[plain(0), second]);
    run(&mut machine, 0);
    run(&mut machine, 1);
    let (_, actions) = ask(&mut machine, Verb::Stop, 0);
    assert!(actions.contains(&Action::Terminate { unit: name(1), run: 1 }));
    assert!(!actions.contains(&Action::Terminate { unit: name(0), run: 1 }));
    let actions = ended(&mut machine, 1, Exit::Code(0));
    assert!(actions.contains(&Action::Terminate { unit: name(0), run: 1 }));
    ended(&mut machine, 0, Exit::Signal(15));
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Dead, Phase::Dead));
}

#[test]
fn an_ordering_cycle_is_named_and_changes_nothing() {
    let units = [
        with(0, |dependencies| {
            dependencies.requires.insert(name(1));
            dependencies.after.insert(name(1));
        }),
        with(1, |dependencies| {
            dependencies.after.insert(name(0));
        }),
    ];
    let mut machine = machine(&units);
    let error = ask(&mut machine, Verb::Start, 0).0.unwrap_err().to_string();
    assert!(
        error.starts_with("Ordering cycle: u0.container after u1.container after u0.container"),
        "{error}"
    );
    assert!(machine.jobs().is_empty());
}

#[test]
fn a_cycle_through_a_mere_want_is_broken_by_dropping_it() {
    let units = [
        with(0, |dependencies| {
            dependencies.wants.insert(name(1));
            dependencies.after.insert(name(1));
        }),
        with(1, |dependencies| {
            dependencies.after.insert(name(0));
        }),
    ];
    let mut machine = machine(&units);
    assert_eq!(launches(&ask(&mut machine, Verb::Start, 0).1), [&name(0)]);
}

#[test]
fn a_missing_requirement_is_named_with_the_unit_that_needs_it() {
    let mut machine = machine(&[with(0, |dependencies| {
        dependencies.requires.insert(name(7));
    })]);
    let error = ask(&mut machine, Verb::Start, 0).0.unwrap_err().to_string();
    assert_eq!(error, "Unit u0.container requires u7.container: Unit u7.container not found.");
}

#[test]
fn a_missing_want_is_passed_over() {
    let mut machine = machine(&[with(0, |dependencies| {
        dependencies.wants.insert(name(7));
    })]);
    assert_eq!(launches(&ask(&mut machine, Verb::Start, 0).1), [&name(0)]);
}

#[test]
fn failures_restart_after_the_delay_until_the_limit() {
    let mut machine = machine(&[of(0, |container| container.restart = RestartPolicy::OnFailure)]);
    run(&mut machine, 0);
    for restart in 1..=4 {
        ended(&mut machine, 0, Exit::Code(1));
        assert_eq!(phase(&machine, 0), Phase::AutoRestart);
        let deadline = machine.next_deadline().unwrap();
        assert_eq!(deadline, Duration::from_millis(1100));
        let due = Stamp { realtime: deadline, boottime: deadline, monotonic: deadline };
        assert_eq!(launches(&machine.handle(due, Event::TimersDue)), [&name(0)]);
        assert_eq!(machine.unit(&name(0)).unwrap().restarts, restart);
        executed(&mut machine, 0);
    }
    ended(&mut machine, 0, Exit::Code(1));
    machine.handle(at(2), Event::TimersDue);
    let unit = machine.unit(&name(0)).unwrap();
    assert_eq!((unit.phase, unit.result), (Phase::Failed, UnitResult::StartLimitHit));
}

#[test]
fn a_clean_end_does_not_restart_on_failure() {
    let mut machine = machine(&[of(0, |container| container.restart = RestartPolicy::OnFailure)]);
    run(&mut machine, 0);
    ended(&mut machine, 0, Exit::Code(0));
    assert_eq!(phase(&machine, 0), Phase::Dead);
}

#[test]
fn a_stop_cancels_a_restart_that_waits() {
    let mut machine = machine(&[of(0, |container| container.restart = RestartPolicy::Always)]);
    run(&mut machine, 0);
    ended(&mut machine, 0, Exit::Code(1));
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    assert_eq!((phase(&machine, 0), machine.next_deadline()), (Phase::Dead, None));
}

#[test]
fn a_payload_that_ignores_the_stop_signal_is_killed_in_time() {
    let mut machine = machine(&[plain(0)]);
    run(&mut machine, 0);
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    let actions = machine.handle(at(91), Event::TimersDue);
    assert!(actions.contains(&Action::Kill { unit: name(0), run: 1 }));
    let actions = ended(&mut machine, 0, Exit::Signal(9));
    assert_eq!(results(&actions), [(name(0), JobResult::Done)]);
    let unit = machine.unit(&name(0)).unwrap();
    assert_eq!((unit.phase, unit.result), (Phase::Failed, UnitResult::Timeout));
}

#[test]
fn a_notify_unit_is_up_when_it_says_so() {
    let mut machine = machine(&[notifying(0)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    executed(&mut machine, 0);
    assert_eq!(phase(&machine, 0), Phase::Start);
    let actions = machine.handle(at(1), Event::Notified { unit: name(0), run: 1, what: Notification::Ready });
    assert_eq!(results(&actions), [(name(0), JobResult::Done)]);
    assert_eq!(phase(&machine, 0), Phase::Running);
}

#[test]
fn a_notify_unit_that_never_gets_ready_times_out() {
    let mut machine = machine(&[notifying(0)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    executed(&mut machine, 0);
    let actions = machine.handle(at(91), Event::TimersDue);
    assert!(actions.contains(&Action::Terminate { unit: name(0), run: 1 }));
    let actions = ended(&mut machine, 0, Exit::Signal(15));
    assert_eq!(results(&actions), [(name(0), JobResult::Timeout)]);
    assert_eq!(phase(&machine, 0), Phase::Failed);
}

#[test]
fn a_oneshot_is_started_when_it_has_ended() {
    let mut machine = machine(&[of(0, |container| container.kind = ServiceType::Oneshot)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    assert!(results(&executed(&mut machine, 0)).is_empty());
    assert_eq!(results(&ended(&mut machine, 0, Exit::Code(0))), [(name(0), JobResult::Done)]);
    assert_eq!(phase(&machine, 0), Phase::Dead);
}

#[test]
fn a_socket_launches_on_the_first_connection_and_listens_again_afterwards() {
    let mut machine = machine(&[unit(name(0), on_socket(container()), Dependencies::default())]);
    let (_, actions) = ask(&mut machine, Verb::Start, 0);
    assert!(actions.contains(&Action::OpenSockets(name(0))));
    let actions = machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    assert_eq!(results(&actions), [(name(0), JobResult::Done)]);
    assert_eq!(phase(&machine, 0), Phase::Listening);
    let connection = || Event::Connection { unit: name(0), socket: "s".into() };
    assert_eq!(launches(&machine.handle(at(1), connection())), [&name(0)]);
    assert!(machine.handle(at(1), connection()).is_empty());
    executed(&mut machine, 0);
    let actions = ended(&mut machine, 0, Exit::Code(0));
    assert_eq!(phase(&machine, 0), Phase::Listening);
    assert!(actions.contains(&Action::WatchSockets(name(0))));
    assert!(!actions.contains(&Action::CloseSockets(name(0))));
}

#[test]
fn a_restart_never_closes_the_sockets_and_runs_again_what_ran() {
    let mut machine = machine(&[unit(name(0), on_socket(container()), Dependencies::default())]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    let opened = || Event::SocketsOpened { unit: name(0), result: Ok(()) };
    machine.handle(at(1), opened());
    machine.handle(at(1), Event::Connection { unit: name(0), socket: "s".into() });
    executed(&mut machine, 0);
    let mut actions = ask(&mut machine, Verb::Restart, 0).1;
    actions.extend(ended(&mut machine, 0, Exit::Signal(15)));
    actions.extend(machine.handle(at(1), opened()));
    assert_eq!(launches(&actions), [&name(0)]);
    assert!(!actions.contains(&Action::CloseSockets(name(0))));
}

#[test]
fn a_busy_port_fails_the_start_and_leaves_nothing_open() {
    let mut machine = machine(&[unit(name(0), on_socket(container()), Dependencies::default())]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    let failure = Failure { message: "listen: 0.0.0.0:80: Address in use".into(), errno: 98, exit: None };
    let actions = machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Err(failure) });
    assert_eq!(results(&actions), [(name(0), JobResult::Failed)]);
    assert!(actions.contains(&Action::CloseSockets(name(0))));
    assert_eq!(phase(&machine, 0), Phase::Failed);
}

#[test]
fn a_stop_of_the_scope_is_a_clean_stop_that_does_not_restart() {
    let mut machine = machine(&[of(0, |container| container.restart = RestartPolicy::Always)]);
    run(&mut machine, 0);
    machine.handle(at(1), Event::StopRequested { unit: name(0) });
    ended(&mut machine, 0, Exit::Signal(15));
    assert_eq!(phase(&machine, 0), Phase::Dead);
}

#[test]
fn what_is_bound_to_a_unit_goes_down_with_it() {
    let bound = with(1, |dependencies| {
        dependencies.binds_to.insert(name(0));
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[plain(0), bound]);
    run(&mut machine, 0);
    run(&mut machine, 1);
    let actions = ended(&mut machine, 0, Exit::Code(1));
    assert!(actions.contains(&Action::Terminate { unit: name(1), run: 1 }));
}

#[test]
fn a_bad_file_leaves_the_last_good_version_running() {
    let mut machine = machine(&[plain(0)]);
    run(&mut machine, 0);
    let bad = Loaded::unusable(LoadState::Bad("line 1".into()));
    machine.handle(at(1), Event::Loaded(BTreeMap::from([(name(0), bad)])));
    let unit = machine.unit(&name(0)).unwrap();
    assert_eq!((unit.phase, unit.loaded.state.as_str()), (Phase::Running, "bad"));
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    ended(&mut machine, 0, Exit::Signal(15));
    assert_eq!(ask(&mut machine, Verb::Start, 0).0.unwrap_err(), RequestError::Bad(name(0)));
}

#[test]
fn a_run_that_even_sigkill_did_not_end_forbids_a_second_one() {
    let mut machine = machine(&[plain(0)]);
    run(&mut machine, 0);
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    machine.handle(at(91), Event::TimersDue);
    machine.handle(at(102), Event::TimersDue);
    assert_eq!(phase(&machine, 0), Phase::Failed);
    let (_, actions) = ask(&mut machine, Verb::Start, 0);
    assert!(launches(&actions).is_empty());
    let failure = machine.unit(&name(0)).unwrap().failure.clone().unwrap();
    assert!(failure.message.contains("has still not ended"), "{}", failure.message);
    ended(&mut machine, 0, Exit::Signal(9));
    assert_eq!(launches(&ask(&mut machine, Verb::Start, 0).1), [&name(0)]);
}

#[test]
fn a_restart_whose_requirement_fails_leaves_no_socket_open() {
    let bound = |dependencies: &mut Dependencies| {
        dependencies.requires.insert(name(0));
        dependencies.after.insert(name(0));
    };
    let mut dependencies = Dependencies::default();
    bound(&mut dependencies);
    let socket = unit(name(1), on_socket(container()), dependencies);
    let mut machine = machine(&[plain(0), socket]);
    run(&mut machine, 0);
    ask(&mut machine, Verb::Start, 1).0.unwrap();
    machine.handle(at(1), Event::SocketsOpened { unit: name(1), result: Ok(()) });
    ask(&mut machine, Verb::Restart, 0).0.unwrap();
    ended(&mut machine, 0, Exit::Signal(15));
    let failure = Failure { message: "no image".into(), errno: 2, exit: None };
    let actions = machine.handle(at(1), Event::LaunchFailed { unit: name(0), run: 2, failure });
    assert!(actions.contains(&Action::CloseSockets(name(1))), "{actions:?}");
    assert_eq!(phase(&machine, 1), Phase::Dead);
}

#[test]
fn a_payload_that_fails_on_its_connection_is_not_launched_for_ever() {
    let mut own = on_socket(container());
    own.start_limit.burst = 0;
    let mut machine = machine(&[unit(name(0), own, Dependencies::default())]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    let mut count = 0;
    while phase(&machine, 0) == Phase::Listening {
        machine.handle(at(1), Event::Connection { unit: name(0), socket: "s".into() });
        if phase(&machine, 0) == Phase::Start {
            count += 1;
            executed(&mut machine, 0);
            ended(&mut machine, 0, Exit::Code(1));
        }
    }
    let unit = machine.unit(&name(0)).unwrap();
    assert_eq!((count, unit.phase, unit.result), (21, Phase::Failed, UnitResult::TriggerLimitHit));
}

fn pulled(index: usize, change: impl FnOnce(&mut Container)) -> Arc<Unit> {
    of(index, |own| {
        own.pull = PullPolicy::Missing;
        change(own);
    })
}

fn image_ready(machine: &mut Machine, seconds: u64, result: Result<(), Failure>) -> Vec<Action> {
    let run = machine.unit(&name(0)).unwrap().run.as_ref().unwrap().number;
    machine.handle(at(seconds), Event::ImageReady { unit: name(0), run, result })
}

fn begin_pull(machine: &mut Machine) {
    let (_, actions) = ask(machine, Verb::Start, 0);
    assert!(actions.contains(&Action::SeekImage { unit: name(0), run: 1 }), "{actions:?}");
    machine.handle(at(1), Event::Pulling { unit: name(0), run: 1 });
    assert_eq!(phase(machine, 0), Phase::Pull);
}

#[test]
fn an_image_that_is_there_delays_nothing_and_shows_nowhere() {
    let mut machine = machine(&[pulled(0, |_| {})]);
    let (_, actions) = ask(&mut machine, Verb::Start, 0);
    assert!(launches(&actions).is_empty());
    assert_eq!(phase(&machine, 0), Phase::Start);
    let actions = image_ready(&mut machine, 1, Ok(()));
    assert_eq!(actions, [Action::Launch { unit: name(0), run: 1 }]);
}

#[test]
fn a_pull_takes_longer_than_a_start_may() {
    let mut machine = machine(&[pulled(0, |own| own.start_timeout = Some(Duration::from_secs(90)))]);
    begin_pull(&mut machine);
    assert_eq!(machine.next_deadline(), None);
    let actions = image_ready(&mut machine, 1000, Ok(()));
    assert_eq!(launches(&actions), [&name(0)]);
    assert_eq!(
        (phase(&machine, 0), machine.next_deadline()),
        (Phase::Start, Some(Duration::from_secs(1090)))
    );
}

#[test]
fn a_stop_ends_a_pull_at_once() {
    let mut machine = machine(&[pulled(0, |own| own.restart = RestartPolicy::Always)]);
    begin_pull(&mut machine);
    let (_, actions) = ask(&mut machine, Verb::Stop, 0);
    assert!(actions.contains(&Action::LeaveImage { unit: name(0), run: 1 }), "{actions:?}");
    assert_eq!(results(&actions), [(name(0), JobResult::Canceled), (name(0), JobResult::Done)]);
    assert_eq!(
        (phase(&machine, 0), machine.unit(&name(0)).unwrap().result),
        (Phase::Dead, UnitResult::Success)
    );
    assert!(launches(&image_ready(&mut machine, 2, Ok(()))).is_empty(), "what comes late is dropped");
}

#[test]
fn a_stop_before_it_is_known_whether_the_image_is_there_waits_for_nothing() {
    let mut machine = machine(&[pulled(0, |_| {})]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    assert_eq!(phase(&machine, 0), Phase::Dead);
    assert!(machine.jobs().is_empty());
}

#[test]
fn a_failed_pull_is_a_failed_start_to_the_restart_policy_and_the_start_limit() {
    let mut machine = machine(&[pulled(0, |own| own.restart = RestartPolicy::OnFailure)]);
    let failure = || Failure { message: "pull: refused".into(), errno: 0, exit: None };
    begin_pull(&mut machine);
    let actions = image_ready(&mut machine, 1, Err(failure()));
    assert_eq!(results(&actions), [(name(0), JobResult::Failed)]);
    assert_eq!(machine.unit(&name(0)).unwrap().failure, Some(failure()));
    for second in 2..6 {
        assert_eq!(phase(&machine, 0), Phase::AutoRestart);
        machine.handle(at(second), Event::TimersDue);
        image_ready(&mut machine, second, Err(failure()));
    }
    machine.handle(at(6), Event::TimersDue);
    assert_eq!(
        (phase(&machine, 0), machine.unit(&name(0)).unwrap().result),
        (Phase::Failed, UnitResult::StartLimitHit)
    );
}

#[test]
fn a_restart_during_a_pull_begins_it_anew() {
    let mut machine = machine(&[pulled(0, |_| {})]);
    begin_pull(&mut machine);
    let (_, actions) = ask(&mut machine, Verb::Restart, 0);
    let left = actions.iter().position(|action| *action == Action::LeaveImage { unit: name(0), run: 1 });
    let sought = actions.iter().position(|action| *action == Action::SeekImage { unit: name(0), run: 2 });
    assert!(left.unwrap() < sought.unwrap());
}
