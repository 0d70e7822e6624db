//! `sampanctl pull`: a fetcher talks to the registry, a confined worker writes the store, and here it is shown; both
//! are started here, or by the manager.

use std::io::{IsTerminal as _, Write as _};

use super::access::images;
use super::progress::{Display, ProgressArgs, Words};
use super::{Common, import};
use crate::image::ImageError;
use crate::image::manifest::Platform;
use crate::image::reference::Reference;
use crate::paths::Paths;
use crate::store::Scrutiny;
use crate::transfer::order::PullOrder;
use crate::transfer::registry::{Meaning, Settings};
use crate::unit::diagnostic::Style;

/// Arguments of `pull`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, such as docker.io/library/nginx:1.27; sampan-registries(5) says what short names mean
    #[arg(value_name = "REF")]
    name: String,
    /// Pull the image for this platform, such as linux/arm64, instead of this host's
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    platform: Option<Platform>,
    /// Read what the store has of the image already, and heal it where a disk has changed it
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    common: Common,
}

const WORDS: Words =
    Words { doing: "Fetching", done: "Fetched", before: "Resolving", after: "Writing the image" };

fn platform(text: &str) -> Result<Platform, ImageError> {
    Platform::parse(text)
}

/// Pulls, and prints the id.
///
/// # Errors
/// When the name means nothing, or the registry, the image or the store is refused.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let image = reference(&args.name, paths)?;
    let order = PullOrder { image, platform: args.platform, scrutiny: Scrutiny::of_verify(args.verify) };
    let mut display = Display::new(&args.progress, WORDS);
    let report = images(&args.common, paths).pull(order, &mut display);
    display.finish();
    import::print(&report?, args.common.output)
}

fn reference(name: &str, paths: &Paths) -> anyhow::Result<Reference> {
    let settings = Settings::load(paths).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| fault.render(Style::Plain)).collect();
        anyhow::anyhow!("the settings of registries are wrong\n{}", faults.join("\n"))
    })?;
    match settings.meaning(name)? {
        Meaning::One(reference) => Ok(reference),
        Meaning::Several(references) => choose(name, references),
    }
}

/// Asks the person at the terminal; without one, nothing is guessed.
fn choose(name: &str, references: Vec<Reference>) -> anyhow::Result<Reference> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        let all: Vec<String> = references.iter().map(ToString::to_string).collect();
        anyhow::bail!("\"{name}\" may mean {}: write the one that you mean", all.join(" or "));
    }
    let mut error = std::io::stderr();
    writeln!(error, "\"{name}\" may mean:")?;
    for (number, reference) in (1..).zip(&references) {
        writeln!(error, "  {number}) {reference}")?;
    }
    write!(error, "Which one? [1-{}] ", references.len())?;
    error.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let chosen = line.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let chosen = chosen.and_then(|index| references.into_iter().nth(index));
    chosen.ok_or_else(|| anyhow::anyhow!("none was chosen"))
}
