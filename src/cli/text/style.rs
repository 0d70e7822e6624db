//! Colours, only where they are wanted: on a terminal that has them, unless `NO_COLOR` is set.

use std::io::IsTerminal;

/// Whether text has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With the escape sequences of a terminal.
    Colored,
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
    /// As the text around.
    Normal,
}

impl Style {
    /// The style of standard output.
    pub fn of_output() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !refused { Self::Colored } else { Self::Plain }
    }

    /// The text in a colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "0;1;32",
            Tone::Bad => "0;1;31",
            Tone::Moving => "0;1;33",
            Tone::Faint => "0;90",
            Tone::Heading => "0;4",
            Tone::Normal => return text.to_owned(),
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colored => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
