//! Random choices that can be repeated: `SAMPAN_SEED` has those of an earlier run.

use std::sync::OnceLock;

/// A generator of choices: xorshift64.
pub struct Dice(u64);

impl Dice {
    /// One of several, told apart by their salt.
    pub fn new(salt: u64) -> Self {
        Self(seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (salt + 1).wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    /// A number below another.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let drawn = || std::time::UNIX_EPOCH.elapsed().expect("after 1970").subsec_nanos().into();
        let seed =
            std::env::var("SAMPAN_SEED").map_or_else(|_| drawn(), |seed| seed.parse().expect("a number"));
        println!("SAMPAN_SEED={seed}");
        seed
    })
}
