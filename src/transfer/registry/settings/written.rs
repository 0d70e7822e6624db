//! The settings as they are written, and what is meant by them.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{ClientFiles, Deadlines, RegistrySettings, Settings, Transport};
use crate::image::reference::Reference;
use crate::image::short_name::ShortNames;
use crate::unit::decode;
use crate::unit::diagnostic::Diagnostic;
use crate::unit::report::Report;
use crate::unit::tree::Node;
use crate::unit::value::{AbsolutePath, Text, TimeSpan};

/// The files as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    short_names: Option<Vec<String>>,
    alias: BTreeMap<String, String>,
    transfer: WrittenTransfer,
    registry: BTreeMap<String, WrittenRegistry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenTransfer {
    connect_timeout: Option<Text<TimeSpan>>,
    stall_timeout: Option<Text<TimeSpan>>,
    helper_timeout: Option<Text<TimeSpan>>,
    attempts: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenRegistry {
    mirrors: Vec<String>,
    plain_http: Option<bool>,
    ca: Option<Text<AbsolutePath>>,
    client_certificate: Option<Text<AbsolutePath>>,
    client_key: Option<Text<AbsolutePath>>,
}

/// Largest number of attempts that may be asked for.
const ATTEMPTS_MAX: u32 = 100;

/// Reads the tree of all files.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(tree: &Node) -> Result<Settings, Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let mut read = tree.clone();
    let written: Written = decode::read(&mut read, &mut faults);
    let mut report = Report::new(tree, &read);
    let defaults = Settings::default();
    let settings = Settings {
        names: ShortNames {
            prefixes: prefixes(
                written.short_names.unwrap_or(defaults.names.prefixes),
                &["short_names"],
                &mut report,
            ),
            aliases: aliases(written.alias, &mut report),
        },
        deadlines: deadlines(&written.transfer, &mut report),
        registries: written
            .registry
            .into_iter()
            .map(|(name, table)| {
                let settings = registry(&name, table, &mut report);
                (name, settings)
            })
            .collect(),
    };
    faults.extend(report.finish());
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

fn prefixes(written: Vec<String>, way: &[&str], report: &mut Report<'_>) -> Vec<String> {
    for (index, prefix) in written.iter().enumerate() {
        if !is_prefix(prefix) {
            let help = "write a registry and perhaps a path, such as \"docker.io\" or \"registry.example.org:5000/team\"";
            report.item_error(way, index, format!("\"{prefix}\" names no registry"), help);
        }
    }
    written
}

/// Whether an image below this prefix would have a full name.
fn is_prefix(prefix: &str) -> bool {
    Reference::parse(&format!("{prefix}/image")).is_ok() && !prefix.contains('@')
}

fn aliases(written: BTreeMap<String, String>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    for (short, full) in &written {
        if let Err(error) = Reference::parse(full) {
            report.error(&["alias", short], error.to_string(), "write a full name, with its registry");
        }
    }
    written
}

fn deadlines(written: &WrittenTransfer, report: &mut Report<'_>) -> Deadlines {
    let defaults = Deadlines::default();
    let mut span = |key: &str, value: &Option<Text<TimeSpan>>, default: Duration| match value {
        None => default,
        Some(Text(TimeSpan(Some(span)))) if !span.is_zero() => *span,
        Some(_) => {
            report.error(
                &["transfer", key],
                "a transfer that may wait forever never fails",
                "write a time such as \"30s\"",
            );
            default
        }
    };
    let connect = span("connect_timeout", &written.connect_timeout, defaults.connect);
    let stall = span("stall_timeout", &written.stall_timeout, defaults.stall);
    let helper = span("helper_timeout", &written.helper_timeout, defaults.helper);
    let attempts = written.attempts.unwrap_or(defaults.attempts);
    if !(1..=ATTEMPTS_MAX).contains(&attempts) {
        report.error(&["transfer", "attempts"], "this is not a number from 1 to 100", "");
    }
    Deadlines { connect, stall, helper, attempts }
}

fn registry(name: &str, written: WrittenRegistry, report: &mut Report<'_>) -> RegistrySettings {
    let table = ["registry", name];
    if !is_prefix(name) || name.contains('/') {
        report.error(
            &table,
            format!("\"{name}\" is not a registry"),
            "write its host and perhaps a port, such as \"registry.example.org:5000\"",
        );
    }
    let mirrors = prefixes(written.mirrors, &["registry", name, "mirrors"], report);
    let transport = written.plain_http.map(|plain| if plain { Transport::Plain } else { Transport::Tls });
    let certificates = written.ca.is_some() || written.client_certificate.is_some();
    if transport == Some(Transport::Plain) && certificates {
        report.error(
            &["registry", name, "plain_http"],
            "plain HTTP has no certificates",
            "remove this key, or those of the certificates",
        );
    }
    let client = match (written.client_certificate, written.client_key) {
        (Some(Text(AbsolutePath(certificate))), Some(Text(AbsolutePath(key)))) => {
            Some(ClientFiles { certificate, key })
        }
        (None, None) => None,
        _ => {
            report.error(
                &table,
                "a client's certificate and its key belong together",
                "write both client_certificate and client_key",
            );
            None
        }
    };
    RegistrySettings { mirrors, transport, ca: written.ca.map(|Text(AbsolutePath(path))| path), client }
}
