//! The launcher itself: who keeps one, and what is left of it.

#[allow(dead_code, reason = "each test program uses its own part")]
#[path = "launch_rig/mod.rs"]
mod rig;

use rig::Rig;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use sampan::launch::protocol::UNSTARTED;
use sampan::sys::pidfd::{self, Exit};

#[test]
fn a_launch_ends_with_its_manager() {
    let rig = Rig::new();
    let process = rig.abandon();
    assert_eq!(pidfd::wait(&process).unwrap(), Exit::Code(UNSTARTED));
}

#[test]
fn a_launcher_that_waits_is_the_next_one_and_ends_with_who_keeps_it() {
    let mut rig = Rig::new();
    rig.script("echo launched");
    let kept = rig.keep_launcher();
    assert_eq!(rig.keep_launcher(), kept, "one is enough");
    assert_eq!(rig.run().printed(), "launched\n");
    assert!(!rig::children().contains(&kept), "it has launched");
    // One that has ended meanwhile is in nobody's way.
    let killed = rig.keep_launcher();
    assert_ne!(killed, kept);
    let process = pidfd::open(killed).unwrap();
    pidfd::signal(&process, Signal::KILL).unwrap();
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut ended, None).unwrap();
    assert_eq!(rig.run().printed(), "launched\n");
    rig.keep_launcher();
    drop(rig);
    assert!(rig::children().is_empty(), "{:?}", rig::children());
}
