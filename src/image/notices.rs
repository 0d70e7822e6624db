//! What was left out of an image, in sentences: as many as somebody reads, however many there are.

use serde::{Deserialize, Serialize};

/// Sentences that are told, and their bytes together. Each layer has as many, too, until its image is complete.
const COUNT_MAX: usize = 50;
const BYTES_MAX: usize = 8 << 10;

/// Sentences about a layer, or about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    told: Vec<String>,
    bytes: usize,
    left_out: u64,
}

impl Notices {
    /// Takes one more, if there is room.
    pub fn push(&mut self, sentence: String) {
        let bytes = self.bytes.saturating_add(sentence.len());
        if self.left_out > 0 || self.told.len() == COUNT_MAX || bytes > BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.bytes = bytes;
        self.told.push(sentence);
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && self.left_out == 0
    }

    /// All of them, and how many are not.
    pub fn into_sentences(self) -> Vec<String> {
        let Self { mut told, left_out, .. } = self;
        if left_out > 0 {
            told.push(format!("and {left_out} more, which are not listed"));
        }
        told
    }
}

/// Those of the layers of an image together.
impl<'a> FromIterator<&'a Self> for Notices {
    fn from_iter<I: IntoIterator<Item = &'a Self>>(layers: I) -> Self {
        let mut all = Self::default();
        for layer in layers {
            layer.told.iter().for_each(|sentence| all.push(sentence.clone()));
            all.left_out = all.left_out.saturating_add(layer.left_out);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(count: usize, bytes: usize) -> Notices {
        let mut notices = Notices::default();
        (0..count).for_each(|_| notices.push("x".repeat(bytes)));
        notices
    }

    #[test]
    fn no_image_says_more_than_somebody_reads() {
        assert_eq!(notices(2, 5).into_sentences(), ["xxxxx", "xxxxx"]);
        let many = notices(COUNT_MAX + 7, 1).into_sentences();
        assert_eq!(
            (many.len(), many[COUNT_MAX].as_str()),
            (COUNT_MAX + 1, "and 7 more, which are not listed")
        );
        assert_eq!(notices(20, 1 << 10).into_sentences().len(), 9);
        let layers = vec![notices(COUNT_MAX + 7, 100); 1000];
        let all = layers.iter().collect::<Notices>().into_sentences();
        assert_eq!(all.len(), COUNT_MAX + 1);
        let left_out = 1000 * (COUNT_MAX + 7) - COUNT_MAX;
        assert_eq!(all[COUNT_MAX], format!("and {left_out} more, which are not listed"));
    }
}
