//! Starts, restarts, readiness and ends of one unit.

use super::*;

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

/// Since when a unit is "activating": systemctl(1) shows it.
#[test]
fn a_pause_before_a_restart_begins_with_the_end_and_ends_with_the_restart() {
    let mut machine = machine(&[of(0, |container| container.restart = RestartPolicy::Always)]);
    run(&mut machine, 0);
    machine.handle(at(50), Event::Ended { unit: name(0), run: 1, exit: Exit::Code(1) });
    let stamps = |machine: &Machine| machine.unit(&name(0)).unwrap().stamps;
    assert_eq!(phase(&machine, 0), Phase::AutoRestart);
    assert_eq!((stamps(&machine).inactive_enter, stamps(&machine).inactive_exit), (at(50), at(50)));
    machine.handle(at(60), Event::TimersDue);
    assert_eq!((phase(&machine, 0), stamps(&machine).inactive_exit), (Phase::Start, at(60)));
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
fn a_stop_of_the_scope_is_a_clean_stop_that_does_not_restart() {
    let mut machine = machine(&[of(0, |container| container.restart = RestartPolicy::Always)]);
    run(&mut machine, 0);
    machine.handle(at(1), Event::StopRequested { unit: name(0) });
    ended(&mut machine, 0, Exit::Signal(15));
    assert_eq!(phase(&machine, 0), Phase::Dead);
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
