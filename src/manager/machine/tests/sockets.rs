//! Sockets before, between and after runs.

use super::*;

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
    let actions =
        machine.handle(at(1), Event::LaunchFailed { unit: name(0), run: 2, process: None, failure });
    assert!(actions.contains(&Action::CloseSockets(name(1))), "{actions:?}");
    assert_eq!(phase(&machine, 1), Phase::Dead);
}

#[test]
fn a_payload_that_does_not_take_its_connection_is_not_launched_for_ever() {
    let launches = |code, burst| {
        let mut own = on_socket(container());
        (own.start_limit.burst, own.trigger_limit.burst) = (0, burst);
        launches_of(own, code)
    };
    assert_eq!(launches(1, 20), (20, Phase::Failed, UnitResult::TriggerLimitHit));
    assert_eq!(launches(0, 3), (3, Phase::Failed, UnitResult::TriggerLimitHit));
    assert_eq!(launches(0, 0).0, 50);
}

/// How often a container is launched by a client that is not served, at most fifty times, and what comes of it.
fn launches_of(own: Container, code: i32) -> (u32, Phase, UnitResult) {
    let mut machine = machine(&[unit(name(0), own, Dependencies::default())]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    let mut count = 0;
    while phase(&machine, 0) == Phase::Listening && count < 50 {
        machine.handle(at(1), Event::Connection { unit: name(0), socket: "s".into() });
        if phase(&machine, 0) == Phase::Start {
            count += 1;
            executed(&mut machine, 0);
            ended(&mut machine, 0, Exit::Code(code));
        }
    }
    let unit = machine.unit(&name(0)).unwrap();
    (count, unit.phase, unit.result)
}
