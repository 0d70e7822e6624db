//! What the pure core costs with many units, in microseconds: the median of several runs. No container is launched.

use sampan::manager::machine::{Action, Event, JobMode, Loaded, Machine, Request, Stamp, Verb};
use sampan::paths::Paths;
use sampan::unit::load::{Loaded as Read, load_one};
use sampan::unit::model::{Dependencies, Unit};
use sampan::unit::name::UnitName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: usize = 9;

type Units = BTreeMap<UnitName, Loaded>;

fn main() {
    let unit = one();
    println!("{:<44} {:>10} {:>10} {:>10}", "", 100, 1000, 10_000);
    row("load all", |count| {
        let units = independent(&unit, count);
        measure(|| (Machine::default(), units.clone()), |(machine, units)| load(machine, units))
    });
    row("read all again, none has changed", |count| {
        let units = independent(&unit, count);
        measure(|| (loaded(&units), units.clone()), |(machine, units)| load(machine, units))
    });
    row("start and stop one", |count| {
        let units = independent(&unit, count);
        measure(
            || loaded(&units),
            |machine| {
                start(machine, "u7.container");
                request(machine, "u7.container", Verb::Stop);
            },
        )
    });
    row("start 100 that one wants", |count| {
        let mut units = independent(&unit, count);
        let wants = (0..100).map(name).collect();
        insert(&mut units, &unit, "all.container", Dependencies { wants, ..Dependencies::default() });
        measure(|| loaded(&units), |machine| start(machine, "all.container"))
    });
    row("start all that one requires and is after", |count| {
        let units = all_under_one(&unit, count);
        measure(|| loaded(&units), |machine| start(machine, "all.container"))
    });
    row("start a chain of all", |count| {
        let units = chain(&unit, count);
        measure(|| loaded(&units), |machine| start(machine, name(count - 1).as_str()))
    });
    row("stop a chain of all", |count| {
        let units = chain(&unit, count);
        let up = || {
            let mut machine = loaded(&units);
            start(&mut machine, name(count - 1).as_str());
            machine
        };
        measure(up, |machine| request(machine, "u0.container", Verb::Stop))
    });
    row("the end of the host, all are up", |count| {
        let units = all_under_one(&unit, count);
        let up = || {
            let mut machine = loaded(&units);
            start(&mut machine, "all.container");
            machine
        };
        measure(up, |machine| {
            let actions = machine.handle(now(), Event::ShuttingDown);
            answer(machine, actions);
        })
    });
}

fn one() -> Unit {
    let root = tempfile::tempdir().expect("a temporary directory");
    let paths = Paths::new(root.path());
    let directory = root.path().join("etc/sampan/units");
    std::fs::create_dir_all(&directory).expect("a directory for units");
    let text = "[container]\nimage = \"dir:/\"\n";
    std::fs::write(directory.join("one.container.toml"), text).expect("a unit");
    let name = UnitName::parse("one.container").expect("a name");
    let Some(Read::Good(unit)) = load_one(&paths, &name).loaded else { panic!("a valid unit") };
    Arc::unwrap_or_clone(unit)
}

fn name(index: usize) -> UnitName {
    UnitName::parse(&format!("u{index}.container")).expect("a name")
}

fn insert(units: &mut Units, one: &Unit, name: &str, dependencies: Dependencies) {
    let name = UnitName::parse(name).expect("a name");
    let unit = Unit { name: name.clone(), dependencies: dependencies.into(), ..one.clone() };
    units.insert(name, Loaded::good(Arc::new(unit)));
}

fn independent(one: &Unit, count: usize) -> Units {
    let mut units = Units::new();
    for index in 0..count {
        insert(&mut units, one, name(index).as_str(), Dependencies::default());
    }
    units
}

fn all_under_one(one: &Unit, count: usize) -> Units {
    let mut units = independent(one, count);
    let all: std::collections::BTreeSet<UnitName> = (0..count).map(name).collect();
    let dependencies = Dependencies { requires: all.clone(), after: all, ..Dependencies::default() };
    insert(&mut units, one, "all.container", dependencies);
    units
}

fn chain(one: &Unit, count: usize) -> Units {
    let mut units = independent(one, 1);
    for index in 1..count {
        let before: std::collections::BTreeSet<UnitName> = [name(index - 1)].into();
        let dependencies =
            Dependencies { requires: before.clone(), after: before, ..Dependencies::default() };
        insert(&mut units, one, name(index).as_str(), dependencies);
    }
    units
}

fn now() -> Stamp {
    let time = Duration::from_secs(1);
    Stamp { realtime: time, boottime: time, monotonic: time }
}

fn load(machine: &mut Machine, units: &mut Units) {
    machine.handle(now(), Event::Loaded(std::mem::take(units)));
}

fn loaded(units: &Units) -> Machine {
    let mut machine = Machine::default();
    load(&mut machine, &mut units.clone());
    machine
}

fn start(machine: &mut Machine, unit: &str) {
    request(machine, unit, Verb::Start);
}

/// Until nothing is left to be done.
fn request(machine: &mut Machine, unit: &str, verb: Verb) {
    let unit = UnitName::parse(unit).expect("a name");
    let request = Request { unit, verb, mode: JobMode::Replace };
    let (answered, actions) = machine.request(now(), &request);
    answered.expect("a job");
    answer(machine, actions);
    assert!(machine.jobs().is_empty(), "all jobs are over");
}

fn answer(machine: &mut Machine, mut actions: Vec<Action>) {
    while let Some(action) = actions.pop() {
        let event = match action {
            Action::Launch { unit, run } => Event::Executed { unit, run },
            Action::Terminate { unit, run } => {
                Event::Ended { unit, run, exit: sampan::manager::machine::Exit::Code(0) }
            }
            _ => continue,
        };
        actions.extend(machine.handle(now(), event));
    }
}

fn row(what: &str, of: impl Fn(usize) -> u128) {
    println!("{what:<44} {:>10} {:>10} {:>10}", of(100), of(1000), of(10_000));
}

fn measure<T>(prepare: impl Fn() -> T, run: impl Fn(&mut T)) -> u128 {
    let once = || {
        let mut subject = prepare();
        let begin = Instant::now();
        run(&mut subject);
        begin.elapsed().as_micros()
    };
    let mut times: Vec<u128> = (0..RUNS).map(|_| once()).collect();
    times.sort_unstable();
    times[RUNS / 2]
}
