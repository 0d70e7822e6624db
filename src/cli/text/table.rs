//! Tables as systemctl prints them: columns as wide as their widest cell, a heading, a legend below.

use super::escape::escaped;
use super::style::{Palette, Style, Tone};
use super::width::{cut, width as columns};

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    heading: &'static str,
}

impl Column {
    /// A column under this heading.
    pub const fn new(heading: &'static str) -> Self {
        Self { heading }
    }
}

/// Rows of cells under columns.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; control characters are escaped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.rows.push(cells.into_iter().map(|(text, tone)| (escaped(&text).into_owned(), tone)).collect());
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The heading, if wanted, and the rows. Lines are cut at `width` columns, where there is a width.
    pub fn render(&self, style: Style, heading: Heading, width: Option<usize>) -> String {
        let widths = self.widths(heading);
        let mut text = String::new();
        if heading == Heading::Shown {
            text.push_str(&self.headings(&widths, style, width));
        }
        for row in &self.rows {
            text.push_str(&line(row, &widths, style, width));
        }
        text
    }

    /// On a terminal with colours the headings are underlined as a whole.
    fn headings(&self, widths: &[usize], style: Style, width: Option<usize>) -> String {
        let cells: Vec<_> =
            self.columns.iter().map(|column| (column.heading.to_owned(), Tone::Normal)).collect();
        let text = line(&cells, widths, Style { palette: Palette::Plain, ..style }, width);
        if style.palette == Palette::Plain {
            return text;
        }
        let all = widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
        let wanted = width.map_or(all, |width| width.min(all));
        let text = text.trim_end_matches('\n');
        let padding = " ".repeat(wanted.saturating_sub(columns(text)));
        format!("{}\n", style.paint(Tone::Heading, &format!("{text}{padding}")))
    }

    fn widths(&self, heading: Heading) -> Vec<usize> {
        let of = |index: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|(text, _)| columns(text));
            let least = if heading == Heading::Shown { column.heading.len() } else { 0 };
            cells.max().unwrap_or_default().max(least)
        };
        self.columns.iter().enumerate().map(|(index, column)| of(index, column)).collect()
    }
}

/// Whether a table has its heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// It has.
    Shown,
    /// It has not, as `--no-legend` says.
    Hidden,
}

fn line(cells: &[(String, Tone)], widths: &[usize], style: Style, width: Option<usize>) -> String {
    let mut text = String::new();
    let mut left = width.unwrap_or(usize::MAX);
    for (index, ((cell, tone), width)) in cells.iter().zip(widths).enumerate() {
        let last = index + 1 == cells.len();
        let cell = cut(cell, left, style.glyphs);
        let length = columns(&cell);
        let gap = if last { 0 } else { (width - length.min(*width) + 1).min(left - length) };
        text.push_str(&style.paint(*tone, &cell));
        text.push_str(&" ".repeat(gap));
        left -= length + gap;
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[Column::new("UNIT"), Column::new("SUB"), Column::new("DESCRIPTION")]);
        let normal = |text: &str| (text.to_owned(), Tone::Normal);
        table.row([normal("web.container"), ("running".to_owned(), Tone::Good), normal("A\x1b[2Jweb")]);
        table.row([normal("x"), normal(""), normal("A long description")]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        insta::assert_snapshot!(table().render(Style::PLAIN, Heading::Shown, None), @r"
        UNIT          SUB     DESCRIPTION
        web.container running A\x1b[2Jweb
        x                     A long description
        ");
    }

    #[test]
    fn lines_end_where_the_terminal_ends() {
        insta::assert_snapshot!(table().render(Style::PLAIN, Heading::Hidden, Some(30)), @r"
        web.container running A\x1b[2…
        x                     A long …
        ");
    }
}
