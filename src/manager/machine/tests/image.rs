//! Images before a launch.

use super::*;

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
