//! What the simulation has found, each history cut down to its shortest.

use super::*;
use crate::unit::model::{Body, Condition, Otherwise, Reload, Role, Test};

fn ask_with(machine: &mut Machine, verb: Verb, index: usize, mode: JobMode) -> Vec<Action> {
    let (answer, actions) = machine.request(at(1), &Request { unit: name(index), verb, mode });
    answer.unwrap();
    actions
}

/// Each requires the other, and starts after it.
fn cycle() -> [Arc<Unit>; 2] {
    let needing = |own: usize, other: usize| {
        with(own, |dependencies| {
            dependencies.requires.insert(name(other));
            dependencies.after.insert(name(other));
        })
    };
    [needing(0, 1), needing(1, 0)]
}

fn rivals() -> [Arc<Unit>; 2] {
    let first = with(0, |dependencies| {
        dependencies.conflicts.insert(name(1));
    });
    [first, plain(1)]
}

/// Another manager after a crash.
fn successor(old: &Machine, units: &[Arc<Unit>]) -> (Machine, Vec<Action>) {
    let mut new = machine(units);
    for index in 0..units.len() {
        let left = Box::new(left(old, &name(index)));
        new.handle(at(1), Event::Adopted { unit: name(index), left });
    }
    let actions = new.handle(at(1), Event::AdoptionDone);
    (new, actions)
}

#[test]
fn a_restart_in_a_cycle_is_refused_like_a_start() {
    let mut machine = machine(&cycle());
    let error = ask(&mut machine, Verb::Restart, 0).0.unwrap_err();
    assert!(matches!(error, RequestError::Cycle(_)), "{error}");
    assert!(machine.jobs().is_empty());
}

#[test]
fn a_cycle_keeps_nothing_from_stopping() {
    let mut machine = machine(&cycle());
    for index in [0, 1] {
        ask_with(&mut machine, Verb::Start, index, JobMode::IgnoreDependencies);
        executed(&mut machine, index);
    }
    let (answer, actions) = ask(&mut machine, Verb::Stop, 0);
    answer.unwrap();
    assert!(is_terminated(&actions, 0) && is_terminated(&actions, 1), "{actions:?}");
}

#[test]
fn a_cycle_that_comes_with_new_files_blocks_no_job_that_waits() {
    let first = with(1, |dependencies| {
        dependencies.requires.insert(name(0));
        dependencies.after.insert(name(0));
    });
    let last = |dependencies: &mut Dependencies| {
        dependencies.wants.insert(name(1));
        dependencies.after.insert(name(1));
    };
    let mut machine = machine(&[plain(0), first, with(2, last)]);
    ask(&mut machine, Verb::Start, 2).0.unwrap();
    let changed = with(1, |dependencies| {
        dependencies.after.insert(name(2));
    });
    let changed = BTreeMap::from([(name(1), Loaded::good(changed))]);
    let actions = machine.handle(at(1), Event::LoadedMore(changed));
    assert_eq!(launches(&actions).len(), 2, "{actions:?}");
}

#[test]
fn what_is_up_already_is_no_part_of_a_cycle() {
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
    run(&mut machine, 1);
    assert_eq!(launches(&ask(&mut machine, Verb::Start, 0).1), [&name(0)]);
}

#[test]
fn the_end_of_the_host_is_stopped_by_no_job() {
    let after = with(1, |dependencies| {
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[plain(0), after]);
    for index in [0, 1] {
        ask_with(&mut machine, Verb::Start, index, JobMode::ReplaceIrreversibly);
    }
    let actions = machine.handle(at(1), Event::ShuttingDown);
    assert!(is_terminated(&actions, 0) && launches(&actions).is_empty(), "{actions:?}");
    let actions = ended(&mut machine, 0, Exit::Code(0));
    assert!(launches(&actions).is_empty() && machine.jobs().is_empty(), "{actions:?}");
}

#[test]
fn nothing_waits_for_a_job_that_does_without_its_order_from_now_on() {
    let second = with(1, |dependencies| {
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[plain(0), second]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    assert!(launches(&ask(&mut machine, Verb::Start, 1).1).is_empty());
    let actions = ask_with(&mut machine, Verb::Start, 0, JobMode::IgnoreDependencies);
    assert_eq!(launches(&actions), [&name(1)]);
}

#[test]
fn a_restart_by_policy_that_somebody_cancels_leaves_the_unit_down() {
    let own = |container: &mut Container| container.restart = RestartPolicy::Always;
    let bound = with(1, |dependencies| {
        dependencies.requires.insert(name(0));
        dependencies.after.insert(name(0));
    });
    let mut machine = machine(&[of(0, own), bound]);
    run(&mut machine, 0);
    run(&mut machine, 1);
    ended(&mut machine, 0, Exit::Code(1));
    machine.handle(at(2), Event::TimersDue);
    let job = machine.unit(&name(0)).unwrap().job.unwrap();
    machine.handle(at(2), Event::JobCanceled(job));
    assert_eq!(phase(&machine, 0), Phase::Failed);
}

#[test]
fn a_conflict_holds_within_a_cycle() {
    let first = with(0, |dependencies| {
        dependencies.after.insert(name(1));
    });
    let second = with(1, |dependencies| {
        dependencies.after.insert(name(0));
        dependencies.conflicts.insert(name(0));
    });
    let mut machine = machine(&[first, second]);
    run(&mut machine, 0);
    let (_, actions) = ask(&mut machine, Verb::Restart, 1);
    assert!(is_terminated(&actions, 0) && launches(&actions).is_empty(), "{actions:?}");
    assert_eq!(launches(&ended(&mut machine, 0, Exit::Code(0))), [&name(1)]);
}

#[test]
fn a_rival_on_its_way_down_is_waited_for_whatever_becomes_of_its_job() {
    for verb in [None, Some(Verb::Reload)] {
        let mut units = rivals();
        let Body::Container(own) = &mut Arc::get_mut(&mut units[0]).unwrap().body else { panic!() };
        own.reload = Some(Reload::Signal(1));
        let mut machine = machine(&units);
        run(&mut machine, 0);
        assert!(is_terminated(&ask(&mut machine, Verb::Start, 1).1, 0));
        let job = machine.unit(&name(0)).unwrap().job.unwrap();
        let actions = match verb {
            None => machine.handle(at(1), Event::JobCanceled(job)),
            Some(verb) => ask(&mut machine, verb, 0).1,
        };
        assert!(launches(&actions).is_empty(), "{actions:?}");
        assert_eq!(launches(&ended(&mut machine, 0, Exit::Code(0))), [&name(1)]);
    }
}

#[test]
fn a_rival_whose_stop_is_cancelled_in_time_stays_alone() {
    let mut units = rivals().to_vec();
    units.push(with(2, |dependencies| {
        dependencies.after.insert(name(0));
        dependencies.requires.insert(name(0));
    }));
    let mut machine = machine(&units);
    run(&mut machine, 0);
    run(&mut machine, 2);
    ask(&mut machine, Verb::Start, 1).0.unwrap();
    let job = machine.unit(&name(0)).unwrap().job.unwrap();
    let actions = machine.handle(at(1), Event::JobCanceled(job));
    assert_eq!(results(&actions), [(name(0), JobResult::Canceled), (name(1), JobResult::Canceled)]);
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Running, Phase::Dead));
}

#[test]
fn a_rival_whose_stop_another_job_replaces_in_time_stays_alone() {
    let mut units = rivals().to_vec();
    units.push(with(2, |dependencies| {
        dependencies.after.insert(name(0));
        dependencies.requires.insert(name(0));
    }));
    units.push(with(3, |dependencies| {
        dependencies.requisite.insert(name(0));
    }));
    let mut machine = machine(&units);
    run(&mut machine, 0);
    run(&mut machine, 2);
    ask(&mut machine, Verb::Start, 1).0.unwrap();
    let (_, actions) = ask(&mut machine, Verb::Start, 3);
    assert!(results(&actions).contains(&(name(1), JobResult::Canceled)), "{actions:?}");
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Running, Phase::Dead));
}

#[test]
fn a_rival_that_is_starting_and_whose_stop_another_job_replaces_stays_alone() {
    let mut units = rivals().to_vec();
    units.push(with(2, |dependencies| {
        dependencies.after.insert(name(0));
        dependencies.requisite.insert(name(0));
    }));
    let mut machine = machine(&units);
    ask_with(&mut machine, Verb::Start, 2, JobMode::IgnoreDependencies);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    ask(&mut machine, Verb::Start, 1).0.unwrap();
    let (answer, actions) = ask(&mut machine, Verb::Start, 2);
    answer.unwrap();
    assert!(results(&actions).contains(&(name(1), JobResult::Canceled)), "{actions:?}");
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Start, Phase::Dead));
}

#[test]
fn a_watchdog_bites_at_the_moment_when_a_reload_times_out() {
    let own = |container: &mut Container| {
        container.watchdog = Some(Duration::from_secs(20));
        container.start_timeout = Some(Duration::from_secs(20));
        container.reload = Some(Reload::Signal(1));
    };
    let mut machine = machine(&[of(0, own)]);
    run(&mut machine, 0);
    ask(&mut machine, Verb::Reload, 0).0.unwrap();
    let actions = machine.handle(at(21), Event::TimersDue);
    assert_eq!(results(&actions), [(name(0), JobResult::Timeout)]);
    assert_eq!(phase(&machine, 0), Phase::StopWatchdog);
}

#[test]
fn a_condition_that_no_longer_holds_leaves_no_socket_of_a_restart_open() {
    let mut own = Arc::unwrap_or_clone(unit(name(0), on_socket(container()), Dependencies::default()));
    own.conditions.push(Condition {
        test: Test::Host("x".into()),
        expected: true,
        role: Role::Needed,
        otherwise: Otherwise::Skip,
        text: String::new(),
    });
    let mut machine = machine(&[Arc::new(own)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    machine.handle(at(1), Event::ConditionsChecked { unit: name(0), result: Ok(()) });
    machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    ask(&mut machine, Verb::Restart, 0).0.unwrap();
    let job = machine.unit(&name(0)).unwrap().job.unwrap();
    machine.handle(at(1), Event::JobCanceled(job));
    let unmet = Unmet { otherwise: Otherwise::Skip, text: String::new(), at: at(1) };
    let actions = machine.handle(at(1), Event::ConditionsChecked { unit: name(0), result: Err(unmet) });
    assert!(actions.contains(&Action::CloseSockets(name(0))), "{actions:?}");
}

#[test]
fn a_start_that_had_no_process_is_made_anew_by_the_next_manager() {
    let units = [plain(0)];
    let mut old = machine(&units);
    ask(&mut old, Verb::Start, 0).0.unwrap();
    let (_, actions) = successor(&old, &units);
    assert_eq!(launches(&actions), [&name(0)]);
}

#[test]
fn a_launch_that_ended_with_its_manager_is_made_anew_also_where_the_next_one_ends_meanwhile() {
    let units = [plain(0)];
    let mut old = machine(&units);
    ask(&mut old, Verb::Start, 0).0.unwrap();
    let run = old.unit(&name(0)).unwrap().run.as_ref().unwrap().number;
    let launched = Launched { pid: 7, invocation: String::new() };
    old.handle(at(1), Event::Started { unit: name(0), run, launched });
    let (mut new, actions) = successor(&old, &units);
    assert!(launches(&actions).is_empty(), "its process may live: {actions:?}");
    let exit = Exit::Code(203);
    let actions = new.handle(at(2), Event::Unstarted { unit: name(0), run, exit });
    assert_eq!(launches(&actions), [&name(0)]);
    let (_, actions) = successor(&new, &units);
    assert_eq!(launches(&actions), [&name(0)], "nobody looks for the process that has ended");
}

#[test]
fn a_container_that_is_ready_before_its_process_is_known_is_started_by_the_next_manager() {
    let units = [notifying(0)];
    let mut old = machine(&units);
    ask(&mut old, Verb::Start, 0).0.unwrap();
    let run = old.unit(&name(0)).unwrap().run.as_ref().unwrap().number;
    old.handle(at(1), Event::Notified { unit: name(0), run, what: Notification::Ready });
    let (mut new, actions) = successor(&old, &units);
    assert_eq!(launches(&actions), [&name(0)]);
    assert!(is_terminated(&new.handle(at(1), Event::ShuttingDown), 0));
}

#[test]
fn a_reload_that_is_under_way_is_watched_by_the_next_manager_too() {
    let own = |container: &mut Container| container.watchdog = Some(Duration::from_secs(20));
    let units = [of(0, own)];
    let mut new = machine(&units);
    let mut old = machine(&units);
    run(&mut old, 0);
    let mut left = left(&old, &name(0));
    left.phase = Phase::ReloadNotify;
    if let Some(run) = &mut left.run {
        run.pid = 7;
    }
    new.handle(at(1), Event::Adopted { unit: name(0), left: Box::new(left) });
    new.handle(at(1), Event::AdoptionDone);
    assert_eq!(new.next_deadline(), Some(Duration::from_secs(21)));
}

#[test]
fn a_stop_that_had_no_process_left_is_over_for_the_next_manager() {
    let units = [plain(0)];
    let mut old = machine(&units);
    ask(&mut old, Verb::Start, 0).0.unwrap();
    ask(&mut old, Verb::Stop, 0).0.unwrap();
    let (new, _) = successor(&old, &units);
    assert_eq!((phase(&new, 0), new.jobs().len()), (Phase::Dead, 0));
}

#[test]
fn sockets_survive_two_managers_that_die_before_a_start_is_over() {
    let units = [unit(name(0), on_socket(container()), Dependencies::default())];
    let mut old = machine(&units);
    ask(&mut old, Verb::Start, 0).0.unwrap();
    old.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    let (mut new, _) = successor(&successor(&old, &units).0, &units);
    let actions = new.handle(at(1), Event::ShuttingDown);
    assert!(actions.contains(&Action::CloseSockets(name(0))), "{actions:?}");
}

#[test]
fn a_crash_of_the_manager_is_no_way_round_the_start_limit() {
    let units = [of(0, |container| container.restart = RestartPolicy::Always)];
    let mut machine = machine(&units);
    for second in 1..=5 {
        if second == 1 {
            ask(&mut machine, Verb::Start, 0).0.unwrap();
        } else {
            machine.handle(at(second), Event::TimersDue);
        }
        ended(&mut machine, 0, Exit::Code(1));
        machine = successor(&machine, &units).0;
        assert_eq!(phase(&machine, 0), Phase::AutoRestart);
    }
    machine.handle(at(6), Event::TimersDue);
    let unit = machine.unit(&name(0)).unwrap();
    assert_eq!((unit.phase, unit.result), (Phase::Failed, UnitResult::StartLimitHit));
}

#[test]
fn a_failure_is_still_known_to_the_next_manager() {
    let units = [plain(0)];
    let mut old = machine(&units);
    run(&mut old, 0);
    ended(&mut old, 0, Exit::Code(3));
    let (new, _) = successor(&old, &units);
    let unit = new.unit(&name(0)).unwrap();
    assert_eq!((unit.phase, unit.result), (Phase::Failed, UnitResult::ExitCode));
}
