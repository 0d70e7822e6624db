//! `sampanctl diff`: what a second image has that a first has not, and the other way round.

use clap_complete::engine::ArgValueCandidates;

use super::{Common, show};
use crate::cli::candidates::image_names;
use crate::cli::display::OutputFormat;
use crate::image::diff::{self, Aspect, Change, Difference, Privilege, Times};
use crate::image::text::printable;
use crate::paths::Paths;

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image before, a name or an id
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    old: String,
    /// The image after
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(image_names))]
    new: String,
    /// Leave out what differs in its time of last modification only
    #[arg(long)]
    ignore_mtime: bool,
    #[command(flatten)]
    common: Common,
}

/// Shows the differences of two images.
///
/// # Errors
/// When one is not there, or its index is damaged.
pub fn run(args: Args, paths: &Paths) -> anyhow::Result<u8> {
    let store = super::open_store(&args.common.paths(paths))?;
    let entries = |image: &str| store.entries(&store.resolve(image)?);
    let times = if args.ignore_mtime { Times::Ignored } else { Times::Compared };
    let differences = diff::diff(&entries(&args.old)?, &entries(&args.new)?, times);
    match args.common.output {
        OutputFormat::Text => show::print(&text(&differences))?,
        OutputFormat::Json => show::print(&json(&differences))?,
        OutputFormat::JsonPretty => show::print_indented(&json(&differences))?,
    }
    Ok(0)
}

/// A line for each path; then, as they are what an administrator must see, the new privileges once more.
fn text(differences: &[Difference]) -> String {
    let mut text: String = differences.iter().map(line).collect();
    let gains: Vec<&Difference> =
        differences.iter().filter(|difference| !difference.gains.is_empty()).collect();
    if !gains.is_empty() {
        text.push_str("New privileges:\n");
    }
    for difference in gains {
        let gains: Vec<String> = difference.gains.iter().map(privilege).collect();
        text.push_str(&format!("! {} {}\n", printable(&difference.path.absolute()), gains.join(", ")));
    }
    text
}

fn line(difference: &Difference) -> String {
    let path = printable(&difference.path.absolute());
    match &difference.change {
        Change::Added => format!("+ {path}\n"),
        Change::Removed => format!("- {path}\n"),
        Change::Changed(aspects) => {
            let aspects: Vec<String> = aspects.iter().map(aspect).collect();
            format!("~ {path} ({})\n", aspects.join(", "))
        }
    }
}

fn aspect(aspect: &Aspect) -> String {
    match aspect {
        Aspect::Mode(old, new) => format!("mode {old:04o} to {new:04o}"),
        Aspect::Owner(old, new) => format!("owner {}:{} to {}:{}", old.0, old.1, new.0, new.1),
        Aspect::Attributes(names) => names
            .iter()
            .map(|name| format!("xattr {}", printable(name.as_bytes())))
            .collect::<Vec<_>>()
            .join(", "),
        other => word(other).to_owned(),
    }
}

/// The word for programs.
fn word(aspect: &Aspect) -> &'static str {
    match aspect {
        Aspect::Type => "type",
        Aspect::Content => "content",
        Aspect::Target => "target",
        Aspect::Mode(..) => "mode",
        Aspect::Owner(..) => "owner",
        Aspect::Attributes(_) => "xattr",
        Aspect::Time => "mtime",
        Aspect::HardLink => "hard link",
    }
}

fn privilege(privilege: &Privilege) -> String {
    match privilege {
        Privilege::SetUser(uid) => format!("setuid {uid}"),
        Privilege::SetGroup(gid) => format!("setgid {gid}"),
        Privilege::Capabilities(bits) => {
            let mut all: Vec<caps::Capability> = caps::all().into_iter().collect();
            all.sort_by_key(caps::Capability::index);
            let names = all.iter().filter(|capability| bits & capability.bitmask() != 0);
            names.map(ToString::to_string).collect::<Vec<_>>().join(" ").to_lowercase()
        }
    }
}

/// One object a line.
fn json(differences: &[Difference]) -> String {
    let strings = |words: Vec<String>| serde_json::Value::from(words).to_string();
    let object = |difference: &Difference| {
        let (change, what) = match &difference.change {
            Change::Added => ("added", Vec::new()),
            Change::Removed => ("removed", Vec::new()),
            Change::Changed(aspects) => {
                ("changed", aspects.iter().map(|aspect| word(aspect).to_owned()).collect())
            }
        };
        format!(
            "{{\"path\":{},\"change\":\"{change}\",\"what\":{},\"gains\":{}}}",
            show::json_bytes(&difference.path.absolute()),
            strings(what),
            strings(difference.gains.iter().map(privilege).collect()),
        )
    };
    let lines: Vec<String> = differences.iter().map(object).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}
