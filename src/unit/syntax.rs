//! Errors of TOML's syntax, with what was probably meant.

use super::diagnostic::{Diagnostic, Severity};
use super::redact;
use super::source::Source;
use super::tree::FAULTS_MAX;
use std::ops::Range;
use std::sync::Arc;
use toml::de::Error;

/// What programs that merge versions of a text leave in it.
const MERGE_MARKERS: [&str; 3] = ["<<<<<<< ", "=======", ">>>>>>> "];

/// A diagnostic for each line with an error; what follows in the same line is mostly a consequence.
pub fn diagnostics(source: &Arc<Source>, errors: &[Error]) -> Vec<Diagnostic> {
    if let Some(fault) = other_format(source).filter(|_| !errors.is_empty()) {
        return vec![fault];
    }
    errors.iter().take(FAULTS_MAX).map(|error| diagnostic(source, error)).collect()
}

fn diagnostic(source: &Arc<Source>, error: &Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let line = Line::at(&source.text, span.start);
    if MERGE_MARKERS.iter().any(|marker| line.text.starts_with(marker)) {
        let span = line.start..line.start + line.text.trim_end().len();
        let fault =
            Diagnostic::at(Severity::Error, source, span, "this is left of a conflict of two versions");
        return fault.with_help(Some("keep one of them, and take all of these marks out"));
    }
    if error.message().contains("recurs") {
        let message = "arrays and tables stand within each other too deep";
        return Diagnostic::at(Severity::Error, source, span, message);
    }
    if error.message() == "duplicate key" {
        return duplicate(source, span);
    }
    let fault = Diagnostic::at(Severity::Error, source, span, error.message());
    // Help repeats what was written.
    let can_be_told = redact::is_shown(&source.text, line.start, line.text);
    fault.with_help(can_be_told.then(|| line.help(error.message())).flatten())
}

/// Both places are told.
fn duplicate(source: &Arc<Source>, span: Range<usize>) -> Diagnostic {
    let name = source.text.get(span.clone()).unwrap_or_default().to_owned();
    let line = Line::at(&source.text, span.start);
    let is_table = line.text.trim_start().starts_with('[');
    let what = if is_table {
        format!("the table {} is there already", line.text.trim())
    } else {
        format!("\"{name}\" is set already")
    };
    let first = first_line(&source.text[..line.start], line.text, &name, is_table);
    let fault = Diagnostic::at(Severity::Error, source, span, what);
    let fault = match first {
        Some(place) => fault.with_note("the first is here", Some((source, place))),
        None => fault,
    };
    fault.with_help(Some(if is_table { "write all of its keys in one place" } else { "leave one out" }))
}

/// The line before `text` ends that says the same key or table, nearest to its end.
fn first_line(text: &str, same: &str, name: &str, is_table: bool) -> Option<Range<usize>> {
    let mut end = text.len();
    for line in text.split_inclusive('\n').rev() {
        let start = end - line.len();
        end = start;
        let trimmed = line.trim();
        let is_it = if is_table {
            trimmed == same.trim()
        } else {
            trimmed.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        if is_it {
            let indent = line.len() - line.trim_start().len();
            return Some(start + indent..start + indent + if is_table { trimmed.len() } else { name.len() });
        }
        if !is_table && trimmed.starts_with('[') {
            return None;
        }
    }
    None
}

/// One line of a text.
struct Line<'t> {
    start: usize,
    text: &'t str,
}

impl<'t> Line<'t> {
    fn at(text: &'t str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[offset..].find('\n').map_or(text.len(), |newline| offset + newline);
        Self { start, text: &text[start..end] }
    }

    /// The key and what was written after `=`.
    fn assignment(&self) -> Option<(&'t str, &'t str)> {
        let (key, value) = self.text.split_once('=')?;
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let (key, value) = (key.trim(), value.trim());
        (!key.is_empty() && key.bytes().all(bare)).then_some((key, value))
    }

    fn help(&self, message: &str) -> Option<String> {
        if self.text.contains(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}', '\u{ab}', '\u{bb}']) {
            return Some("use straight quotes: \"\"".to_owned());
        }
        if self.text.contains(|letter: char| letter.is_control() && !matches!(letter, '\t' | '\r')) {
            return Some("there is a control character in this line".to_owned());
        }
        if message.contains("carriage return") {
            return Some("end lines with a newline, as text files of Unix do".to_owned());
        }
        if message.contains("unquoted key") && self.text.split('=').next().is_some_and(|key| !key.is_ascii())
        {
            return Some(
                "there is a character in the key that cannot be seen, or is no letter of ASCII".to_owned(),
            );
        }
        if message.contains("key with no value") {
            let key = self.text.split([' ', ':', '\t']).find(|word| !word.is_empty())?;
            return Some(format!("write {key} = \"VALUE\""));
        }
        if message.contains("unclosed table") {
            return Some(format!("write {}]", self.text.trim()));
        }
        if message.contains("unclosed array") {
            return Some("write \"]\" after the last item".to_owned());
        }
        if message.contains("basic string") && !message.contains("escape") {
            return Some("a string ends in the line that it begins in, with the same quote".to_owned());
        }
        if message.contains("literal string") && message.contains("expected `'`") {
            return Some("a string ends in the line that it begins in, with the same quote".to_owned());
        }
        if message.contains("missing comma") && self.text.matches('"').count() > 3 {
            return Some("write a comma between items, and \\\" for a quote within a string".to_owned());
        }
        if message.contains("escape") || message.contains("unicode value") {
            return Some("write a backslash twice, or the string in single quotes".to_owned());
        }
        let (key, value) = self.assignment()?;
        if value.starts_with(['[', '{', '"', '\'']) {
            let unquoted = message.contains("must be quoted") || message.contains("invalid float");
            return unquoted.then(|| "write words in quotes: [\"a\", \"b\"]".to_owned());
        }
        let boolean = value.to_ascii_lowercase();
        Some(match boolean.as_str() {
            "" => format!("write a value, such as {key} = \"VALUE\""),
            "true" | "yes" | "on" => format!("write {key} = true"),
            "false" | "no" | "off" => format!("write {key} = false"),
            _ if value.contains(['"', '\'']) => "write the whole value in quotes".to_owned(),
            _ => format!("write it in quotes: {key} = \"{value}\""),
        })
    }
}

/// A file that is no TOML at all gets one error, and not one for each line.
fn other_format(source: &Arc<Source>) -> Option<Diagnostic> {
    let mut offset = 0;
    for line in source.text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let format = match trimmed {
            "---" => "YAML",
            _ if trimmed.starts_with('{') => "JSON",
            _ if trimmed.starts_with('<') => "XML",
            _ if trimmed.starts_with(';') => "an INI file",
            _ if trimmed.ends_with(':') && !trimmed.contains(['=', '"', '[']) => "YAML",
            _ => return None,
        };
        let message = format!("this is {format}, and unit files are TOML");
        let fault = Diagnostic::at(Severity::Error, source, start..start + trimmed.len(), message);
        return Some(fault.with_help(Some("a unit begins with [unit] or [container]")));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn first(text: &str) -> Diagnostic {
        let source = Source::from_text(Path::new("web.container.toml"), text);
        let (_, errors) = toml::de::DeTable::parse_recoverable(&source.text);
        diagnostics(&source, &errors).remove(0)
    }

    #[test]
    fn what_was_meant_is_told() {
        for (text, help) in [
            ("a = b c\n", "write it in quotes: a = \"b c\""),
            ("a = True\n", "write a = true"),
            ("a = 0660\n", "write it in quotes: a = \"0660\""),
            ("a = \u{201c}b\u{201d}\n", "use straight quotes: \"\""),
            ("[a\n", "write [a]"),
            ("a \"b\"\n", "write a = \"VALUE\""),
            ("a =\n", "write a value, such as a = \"VALUE\""),
        ] {
            assert_eq!(first(text).help.as_deref(), Some(help), "{text}");
        }
    }

    #[test]
    fn other_formats_are_named() {
        for (text, format) in
            [("services:\n  a: b\n", "YAML"), ("{\"a\": 1}\n", "JSON"), ("; x\na\n", "an INI file")]
        {
            assert!(first(text).message.contains(format), "{text}");
        }
    }

    #[test]
    fn both_places_of_a_duplicate_are_shown() {
        let fault = first("[a]\nb = 1\nc = 2\nb = 3\n");
        assert_eq!(fault.line(), Some(4));
        let text = fault.render(crate::unit::diagnostic::Style::Plain);
        assert!(text.contains(":2:1"), "{text}");
    }
}
