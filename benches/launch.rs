//! Where the time of a launch goes: from the spawn of the launcher to the payload's execution, medians in
//! microseconds. The scope is not waited for. As root.

#[allow(dead_code)]
#[path = "../tests/launch_rig/mod.rs"]
mod rig;

use rig::Rig;
use sampan::launch::plan::passing;
use sampan::unit::model::{NetworkMode, RootMode, UserNamespace};
use std::time::Instant;

const RUNS: usize = 50;

fn main() {
    let mut rig = Rig::new();
    rig.container.command = Some(vec!["/bin/true".into()]);
    println!("{:<24} {:>8} {:>8}", "", "started", "executed");
    measure("persistent root", &mut rig, |rig| rig.container.root = RootMode::Persistent);
    measure("ephemeral root", &mut rig, |rig| rig.container.root = RootMode::Ephemeral);
    measure("read-only root", &mut rig, |rig| rig.container.root = RootMode::ReadOnly);
    measure("host network", &mut rig, |rig| rig.container.network = NetworkMode::Host);
    measure("host network and ids", &mut rig, |rig| {
        rig.container.security.user_namespace = UserNamespace::Host;
    });
}

fn measure(name: &str, rig: &mut Rig, change: impl FnOnce(&mut Rig)) {
    change(rig);
    let mut stages = [const { Vec::new() }; 2];
    for _ in 0..RUNS {
        // As the manager does once a container has ended.
        drop(std::fs::remove_dir_all(passing(RootMode::Ephemeral, &rig.facts.directory)));
        let begin = Instant::now();
        let running = rig.start(&[]);
        for (stage, moment) in stages.iter_mut().zip([running.started, running.executed]) {
            stage.push(moment.duration_since(begin).as_micros());
        }
        rig.finish(running);
    }
    let [started, executed] = stages.map(|mut times| {
        times.sort_unstable();
        times[RUNS / 2]
    });
    println!("{name:<24} {started:>8} {executed:>8}");
}
