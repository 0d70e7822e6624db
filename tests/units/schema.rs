//! The JSON schema of unit files, by a validator that is not ours: what editors take it for.

use sampan::unit::schema;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Reads a schema and files, and prints the files that are not as the schema says.
const VALIDATOR: &str = r#"
import json, sys, tomllib
import jsonschema
schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
for path in sys.argv[2:]:
    for error in validator(schema).iter_errors(tomllib.load(open(path, "rb"))):
        print(path, "/".join(map(str, error.absolute_path)), error.message)
"#;

fn validate(directory: &Path, files: &[&str]) -> Output {
    let schema = directory.join("schema.json");
    fs::write(&schema, serde_json::to_string(&schema::of_containers()).unwrap()).unwrap();
    let mut command = Command::new("python3");
    command.args(["-W", "ignore", "-c", VALIDATOR]).arg(schema).args(files);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn good_units_are_as_the_schema_says() {
    let directory = tempfile::tempdir().unwrap();
    let good = ["07-not-in-effect", "20-whole", "21-minimal", "26-whole-mounts"]
        .map(|case| format!("tests/units/{case}/web.container.toml"));
    let output = validate(directory.path(), &good.each_ref().map(String::as_str));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn mistakes_that_a_schema_can_express_are_found() {
    let directory = tempfile::tempdir().unwrap();
    for case in [
        "01-unknown-keys",
        "02-wrong-types",
        "32-systemd-words",
        "33-systemd-keys",
        "34-quadlet-keys",
        "35-compose-keys",
        "36-nspawn-keys",
        "39-array-of-tables",
        "40-table-where-a-value-belongs",
        "41-value-where-a-table-belongs",
        "42-string-where-an-array-belongs",
        "43-environment-as-an-array",
        "44-numbers-in-environment",
        "84-words-of-choices",
        "86-booleans-as-words",
        "96-misplaced-keys",
    ] {
        let output = validate(directory.path(), &[&format!("tests/units/{case}/web.container.toml")]);
        assert!(!output.stdout.is_empty(), "{case} is taken");
    }
}

/// An editor shows them beside the keys that it completes.
#[test]
fn every_key_is_described() {
    for key in schema::keys() {
        assert!(key.sentence.ends_with(['.', '"', ')']), "{:?}: {}", key.way, key.sentence);
    }
}
