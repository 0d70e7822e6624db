//! What is shown of a line of a unit file: never a secret of `[credentials]`, since what is wrong with a file is
//! printed to the journal.

use std::borrow::Cow;

/// Keys of a credential whose values are no secrets.
const SHOWN: [&str; 4] = ["path", "encrypted", "encrypted_value", "import"];
/// In the place of what is not shown.
const HIDDEN: char = '\u{2026}';

/// The line that begins at the byte `start` of a file's text, without what may be a secret.
pub fn shown<'t>(text: &str, start: usize, line: &'t str) -> Cow<'t, str> {
    match place(&text[..start], line) {
        Place::Elsewhere => Cow::Borrowed(line),
        Place::Credentials => match secret_from(line) {
            Some(at) => Cow::Owned(format!("{} {HIDDEN}", &line[..at])),
            None => Cow::Borrowed(line),
        },
        Place::InString => Cow::Owned(HIDDEN.to_string()),
    }
}

/// Whether nothing of a line is hidden.
pub fn is_shown(text: &str, start: usize, line: &str) -> bool {
    matches!(shown(text, start, line), Cow::Borrowed(_))
}

enum Place {
    Elsewhere,
    Credentials,
    /// In a string of many lines that a credential has, or one that never ended.
    InString,
}

/// Where a line is, by those above it. The text may have errors of syntax: what could be a secret counts as one.
fn place(above: &str, line: &str) -> Place {
    let mut table = Table::None;
    let mut string: Option<&str> = None;
    let mut is_secret = false;
    for line in above.lines() {
        if let Some(end) = string {
            string = string.filter(|_| !line.contains(end));
            continue;
        }
        table = table.at(line);
        let is_odd = |quotes: &&&str| line.matches(**quotes).count() % 2 == 1;
        string = ["\"\"\"", "'''"].iter().find(is_odd).copied();
        is_secret = table.has_secret(line);
    }
    match string {
        Some(_) if is_secret => Place::InString,
        None if table.at(line).has_secret(line) => Place::Credentials,
        _ => Place::Elsewhere,
    }
}

/// The table that the lines below its header are in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// There is no header yet.
    None,
    Credentials,
    Other,
}

impl Table {
    fn at(self, line: &str) -> Self {
        match line.trim_start().strip_prefix('[') {
            Some(title) if is_credentials(title) => Self::Credentials,
            Some(_) => Self::Other,
            None => self,
        }
    }

    /// Above all headers a key can be the table in one line, and below one it may stand by mistake.
    fn has_secret(self, line: &str) -> bool {
        match self {
            Self::Credentials => true,
            Self::None => is_credentials(line),
            Self::Other => is_credentials(line) && names_a_secret(line),
        }
    }
}

/// It may be misspelt.
fn is_credentials(word: &str) -> bool {
    let word = word.trim_start_matches(['[', ' ', '\t', '"', '\'']).to_ascii_lowercase();
    word.starts_with("cred") || word.starts_with("secret")
}

/// Whether a line has a value in a table: a list of names, as other programs have it, is none.
fn names_a_secret(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, value)| key.contains('.') || value.trim_start().starts_with('{'))
}

/// Where in a line of a credential begins what is not to be shown.
fn secret_from(line: &str) -> Option<usize> {
    if line.trim().is_empty() || line.trim_start().starts_with(['[', '#', '}']) {
        return None;
    }
    let Some(_) = line.find('=') else { return Some(line.len() - line.trim_start().len()) };
    line.match_indices('=').map(|(at, _)| at).find(|at| hides(&line[..*at], &line[at + 1..])).map(|at| at + 1)
}

/// Whether a value is to be hidden, by what is before and behind a `=`.
fn hides(before: &str, behind: &str) -> bool {
    let is_of_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    let name = before.trim_end().trim_end_matches(['"', '\'']).rsplit(|letter| !is_of_name(letter)).next();
    let is_table = behind.trim_start().starts_with('{');
    !is_table && !SHOWN.contains(&name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        starts.zip(text.lines()).map(|(start, line)| shown(text, start, line).into_owned()).collect()
    }

    #[test]
    fn no_secret_is_shown_wherever_it_stands() {
        for text in [
            "[credentials]\na = \"hunter2\"\n",
            "[credentials]\na = { value = \"hunter2\" }\n",
            "[credentials]\na = { path = \"/x\", value = \"hunter2\" }\n",
            "[credentials.a]\nvalue = \"\"\"\n[container]\nhunter2\n\"\"\"\n",
            "[credentials.a]\nvalue = '''hunter2\n",
            "[credentials.a]\nvalu = hunter2\n",
            "[credentials.a]\nhunter2\n",
            "[credential.a]\nvalue: hunter2\n",
            "credentials = { a = { value = \"hunter2\" } }\n",
            "credentials.a.value = 'hunter2'\n",
            "[container]\ncredentials.a.value = 'hunter2'\n",
            "[container]\ncredentials = { a = { value = \"hunter2\" } }\n",
        ] {
            assert!(lines(text).iter().all(|line| !line.contains("hunter2")), "{text}: {:?}", lines(text));
        }
    }

    #[test]
    fn everything_else_is_shown() {
        for text in [
            "[container]\nimage = \"x\"\n",
            "[credentials.a]\npath = \"/etc/x\"\n[container]\nvalue = 1\n",
            "[credentials]\na = { path = \"x\" }\nb = {}\n",
            "[container]\ncommand = '''\ncredentials = 1\n'''\nsecrets = [\"db\"]\nimage = 1\n",
        ] {
            assert_eq!(lines(text).join("\n") + "\n", text);
        }
    }
}
