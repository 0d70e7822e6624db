//! Text of others on a terminal: control characters must not reach it.

use std::borrow::Cow;

/// The text with control characters as `\xNN` or `\u{NNNN}`, so that it can neither move the cursor nor forge
/// a line. Directions of writing are turned off for the same reason.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            letter if !is_unsafe(letter) => result.push(letter),
            '\n' => result.push_str("\\n"),
            '\t' => result.push_str("\\t"),
            letter if letter.is_ascii() => result.push_str(&format!("\\x{:02x}", u32::from(letter))),
            letter => result.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
        }
    }
    Cow::Owned(result)
}

fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(escaped("plain é"), "plain é");
        assert_eq!(escaped("a\x1b[2Jb\nc\u{9b}d"), "a\\x1b[2Jb\\nc\\u{9b}d");
        assert_eq!(escaped("a\u{202e}b"), "a\\u{202e}b");
    }
}
