//! `[credentials]` as meant.

use crate::unit::model::{
    Credential, CredentialForm, CredentialPlace, GivenCredential, IfMissing, LoadedCredential, Secret,
};
use crate::unit::report::Report;
use crate::unit::schema::{ContainerFile, Credential as Table};
use crate::unit::value::{CredentialSource, Text, is_credential_name};
use std::collections::BTreeMap;

pub fn lower(file: &ContainerFile, report: &mut Report<'_>) -> BTreeMap<String, Credential> {
    let mut credentials = BTreeMap::new();
    for (name, table) in &file.credentials {
        if !is_credential_name(name) {
            let message = format!("\"{}\" is not the name of a credential", name.escape_debug());
            let help = "it becomes the name of a file: letters, digits, \".\", \"_\" and \"-\" of ASCII";
            report.error(&["credentials", name], message, help);
        } else if !contradicts_itself(name, table, report) {
            credentials.insert(name.clone(), meant(name, table));
        }
    }
    credentials
}

fn contradicts_itself(name: &str, table: &Table, report: &mut Report<'_>) -> bool {
    let set = [
        ("path", table.path.is_some()),
        ("encrypted", table.encrypted.is_some()),
        ("value", table.value.is_some()),
        ("encrypted_value", table.encrypted_value.is_some()),
        ("import", table.import.is_some()),
    ];
    let has = |key: &str| set.iter().any(|(other, is_set)| *is_set && *other == key);
    for (one, other, help) in [
        ("path", "encrypted", "leave one out"),
        ("value", "encrypted_value", "leave one out"),
        ("import", "path", "what is imported has its own names: give each of the two a table"),
        ("import", "encrypted", "what is imported has its own names: give each of the two a table"),
        ("import", "value", "what is imported has its own names: give each of the two a table"),
        ("import", "encrypted_value", "what is imported has its own names: give each of the two a table"),
    ] {
        if has(one) && has(other) {
            let message = format!("a credential has not both \"{one}\" and \"{other}\"");
            report.error(&["credentials", name, other], message, help);
            return true;
        }
    }
    false
}

fn meant(name: &str, table: &Table) -> Credential {
    if let Some(Text(pattern)) = &table.import {
        return Credential::Import(pattern.0.clone());
    }
    let given = match (&table.value, &table.encrypted_value) {
        (Some(value), _) => Some(GivenCredential::Plain(Secret::new(value))),
        (None, Some(Text(value))) => Some(GivenCredential::Encrypted(value.0.clone())),
        (None, None) => None,
    };
    let load = |source: &CredentialSource, form, default| {
        let CredentialSource { place, missing } = source.clone();
        Credential::Load(LoadedCredential { place, form, missing, default })
    };
    match (&table.path, &table.encrypted, given) {
        (Some(Text(source)), _, given) => load(source, CredentialForm::Plain, given),
        (None, Some(Text(source)), given) => load(source, CredentialForm::Encrypted, given),
        (None, None, Some(given)) => Credential::Given(given),
        // As LoadCredential= with a name alone.
        (None, None, None) => {
            let source =
                CredentialSource { place: CredentialPlace::Name(name.to_owned()), missing: IfMissing::Fail };
            load(&source, CredentialForm::Plain, None)
        }
    }
}
