//! Columns that text takes on a terminal: letters of East Asia take two, accents none.

use super::glyph::Glyphs;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns of a text without control characters.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns`; where it is longer an ellipsis ends it.
pub fn cut(text: &str, columns: usize, glyphs: Glyphs) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let ellipsis = glyphs.ellipsis();
    let (mut left, mut result) = (columns.saturating_sub(width(ellipsis)), String::new());
    for letter in text.chars() {
        let columns = letter.width().unwrap_or_default();
        if columns > left {
            break;
        }
        left -= columns;
        result.push(letter);
    }
    if columns >= width(ellipsis) {
        result.push_str(ellipsis);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_where_its_columns_end() {
        assert_eq!(cut("container", 9, Glyphs::Unicode), "container");
        assert_eq!(cut("container", 6, Glyphs::Unicode), "conta…");
        assert_eq!(cut("container", 6, Glyphs::Ascii), "con...");
        assert_eq!(cut("容器容器", 6, Glyphs::Unicode), "容器…");
        assert_eq!(cut("container", 0, Glyphs::Unicode), "");
    }
}
