//! Options that tables and pages have in common, and what they come to.

use super::output::{JsonLayout, Paging, print, print_json};
use super::pager;
use super::text::{Heading, Style, Table, Tone};
use clap::{Args, ValueEnum};
use rustix::stdio::stdout;
use rustix::termios;
use serde::Serialize;
use std::io::IsTerminal;

/// How long text is printed.
#[derive(Debug, Clone, Default, Args)]
pub struct TextArgs {
    /// Do not use a pager
    #[arg(long)]
    pub no_pager: bool,
    /// Do not cut long lines
    #[arg(long, short = 'l')]
    pub full: bool,
}

/// How a table, a tree or a list is printed.
#[derive(Debug, Clone, Default, Args)]
pub struct DisplayArgs {
    /// Pager and width.
    #[command(flatten)]
    pub text: TextArgs,
    /// No heading and no legend
    #[arg(long)]
    pub no_legend: bool,
    /// Whether there are a heading and a legend
    #[arg(long, value_name = "BOOL", value_parser = boolean, conflicts_with = "no_legend")]
    pub legend: Option<bool>,
    /// Neither dots nor branches
    #[arg(long)]
    pub plain: bool,
    /// No heading, no legend and no hints
    #[arg(long, short)]
    pub quiet: bool,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// How values are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// The same, indented
    JsonPretty,
}

/// Whether units have dots, and trees have branches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// They have.
    #[default]
    Drawn,
    /// They have not, as `--plain` says.
    Plain,
}

/// How text is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Colours and symbols.
    pub style: Style,
    /// Whether there are a heading and a legend.
    pub heading: Heading,
    /// Where lines are cut.
    pub width: Option<usize>,
    /// Dots and branches.
    pub shape: Shape,
}

impl Layout {
    /// A layout without colours, for text that nobody cuts.
    pub const PLAIN: Self =
        Self { style: Style::PLAIN, heading: Heading::Shown, width: None, shape: Shape::Drawn };

    /// A table of things, how many there are, and what `hint` says of others.
    pub fn list(&self, table: &Table, things: &str, hint: Option<&str>) -> String {
        let mut text = match table.is_empty() {
            true => String::new(),
            false => table.render(self.style, self.heading, self.width),
        };
        if self.heading == Heading::Hidden {
            return text;
        }
        let (gap, tone) = if table.is_empty() { ("", Tone::Bad) } else { ("\n", Tone::Strong) };
        let counted = self.style.paint(tone, &format!("{} {things} listed.", table.len()));
        text.push_str(&format!("{gap}{counted}\n"));
        text.extend(hint.map(|hint| format!("{hint}\n")));
        text
    }
}

impl TextArgs {
    /// Whether a pager may be used.
    pub fn paging(&self) -> Paging {
        if self.no_pager { Paging::Never } else { Paging::Allowed }
    }

    /// Where lines are cut: at the width of the terminal, but not before a pager, which scrolls.
    pub fn width(&self) -> Option<usize> {
        let paged = || self.paging() == Paging::Allowed && pager::is_wanted();
        if self.full || !std::io::stdout().is_terminal() || paged() { None } else { columns() }
    }
}

impl DisplayArgs {
    /// Prints a value as the format says: as JSON, or as the text that is made of it.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn show(&self, value: &impl Serialize, text: impl FnOnce(&Layout) -> String) -> anyhow::Result<()> {
        match self.output.json() {
            Some(layout) => print_json(value, layout),
            None => print(&text(&self.layout()), self.text.paging()),
        }
    }

    /// How text is laid out.
    pub fn layout(&self) -> Layout {
        let legend = self.legend.unwrap_or(!self.no_legend && !self.quiet);
        Layout {
            style: Style::of_output(),
            heading: if legend { Heading::Shown } else { Heading::Hidden },
            width: self.text.width(),
            shape: if self.plain { Shape::Plain } else { Shape::Drawn },
        }
    }
}

impl OutputFormat {
    /// Prints a value as JSON, or the text that is made of it.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn show(self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.json() {
            Some(layout) => print_json(value, layout),
            None => print(&text(), Paging::Never),
        }
    }

    /// The layout of JSON; `None` for text.
    pub fn json(self) -> Option<JsonLayout> {
        match self {
            Self::Text => None,
            Self::Json => Some(JsonLayout::OneLine),
            Self::JsonPretty => Some(JsonLayout::Indented),
        }
    }
}

/// The width of the terminal, environ(7).
pub fn columns() -> Option<usize> {
    let named = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let of_terminal = || termios::tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
    named.or_else(of_terminal).filter(|columns| *columns > 0)
}

fn boolean(word: &str) -> Result<bool, String> {
    super::text::boolean(word).ok_or_else(|| "write yes or no".to_owned())
}
