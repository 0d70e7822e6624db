//! `sampanctl fsck`: reads the whole store and names what is wrong with it.

use super::{Common, Output, show};
use crate::paths::Paths;

/// Arguments of `fsck`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
}

/// Checks the store; the exit status is 1 when something is wrong.
///
/// # Errors
/// When the store cannot be read at all.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let findings = match args.common.open(paths)? {
        Some(store) => store.fsck()?,
        None => Vec::new(),
    };
    match args.common.output {
        Output::Json => {
            let findings: Vec<_> = findings
                .iter()
                .map(|finding| serde_json::json!({ "path": finding.path.to_string_lossy(), "what": finding.what }))
                .collect();
            show::print(&format!("{}\n", serde_json::to_string_pretty(&findings)?))?;
        }
        Output::Text => {
            for finding in &findings {
                show::print(&format!("{} {}\n", finding.path.display(), finding.what))?;
            }
        }
    }
    Ok(u8::from(!findings.is_empty()))
}
