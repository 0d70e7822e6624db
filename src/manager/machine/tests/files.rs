//! Files that change while something is under way.

use super::*;
use crate::unit::model::CollectMode;

fn files(machine: &mut Machine, second: u64, index: usize, loaded: Loaded) -> Vec<Action> {
    machine.handle(at(second), Event::LoadedMore(BTreeMap::from([(name(index), loaded)])))
}

fn vanish(machine: &mut Machine, index: usize) -> Vec<Action> {
    files(machine, 1, index, Loaded::unusable(LoadState::NotFound))
}

fn oneshot(index: usize) -> Arc<Unit> {
    of(index, |container| container.kind = ServiceType::Oneshot)
}

#[test]
fn a_unit_that_vanished_while_running_is_stopped_and_then_forgotten() {
    let mut machine = machine(&[plain(0)]);
    run(&mut machine, 0);
    vanish(&mut machine, 0);
    let (answer, actions) = ask(&mut machine, Verb::Stop, 0);
    answer.unwrap();
    assert!(is_terminated(&actions, 0), "{actions:?}");
    let actions = ended(&mut machine, 0, Exit::Code(0));
    assert_eq!(results(&actions), [(name(0), JobResult::Done)]);
    assert!(actions.contains(&Action::Removed(name(0))) && machine.units().is_empty(), "{actions:?}");
}

#[test]
fn a_failure_of_a_unit_that_vanished_is_known_until_somebody_has_seen_it() {
    let mut machine = machine(&[plain(0)]);
    run(&mut machine, 0);
    vanish(&mut machine, 0);
    ended(&mut machine, 0, Exit::Code(1));
    vanish(&mut machine, 0);
    assert_eq!(phase(&machine, 0), Phase::Failed);
    let actions = machine.handle(at(1), Event::ResetFailed { unit: Some(name(0)) });
    assert!(actions.contains(&Action::Removed(name(0))), "{actions:?}");
}

#[test]
fn a_unit_that_vanished_is_collected_with_its_failure_where_it_says_so() {
    let mut own = Arc::unwrap_or_clone(plain(0));
    own.handling.collect = CollectMode::InactiveOrFailed;
    let mut machine = machine(&[Arc::new(own)]);
    run(&mut machine, 0);
    vanish(&mut machine, 0);
    assert!(ended(&mut machine, 0, Exit::Code(1)).contains(&Action::Removed(name(0))));
}

#[test]
fn nobody_looks_at_what_only_a_forgotten_unit_named() {
    let native = UnitName::of_dependency("x.service").unwrap();
    let mut machine = machine(&[with(0, |dependencies| {
        dependencies.before.insert(native.clone());
    })]);
    run(&mut machine, 0);
    vanish(&mut machine, 0);
    let actions = ended(&mut machine, 0, Exit::Code(0));
    assert!(actions.contains(&Action::UnwatchNative(native)), "{actions:?}");
}

#[test]
fn a_unit_of_systemd_that_nobody_names_any_more_is_left_when_its_job_is_over() {
    let native = UnitName::of_dependency("x.service").unwrap();
    let mut machine = machine(&[with(0, |dependencies| {
        dependencies.requires.insert(native.clone());
    })]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    files(&mut machine, 1, 0, Loaded::good(plain(0)));
    let job = machine.natives()[&native].job.unwrap();
    let actions = machine.handle(at(1), Event::JobCanceled(job));
    assert!(actions.contains(&Action::UnwatchNative(native)), "{actions:?}");
}

#[test]
fn sockets_that_come_up_when_their_unit_has_vanished_are_closed() {
    let mut machine = machine(&[unit(name(0), on_socket(container()), Dependencies::default())]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    assert!(vanish(&mut machine, 0).contains(&Action::Removed(name(0))));
    let actions = machine.handle(at(1), Event::SocketsOpened { unit: name(0), result: Ok(()) });
    assert_eq!(actions, [Action::CloseSockets(name(0))]);
}

#[test]
fn a_unit_that_comes_back_does_not_take_news_of_its_former_life_for_its_own() {
    let mut machine = machine(&[plain(0)]);
    run(&mut machine, 0);
    let former = machine.unit(&name(0)).unwrap().run.as_ref().unwrap().number;
    ended(&mut machine, 0, Exit::Code(0));
    vanish(&mut machine, 0);
    files(&mut machine, 1, 0, Loaded::good(plain(0)));
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    machine.handle(at(1), Event::Ended { unit: name(0), run: former, exit: Exit::Code(1) });
    assert_eq!(phase(&machine, 0), Phase::Start);
}

#[test]
fn a_process_that_does_not_end_keeps_its_unit_in_memory_and_from_a_second_one() {
    let mut machine = machine(&[plain(0)]);
    run(&mut machine, 0);
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    machine.handle(at(100), Event::TimersDue);
    machine.handle(at(200), Event::TimersDue);
    machine.handle(at(200), Event::ResetFailed { unit: None });
    vanish(&mut machine, 0);
    files(&mut machine, 200, 0, Loaded::good(plain(0)));
    assert!(launches(&ask(&mut machine, Verb::Start, 0).1).is_empty());
    vanish(&mut machine, 0);
    machine.handle(at(201), Event::ResetFailed { unit: None });
    assert!(ended(&mut machine, 0, Exit::Signal(9)).contains(&Action::Removed(name(0))));
}

#[test]
fn a_run_is_judged_as_what_it_was_launched() {
    let mut machine = machine(&[oneshot(0), plain(1)]);
    for index in [0, 1] {
        ask(&mut machine, Verb::Start, index).0.unwrap();
    }
    files(&mut machine, 1, 0, Loaded::good(plain(0)));
    files(&mut machine, 1, 1, Loaded::good(notifying(1)));
    executed(&mut machine, 0);
    assert_eq!(phase(&machine, 0), Phase::Start);
    assert_eq!(results(&ended(&mut machine, 0, Exit::Code(0))), [(name(0), JobResult::Done)]);
    assert_eq!(results(&executed(&mut machine, 1)), [(name(1), JobResult::Done)]);
}

#[test]
fn a_time_limit_that_is_changed_counts_from_where_the_old_one_did() {
    let limited = |seconds: u64| {
        of(0, |container| {
            container.start_timeout = Some(Duration::from_secs(seconds));
            container.runtime_max = Some(Duration::from_secs(seconds));
            container.watchdog = (seconds > 100).then_some(Duration::from_secs(5));
        })
    };
    let mut machine = machine(&[limited(90)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    files(&mut machine, 11, 0, Loaded::good(limited(20)));
    assert_eq!(machine.next_deadline(), Some(Duration::from_secs(21)));
    executed(&mut machine, 0);
    files(&mut machine, 11, 0, Loaded::good(limited(30)));
    assert_eq!(machine.next_deadline(), Some(Duration::from_secs(31)));
    files(&mut machine, 11, 0, Loaded::good(limited(300)));
    assert_eq!(machine.next_deadline(), Some(Duration::from_secs(16)));
}

#[test]
fn sockets_of_a_start_that_the_next_manager_cannot_make_are_closed() {
    let unit = unit(name(0), on_socket(container()), Dependencies::default());
    let mut new = machine(&[]);
    let loaded = Loaded { state: LoadState::Bad("x".into()), unit: Some(unit) };
    files(&mut new, 1, 0, loaded);
    let left = Left { phase: Phase::StartPre, ..listening() };
    new.handle(at(1), Event::Adopted { unit: name(0), left: Box::new(left) });
    let actions = new.handle(at(1), Event::AdoptionDone);
    assert!(actions.contains(&Action::CloseSockets(name(0))), "{actions:?}");
}

fn listening() -> Left {
    Left {
        phase: Phase::Listening,
        run: None,
        stamps: Stamps::default(),
        result: UnitResult::Success,
        failure: None,
        restarts: 0,
        starts: VecDeque::new(),
        schedule: Schedule::default(),
        job: None,
    }
}

#[test]
fn what_listened_and_has_no_sockets_any_more_is_started_by_the_next_manager() {
    let mut new = machine(&[plain(0)]);
    new.handle(at(1), Event::Adopted { unit: name(0), left: Box::new(listening()) });
    assert_eq!(launches(&new.handle(at(1), Event::AdoptionDone)), [&name(0)]);
}
