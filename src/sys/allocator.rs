//! How the C library's allocator keeps memory that was given back to it, mallopt(3).

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
}
