//! How values become text for people: escapes, colours, symbols, tables, times and sizes. Nothing here prints.

mod escape;
mod glyph;
pub mod quantity;
mod style;
mod table;
pub mod time;
mod width;

pub use escape::escaped;
pub use glyph::{Dot, Glyphs};
pub use style::{Links, Palette, Style, Tone};
pub use table::{Column, Heading, Table};
pub use width::{cut, width};

/// A boolean as systemd reads it in variables of the environment.
pub fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}
