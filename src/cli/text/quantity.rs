//! Sizes as systemctl prints them: `2.4M`, `512B`.

/// Bytes with one decimal and a binary unit; what is below is cut off, not rounded.
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 6] = [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    match UNITS.iter().find(|(_, shift)| count >> shift != 0) {
        Some((unit, shift)) => {
            let remainder = count & ((1 << shift) - 1);
            // The remainder has at most 60 bits; ten of them decide one decimal.
            let tenths = (remainder >> (shift - 10)) * 10 / 1024;
            format!("{}.{tenths}{unit}", count >> shift)
        }
        None => format!("{count}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(bytes(512), "512B");
        assert_eq!(bytes(256 << 20), "256.0M");
        assert_eq!(bytes(2_560_000), "2.4M");
        assert_eq!(bytes((1 << 30) - 1), "1023.9M");
    }
}
