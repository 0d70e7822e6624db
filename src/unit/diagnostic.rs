//! What is wrong with a unit, where, and what was probably meant; printed as a compiler prints it.

use super::redact;
use super::source::{Source, Unreadable};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The unit cannot be loaded.
    Error,
    /// The unit is loaded; something in it is passed over.
    Warning,
}

/// A longer line is not shown: it would fill the screen, and takes long to lay out.
const LINE_MAX: usize = 1000;
/// The rest of a longer message is left out.
const MESSAGE_MAX: usize = 500;

/// Whether a rendered diagnostic has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With the escape sequences of a terminal.
    Colored,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file that it is in.
    pub path: PathBuf,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What was probably meant, or what to do.
    pub help: Option<String>,
    place: Option<Box<Place>>,
    notes: Vec<Note>,
}

/// Another place that has a part in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    message: String,
    place: Option<(PathBuf, Place)>,
}

/// A place in a text, with the line that it is in but for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    source_line: String,
    /// Bytes of `source_line`.
    span: Range<usize>,
}

impl Diagnostic {
    /// Something about a file as a whole.
    pub fn of_file(severity: Severity, path: &Path, message: impl AsRef<str>) -> Self {
        let message = printable(shortened(message.as_ref()));
        Self { severity, path: path.to_owned(), message, help: None, place: None, notes: Vec::new() }
    }

    /// Something about the bytes `span` of a text.
    pub fn at(
        severity: Severity,
        source: &Arc<Source>,
        span: Range<usize>,
        message: impl AsRef<str>,
    ) -> Self {
        let place = Some(Box::new(Place::of(&source.text, span)));
        Self { place, ..Self::of_file(severity, &source.path, message) }
    }

    /// The same, with a word of help.
    #[must_use]
    pub fn with_help(mut self, help: Option<impl AsRef<str>>) -> Self {
        self.help = help.map(|help| printable(shortened(help.as_ref())));
        self
    }

    /// The same, with another place that has a part in it: bytes of a text, or none that could be shown.
    #[must_use]
    pub fn with_note(mut self, message: impl AsRef<str>, at: Option<(&Arc<Source>, Range<usize>)>) -> Self {
        let place = at.map(|(source, span)| (source.path.clone(), Place::of(&source.text, span)));
        self.notes.push(Note { message: printable(shortened(message.as_ref())), place });
        self
    }

    /// The line, counted from 1.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }

    /// The text of the line.
    pub fn source_line(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.source_line.as_str())
    }

    /// The whole diagnostic: what, where, the line, a caret, help. No newline at the end.
    pub fn render(&self, style: Style) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = printable(&self.path.to_string_lossy());
        let title = level.primary_title(self.message.as_str());
        let mut group: Group<'_> = match &self.place {
            Some(place) => place.show(Group::with_title(title), path),
            None => title.element(Origin::path(path)),
        };
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note.message.as_str()));
            if let Some((path, place)) = &note.place {
                group = place.show(group, printable(&path.to_string_lossy()));
            }
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Colored => Renderer::styled(),
        };
        renderer.render(&[group])
    }
}

impl From<Unreadable> for Diagnostic {
    fn from(error: Unreadable) -> Self {
        match error.at {
            Some(at) => {
                let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
                Self::at(Severity::Error, &error.source, span, error.message).with_help(Some(error.help))
            }
            None => Self::of_file(Severity::Error, &error.source.path, error.message)
                .with_help(Some(error.help).filter(|help| !help.is_empty())),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    /// One line, for logs: `/etc/…/web.container.toml:3:1: unknown key "imgae" (did you mean "image"?)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        if let Some(place) = &self.place {
            write!(formatter, ":{}:{}", place.line, place.column)?;
        }
        write!(formatter, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(formatter, " ({help})"),
            None => Ok(()),
        }
    }
}

impl Place {
    /// The line with a caret below, if it is not too long.
    fn show<'a>(&'a self, group: Group<'a>, path: String) -> Group<'a> {
        if self.source_line.len() > LINE_MAX {
            return group.element(Origin::path(path).line(self.line).char_column(self.column));
        }
        group.element(
            Snippet::source(self.source_line.as_str())
                .path(path)
                .line_start(self.line)
                .annotation(AnnotationKind::Primary.span(self.span.clone())),
        )
    }

    fn of(text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let source_line = redact::shown(text, line_start, line).into_owned();
        let in_line = |offset: usize| floor(&source_line, offset.saturating_sub(line_start));
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            span: in_line(start)..in_line(span.end.max(start)),
            source_line,
        }
    }
}

/// The character boundary at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn shortened(text: &str) -> &str {
    &text[..floor(text, MESSAGE_MAX)]
}

/// Characters of no width and those that turn the direction of writing.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What a file says must not steer the terminal that a message about it is printed on.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_the_place_and_the_line() {
        let source = Source::from_text(Path::new("/u/web.container.toml"), "[container]\nimgae = \"x\"\n");
        let diagnostic = Diagnostic::at(Severity::Error, &source, 12..17, "unknown key \"imgae\"")
            .with_help(Some("did you mean \"image\"?"));
        assert_eq!((diagnostic.line(), diagnostic.column()), (Some(2), Some(1)));
        assert_eq!(diagnostic.source_line(), Some("imgae = \"x\""));
        assert_eq!(
            diagnostic.to_string(),
            "/u/web.container.toml:2:1: unknown key \"imgae\" (did you mean \"image\"?)"
        );
        let rendered = diagnostic.render(Style::Plain);
        assert!(rendered.contains("--> /u/web.container.toml:2:1"), "{rendered}");
        assert!(rendered.contains("^^^^^"), "{rendered}");
        assert!(diagnostic.render(Style::Colored).contains('\x1b'));
    }

    #[test]
    fn places_at_the_ends_of_a_text_and_inside_characters_are_shown() {
        let source = Source::from_text(Path::new("x"), "é\r\nü");
        for span in [0..0, 1..2, 2..3, 5..9, 6..6, 90..100] {
            Diagnostic::at(Severity::Error, &source, span, "m\x1b[31m").render(Style::Plain);
        }
        let diagnostic = Diagnostic::at(Severity::Error, &source, 0..1, "m\x1b[31m");
        assert_eq!(diagnostic.message, "m\\u{1b}[31m");
    }
}
