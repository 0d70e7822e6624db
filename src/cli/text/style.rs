//! Colours, where they are wanted, and symbols, where the locale has them.

use super::glyph::{Dot, Glyphs};
use std::io::IsTerminal;

/// How text looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// The colours there are.
    pub palette: Palette,
    /// The symbols there are.
    pub glyphs: Glyphs,
    /// Whether paths are links.
    pub links: Links,
}

/// The colours of a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Palette {
    /// None.
    #[default]
    Plain,
    /// The sixteen that every terminal has.
    Basic,
    /// 256.
    Extended,
}

/// Whether paths and manuals are links that a terminal can open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Links {
    /// They are text.
    #[default]
    Plain,
    /// They are, by the terminal's sequence OSC 8.
    Clickable,
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Runs.
    Good,
    /// Failed.
    Bad,
    /// On its way.
    Moving,
    /// Of less interest.
    Faint,
    /// A heading.
    Heading,
    /// To be seen first.
    Strong,
    /// As the text around.
    Normal,
}

impl Style {
    /// Neither colours nor links.
    pub const PLAIN: Self = Self { palette: Palette::Plain, glyphs: Glyphs::Unicode, links: Links::Plain };

    /// The style of standard output.
    pub fn of_output() -> Self {
        Self::of_stream(std::io::stdout().is_terminal())
    }

    fn of_stream(terminal: bool) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        Self {
            palette: Palette::of(variable, terminal),
            glyphs: Glyphs::of_locale(),
            links: Links::of(variable, terminal),
        }
    }

    /// The text in a colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let extended = self.palette == Palette::Extended;
        let code = match tone {
            Tone::Good => "0;1;32",
            Tone::Bad => "0;1;31",
            Tone::Moving if extended => "0;1;38;5;185",
            Tone::Moving => "0;1;33",
            Tone::Faint if extended => "0;38;5;245",
            Tone::Faint => "0;90",
            Tone::Heading => "0;4",
            Tone::Strong => "0;1;39",
            Tone::Normal => return text.to_owned(),
        };
        match self.palette {
            Palette::Plain => text.to_owned(),
            _ => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// A dot in its colour.
    pub fn dot(self, tone: Tone, dot: Dot) -> String {
        self.paint(tone, self.glyphs.dot(dot))
    }

    /// The text as a link to a URL.
    pub fn link(self, url: &str, text: &str) -> String {
        let safe = url.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        match self.links {
            Links::Clickable if safe => format!("\x1b]8;;{url}\x07{text}\x1b]8;;\x07"),
            _ => text.to_owned(),
        }
    }
}

impl Palette {
    /// As systemd decides: `$SYSTEMD_COLORS`, then `$NO_COLOR`, then the terminal.
    fn of(variable: impl Fn(&str) -> Option<String>, terminal: bool) -> Self {
        let many = || match variable("TERM").as_deref() {
            Some("linux" | "vt220") => Self::Basic,
            _ => Self::Extended,
        };
        match variable("SYSTEMD_COLORS").as_deref() {
            Some("16") => return Self::Basic,
            Some("256" | "24bit") => return Self::Extended,
            Some("auto-16") => return if able(&variable, terminal) { Self::Basic } else { Self::Plain },
            Some(word) => match super::boolean(word) {
                Some(true) => return many(),
                Some(false) => return Self::Plain,
                None => {}
            },
            None => {}
        }
        if able(&variable, terminal) { many() } else { Self::Plain }
    }
}

impl Links {
    /// As systemd decides: `$SYSTEMD_URLIFY`, then whether there is a terminal that is no dumb one.
    fn of(variable: impl Fn(&str) -> Option<String>, terminal: bool) -> Self {
        let wanted = variable("SYSTEMD_URLIFY").and_then(|word| super::boolean(&word));
        let dumb = variable("TERM").is_some_and(|term| matches!(term.as_str(), "dumb" | "linux"));
        if wanted.unwrap_or(terminal && !dumb) { Self::Clickable } else { Self::Plain }
    }
}

/// Whether there is a terminal with colours and nobody said that there be none, <https://no-color.org>.
fn able(variable: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_none_or(|term| term == "dumb");
    terminal && !refused && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    fn palette(variables: &[(&str, &str)], terminal: bool) -> Palette {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Palette::of(variable, terminal)
    }

    #[test]
    fn colours_are_for_terminals_that_have_them() {
        let term = ("TERM", "xterm-256color");
        assert_eq!(palette(&[term], true), Palette::Extended);
        assert_eq!(palette(&[term], false), Palette::Plain);
        assert_eq!(palette(&[("TERM", "dumb")], true), Palette::Plain);
        assert_eq!(palette(&[term, ("NO_COLOR", "1")], true), Palette::Plain);
        assert_eq!(palette(&[term, ("NO_COLOR", "")], true), Palette::Extended);
    }

    #[test]
    fn the_variable_of_systemd_decides() {
        let term = ("TERM", "xterm-256color");
        assert_eq!(palette(&[term, ("SYSTEMD_COLORS", "0")], true), Palette::Plain);
        assert_eq!(palette(&[term, ("SYSTEMD_COLORS", "1")], false), Palette::Extended);
        assert_eq!(palette(&[term, ("SYSTEMD_COLORS", "16")], false), Palette::Basic);
        assert_eq!(palette(&[term, ("SYSTEMD_COLORS", "256"), ("NO_COLOR", "1")], false), Palette::Extended);
    }

    #[test]
    fn text_is_painted_and_linked() {
        let style = Style { palette: Palette::Basic, links: Links::Clickable, ..Style::PLAIN };
        assert_eq!(style.paint(Tone::Bad, "x"), "\x1b[0;1;31mx\x1b[0m");
        assert_eq!(style.link("file:///x", "x"), "\x1b]8;;file:///x\x07x\x1b]8;;\x07");
        assert_eq!(style.link("file:///\x1b", "x"), "x");
        assert_eq!(Style::PLAIN.link("file:///x", "x"), "x");
    }
}
