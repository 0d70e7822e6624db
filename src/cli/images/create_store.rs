//! `sampanctl create-store`: a store with a setting that it keeps for good.

use super::Common;
use crate::paths::Paths;
use crate::store::{Sharing, Store};

/// Arguments of `create-store`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Share files of different images that differ in their times alone
    #[arg(long)]
    ignore_mtime: bool,
    #[command(flatten)]
    common: Common,
}

/// Makes the store.
///
/// # Errors
/// When it cannot be made, or is there and was made otherwise.
pub fn run(args: &Args, paths: &Paths) -> anyhow::Result<u8> {
    let sharing = if args.ignore_mtime { Sharing::AnyTime } else { Sharing::Exact };
    let store = Store::create_sharing(&args.common.paths(paths), sharing)?;
    if store.sharing() != sharing {
        let path = store.root().display();
        anyhow::bail!("{path} is there, and what it shares cannot be changed: begin another store beside it");
    }
    Ok(0)
}
