//! `is-active` and `is-failed`: a word for each unit and an exit status for scripts.

use super::args::TestArgs;
use super::client::ask;
use super::error::{FAILURE, NOT_RUNNING, UNKNOWN_UNIT};
use super::output::{Paging, print};
use super::select;
use super::unit_properties::ActiveState;

/// What is asked of the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `is-active`.
    Active,
    /// `is-failed`.
    Failed,
}

/// Runs the verb.
///
/// # Errors
/// When a word is no name or the manager cannot be reached.
pub fn run(question: Question, args: &TestArgs) -> anyhow::Result<u8> {
    ask(async |client| {
        let (mut lines, mut units) = (String::new(), Vec::new());
        for name in select::units(client, &args.units).await? {
            let unit = client.unit(&name).await?;
            lines.push_str(&format!("{}\n", unit.active_state.word()));
            units.push(unit.exists().then_some(unit.active_state));
        }
        if !args.quiet {
            print(&lines, Paging::Never)?;
        }
        Ok(status(question, &units))
    })
}

/// Success when it holds of any unit; `None` is a unit that does not exist.
fn status(question: Question, units: &[Option<ActiveState>]) -> u8 {
    let wanted = |state: &ActiveState| match question {
        Question::Active => state.is_up(),
        Question::Failed => *state == ActiveState::Failed,
    };
    if units.iter().flatten().any(wanted) {
        return 0;
    }
    match question {
        Question::Failed => FAILURE,
        Question::Active if !units.is_empty() && units.iter().all(Option::is_none) => UNKNOWN_UNIT,
        Question::Active => NOT_RUNNING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_is_enough() {
        use ActiveState::{Active, Failed, Inactive, Reloading};
        assert_eq!(status(Question::Active, &[Some(Inactive), Some(Active)]), 0);
        assert_eq!(status(Question::Active, &[Some(Reloading)]), 0);
        assert_eq!(status(Question::Active, &[Some(Failed), None]), 3);
        assert_eq!(status(Question::Active, &[None]), 4);
        assert_eq!(status(Question::Failed, &[Some(Failed), Some(Active)]), 0);
        assert_eq!(status(Question::Failed, &[None]), 1);
    }
}
