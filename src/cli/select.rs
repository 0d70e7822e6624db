//! Which units the words of a command line mean: names, where `web` is `web.container`, and patterns over the
//! units in memory.

use super::client::Client;
use super::error::CliError;
use crate::unit::name::UnitName;
use crate::unit::pattern::{is_pattern, matches};

/// The names in the order of the words; those of one pattern in the order of their names.
///
/// # Errors
/// When a word is no name, or the manager does not answer.
pub async fn units(client: &Client, words: &[String]) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut loaded: Option<Vec<String>> = None;
    for word in words {
        if !is_pattern(word) {
            names.push(UnitName::from_command_line(word)?.to_string());
            continue;
        }
        let known = match loaded.take() {
            Some(known) => known,
            None => all(client).await?,
        };
        names.extend(known.iter().filter(|name| matches(word, name)).cloned());
        loaded = Some(known);
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

/// All units in memory, by name.
///
/// # Errors
/// When the manager does not answer.
pub async fn all(client: &Client) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = client.list_units().await?.into_iter().map(|row| row.name).collect();
    names.sort();
    Ok(names)
}

/// The words with ids of processes replaced by the units that these are in.
///
/// # Errors
/// When a process is in no unit, or the manager does not answer.
pub async fn of_processes(client: &Client, words: &[String]) -> Result<Vec<String>, CliError> {
    let mut names = Vec::new();
    for word in words {
        names.push(match word.parse::<u32>() {
            Ok(pid) => client.unit_of_process(pid).await?,
            Err(_) => word.clone(),
        });
    }
    Ok(names)
}
