//! Random units with all their relations, random requests, failures, delays and crashes of the manager against the
//! core, with its promises checked at each step. A history is units and steps in bytes, so that it shrinks well;
//! the shortest one that breaks a promise is told in full.

mod files;
mod fixture;
mod generate;
mod overlap;
mod promises;
mod sleep;
mod world;

pub(super) use fixture::{accepting, container, left, name, on_socket, unit};

use generate::{Dice, Flavour};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use world::{Telling, World};

/// Histories of each flavour. `tests/soak simulation` lives through others.
const HISTORIES: u32 = 10_000;

fn live_through(units: &[u8], steps: &[[u8; 3]], flavour: Flavour, telling: Telling) {
    let units = generate::units(&mut Dice::new(units), flavour);
    let mut world = World::new(&units, telling);
    for step in steps {
        world.step(*step, flavour);
    }
    world.end();
}

fn promises_hold(flavour: Flavour) {
    let own = ProptestConfig::default();
    let config = ProptestConfig { cases: own.cases.max(HISTORIES), failure_persistence: None, ..own };
    let bytes = if flavour == Flavour::Reloads { 150 } else { 60 };
    let units = prop::collection::vec(any::<u8>(), 0..bytes);
    let steps = prop::collection::vec(any::<[u8; 3]>(), 0..50);
    let lived = TestRunner::new(config).run(&(units, steps), |(units, steps)| {
        live_through(&units, &steps, flavour, Telling::Silent);
        Ok(())
    });
    match lived {
        Ok(()) => {}
        Err(TestError::Fail(_, (units, steps))) => {
            live_through(&units, &steps, flavour, Telling::Aloud);
            panic!("a promise is broken only now and then: {units:?} {steps:?}");
        }
        Err(aborted) => panic!("{aborted}"),
    }
}

#[test]
fn promises_hold_for_units_that_need_each_other() {
    promises_hold(Flavour::Relations);
}

#[test]
fn promises_hold_for_images_sockets_and_conditions() {
    promises_hold(Flavour::Launches);
}

#[test]
fn promises_hold_beside_units_of_systemd() {
    promises_hold(Flavour::Natives);
}

#[test]
fn promises_hold_across_crashes_of_the_manager() {
    promises_hold(Flavour::Crashes);
}

#[test]
fn promises_hold_for_time_limits_and_notifications() {
    promises_hold(Flavour::Times);
}

#[test]
fn promises_hold_while_unit_files_change() {
    promises_hold(Flavour::Reloads);
}
