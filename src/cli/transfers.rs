//! What is seen of the manager's pulls while a verb waits for its jobs: a bar for each on a terminal, lines elsewhere.

use super::text::{escaped, quantity};
use crate::bus::wire::TransferRow;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use zbus::Message;

const BAR: &str = "{prefix} [{bar:30}] {binary_bytes:>10}/{binary_total_bytes:10} {msg}";

/// Pulls that are shown.
pub struct Transfers {
    shown: BTreeMap<String, Transfer>,
    display: Display,
}

enum Display {
    Bars(MultiProgress),
    Lines,
}

/// One pull as its signals tell it.
#[derive(Default)]
struct Transfer {
    image: String,
    /// Bytes that have come and all, by layer.
    layers: BTreeMap<String, (u64, u64)>,
    bar: Option<ProgressBar>,
}

impl Transfers {
    /// What is listened to for them.
    pub const SIGNALS: &str = "interface='org.sampan1.Transfer'";

    /// None is known yet.
    pub fn new() -> Self {
        let display = match std::io::stderr().is_terminal() {
            true => Display::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
            false => Display::Lines,
        };
        Self { shown: BTreeMap::new(), display }
    }

    /// Shows what runs already.
    pub fn add(&mut self, running: Vec<TransferRow>) {
        for row in running {
            self.begin(row.path.as_str(), row.image);
        }
    }

    /// Shows what a signal tells. One of another form than ours is of a newer manager.
    pub fn show(&mut self, message: &Message) {
        let (header, body) = (message.header(), message.body());
        let (Some(path), Some(member)) = (header.path(), header.member()) else { return };
        let (path, text) = (path.as_str(), || body.deserialize::<&str>().unwrap_or_default().to_owned());
        match member.as_str() {
            "Began" => self.begin(path, text()),
            "Resolved" => {
                if let Ok((server, _)) = body.deserialize::<(&str, &str)>() {
                    self.say(path, |image| format!("Pulling {image} from {server}"), "");
                }
            }
            "Progress" => {
                if let Ok((layer, done, total)) = body.deserialize::<(&str, u64, u64)>() {
                    self.progress(path, layer, done, total);
                }
            }
            "Retrying" => self.say(path, |_| format!("Trying again: {}", escaped(&text())), "trying again"),
            "Finished" => self.end(path, |image| format!("Pulled {image}")),
            "Failed" | "Canceled" => self.end(path, |image| format!("Did not pull {image}")),
            _ => {}
        }
    }

    fn begin(&mut self, path: &str, image: String) {
        // One that began while its list came is told twice.
        if self.shown.contains_key(path) {
            return;
        }
        let bar = match &self.display {
            Display::Bars(all) => Some(all.add(bar(&image))),
            Display::Lines => {
                eprintln!("Pulling {}", escaped(&image));
                None
            }
        };
        self.shown.insert(path.to_owned(), Transfer { image, layers: BTreeMap::new(), bar });
    }

    fn progress(&mut self, path: &str, layer: &str, done: u64, total: u64) {
        let Some(transfer) = self.shown.get_mut(path) else { return };
        let before = transfer.layers.insert(layer.to_owned(), (done, total));
        let sum = |pick: fn(&(u64, u64)) -> u64| transfer.layers.values().map(pick).sum::<u64>();
        match &transfer.bar {
            Some(bar) => {
                bar.set_length(sum(|layer| layer.1));
                bar.set_position(sum(|layer| layer.0));
            }
            None if done == total && before.is_some_and(|before| before.0 < total) => {
                eprintln!("Fetched {} ({})", short(layer), quantity::bytes(total));
            }
            None => {}
        }
    }

    /// A line, or a word beside the bar.
    fn say(&self, path: &str, line: impl FnOnce(&str) -> String, word: &'static str) {
        let Some(transfer) = self.shown.get(path) else { return };
        match &transfer.bar {
            Some(bar) => bar.set_message(word),
            None => eprintln!("{}", line(&escaped(&transfer.image))),
        }
    }

    fn end(&mut self, path: &str, line: impl FnOnce(&str) -> String) {
        let Some(transfer) = self.shown.remove(path) else { return };
        if let Some(bar) = &transfer.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}", line(&escaped(&transfer.image)));
    }
}

/// A template that does not parse would show its default, which is a bar as well.
fn bar(image: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style.progress_chars("=> ")).with_prefix(escaped(image).into_owned())
}

/// The first digits of a digest, as everywhere.
fn short(digest: &str) -> &str {
    const DIGITS: usize = 12;
    let digits = digest.rsplit(':').next().unwrap_or_default();
    digits.get(..DIGITS).unwrap_or(digits)
}
