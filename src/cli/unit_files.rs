//! `enable`, `disable`, `reenable`, `mask` and `unmask` as a whole: the links, then the manager's memory of
//! them, then, with `--now`, the units themselves.

use super::args::EnableNowArgs;
use super::client::{Client, talk};
use super::error::CliError;
use super::lifecycle::{self, Operation, Until};
use super::units::enable;
use crate::paths::Paths;
use crate::unit::name::UnitName;

/// What is done to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `enable`.
    Enable,
    /// `disable`.
    Disable,
    /// `reenable`.
    Reenable,
    /// `mask`.
    Mask,
    /// `unmask`.
    Unmask,
}

impl Change {
    /// What `--now` does to the units.
    fn now(self) -> Option<Operation> {
        match self {
            Self::Enable | Self::Reenable => Some(Operation::Start),
            Self::Disable | Self::Mask => Some(Operation::Stop),
            Self::Unmask => None,
        }
    }
}

/// Runs the verb. Without `--now` the manager need not run.
///
/// # Errors
/// When a link cannot be changed; with `--now`, when the manager cannot be reached.
pub fn run(change: Change, args: &EnableNowArgs, paths: &Paths) -> anyhow::Result<u8> {
    let status = match change {
        Change::Enable => enable::enable(&args.files, paths),
        Change::Disable => enable::disable(&args.files, paths),
        Change::Reenable => enable::reenable(&args.files, paths),
        Change::Mask => enable::mask(&args.files, paths),
        Change::Unmask => enable::unmask(&args.files, paths),
    }?;
    if status != 0 || args.no_reload {
        return Ok(status);
    }
    match change.now().filter(|_| args.now) {
        Some(operation) => {
            let units = names(&args.files.units)?;
            talk(async |client| {
                reload(client).await?;
                let until = if args.no_block { Until::Queued } else { Until::Done };
                lifecycle::follow(client, operation, &units, until, paths).await
            })
        }
        None => {
            match talk(async |client| Ok(reload(client).await?)) {
                // A manager that does not run reads the links when it starts.
                Err(error) if is_unreachable(&error) => {}
                result => result?,
            }
            Ok(status)
        }
    }
}

fn names(words: &[String]) -> anyhow::Result<Vec<String>> {
    words.iter().map(|word| Ok(UnitName::from_command_line(word)?.to_string())).collect()
}

async fn reload(client: &Client) -> Result<(), CliError> {
    client.manager.reload().await.map_err(|error| CliError::of_call("reload daemon", error))
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(CliError::Unreachable { .. }))
}
