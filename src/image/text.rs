//! Bytes of an image as text: one escaping for messages and for the index files, reversible.

use std::fmt::Write as _;

/// Bytes as printable text: control characters, those that change the order of the ones around them (Unicode
/// Standard Annex 9), backslashes and what is not UTF-8 become `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_order(character) || character == '\\' {
                let mut buffer = [0; 4];
                escape(&mut text, character.encode_utf8(&mut buffer).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Bytes of a name that a message shows. Longer ones are an attack or a mistake, and known by their beginning.
const SHOWN_MAX: usize = 256;

/// Bytes as a message shows them: printable, and of those that are long the beginning.
pub fn shown(bytes: &[u8]) -> String {
    // One more than may be shown, so that what is cut is seen to be.
    shortened(printable(&bytes[..bytes.len().min(SHOWN_MAX + 1)]), SHOWN_MAX)
}

/// The same of a path: of one that is long its first name and its last, which tell best what it is.
pub fn shown_path(path: &[u8]) -> String {
    let root = usize::from(path.starts_with(b"/"));
    let is_slash = |byte: &u8| *byte == b'/';
    let ends = path[root..].iter().position(is_slash).zip(path.iter().rposition(is_slash));
    match ends {
        Some((first, last)) if path.len() > SHOWN_MAX => {
            let between = if root + first < last { "/…/" } else { "/" };
            [&shown(&path[..root + first]), between, &shown(&path[last + 1..])].concat()
        }
        _ => shown(path),
    }
}

/// A text, or its beginning of `most` bytes and an ellipsis.
pub fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let boundary = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(boundary.unwrap_or_default());
        // Half an escape is none.
        if let Some(escape) = text.rfind('\\').filter(|escape| text.len() - escape < "\\x00".len()) {
            text.truncate(escape);
        }
        text.push('…');
    }
    text
}

/// Whether a character is not seen but turns a name around, so that it looks like another.
fn is_order(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The bytes that [`printable`] was given; `None` for text that it does not make.
pub fn unprintable(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let digits = tail.strip_prefix(b"x")?.get(..2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail.get(3..)?;
    }
    Some(bytes)
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_name_turns_the_line_around() {
        assert_eq!(printable("a\u{202e}gpj.exe".as_bytes()), "a\\xe2\\x80\\xaegpj.exe");
        assert_eq!(printable("é א".as_bytes()), "é א");
    }

    #[test]
    fn messages_show_the_beginning_of_long_names() {
        assert_eq!(shown(&[b'a'; 256]), "a".repeat(256));
        assert_eq!(shown(&[b'a'; 257]), "a".repeat(256) + "…");
        assert_eq!(
            shown(&[b"a".as_slice(), &[7; 1 << 20]].concat()),
            "a".to_owned() + &"\\x07".repeat(63) + "…"
        );
        assert_eq!(shown("ä".repeat(200).as_bytes()), "ä".repeat(128) + "…");
    }

    #[test]
    fn messages_show_both_ends_of_long_paths() {
        let long = "/a/".to_owned() + &"b/".repeat(200) + "c";
        assert_eq!(shown_path(long.as_bytes()), "/a/…/c");
        assert_eq!(shown_path(&long.as_bytes()[1..]), "a/…/c");
        assert_eq!(shown_path(b"/a/b/c"), "/a/b/c");
        assert_eq!(shown_path(&[b'a'; 257]), "a".repeat(256) + "…");
        let both = format!("/{}/{}", "m".repeat(255), "n".repeat(255));
        assert_eq!(shown_path(both.as_bytes()), both);
    }

    proptest! {
        #[test]
        fn escaping_is_reversible(bytes: Vec<u8>) {
            let text = printable(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unprintable(&text).unwrap(), bytes);
        }
    }
}
