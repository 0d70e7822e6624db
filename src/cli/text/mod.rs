//! How values become text for people: escapes, colours, tables, times and sizes. Nothing here prints.

mod escape;
pub mod quantity;
mod style;
mod table;
pub mod time;

pub use escape::escaped;
pub use style::{Style, Tone};
pub use table::{Column, Heading, Table};
