//! Random units with all their relations, random requests, failures, delays and crashes of the manager against the
//! core, with its promises checked at each step. A history is a string of bytes, so that it shrinks well.

mod fixture;
mod generate;
mod promises;
mod world;

pub(super) use fixture::{container, name, on_socket, unit};

use generate::{Dice, Flavour};
use proptest::prelude::*;
use world::World;

/// Histories of each flavour; together more than 100,000.
const HISTORIES: u32 = 21_000;

fn live_through(bytes: &[u8], flavour: Flavour) {
    let mut dice = Dice::new(bytes);
    let units = generate::units(&mut dice, flavour);
    let mut world = World::new(&units);
    while !dice.is_empty() {
        world.step(&mut dice, flavour);
    }
    world.end();
}

macro_rules! histories {
    ($($name:ident: $flavour:ident,)*) => {
        proptest! {
            #![proptest_config(ProptestConfig {
                cases: HISTORIES,
                failure_persistence: None,
                ..ProptestConfig::default()
            })]
            $(
                #[test]
                fn $name(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
                    live_through(&bytes, Flavour::$flavour);
                }
            )*
        }
    };
}

histories! {
    promises_hold_for_units_that_need_each_other: Relations,
    promises_hold_for_images_sockets_and_conditions: Launches,
    promises_hold_beside_units_of_systemd: Natives,
    promises_hold_across_crashes_of_the_manager: Crashes,
    promises_hold_for_time_limits_and_notifications: Times,
}
