//! The policy of the host, `sampan-policy.toml(5)`: which names are accepted, rejected, or want a signature.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::{SettingsError, read};
use crate::image::origin::{Policy, PublicKey, Rule};
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::unit::decode;
use crate::unit::diagnostic::{Diagnostic, Severity};
use crate::unit::tree::{Mark, Node};
use crate::unit::value::{AbsolutePath, Text};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    default: RuleTable,
    registry: BTreeMap<String, RuleTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RuleTable {
    action: Option<Action>,
    keys: Vec<Text<AbsolutePath>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Accept,
    Reject,
    Signed,
}

/// Reads the policy and the keys that it names; without a file, every image is accepted.
///
/// # Errors
/// When the file or a key cannot be read or says something that is not valid.
pub fn load(paths: &Paths) -> Result<Policy, SettingsError> {
    let Some(tree) = read(&paths.policy())? else { return Ok(Policy::default()) };
    let mut reader = Reader { paths, tree: &tree, faults: Vec::new() };
    let mut faults = Vec::new();
    let file: File = decode::read(&mut tree.clone(), &mut faults);
    if !faults.is_empty() {
        return Err(SettingsError(faults));
    }
    let default = match file.default.action {
        None if file.default.keys.is_empty() => Rule::Accept,
        _ => reader.rule(file.default, &["default"]),
    };
    let mut prefixes = BTreeMap::new();
    for (prefix, table) in file.registry {
        reader.check_prefix(&prefix);
        let rule = reader.rule(table, &["registry", &prefix]);
        prefixes.insert(prefix, rule);
    }
    let policy = Policy { default, prefixes };
    if reader.faults.is_empty() { Ok(policy) } else { Err(SettingsError(reader.faults)) }
}

struct Reader<'a> {
    paths: &'a Paths,
    tree: &'a Node,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// The names that a rule is for have to begin as names do.
    fn check_prefix(&mut self, prefix: &str) {
        let as_name = format!("{prefix}/some/name");
        if !Reference::parse(&as_name).is_ok_and(|name| name.name() == as_name) {
            let help = "write a registry as in \"docker.io\", or with a path as in \"docker.io/library\"";
            self.fault(&["registry", prefix], "this is no beginning of an image's name", help);
        }
    }

    fn rule(&mut self, table: RuleTable, way: &[&str]) -> Rule {
        match (table.action, table.keys.as_slice()) {
            (Some(Action::Accept), []) => Rule::Accept,
            (Some(Action::Reject), []) => Rule::Reject,
            (Some(Action::Signed), [_, ..]) => {
                Rule::Signed(table.keys.iter().filter_map(|Text(path)| self.key(path, way)).collect())
            }
            (Some(Action::Signed), []) => self.wrong(way, "\"signed\" needs keys", "name files in \"keys\""),
            (None, _) => self.wrong(way, "no action is given", "use \"accept\", \"reject\" or \"signed\""),
            (Some(_), _) => {
                self.wrong(way, "keys are for \"signed\" only", "remove them, or ask for signatures")
            }
        }
    }

    fn wrong(&mut self, way: &[&str], message: &str, help: &str) -> Rule {
        self.fault(way, message, help);
        Rule::Reject
    }

    fn key(&mut self, path: &AbsolutePath, way: &[&str]) -> Option<PublicKey> {
        let file = self.paths.root().join(path.0.strip_prefix("/").unwrap_or(&path.0));
        let pem = std::fs::read_to_string(&file).map_err(|error| format!("cannot be read: {error}"));
        match pem.and_then(|pem| PublicKey::parse(&pem).map_err(str::to_owned)) {
            Ok(key) => Some(key),
            Err(reason) => {
                let help = "give the PEM file of a public key on the curve P-256";
                self.fault(&[way, &["keys"]].concat(), &format!("{} {reason}", file.display()), help);
                None
            }
        }
    }

    fn fault(&mut self, way: &[&str], message: &str, help: &str) {
        let start = Mark { span: 0..0, ..self.tree.mark.clone() };
        let mark = self.tree.find(way).map_or(&start, |entry| &entry.key);
        self.faults.push(mark.diagnostic(Severity::Error, message).with_help(Some(help)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<Policy, String> {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        std::fs::create_dir_all(root.path().join("etc/sampan")).unwrap();
        std::fs::write(paths.policy(), text).unwrap();
        load(&paths).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_by_prefix() {
        let policy = load_text(
            "[default]\naction = \"reject\"\n[registry.\"docker.io/library\"]\naction = \"accept\"\n",
        );
        let policy = policy.unwrap();
        assert_eq!((policy.default, &policy.prefixes["docker.io/library"]), (Rule::Reject, &Rule::Accept));
        assert_eq!(load_text("").unwrap(), Policy::default());
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        for (text, place, reason) in [
            ("[default]\naction = \"signed\"\n", ":1:2", "needs keys"),
            ("[default]\naction = \"sign\"\n", ":2:10", "sign"),
            ("[registry.nginx]\naction = \"accept\"\n", ":1:11", "no beginning of an image's name"),
            ("[registry.\"docker.io\"]\n", ":1:11", "no action is given"),
            (
                "[registry.\"docker.io\"]\naction = \"accept\"\nkeys = [\"/k\"]\n",
                ":1:11",
                "for \"signed\" only",
            ),
            ("[default]\naction = \"signed\"\nkeys = [\"/none\"]\n", ":3:1", "cannot be read"),
            ("[registry]\n[rules]\n", ":2:2", "rules"),
        ] {
            let error = load_text(text).unwrap_err();
            assert!(error.contains(&format!("policy.toml{place}")) && error.contains(reason), "{error}");
        }
    }
}
