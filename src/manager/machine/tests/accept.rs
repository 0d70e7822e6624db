//! Units that listen and have an instance for each connection.

use super::*;
use crate::unit::accepted::instance;
use crate::unit::model::{Accepted, Peer};

fn listener() -> Arc<Unit> {
    let mut own = accepting(container());
    own.restart = RestartPolicy::No;
    unit(name(0), own, Dependencies::default())
}

fn connection() -> Event {
    Event::Connection { unit: name(0), socket: "s".into() }
}

/// A unit that listens, and an instance that runs; it has the name of another unit, by which it can be asked for.
fn served() -> Machine {
    let accepted = Accepted { by: name(0), socket: "s".into(), peer: Peer::Unknown };
    let own = Arc::new(instance(&listener(), name(1), accepted).unwrap());
    let mut machine = machine(&[listener(), own]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    assert!(launches(&machine.handle(at(1), connection())).is_empty());
    run(&mut machine, 1);
    machine
}

#[test]
fn a_listener_runs_nothing_and_goes_on_listening() {
    let mut machine = served();
    assert_eq!(phase(&machine, 0), Phase::Listening);
    let (answer, actions) = ask(&mut machine, Verb::Start, 0);
    answer.unwrap();
    assert!(launches(&actions).is_empty());
    assert_eq!(phase(&machine, 0), Phase::Listening);
}

#[test]
fn a_stop_of_the_listener_stops_what_it_made() {
    let mut machine = served();
    let actions = ask(&mut machine, Verb::Stop, 0).1;
    assert!(actions.contains(&Action::CloseSockets(name(0))) && is_terminated(&actions, 1));
    assert_eq!(phase(&machine, 0), Phase::Dead, "it waits for nobody");
    ended(&mut machine, 1, Exit::Signal(15));
    assert!(machine.unit(&name(1)).unwrap().is_forgettable());
}

#[test]
fn a_restart_of_the_listener_keeps_its_sockets_and_runs_nothing_again() {
    let mut machine = served();
    let mut actions = ask(&mut machine, Verb::Restart, 0).1;
    actions.extend(machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) }));
    assert!(is_terminated(&actions, 1) && !actions.contains(&Action::CloseSockets(name(0))));
    actions.extend(ended(&mut machine, 1, Exit::Signal(15)));
    assert!(launches(&actions).is_empty(), "{actions:?}");
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Listening, Phase::Dead));
}

#[test]
fn what_was_made_for_a_connection_runs_once_and_can_be_forgotten() {
    for exit in [Exit::Code(0), Exit::Code(1), Exit::Signal(9)] {
        let mut machine = served();
        let actions = ended(&mut machine, 1, exit);
        assert!(launches(&actions).is_empty());
        assert!(machine.unit(&name(1)).unwrap().is_forgettable(), "{exit}");
        assert_eq!(phase(&machine, 0), Phase::Listening, "{exit}");
    }
}

#[test]
fn connections_come_too_often_for_the_listener_alone() {
    let mut machine = served();
    let limit = machine.unit(&name(0)).unwrap().container().unwrap().trigger_limit.burst;
    // One has come already.
    (1..limit).for_each(|_| drop(machine.handle(at(1), connection())));
    assert_eq!(phase(&machine, 0), Phase::Listening);
    let actions = machine.handle(at(1), connection());
    assert!(actions.contains(&Action::CloseSockets(name(0))));
    assert_eq!(machine.unit(&name(0)).unwrap().result, UnitResult::TriggerLimitHit);
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Failed, Phase::Running));
}

#[test]
fn a_successor_listens_on_and_does_not_run_what_had_ended() {
    let before = served();
    let listener = left(&before, &name(0));
    let mut machine = machine(&[self::listener()]);
    let mut actions = machine.handle(at(2), Event::Adopted { unit: name(0), left: Box::new(listener) });
    actions.extend(machine.handle(at(2), Event::AdoptionDone));
    assert!(actions.contains(&Action::WatchSockets(name(0))) && launches(&actions).is_empty());
    assert_eq!(phase(&machine, 0), Phase::Listening);
}
