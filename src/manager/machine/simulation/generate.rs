//! Units out of bytes.

use super::fixture::{accepting, container, name, on_socket, unit};
use crate::unit::model::{
    Condition, Container, Dependencies, ExecCommand, ExitStatus, Health, Idle, OnFailure, OnUnhealthy,
    Otherwise, Place, PullPolicy, ReadyOn, Reload, RestartPolicy, Role, ServiceType, Sleep, StartOn, Test,
    Timer, TimerBase, Unit,
};
use crate::unit::name::UnitName;
use crate::unit::value::{Calendar, Written};
use std::sync::Arc;
use std::time::Duration;

/// What histories are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Relations,
    Launches,
    Natives,
    Crashes,
    Times,
    Reloads,
}

/// What the files of one unit may come to say; at first the first.
pub type Versions = Vec<Arc<Unit>>;

/// Bytes that decide; when they are used up, zeros.
pub struct Dice<'a>(std::slice::Iter<'a, u8>);

impl<'a> Dice<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    pub fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One time of `of`, and never when the bytes are used up.
    pub fn rarely(&mut self, of: u8) -> bool {
        self.byte() % of == of - 1
    }
}

pub fn natives() -> [UnitName; 3] {
    ["n0.service", "n1.mount", "n2.target"].map(|name| UnitName::of_dependency(name).unwrap())
}

pub fn units(dice: &mut Dice<'_>, flavour: Flavour) -> Vec<Versions> {
    let count = 1 + dice.below(6);
    (0..count).map(|index| versions(dice, flavour, index, count)).collect()
}

fn versions(dice: &mut Dice<'_>, flavour: Flavour, index: usize, count: usize) -> Versions {
    if flavour != Flavour::Reloads {
        return vec![one(dice, flavour, index, count)];
    }
    let of_any = [Flavour::Relations, Flavour::Launches, Flavour::Natives, Flavour::Times];
    let mut versions: Versions = Vec::new();
    for _ in 0..3 {
        let flavour = of_any[dice.below(4)];
        let mut version = Arc::unwrap_or_clone(one(dice, flavour, index, count));
        // What a unit is its name says.
        if let Some(first) = versions
            .first()
            .filter(|first| first.body.container().is_none() != version.body.container().is_none())
        {
            version.body = first.body.clone();
        }
        versions.push(Arc::new(version));
    }
    versions
}

fn one(dice: &mut Dice<'_>, flavour: Flavour, index: usize, count: usize) -> Arc<Unit> {
    let dependencies = dependencies(dice, flavour, index, count);
    if flavour == Flavour::Relations && dice.rarely(4) {
        let mut target = Arc::unwrap_or_clone(unit(name(index), container(), dependencies));
        target.body = crate::unit::model::Body::Target;
        return Arc::new(target);
    }
    let mut own = container();
    own.restart = [RestartPolicy::No, RestartPolicy::Always, RestartPolicy::OnFailure][dice.below(3)];
    match flavour {
        Flavour::Launches => launch(dice, &mut own),
        Flavour::Times => times(dice, &mut own),
        Flavour::Crashes if dice.rarely(2) => launch(dice, &mut own),
        _ => {}
    }
    if !matches!(flavour, Flavour::Relations | Flavour::Natives) && dice.rarely(2) {
        commands(dice, &mut own);
    }
    if !own.accepts() && dice.rarely(3) {
        timer(dice, &mut own);
    }
    let mut unit = Arc::unwrap_or_clone(unit(name(index), own, dependencies));
    unit.handling.stop_when_unneeded = flavour == Flavour::Relations && dice.rarely(8);
    if flavour == Flavour::Launches && dice.rarely(4) {
        let otherwise = if dice.rarely(2) { Otherwise::Fail } else { Otherwise::Skip };
        unit.conditions.push(Condition {
            test: Test::Host("x".into()),
            expected: true,
            role: Role::Needed,
            otherwise,
            text: r#"host = "x""#.into(),
        });
    }
    Arc::new(unit)
}

fn timer(dice: &mut Dice<'_>, own: &mut Container) {
    let base = [TimerBase::UnitActive, TimerBase::UnitInactive, TimerBase::Active, TimerBase::Boot];
    own.timer = Some(Box::new(Timer {
        on_calendar: dice.rarely(2).then(|| Calendar::read("*:0/2").unwrap()).into_iter().collect(),
        monotonic: vec![(base[dice.below(4)], Duration::from_secs(30))],
        on_clock_change: false,
        on_timezone_change: false,
        accuracy: Duration::from_secs(1),
        randomized_delay: Duration::from_secs(u64::from(dice.byte() % 2) * 10),
        fixed_random_delay: false,
        persistent: dice.rarely(3),
        wake_system: false,
        remain_after_elapse: !dice.rarely(3),
        defer_reactivation: dice.rarely(3),
    }));
    if own.sockets.is_empty() && !dice.rarely(4) {
        own.start = StartOn::Timer;
    }
}

fn launch(dice: &mut Dice<'_>, own: &mut Container) {
    own.kind = [ServiceType::Exec, ServiceType::Notify, ServiceType::Oneshot][dice.below(3)];
    own.ready = if own.kind == ServiceType::Notify { ReadyOn::Notify } else { ReadyOn::Exec };
    own.remain_after_exit = own.kind == ServiceType::Oneshot && dice.rarely(2);
    if dice.rarely(2) {
        own.pull = PullPolicy::Missing;
    }
    if dice.rarely(2) {
        *own = on_socket(own.clone());
        if dice.rarely(4) {
            *own = accepting(own.clone());
        } else if own.kind != ServiceType::Oneshot && dice.rarely(2) {
            let stop_after = dice.rarely(2).then_some(Duration::from_secs(60));
            let sleep = if dice.rarely(2) { Sleep::Stop } else { Sleep::Freeze { stop_after } };
            let timeout = Duration::from_secs(10);
            own.idle = Some(Idle { timeout, sleep, cpu_floor_per_sec_usec: None });
        }
    }
}

/// Around the payload; where they run is nothing to the core.
fn commands(dice: &mut Dice<'_>, own: &mut Container) {
    let command = ExecCommand {
        words: vec!["x".into()],
        place: Place::Container,
        user: None,
        failure: OnFailure::Counts,
    };
    let all = &mut *own.commands;
    for list in
        [&mut all.condition, &mut all.start_pre, &mut all.start_post, &mut all.stop, &mut all.stop_post]
    {
        list.extend(dice.rarely(2).then(|| command.clone()));
    }
}

fn times(dice: &mut Dice<'_>, own: &mut Container) {
    own.kind = ServiceType::Notify;
    own.ready = [ReadyOn::Notify, ReadyOn::Exec, ReadyOn::Health, ReadyOn::Listening][dice.below(4)];
    own.runtime_max = dice.rarely(3).then_some(Duration::from_secs(60));
    own.watchdog = dice.rarely(2).then_some(Duration::from_secs(20));
    own.start_timeout = (!dice.rarely(4)).then_some(Duration::from_secs(30));
    own.restart_steps = 3;
    own.restart_delay_max = Some(Duration::from_secs(5));
    own.reload = dice.rarely(2).then_some(Reload::Signal(1));
    if dice.rarely(3) {
        own.restart_prevent_exit_status.insert(ExitStatus::Code(1));
    }
    own.health = Some(Box::new(Health {
        on_unhealthy: [OnUnhealthy::None, OnUnhealthy::Restart, OnUnhealthy::Stop, OnUnhealthy::Kill]
            [dice.below(4)],
        ..Health::default()
    }));
}

/// Every second relation of others comes with an order, as in life.
fn dependencies(dice: &mut Dice<'_>, flavour: Flavour, index: usize, count: usize) -> Dependencies {
    let mut dependencies = Dependencies::default();
    let relations = if flavour == Flavour::Relations { dice.below(5) } else { dice.below(3) };
    for _ in 0..relations {
        let which = dice.below(15);
        let other = match dice.below(count) {
            own if own == index && count > 1 => name((own + 1) % count),
            own if own == index => continue,
            other => name(other),
        };
        let native = matches!(flavour, Flavour::Natives | Flavour::Crashes) && !dice.rarely(3);
        let other = if native { natives()[dice.below(3)].clone() } else { other };
        let ordered = dice.rarely(2);
        dependencies.sets_mut()[which].insert(other.clone());
        if ordered && !dependencies.before.contains(&other) {
            dependencies.after.insert(other);
        }
    }
    dependencies
}
