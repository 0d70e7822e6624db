//! Containers that nobody uses.

use super::*;
use crate::unit::model::{Idle, Sleep, StartOn};

/// A unit whose container runs, since somebody has connected.
fn awake(sleep: Sleep, start: StartOn) -> Machine {
    let mut own = on_socket(container());
    own.restart = RestartPolicy::Always;
    own.start = start;
    own.idle = Some(Idle { timeout: Duration::from_secs(60), sleep, cpu_floor_per_sec_usec: None });
    let mut machine = machine(&[unit(name(0), own, Dependencies::default())]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    machine.handle(at(1), Event::Connection { unit: name(0), socket: "s".into() });
    let launched = Launched { pid: 7, invocation: "i".into() };
    machine.handle(at(1), Event::Started { unit: name(0), run: 1, launched });
    executed(&mut machine, 0);
    assert_eq!(phase(&machine, 0), Phase::Running);
    machine
}

fn idle() -> Event {
    Event::Idle { unit: name(0), run: 1 }
}

fn frozen() -> Event {
    Event::Frozen { unit: name(0), run: 1 }
}

fn freeze(purpose: Purpose) -> Action {
    Action::Freeze { unit: name(0), run: 1, purpose }
}

fn thaw() -> Action {
    Action::Thaw { unit: name(0), run: 1 }
}

#[test]
fn an_idle_container_is_stopped_for_good_and_its_unit_listens() {
    for start in [StartOn::Socket, StartOn::Boot] {
        let mut machine = awake(Sleep::Stop, start);
        assert!(machine.handle(at(70), idle()).contains(&freeze(Purpose::Stop)));
        assert!(is_terminated(&machine.handle(at(70), frozen()), 0));
        let actions = ended(&mut machine, 0, Exit::Signal(15));
        assert!(actions.contains(&Action::WatchSockets(name(0))), "{actions:?}");
        assert!(!actions.contains(&Action::CloseSockets(name(0))));
        let unit = machine.unit(&name(0)).unwrap();
        assert_eq!((unit.phase, unit.result), (Phase::Listening, UnitResult::Success));
        let connection = Event::Connection { unit: name(0), socket: "s".into() };
        assert_eq!(launches(&machine.handle(at(80), connection)), [&name(0)]);
    }
}

#[test]
fn who_comes_in_the_last_moment_is_served() {
    let mut machine = awake(Sleep::Stop, StartOn::Socket);
    machine.handle(at(70), idle());
    let actions = machine.handle(at(70), Event::Wanted { unit: name(0) });
    assert!(actions.contains(&thaw()) && !is_terminated(&actions, 0));
    assert_eq!(phase(&machine, 0), Phase::Running);
    assert!(machine.handle(at(71), frozen()).is_empty(), "the answer to the standstill is late");
}

#[test]
fn a_frozen_container_goes_on_with_the_next_connection_and_is_stopped_after_a_longer_time() {
    let hour = Duration::from_secs(3600);
    let mut machine = awake(Sleep::Freeze { stop_after: Some(hour) }, StartOn::Socket);
    assert!(machine.handle(at(70), idle()).contains(&freeze(Purpose::Sleep)));
    let actions = machine.handle(at(70), frozen());
    assert!(actions.contains(&Action::WatchSockets(name(0))));
    assert_eq!((phase(&machine, 0), machine.next_deadline()), (Phase::Frozen, Some(at(3670).boottime)));
    assert_eq!(machine.unit(&name(0)).unwrap().active_state(), ActiveState::Active);
    let connection = || Event::Connection { unit: name(0), socket: "s".into() };
    let actions = machine.handle(at(80), connection());
    assert!(actions.contains(&thaw()) && actions.contains(&Action::UnwatchSockets(name(0))));
    assert_eq!((phase(&machine, 0), machine.next_deadline()), (Phase::Running, None));
    machine.handle(at(200), idle());
    machine.handle(at(200), frozen());
    let actions = machine.handle(at(3800), Event::TimersDue);
    assert!(actions.contains(&freeze(Purpose::Stop)), "one more look: {actions:?}");
    assert!(is_terminated(&machine.handle(at(3800), frozen()), 0));
    ended(&mut machine, 0, Exit::Signal(15));
    assert_eq!(phase(&machine, 0), Phase::Listening);
}

#[test]
fn jobs_find_a_container_that_sleeps_as_one_that_runs() {
    let asleep = || {
        let mut machine = awake(Sleep::Freeze { stop_after: None }, StartOn::Socket);
        machine.handle(at(70), idle());
        machine.handle(at(70), frozen());
        machine
    };
    let mut machine = asleep();
    let (_, actions) = ask(&mut machine, Verb::Start, 0);
    assert_eq!(results(&actions), [(name(0), JobResult::Done)]);
    assert_eq!(phase(&machine, 0), Phase::Frozen);
    let (_, actions) = ask(&mut machine, Verb::Stop, 0);
    assert!(is_terminated(&actions, 0));
    ended(&mut machine, 0, Exit::Code(0));
    assert_eq!(phase(&machine, 0), Phase::Dead);
    let mut machine = asleep();
    assert!(is_terminated(&ask(&mut machine, Verb::Restart, 0).1, 0));
}

#[test]
fn a_successor_finds_a_container_asleep_and_has_it_woken() {
    let mut before = awake(Sleep::Freeze { stop_after: Some(Duration::from_secs(100)) }, StartOn::Socket);
    before.handle(at(70), idle());
    before.handle(at(70), frozen());
    let left = left(&before, &name(0));
    let mut machine = machine(&[before.unit(&name(0)).unwrap().unit().unwrap().clone()]);
    let actions = machine.handle(at(120), Event::Adopted { unit: name(0), left: Box::new(left) });
    machine.handle(at(120), Event::AdoptionDone);
    assert!(actions.contains(&Action::WatchSockets(name(0))), "{actions:?}");
    assert_eq!((phase(&machine, 0), machine.next_deadline()), (Phase::Frozen, Some(at(170).boottime)));
    let connection = Event::Connection { unit: name(0), socket: "s".into() };
    assert!(machine.handle(at(130), connection).contains(&thaw()));
}

#[test]
fn a_successor_finishes_what_was_begun_to_stop_an_idle_container() {
    let mut before = awake(Sleep::Stop, StartOn::Socket);
    before.handle(at(70), idle());
    let left = left(&before, &name(0));
    let mut machine = machine(&[before.unit(&name(0)).unwrap().unit().unwrap().clone()]);
    let actions = machine.handle(at(71), Event::Adopted { unit: name(0), left: Box::new(left) });
    assert!(actions.contains(&freeze(Purpose::Stop)), "new clients have to wait: {actions:?}");
}

#[test]
fn what_never_sleeps_any_more_by_its_file_goes_on() {
    let mut machine = awake(Sleep::Freeze { stop_after: None }, StartOn::Socket);
    machine.handle(at(70), idle());
    machine.handle(at(70), frozen());
    let own = on_socket(container());
    let files = [(name(0), Loaded::good(unit(name(0), own, Dependencies::default())))];
    assert!(machine.handle(at(80), Event::Loaded(files.into())).contains(&thaw()));
    assert_eq!(phase(&machine, 0), Phase::Running);
}
