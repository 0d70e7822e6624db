//! Timers: armed, elapsed, waiting again.

use super::*;
use crate::unit::model::{StartOn, Timer, TimerBase};
use crate::unit::value::{Calendar, Written};

fn timer(change: impl FnOnce(&mut Timer)) -> Timer {
    let mut timer = Timer {
        on_calendar: Vec::new(),
        monotonic: Vec::new(),
        on_clock_change: false,
        on_timezone_change: false,
        accuracy: Duration::from_micros(1),
        randomized_delay: Duration::ZERO,
        fixed_random_delay: false,
        persistent: false,
        wake_system: false,
        remain_after_elapse: true,
        defer_reactivation: false,
    };
    change(&mut timer);
    timer
}

fn minutely(timer: &mut Timer) {
    timer.on_calendar = vec![Calendar::read("minutely").unwrap()];
}

fn after(base: TimerBase, seconds: u64) -> impl FnOnce(&mut Timer) {
    move |timer| timer.monotonic = vec![(base, Duration::from_secs(seconds))]
}

/// A oneshot that waits for its timer, and requires another unit.
fn job(change: impl FnOnce(&mut Timer)) -> Arc<Unit> {
    let mut own = container();
    own.kind = ServiceType::Oneshot;
    own.start = StartOn::Timer;
    own.timer = Some(Box::new(timer(change)));
    unit(name(0), own, Dependencies::default())
}

fn requiring(change: impl FnOnce(&mut Timer)) -> Arc<Unit> {
    let mut unit = Arc::unwrap_or_clone(job(change));
    unit.dependencies.requires.insert(name(1));
    unit.dependencies.after.insert(name(1));
    Arc::new(unit)
}

fn due(machine: &mut Machine, seconds: u64) -> Vec<Action> {
    machine.handle(at(seconds), Event::TimersDue)
}

fn over(machine: &mut Machine, seconds: u64, exit: Exit) -> Vec<Action> {
    let run = machine.unit(&name(0)).unwrap().run.as_ref().unwrap().number;
    let mut actions = machine.handle(at(seconds), Event::Executed { unit: name(0), run });
    actions.extend(machine.handle(at(seconds), Event::Ended { unit: name(0), run, exit }));
    actions
}

fn wake(machine: &Machine) -> Option<u64> {
    let next = Clock::ALL.iter().filter_map(|clock| machine.next_wake(*clock)).min();
    next.map(|next| next.as_secs())
}

#[test]
fn a_start_arms_the_timer_which_runs_the_container_again_and_again() {
    let mut machine = machine(&[job(minutely)]);
    let (_, actions) = ask(&mut machine, Verb::Start, 0);
    assert_eq!(results(&actions), [(name(0), JobResult::Done)]);
    assert!(launches(&actions).is_empty());
    for minute in 1..4 {
        assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Waiting, Some(minute * 60)));
        assert!(launches(&due(&mut machine, minute * 60 - 1)).is_empty());
        assert_eq!(launches(&due(&mut machine, minute * 60)), [&name(0)]);
        assert!(due(&mut machine, minute * 60).is_empty(), "once for each time");
        // A failure does not stop it.
        over(&mut machine, minute * 60 + 10, if minute == 2 { Exit::Code(1) } else { Exit::Code(0) });
    }
    ask(&mut machine, Verb::Stop, 0).0.unwrap();
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Dead, None));
}

#[test]
fn what_is_due_while_the_container_runs_follows_its_end_or_is_left_out() {
    for (deferred, expected) in [(false, 1), (true, 0)] {
        let mut machine = machine(&[job(|timer| {
            minutely(timer);
            timer.defer_reactivation = deferred;
        })]);
        ask(&mut machine, Verb::Start, 0).0.unwrap();
        due(&mut machine, 60);
        assert!(due(&mut machine, 130).is_empty(), "it runs already");
        over(&mut machine, 150, Exit::Code(0));
        assert_eq!(launches(&due(&mut machine, 150)).len(), expected);
    }
}

#[test]
fn spans_count_from_where_they_say() {
    for (base, first) in [
        (TimerBase::Active, Some(31)),
        (TimerBase::Boot, Some(30)),
        (TimerBase::Startup, Some(30)),
        (TimerBase::UnitActive, None),
    ] {
        let mut machine = machine(&[job(after(base, 30))]);
        ask(&mut machine, Verb::Start, 0).0.unwrap();
        assert_eq!(wake(&machine), first, "{base:?}");
        assert_eq!(phase(&machine, 0), if first.is_some() { Phase::Waiting } else { Phase::Elapsed });
        let Some(first) = first else { continue };
        assert_eq!(launches(&due(&mut machine, first)).len(), 1);
        over(&mut machine, first + 1, Exit::Code(0));
        assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Elapsed, None), "once and for all");
    }
}

#[test]
fn the_next_run_follows_the_last_one() {
    for (base, next) in [(TimerBase::UnitActive, 130), (TimerBase::UnitInactive, 135)] {
        let mut machine = machine(&[job(after(base, 30))]);
        ask(&mut machine, Verb::Start, 0).0.unwrap();
        // Nothing has been started yet that it could count from: the first run is asked for.
        let request = Request { unit: name(0), verb: Verb::Start, mode: JobMode::Replace };
        let (_, actions) = machine.request(at(100), &request);
        assert_eq!(launches(&actions), [&name(0)]);
        over(&mut machine, 105, Exit::Code(0));
        assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Waiting, Some(next)), "{base:?}");
    }
}

#[test]
fn one_that_does_not_remain_goes_down_when_it_has_elapsed() {
    let mut machine = machine(&[job(|timer| {
        after(TimerBase::Active, 5)(timer);
        timer.remain_after_elapse = false;
    })]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    due(&mut machine, 6);
    over(&mut machine, 7, Exit::Code(0));
    assert_eq!(phase(&machine, 0), Phase::Dead);
}

#[test]
fn what_a_waiting_unit_needs_is_started_with_its_run_and_may_stop_before() {
    let mut machine = machine(&[requiring(minutely), plain(1)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Waiting, Phase::Dead));
    assert_eq!(launches(&due(&mut machine, 60)), [&name(1)]);
    assert_eq!(launches(&executed(&mut machine, 1)), [&name(0)]);
    over(&mut machine, 61, Exit::Code(0));
    ask(&mut machine, Verb::Stop, 1).0.unwrap();
    ended(&mut machine, 1, Exit::Signal(15));
    assert_eq!((phase(&machine, 0), phase(&machine, 1)), (Phase::Waiting, Phase::Dead));
    // A stop of it ends a run that needs it, and the timer goes on.
    due(&mut machine, 120);
    executed(&mut machine, 1);
    executed(&mut machine, 0);
    ask(&mut machine, Verb::Stop, 1).0.unwrap();
    ended(&mut machine, 0, Exit::Signal(15));
    assert_eq!(
        (phase(&machine, 0), wake(&machine)),
        (Phase::Waiting, Some(60)),
        "the clock stands at second 1"
    );
}

#[test]
fn a_failure_of_what_it_needs_leaves_it_waiting() {
    let mut machine = machine(&[requiring(minutely), plain(1)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    due(&mut machine, 60);
    let failure = Failure { message: "no image".into(), errno: 2, exit: None };
    let actions =
        machine.handle(at(61), Event::LaunchFailed { unit: name(1), run: 1, process: None, failure });
    assert!(results(&actions).contains(&(name(0), JobResult::Dependency)), "{actions:?}");
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Waiting, Some(120)));
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let mut machine = machine(&[job(|timer| {
        minutely(timer);
        timer.persistent = true;
    })]);
    let now = at(10_000);
    let request = Request { unit: name(0), verb: Verb::Start, mode: JobMode::Replace };
    let (_, actions) = machine.request(now, &request);
    assert!(actions.contains(&Action::ReadStamp(name(0))));
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Waiting, None));
    let last = Some(Duration::from_secs(5_000));
    machine.handle(now, Event::StampRead { unit: name(0), last });
    let actions = machine.handle(now, Event::TimersDue);
    assert_eq!(launches(&actions), [&name(0)]);
    assert!(actions.contains(&Action::TouchStamp { unit: name(0), at: now.realtime }));
    over(&mut machine, 10_001, Exit::Code(0));
    assert_eq!(wake(&machine), Some(10_020));
}

#[test]
fn a_random_delay_is_in_its_bounds_and_a_fixed_one_is_the_same_each_time() {
    let mut delays = std::collections::BTreeSet::new();
    for (fixed, seed) in (0..20).map(|seed| (seed % 2 == 0, seed / 2)) {
        let mut machine = machine(&[job(|timer| {
            minutely(timer);
            timer.randomized_delay = Duration::from_secs(30);
            timer.fixed_random_delay = fixed;
        })]);
        let clocks = Clocks { seed, ..Clocks::default() };
        machine.handle(at(1), Event::Clocks(clocks));
        ask(&mut machine, Verb::Start, 0).0.unwrap();
        let first = machine.unit(&name(0)).unwrap().schedule.next_realtime.unwrap();
        assert!((60..90).contains(&first.as_secs()));
        due(&mut machine, 90);
        over(&mut machine, 91, Exit::Code(0));
        let second = machine.unit(&name(0)).unwrap().schedule.next_realtime.unwrap();
        assert!((120..150).contains(&second.as_secs()));
        assert_eq!(second - first == Duration::from_secs(60), fixed);
        delays.insert(first);
    }
    assert!(delays.len() > 10, "hosts start at once: {delays:?}");
}

#[test]
fn a_clock_that_is_set_moves_what_is_on_the_calendar() {
    let mut machine = machine(&[job(minutely)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    due(&mut machine, 60);
    over(&mut machine, 61, Exit::Code(0));
    let back = Stamp { realtime: Duration::from_secs(5), ..at(62) };
    machine.handle(back, Event::ClockSet);
    assert_eq!(wake(&machine), Some(60), "times that come again count again");
    let ahead = Stamp { realtime: Duration::from_secs(1_000), ..at(63) };
    machine.handle(ahead, Event::ClockSet);
    assert_eq!(launches(&machine.handle(ahead, Event::TimersDue)), [&name(0)]);
}

#[test]
fn changes_of_clock_and_zone_are_something_to_elapse_on() {
    let mut machine = machine(&[job(|timer| {
        timer.on_clock_change = true;
        timer.on_timezone_change = true;
    })]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Waiting, None));
    assert_eq!(launches(&machine.handle(at(2), Event::ClockSet)), [&name(0)]);
    over(&mut machine, 3, Exit::Code(0));
    let zone = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
    assert_eq!(launches(&machine.handle(at(4), Event::ZoneChanged(zone.clone()))), [&name(0)]);
    over(&mut machine, 5, Exit::Code(0));
    assert!(machine.handle(at(6), Event::ZoneChanged(zone)).is_empty(), "it is the same");
}

#[test]
fn the_calendar_is_that_of_the_zone() {
    let mut machine = machine(&[job(|timer| timer.on_calendar = vec![Calendar::read("01:00").unwrap()])]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    assert_eq!(wake(&machine), Some(3600));
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    machine.handle(at(2), Event::ZoneChanged(zone));
    assert_eq!(wake(&machine), Some(24 * 3600));
}

#[test]
fn another_timer_in_the_file_is_armed_at_once() {
    let mut machine = machine(&[job(minutely)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    let reload = |machine: &mut Machine, unit: Arc<Unit>| {
        machine.handle(at(2), Event::Loaded([(name(0), Loaded::good(unit))].into()))
    };
    reload(&mut machine, job(|timer| timer.on_calendar = vec![Calendar::read("hourly").unwrap()]));
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Waiting, Some(3600)));
    reload(&mut machine, plain(0));
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Dead, None));
}

#[test]
fn the_next_manager_goes_on_with_the_timer() {
    let mut before = machine(&[job(minutely)]);
    ask(&mut before, Verb::Start, 0).0.unwrap();
    due(&mut before, 60);
    over(&mut before, 61, Exit::Code(0));
    let adopt = |left: Left, seconds: u64| {
        let mut new = machine(&[job(minutely)]);
        new.handle(at(seconds), Event::Adopted { unit: name(0), left: Box::new(left) });
        new.handle(at(seconds), Event::AdoptionDone);
        new
    };
    let mut new = adopt(left(&before, &name(0)), 70);
    assert_eq!((phase(&new, 0), wake(&new)), (Phase::Waiting, Some(120)), "nothing is doubled");
    assert_eq!(launches(&due(&mut new, 120)), [&name(0)]);
    let mut late = adopt(left(&before, &name(0)), 500);
    assert_eq!(launches(&due(&mut late, 500)), [&name(0)], "nothing is missed");
    // One that was about to run when the manager died is run.
    let pulled = Left { phase: Phase::Pull, ..left(&late, &name(0)) };
    let mut machine = machine(&[job(minutely)]);
    machine.handle(at(501), Event::Adopted { unit: name(0), left: Box::new(pulled) });
    assert_eq!(launches(&machine.handle(at(501), Event::AdoptionDone)), [&name(0)]);
}

#[test]
fn a_restart_of_a_run_runs_again_and_one_of_a_waiting_unit_waits_again() {
    let mut machine = machine(&[job(minutely)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    let (_, actions) = ask(&mut machine, Verb::Restart, 0);
    assert_eq!((launches(&actions).len(), phase(&machine, 0)), (0, Phase::Waiting));
    due(&mut machine, 60);
    ask(&mut machine, Verb::Restart, 0).0.unwrap();
    assert_eq!(launches(&ended(&mut machine, 0, Exit::Signal(15))), [&name(0)]);
    over(&mut machine, 62, Exit::Code(0));
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Waiting, Some(120)));
}

#[test]
fn a_failing_run_is_told_to_those_that_wait_for_that() {
    let mut failing = Arc::unwrap_or_clone(job(minutely));
    failing.dependencies.on_failure.insert(name(1));
    let mut machine = machine(&[Arc::new(failing), plain(1)]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    due(&mut machine, 60);
    assert_eq!(launches(&over(&mut machine, 61, Exit::Code(1))), [&name(1)]);
}

#[test]
fn a_start_that_is_refused_is_not_tried_in_a_loop() {
    let mut machine = machine(&[job(after(TimerBase::UnitInactive, 0))]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    for _ in 0..4 {
        over(&mut machine, 1, Exit::Code(0));
        due(&mut machine, 1);
    }
    over(&mut machine, 1, Exit::Code(0));
    assert!(launches(&due(&mut machine, 1)).is_empty());
    let unit = machine.unit(&name(0)).unwrap();
    assert_eq!((unit.phase, unit.result), (Phase::Waiting, UnitResult::StartLimitHit));
    assert_eq!(wake(&machine), Some(2));
}

#[test]
fn sockets_and_a_timer_both_start_the_container() {
    let mut own = on_socket(container());
    own.timer = Some(Box::new(timer(minutely)));
    let mut machine = machine(&[unit(name(0), own, Dependencies::default())]);
    ask(&mut machine, Verb::Start, 0).0.unwrap();
    let opened = || Event::SocketsOpened { unit: name(0), result: Ok(()) };
    machine.handle(at(1), opened());
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Listening, Some(60)));
    due(&mut machine, 60);
    assert_eq!(launches(&machine.handle(at(60), opened())), [&name(0)]);
    over(&mut machine, 61, Exit::Code(0));
    assert_eq!((phase(&machine, 0), wake(&machine)), (Phase::Listening, Some(120)));
    let connection = Event::Connection { unit: name(0), socket: "s".into() };
    assert_eq!(launches(&machine.handle(at(62), connection)), [&name(0)]);
}

fn adopted(units: &[Arc<Unit>], left: Left, seconds: u64) -> (Machine, Vec<Action>) {
    let mut new = machine(units);
    let adopted = new.handle(at(seconds), Event::Adopted { unit: name(0), left: Box::new(left) });
    assert!(launches(&adopted).is_empty(), "nothing follows before all are adopted: {adopted:?}");
    let actions = new.handle(at(seconds), Event::AdoptionDone);
    (new, actions)
}

/// A unit whose run has been asked to end by a job.
fn ending(unit: &Arc<Unit>) -> Left {
    let mut before = machine(std::slice::from_ref(unit));
    ask(&mut before, Verb::Start, 0).0.unwrap();
    due(&mut before, 60);
    ask(&mut before, Verb::Stop, 0).0.unwrap();
    left(&before, &name(0))
}

#[test]
fn the_next_manager_knows_whether_a_stop_was_of_the_unit_or_came_along() {
    let unit = [job(minutely)];
    for (asked, stays) in [(Asked::Along, Phase::Waiting), (Asked::ByName, Phase::Dead)] {
        for phase in [Phase::StopSigterm, Phase::Pull] {
            let left = Left { phase, job: Some((JobKind::Stop, asked)), ..ending(&unit[0]) };
            let (machine, actions) = adopted(&unit, left, 61);
            assert_eq!(
                (self::phase(&machine, 0), launches(&actions).len()),
                (stays, 0),
                "{asked:?} {phase:?}"
            );
        }
    }
}

#[test]
fn the_next_manager_finishes_the_restart_of_a_run() {
    let unit = [job(minutely)];
    let left = Left { job: Some((JobKind::Restart, Asked::ByName)), ..ending(&unit[0]) };
    assert_eq!(launches(&adopted(&unit, left, 61).1), [&name(0)]);
}

#[test]
fn a_run_that_ended_unseen_starts_nobody_while_others_are_adopted() {
    let mut unit = Arc::unwrap_or_clone(job(minutely));
    unit.dependencies.on_success.insert(name(1));
    let units = [Arc::new(unit), plain(1)];
    let left = Left { job: None, ..ending(&units[0]) };
    let (machine, _) = adopted(&units, left, 61);
    assert_eq!(phase(&machine, 0), Phase::Waiting);
}
