//! Runs of units, as the journal numbers them: by the invocation id of their scope.

use super::matches::Subject;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The match for one run: by its id, or counted from the last (0, -1, …) or the first (1, 2, …), as journalctl has
/// it. `None` when there is no such run.
pub fn chosen(subjects: &[Subject], which: &str) -> Option<String> {
    let id = match which.parse::<i64>() {
        // An id is 32 digits, which no counting reaches.
        Ok(number) if which.len() < 32 => nth(&all(subjects), number)?,
        _ => which.to_owned(),
    };
    Some(format!("_SYSTEMD_INVOCATION_ID={id}"))
}

fn nth(ids: &[String], number: i64) -> Option<String> {
    let index = if number > 0 { number - 1 } else { i64::try_from(ids.len()).ok()? - 1 + number };
    ids.get(usize::try_from(index).ok()?).cloned()
}

/// The ids of all runs, the first first.
fn all(subjects: &[Subject]) -> Vec<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=cat", "--output-fields=_SYSTEMD_INVOCATION_ID"]);
    command.args(super::matches::words(subjects, super::matches::Speakers::Container));
    let mut ids: Vec<String> = Vec::new();
    let Ok(mut child) = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
        return ids;
    };
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if !line.is_empty() && ids.last() != Some(&line) && !ids.contains(&line) {
                ids.push(line);
            }
        }
    }
    // Its lines have been read; how it ended tells nothing more.
    let _ = child.wait();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_from_both_ends() {
        let ids = ["a", "b", "c"].map(str::to_owned);
        let of = |number| nth(&ids, number).unwrap_or_default();
        assert_eq!([of(0), of(-1), of(-2), of(1), of(3)].join(" "), "c b a a c");
        assert_eq!((nth(&ids, -3), nth(&ids, 4)), (None, None));
    }

    #[test]
    fn an_id_is_taken_as_it_is() {
        let id = "487a21dcc5a64c1588c3c40128a19f60";
        assert_eq!(chosen(&[], id), Some(format!("_SYSTEMD_INVOCATION_ID={id}")));
    }
}
