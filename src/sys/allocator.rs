//! How the C library's allocator keeps memory that was given back to it, mallopt(3), malloc_trim(3).

use std::io;

/// Blocks of this size and larger have a mapping of their own, and go back to the kernel when they are freed.
const OWN_MAPPING: libc::c_int = 128 << 10;

/// Has large blocks go back to the kernel. By itself the allocator takes the first large block that is freed for the
/// rule, and keeps what is as large from then on.
///
/// # Errors
/// When the C library does not take the setting.
pub fn give_large_blocks_back() -> io::Result<()> {
    // SAFETY: mallopt takes two numbers and no pointers, and may be called at any time.
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING) };
    // mallopt(3): 1 is success, and an error sets no errno.
    if done == 1 { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// Gives pages back to the kernel of which nothing is in use, malloc_trim(3): to be called when much that was needed for
/// a moment is not needed any more.
pub fn give_unused_pages_back() {
    // SAFETY: malloc_trim takes a number, touches only memory that is not in use, and may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of memory that this process has, proc_pid_status(5).
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    #[test]
    fn a_large_block_is_gone_when_it_is_freed() {
        const SIZE: usize = 24 << 20;
        give_large_blocks_back().unwrap();
        drop(std::hint::black_box(vec![1_u8; SIZE]));
        // Other threads of this process take and give memory meanwhile, but not each time.
        let is_gone = || {
            let before = resident();
            drop(std::hint::black_box(vec![1_u8; SIZE]));
            let held = std::hint::black_box(vec![1_u8; SIZE]);
            let between = resident();
            drop(held);
            between > before + SIZE / 2 && resident() < before + SIZE / 2
        };
        assert!((0..100).any(|_| is_gone()));
    }

    #[test]
    fn what_lies_between_blocks_in_use_is_given_back() {
        // Each is too small for a mapping of its own, and every tenth stays.
        const BLOCK: usize = 16 << 10;
        const BLOCKS: usize = 2000;
        let is_given_back = || {
            let blocks: Vec<_> = (0..BLOCKS).map(|_| std::hint::black_box(vec![1_u8; BLOCK])).collect();
            let kept: Vec<_> = blocks.into_iter().step_by(10).collect();
            let before = resident();
            give_unused_pages_back();
            let after = resident();
            drop(kept);
            after + BLOCK * BLOCKS / 2 < before
        };
        assert!((0..100).any(|_| is_given_back()));
    }
}
