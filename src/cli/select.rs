//! Which units the words of a command line mean: names, where `web` is `web.container`, and patterns over the
//! units in memory.

use super::client::Client;
use super::error::CliError;
use super::pattern::{is_pattern, matches};
use crate::unit::name::UnitName;

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

async fn all(client: &Client) -> anyhow::Result<Vec<String>> {
    let rows = client.manager.list_units().await.map_err(|error| CliError::of_call("list units", error))?;
    let mut names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
    names.sort();
    Ok(names)
}
