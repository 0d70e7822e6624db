//! What is seen of a transfer while it runs: a bar for each part on a terminal, lines elsewhere, on standard error.

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use super::show;
use crate::cli::output::complain;
use crate::sys::errno::without_numbers;
use crate::transfer::Step;

/// Between two pictures of a bar that waits.
const TICK: Duration = Duration::from_millis(200);
const BAR: &str =
    "{prefix:18} [{bar:30}] {binary_bytes:>10}/{binary_total_bytes:10} {binary_bytes_per_sec:>12} {msg}";
/// Of a part whose size nobody knows.
const COUNT: &str = "{prefix:18} {spinner} {binary_bytes:>10} {binary_bytes_per_sec:>12} {msg}";
const LINE: &str = "{spinner} {msg}";

/// Options of the verbs that show it.
#[derive(Debug, clap::Args)]
pub(super) struct ProgressArgs {
    /// How progress is shown on standard error
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    progress: When,
    /// Show no progress
    #[arg(long, short, conflicts_with = "progress")]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// Lines
    Plain,
    /// Not at all
    Never,
}

/// What is done with each part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// While it is done: `Fetching`.
    pub(super) doing: &'static str,
    /// When it is over: `Fetched`.
    pub(super) done: &'static str,
    /// What goes on before the first part.
    pub(super) before: &'static str,
    /// What goes on after the last one.
    pub(super) after: &'static str,
}

/// The display of one transfer.
pub(super) struct Display {
    words: Words,
    form: Form,
}

enum Form {
    /// Bars that move, on a terminal.
    Bars(Bars),
    /// A line for whatever is worth one.
    Lines,
    /// Nothing; errors alone are told.
    Nothing,
}

/// Bars on a terminal.
struct Bars {
    all: MultiProgress,
    parts: BTreeMap<String, ProgressBar>,
    /// What goes on as a whole, below the bars.
    status: ProgressBar,
}

impl Display {
    pub(super) fn new(args: &ProgressArgs, words: Words) -> Self {
        let form = match (args.progress, std::io::stderr().is_terminal()) {
            _ if args.quiet => Form::Nothing,
            (When::Never, _) => Form::Nothing,
            (When::Auto, true) => Form::Bars(Bars::new(words.before)),
            (When::Auto, false) | (When::Plain, _) => Form::Lines,
        };
        Self { words, form }
    }

    /// Shows a step of an import or an export.
    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Begun { part, size } => self.begin(&short(part), *size),
            Step::Advanced { part, done } => self.advance(&short(part), *done),
            Step::Ended { part } => self.end(&short(part)),
            Step::Committing { entries } => {
                self.say(&format!("{} ({entries} entries)", self.words.after));
            }
        }
    }

    /// A part begins.
    pub(super) fn begin(&mut self, part: &str, size: Option<u64>) {
        match &mut self.form {
            Form::Bars(bars) => bars.begin(part, size),
            Form::Lines => {
                let size = size.map(|size| format!(" ({})", show::size(size))).unwrap_or_default();
                eprintln!("{} {part}{size}", self.words.doing);
            }
            Form::Nothing => {}
        }
    }

    /// So many bytes of a part are done.
    pub(super) fn advance(&mut self, part: &str, done: u64) {
        if let Form::Bars(bars) = &self.form
            && let Some(bar) = bars.parts.get(part)
        {
            bar.set_position(done);
        }
    }

    /// A part is over.
    pub(super) fn end(&mut self, part: &str) {
        match &self.form {
            Form::Bars(bars) => bars.end(part, self.words.after),
            Form::Lines => eprintln!("{} {part}", self.words.done),
            Form::Nothing => {}
        }
    }

    /// Something that is about the whole.
    pub(super) fn say(&mut self, what: &str) {
        match &self.form {
            Form::Bars(bars) => bars.status.set_message(without_numbers(what)),
            Form::Lines => complain(what),
            Form::Nothing => {}
        }
    }

    /// Clears what moves, so that the result stands alone.
    pub(super) fn finish(&self) {
        if let Form::Bars(bars) = &self.form {
            bars.status.finish_and_clear();
            bars.parts.values().for_each(ProgressBar::abandon);
        }
    }
}

impl Bars {
    fn new(status: &'static str) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let status = all.add(ProgressBar::new_spinner().with_style(style(LINE)).with_message(status));
        status.enable_steady_tick(TICK);
        Self { all, parts: BTreeMap::new(), status }
    }

    fn begin(&mut self, part: &str, size: Option<u64>) {
        let bar = match size {
            Some(size) => ProgressBar::new(size).with_style(style(BAR).progress_chars("=> ")),
            None => ProgressBar::no_length().with_style(style(COUNT)),
        };
        let bar = self.all.insert_before(&self.status, bar.with_prefix(part.to_owned()));
        if let Some(before) = self.parts.insert(part.to_owned(), bar) {
            // It begins again.
            self.all.remove(&before);
        }
    }

    fn end(&self, part: &str, after: &'static str) {
        if let Some(bar) = self.parts.get(part) {
            bar.set_position(bar.length().unwrap_or(bar.position()));
            bar.finish_with_message("done");
        }
        if self.parts.values().all(ProgressBar::is_finished) {
            self.status.set_message(after);
        }
    }
}

/// A template that does not parse would show its default, which is a bar as well.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A part by its first digits, if it has a digest.
fn short(part: &str) -> String {
    match part.split_once("sha256:") {
        Some((what, digits)) => format!("{what}{}", digits.get(..12).unwrap_or(digits)),
        None => part.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_cut() {
        assert_eq!(short(&format!("layer sha256:{}", "0123456789abcdef".repeat(4))), "layer 0123456789ab");
        assert_eq!((short("the tree"), short("sha256:12")), ("the tree".to_owned(), "12".to_owned()));
    }
}
