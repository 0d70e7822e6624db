//! Requirements, orders and what follows from other units.

use super::*;

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
    let actions =
        machine.handle(at(1), Event::LaunchFailed { unit: name(0), run: 1, process: None, failure });
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
    assert!(is_terminated(&actions, 1));
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
fn what_is_bound_to_a_unit_goes_down_with_it() {
    let bound = with(1, |dependencies| {
        dependencies.binds_to.insert(name(0));
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[plain(0), bound]);
    run(&mut machine, 0);
    run(&mut machine, 1);
    let actions = ended(&mut machine, 0, Exit::Code(1));
    assert!(is_terminated(&actions, 1));
}
