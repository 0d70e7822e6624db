//! Which units the words of a command line mean: names, where `web` is `web.container`, and patterns over the
//! units in memory.

use super::client::Client;
use super::error::CliError;
use crate::paths::Paths;
use crate::unit::name::UnitName;
use crate::unit::pattern::{is_pattern, matches};
use std::fs;

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
/// When a process is in no unit.
pub fn of_processes(words: &[String], paths: &Paths) -> Result<Vec<String>, CliError> {
    let unit = |word: &String| match word.parse::<u32>() {
        Ok(pid) => of_process(pid, paths).ok_or(CliError::NoUnitOfProcess { pid }),
        Err(_) => Ok(word.clone()),
    };
    words.iter().map(unit).collect()
}

/// The unit whose scope a process is in, however deep.
fn of_process(pid: u32, paths: &Paths) -> Option<String> {
    let groups = fs::read_to_string(paths.root().join(format!("proc/{pid}/cgroup"))).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    group.split('/').find_map(UnitName::of_scope).map(|unit| unit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_leads_to_its_unit() {
        let root = tempfile::tempdir().unwrap();
        let process = root.path().join("proc/7");
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("cgroup"), "0::/sampan.slice/sampan-web:a.scope/inner\n").unwrap();
        let paths = Paths::new(root.path());
        let words = ["7", "db"].map(str::to_owned);
        assert_eq!(of_processes(&words, &paths).unwrap(), ["web@a.container", "db"]);
        assert_eq!(
            of_processes(&["8".to_owned()], &paths).unwrap_err().to_string(),
            "Failed to get unit for PID 8: PID 8 does not belong to any loaded unit."
        );
    }
}
