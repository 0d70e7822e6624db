//! `restart --overlap`: two containers of a unit, and which of them goes on.

use super::*;

fn retired() -> UnitName {
    name(0).retired().unwrap()
}

fn overlap(machine: &mut Machine) -> Vec<Action> {
    let (answer, actions) = ask(machine, Verb::RestartOverlapping, 0);
    answer.unwrap();
    actions
}

fn number(machine: &Machine, unit: &UnitName) -> u64 {
    machine.unit(unit).unwrap().run.as_ref().unwrap().number
}

/// A unit whose container runs, and whose next one is launched.
fn overlapping(unit: Arc<Unit>) -> (Machine, u64) {
    let mut machine = machine(&[unit]);
    run(&mut machine, 0);
    let first = number(&machine, &name(0));
    let actions = overlap(&mut machine);
    assert!(actions.contains(&Action::Retire { unit: name(0), retired: retired(), run: first }));
    assert_eq!(launches(&actions), [&name(0)]);
    (machine, first)
}

#[test]
fn the_one_before_is_stopped_when_the_next_one_is_up_and_the_unit_is_active_all_the_time() {
    let (mut machine, first) = overlapping(plain(0));
    let state = |machine: &Machine| machine.unit(&name(0)).unwrap().active_state();
    assert_eq!((state(&machine), machine.on_standby(&name(0))), (ActiveState::Active, Some(retired())));
    assert_eq!(number(&machine, &retired()), first);
    let actions = executed(&mut machine, 0);
    assert_eq!(results(&actions), [(name(0), JobResult::Done)]);
    assert!(actions.contains(&Action::Terminate { unit: retired(), run: first }));
    assert_eq!((state(&machine), machine.on_standby(&name(0))), (ActiveState::Active, None));
    machine.handle(at(1), Event::Ended { unit: retired(), run: first, exit: Exit::Code(0) });
    assert!(machine.unit(&retired()).unwrap().is_forgettable());
    assert_eq!(phase(&machine, 0), Phase::Running);
}

#[test]
fn the_one_before_goes_on_where_the_next_fails() {
    let (mut machine, first) = overlapping(plain(0));
    let actions = ended(&mut machine, 0, Exit::Code(1));
    assert_eq!(results(&actions), [(name(0), JobResult::Failed)]);
    assert!(actions.contains(&Action::Recall { unit: name(0), retired: retired(), run: first }));
    assert_eq!((phase(&machine, 0), number(&machine, &name(0))), (Phase::Running, first));
    assert_eq!(machine.unit(&retired()).map(|old| old.phase), None);
    let why = &machine.unit(&name(0)).unwrap().failure.as_ref().unwrap().message;
    assert!(why.ends_with("(code=exited, status=1); the container of before goes on"), "{why}");
}

#[test]
fn the_next_one_starts_alone_where_the_one_before_ends() {
    let (mut machine, first) = overlapping(plain(0));
    machine.handle(at(1), Event::Ended { unit: retired(), run: first, exit: Exit::Code(1) });
    let state = |machine: &Machine| machine.unit(&name(0)).unwrap().active_state();
    assert_eq!(state(&machine), ActiveState::Activating);
    assert_eq!(results(&executed(&mut machine, 0)), [(name(0), JobResult::Done)]);
    assert_eq!(state(&machine), ActiveState::Active);
}

#[test]
fn a_second_overlap_waits_for_the_end_of_the_first() {
    let (mut machine, first) = overlapping(plain(0));
    assert!(launches(&overlap(&mut machine)).is_empty(), "another one is on its way");
    let actions = executed(&mut machine, 0);
    assert_eq!(results(&actions), [(name(0), JobResult::Done)], "it is the one that both asked for");
    assert!(launches(&overlap(&mut machine)).is_empty());
    let actions = machine.handle(at(1), Event::Ended { unit: retired(), run: first, exit: Exit::Code(0) });
    assert_eq!(launches(&actions), [&name(0)]);
}

#[test]
fn a_stop_ends_both() {
    let (mut machine, first) = overlapping(plain(0));
    let (_, actions) = ask(&mut machine, Verb::Stop, 0);
    assert!(actions.contains(&Action::Terminate { unit: retired(), run: first }));
    let actions = machine.handle(at(1), Event::Ended { unit: retired(), run: first, exit: Exit::Code(0) });
    assert!(is_terminated(&actions, 0));
    assert_eq!(results(&ended(&mut machine, 0, Exit::Signal(15))), [(name(0), JobResult::Done)]);
    assert_eq!(phase(&machine, 0), Phase::Dead);
}

#[test]
fn an_end_beside_the_one_before_is_followed_by_a_restart_at_once() {
    let (mut machine, _) = overlapping(of(0, |container| container.restart = RestartPolicy::Always));
    executed(&mut machine, 0);
    ended(&mut machine, 0, Exit::Code(1));
    assert_eq!(phase(&machine, 0), Phase::AutoRestart);
    let actions = machine.handle(at(2), Event::TimersDue);
    assert_eq!(launches(&actions), [&name(0)], "that does not wait for what has been retired");
}

#[test]
fn what_sleeps_or_does_not_run_is_restarted_as_ever() {
    let mut machine = machine(&[plain(0)]);
    assert_eq!(launches(&overlap(&mut machine)), [&name(0)]);
    let oneshot = of(0, |container| container.kind = ServiceType::Oneshot);
    machine.handle(at(1), Event::Loaded([(name(0), Loaded::good(oneshot))].into()));
    let refused = ask(&mut machine, Verb::RestartOverlapping, 0).0;
    assert!(matches!(refused, Err(RequestError::Exclusive(..))), "{refused:?}");
}
