//! What is seen of a pull while it runs: a bar for each layer on a terminal, lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use super::show;
use crate::image::digest::Digest;
use crate::transfer::registry::Event;

/// Between two pictures of a bar that waits.
const TICK: Duration = Duration::from_millis(200);
const BAR: &str =
    "{prefix:12} [{bar:30}] {binary_bytes:>10}/{binary_total_bytes:10} {binary_bytes_per_sec:>12} {msg}";
const LINE: &str = "{spinner} {msg}";

/// The display of one pull.
pub(super) enum Display {
    /// Bars that move, on a terminal.
    Bars(Bars),
    /// A line for each event that is worth one.
    Lines,
    /// Nothing; errors alone are told.
    Nothing,
}

/// Bars on a terminal.
pub(super) struct Bars {
    all: MultiProgress,
    layers: BTreeMap<Digest, ProgressBar>,
    /// What goes on as a whole, below the bars.
    status: ProgressBar,
}

impl Display {
    pub(super) fn new(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Bars(Bars::new()),
            (false, false) => Self::Lines,
        }
    }

    /// Shows an event.
    pub(super) fn show(&mut self, event: &Event) {
        match self {
            Self::Bars(bars) => bars.show(event),
            Self::Lines => {
                if let Some(line) = line(event) {
                    eprintln!("{line}");
                }
            }
            Self::Nothing => {}
        }
    }

    /// Clears what moves, so that the result stands alone.
    pub(super) fn end(&self) {
        if let Self::Bars(bars) = self {
            bars.status.finish_and_clear();
            bars.layers.values().for_each(ProgressBar::abandon);
        }
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let status = all.add(ProgressBar::new_spinner().with_style(style(LINE)).with_message("Resolving"));
        status.enable_steady_tick(TICK);
        Self { all, layers: BTreeMap::new(), status }
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Resolved { server, .. } => self.status.set_message(format!("Pulling from {server}")),
            Event::Started { blob, size } => {
                let bar = ProgressBar::new(*size).with_style(style(BAR).progress_chars("=> "));
                let bar = self.all.insert_before(&self.status, bar.with_prefix(blob.short().to_owned()));
                // A layer that could not be put together of parts begins anew.
                if let Some(old) = self.layers.insert(blob.clone(), bar) {
                    self.all.remove(&old);
                }
            }
            Event::Progress { blob, done } => {
                if let Some(bar) = self.layers.get(blob) {
                    bar.set_position(*done);
                }
            }
            Event::Finished { blob } => {
                if let Some(bar) = self.layers.get(blob) {
                    bar.set_position(bar.length().unwrap_or_default());
                    bar.finish_with_message("done");
                }
                if self.layers.values().all(ProgressBar::is_finished) {
                    self.status.set_message("Writing the image");
                }
            }
            Event::Retrying { reason } => self.status.set_message(format!("Trying again: {reason}")),
            Event::Failed { .. } => self.status.set_message("Failed"),
        }
    }
}

/// A template that does not parse would show its default, which is a bar as well.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(event: &Event) -> Option<String> {
    match event {
        Event::Resolved { server, digest } => Some(format!("Pulling {digest} from {server}")),
        Event::Started { blob, size } => Some(format!("Fetching {} ({})", blob.short(), show::size(*size))),
        Event::Finished { blob } => Some(format!("Fetched {}", blob.short())),
        Event::Retrying { reason } => Some(format!("Trying again: {reason}")),
        // The error itself follows.
        Event::Progress { .. } | Event::Failed { .. } => None,
    }
}
