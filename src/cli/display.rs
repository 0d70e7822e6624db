//! Options that tables and pages have in common.

use super::output::Paging;
use super::text::Heading;
use clap::{Args, ValueEnum};
use rustix::stdio::stdout;
use rustix::termios;

/// How a table or a page is printed.
#[derive(Debug, Clone, Default, Args)]
pub struct DisplayArgs {
    /// Do not use a pager
    #[arg(long)]
    pub no_pager: bool,
    /// No heading and no legend
    #[arg(long)]
    pub no_legend: bool,
    /// Do not cut long lines
    #[arg(long, short = 'l')]
    pub full: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

impl DisplayArgs {
    /// Whether a pager may be used.
    pub fn paging(&self) -> Paging {
        if self.no_pager { Paging::Never } else { Paging::Allowed }
    }

    /// Whether tables have a heading.
    pub fn heading(&self) -> Heading {
        if self.no_legend { Heading::Hidden } else { Heading::Shown }
    }

    /// Where lines are cut: at the width of the terminal, if there is one.
    pub fn width(&self) -> Option<usize> {
        let columns = termios::tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
        columns.filter(|columns| *columns > 0 && !self.full)
    }
}

/// How values are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
