//! Leaving the network: a namespace of its own, with nothing in it.

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

/// Moves the calling process, which must have one thread, into a new and empty network namespace.
///
/// # Errors
/// When the kernel refuses, unshare(2).
pub fn leave() -> Result<(), Errno> {
    // SAFETY: CLONE_NEWNET alone changes no table of descriptors and no memory that this process shares; what
    // makes unshare(2) unsafe is CLONE_FILES, which is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_that_left_has_only_its_own_loopback() {
        let interfaces = std::thread::spawn(|| {
            super::leave().expect("this test needs root");
            // A thread's own view, for the others of this test stay where they are.
            std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()
        });
        let interfaces = interfaces.join().unwrap();
        let names: Vec<_> = interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names.iter().map(|name| name.trim()).filter(|name| *name == "eth0").count(), 0);
        assert!(interfaces.contains("lo:"));
    }
}
