//! `%i` and the like in strings, as in systemd.unit(5) "Specifiers".

use super::diagnostic::{Diagnostic, Severity};
use super::model::CREDENTIALS_DIRECTORY;
use super::name::UnitName;
use super::tree::{Entry, FAULTS_MAX, Mark, Node, Table, Value};
use crate::paths::Paths;

/// What specifiers say about the host; read once for all units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// `%H`.
    pub hostname: String,
    /// `%m`.
    pub machine_id: String,
    /// `%b`.
    pub boot_id: String,
    /// `%v`.
    pub kernel: String,
}

impl Host {
    /// Reads the facts of this host. One that cannot be read is empty.
    pub fn read(paths: &Paths) -> Self {
        let file = |path| std::fs::read_to_string(path).unwrap_or_default().trim().replace('-', "");
        let names = rustix::system::uname();
        Self {
            hostname: names.nodename().to_string_lossy().into_owned(),
            machine_id: file(paths.machine_id()),
            boot_id: file(paths.boot_id()),
            kernel: names.release().to_string_lossy().into_owned(),
        }
    }
}

/// Which specifiers there are, for messages and the manual.
pub const ALL: &str = "%n %N %p %i %I %H %m %b %v %t %S %C %d %h %u %U %%";

/// Expands every string of a tree in place, and every key: those of some tables are the user's own words.
pub fn expand_tree(tree: &mut Node, name: &UnitName, host: &Host, faults: &mut Vec<Diagnostic>) {
    expand_keys(tree, &|text| expand(text, name, host), faults);
    let secrets = take_secrets(tree);
    tree.for_each_string(&mut |text, mark| {
        if faults.len() >= FAULTS_MAX {
            return;
        }
        if text.contains('\0') {
            faults.push(mark.diagnostic(Severity::Error, "a NUL byte cannot stand in a value"));
        }
        match expand(text, name, host) {
            Ok(expanded) => *text = expanded,
            Err(letter) => faults.push(unknown(letter, mark)),
        }
    });
    for (name, secret) in secrets {
        if let Some(credential) = credentials(tree).and_then(|table| table.get_mut(&name)) {
            credential.node.table_mut().map(|table| table.insert(SECRET.to_owned(), secret));
        }
    }
}

const SECRET: &str = "value";

/// Secrets are what they are, as with SetCredential=: a percent sign in one stands for itself.
fn take_secrets(tree: &mut Node) -> Vec<(String, Entry)> {
    let entries = credentials(tree).into_iter().flatten();
    entries
        .filter_map(|(name, entry)| Some((name.clone(), entry.node.table_mut()?.remove(SECRET)?)))
        .collect()
}

fn credentials(tree: &mut Node) -> Option<&mut Table> {
    tree.table_mut()?.get_mut("credentials")?.node.table_mut()
}

fn unknown(letter: char, mark: &Mark) -> Diagnostic {
    let fault = mark.diagnostic(Severity::Error, format!("unknown specifier \"%{letter}\""));
    fault.with_help(Some("write \"%%\" for a percent sign"))
}

/// A key that cannot be expanded, or becomes another of the same table, is a fault and left out.
fn expand_keys(
    node: &mut Node,
    expand: &impl Fn(&str) -> Result<String, char>,
    faults: &mut Vec<Diagnostic>,
) {
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| expand_keys(item, expand, faults)),
        Value::Table(table) => {
            let special = |key: &&String| key.contains(['%', '\0']);
            for key in table.keys().filter(special).cloned().collect::<Vec<_>>() {
                if faults.len() >= FAULTS_MAX {
                    return;
                }
                let Some(entry) = table.remove(&key) else { continue };
                let fault = match expand(&key) {
                    Err(letter) => unknown(letter, &entry.key),
                    Ok(expanded) if expanded.contains('\0') => {
                        entry.key.diagnostic(Severity::Error, "a NUL byte cannot stand in a key")
                    }
                    Ok(expanded) if table.contains_key(&expanded) => {
                        let message = format!("this is \"{expanded}\", which this table has already");
                        entry.key.diagnostic(Severity::Error, message)
                    }
                    Ok(expanded) => {
                        table.insert(expanded, entry);
                        continue;
                    }
                };
                faults.push(fault);
            }
            table.values_mut().for_each(|entry| expand_keys(&mut entry.node, expand, faults));
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime => {}
    }
}

/// Expands one string. A percent sign at its end stands for itself, as in "50%".
fn expand(text: &str, name: &UnitName, host: &Host) -> Result<String, char> {
    let mut expanded = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        match characters.next() {
            None => expanded.push('%'),
            Some(letter) => expanded.push_str(&value(letter, name, host).ok_or(letter)?),
        }
    }
    Ok(expanded)
}

fn value(letter: char, name: &UnitName, host: &Host) -> Option<String> {
    let text = match letter {
        'n' => name.as_str(),
        'N' => name.stem(),
        'p' => name.prefix(),
        'i' => name.instance().unwrap_or_default(),
        // Unescaped: "-" is "/" in an instance that stands for a path.
        'I' => return Some(name.instance().unwrap_or_default().replace('-', "/")),
        'H' => &host.hostname,
        'm' => &host.machine_id,
        'b' => &host.boot_id,
        'v' => &host.kernel,
        't' => "/run",
        'S' => "/var/lib",
        'C' => "/var/cache",
        'd' => CREDENTIALS_DIRECTORY,
        'h' => "/root",
        'u' => "root",
        'U' => "0",
        '%' => "%",
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_expanded() {
        let name = UnitName::parse("web@a-b.container").unwrap();
        let host = Host {
            hostname: "box".to_owned(),
            machine_id: "m".to_owned(),
            boot_id: "b".to_owned(),
            kernel: "6.1".to_owned(),
        };
        for (text, expected) in [
            ("%n", "web@a-b.container"),
            ("%N/%p", "web@a-b/web"),
            ("%i %I", "a-b a/b"),
            ("%H-%m-%b-%v", "box-m-b-6.1"),
            ("%t%S%C%h%u%U", "/run/var/lib/var/cache/rootroot0"),
            ("100%%", "100%"),
            ("50%", "50%"),
        ] {
            assert_eq!(expand(text, &name, &host).unwrap(), expected, "{text}");
        }
        assert_eq!(expand("%Y", &name, &host), Err('Y'));
    }
}
