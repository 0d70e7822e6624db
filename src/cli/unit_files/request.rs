//! What the options of each verb over links come to.

use crate::cli::args::{DisableArgs, EnableNowArgs, ForceArgs, LastingArgs, LinkArgs, NowArgs, PresetArgs};
use crate::cli::lifecycle::Until;
use crate::cli::units::enable::EnableArgs;
use crate::unit::enable::Manner;

/// What a verb over links is asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// Which units, and whether what is done is told.
    pub files: &'a EnableArgs,
    /// Whether the manager is left to what it knows.
    pub no_reload: bool,
    /// How links are made.
    pub manner: Manner,
    /// With `--now`, until when its jobs are waited for.
    pub now: Option<Until>,
}

impl<'a> From<&'a LinkArgs> for Request<'a> {
    fn from(args: &'a LinkArgs) -> Self {
        Self { files: &args.files, no_reload: args.no_reload, manner: Manner::default(), now: None }
    }
}

impl<'a> From<&'a LastingArgs> for Request<'a> {
    fn from(args: &'a LastingArgs) -> Self {
        Self { manner: Manner::of_options(args.runtime, false), ..Self::from(&args.links) }
    }
}

impl<'a> From<&'a ForceArgs> for Request<'a> {
    fn from(args: &'a ForceArgs) -> Self {
        let manner = Manner::of_options(args.lasting.runtime, args.force);
        Self { manner, ..Self::from(&args.lasting) }
    }
}

impl<'a> From<&'a PresetArgs> for Request<'a> {
    fn from(args: &'a PresetArgs) -> Self {
        Self::from(&args.links)
    }
}

impl<'a> From<&'a EnableNowArgs> for Request<'a> {
    fn from(args: &'a EnableNowArgs) -> Self {
        Self { now: args.now.until(), ..Self::from(&args.links) }
    }
}

impl<'a> From<&'a DisableArgs> for Request<'a> {
    fn from(args: &'a DisableArgs) -> Self {
        Self { now: args.now.until(), ..Self::from(&args.links) }
    }
}

impl NowArgs {
    /// Until when their jobs are waited for; `None`: there are none.
    fn until(self) -> Option<Until> {
        self.now.then_some(if self.no_block { Until::Queued } else { Until::Done })
    }
}
