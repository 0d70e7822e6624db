//! Changes of seeds, the same for the same number.

/// A generator of numbers that is good enough and always the same (xorshift64*).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Bytes that parsers stumble over.
const ODD: &[&[u8]] =
    &[b"\0", b"/", b"..", b"../", b"\xff", b"-1", b"99999999999", b"\"", b"{", b"\n", b"\x80", b":"];

/// Changes some bytes: flips, overwrites, cuts, doubles, inserts, or takes a part of another seed.
pub fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            return;
        }
        // Most of what matters in an archive is in its first blocks.
        let reach = if rng.below(2) == 0 { bytes.len() } else { bytes.len().min(2048) };
        let at = rng.below(reach);
        let end = bytes.len().min(at + 1 + rng.below(600));
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let odd = ODD[rng.below(ODD.len())];
                let end = bytes.len().min(at + odd.len());
                bytes.splice(at..end, odd.iter().copied());
            }
            5 => {
                let from = rng.below(other.len());
                let to = other.len().min(from + 512);
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => bytes.truncate(end),
        }
    }
}

/// Gives every block that looks like a header of tar the checksum of what is in it.
pub fn reseal(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        let number = block[148..156].iter().all(|byte| b"01234567 \0".contains(byte));
        if number && block[148] != 0 || block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
