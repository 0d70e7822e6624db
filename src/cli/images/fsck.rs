//! `sampanctl fsck`: reads the whole store, names what is wrong with it, and repairs it when asked.

use super::Common;
use crate::cli::display::OutputFormat;
use crate::manager::images::roots;
use crate::paths::Paths;
use crate::store::{Finding, Repair, Store};

/// Arguments of `fsck`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Restore what can be restored, and take out what cannot
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    common: Common,
}

/// Checks the store; the exit status is 1 when something is wrong, and stays so.
///
/// # Errors
/// When the store cannot be read at all, or not be written by a repair.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = args.common.open(paths)?;
    match (&store, args.repair) {
        (None, _) => report(&[], args.common.output),
        (Some(store), false) => report(&store.fsck()?, args.common.output),
        (Some(store), true) => repair(store, &args.common, paths),
    }
}

fn report(findings: &[Finding], output: OutputFormat) -> anyhow::Result<u8> {
    output.show(&json(findings), || lines(findings))?;
    Ok(u8::from(!findings.is_empty()))
}

fn repair(store: &Store, common: &Common, paths: &Paths) -> anyhow::Result<u8> {
    let running = || roots::running(paths).filter_map(|root| store.resolve(&root.image).ok()).collect();
    let Repair { repaired, remaining } = store.repair(running)?;
    let report = serde_json::json!({ "repaired": json(&repaired), "remaining": json(&remaining) });
    common.output.show(&report, || [lines(&repaired), lines(&remaining)].concat())?;
    Ok(u8::from(!remaining.is_empty()))
}

fn json(findings: &[Finding]) -> serde_json::Value {
    let value = |finding: &Finding| serde_json::json!({ "path": finding.path.to_string_lossy(), "what": finding.what });
    findings.iter().map(value).collect()
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{} {}\n", finding.path.display(), finding.what)).collect()
}
