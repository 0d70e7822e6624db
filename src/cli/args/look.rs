//! Arguments of verbs that look at units, their logs and what they use.

use crate::cli::candidates::{property_names, unit_names};
use crate::cli::display::{DisplayArgs, TextArgs};
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

/// `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Names of units, patterns over loaded ones, or ids of processes; without one, the manager
    #[arg(value_name = "UNIT|PID", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// How many lines of the log
    #[arg(long, short = 'n', default_value_t = 10, value_name = "COUNT")]
    pub lines: u32,
    /// The journal's format of the log; json and json-pretty: properties and log as JSON
    #[arg(long, short, default_value = "short", value_name = "FORMAT")]
    pub output: String,
    /// All units in memory
    #[arg(long, short, conflicts_with = "units")]
    pub all: bool,
    /// Only units in one of these states, with commas between
    #[arg(long, value_delimiter = ',')]
    pub state: Vec<String>,
    /// No hints
    #[arg(long, short)]
    pub quiet: bool,
    /// How it is printed
    #[command(flatten)]
    pub text: TextArgs,
}

/// `show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Names of units, or patterns over loaded ones; without one, the manager
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Only these properties, with commas between
    #[arg(
        long,
        short = 'p',
        value_delimiter = ',',
        value_name = "NAME",
        add = ArgValueCandidates::new(property_names)
    )]
    pub property: Vec<String>,
    /// Values without names
    #[arg(long)]
    pub value: bool,
    /// As --value --property
    #[arg(
        short = 'P',
        value_delimiter = ',',
        value_name = "NAME",
        conflicts_with = "property",
        add = ArgValueCandidates::new(property_names)
    )]
    pub value_of: Vec<String>,
    /// Empty properties, too
    #[arg(long, short)]
    pub all: bool,
    /// The plan of the launch instead
    #[arg(long, requires = "units", conflicts_with_all = ["property", "value"])]
    pub plan: bool,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

impl ShowArgs {
    /// The properties asked for; none: all.
    pub fn names(&self) -> &[String] {
        if self.value_of.is_empty() { &self.property } else { &self.value_of }
    }

    /// Whether values are printed without names.
    pub fn is_bare(&self) -> bool {
        self.value || !self.value_of.is_empty()
    }
}

/// `is-active`, `is-failed`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Names of units, or patterns over loaded ones
    #[arg(value_name = "UNIT", required = true, add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Only the exit status
    #[arg(long, short)]
    pub quiet: bool,
}

/// `is-system-running`.
#[derive(Debug, Clone, Args)]
pub struct SystemStateArgs {
    /// Wait until the manager has started what it starts at boot
    #[arg(long)]
    pub wait: bool,
    /// Only the exit status
    #[arg(long, short)]
    pub quiet: bool,
}

/// `reset-failed`.
#[derive(Debug, Clone, Args)]
pub struct ResetFailedArgs {
    /// Names of units, or patterns over loaded ones; all when there are none
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
}

/// `logs`: what journalctl(1) takes.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Names of units, or patterns; without one, sampand and all units
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// Another unit, as journalctl has it
    #[arg(long = "unit", short = 'u', value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub also: Vec<String>,
    /// The last lines only
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = line_count)]
    pub lines: Option<String>,
    /// With --lines: all of them
    #[arg(long, conflicts_with = "lines")]
    pub no_tail: bool,
    /// Wait for new lines
    #[arg(long, short)]
    pub follow: bool,
    /// The journal's format: short, cat, json, ...
    #[arg(long, short, value_name = "FORMAT")]
    pub output: Option<String>,
    /// Lines from this time on
    #[arg(long, short = 'S', value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Lines until this time
    #[arg(long, short = 'U', value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Lines of this priority and above
    #[arg(long, short, value_name = "RANGE")]
    pub priority: Option<String>,
    /// Lines that match a regular expression
    #[arg(long, short, value_name = "PATTERN")]
    pub grep: Option<String>,
    /// Lines of this boot, or of another
    #[arg(long, short, value_name = "ID", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub boot: Option<String>,
    /// Lines of this run of the unit
    #[arg(long, value_name = "ID", conflicts_with = "last_invocation")]
    pub invocation: Option<String>,
    /// Lines of the last run of the unit
    #[arg(short = 'I')]
    pub last_invocation: bool,
    /// Newest first
    #[arg(long, short)]
    pub reverse: bool,
    /// Explanations from the catalog, too
    #[arg(long, short = 'x')]
    pub catalog: bool,
    /// Begin with the last lines in the pager
    #[arg(long, short = 'e')]
    pub pager_end: bool,
    /// Times in UTC
    #[arg(long)]
    pub utc: bool,
    /// What containers say alone, without what is said of them
    #[arg(long)]
    pub payload: bool,
    /// Do not cut long lines
    #[arg(long, short = 'l')]
    pub full: bool,
    /// No notices
    #[arg(long, short)]
    pub quiet: bool,
    /// Do not use a pager
    #[arg(long)]
    pub no_pager: bool,
}

/// As journalctl has it: a number, one after a plus from the beginning, or `all`.
fn line_count(text: &str) -> Result<String, String> {
    let number = text.strip_prefix('+').unwrap_or(text);
    match text == "all" || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())) {
        true => Ok(text.to_owned()),
        false => Err("write a number, +number or all".to_owned()),
    }
}

/// By what `top` sorts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Name
    Path,
    /// Number of tasks
    Tasks,
    /// Time on processors
    #[default]
    Cpu,
    /// Memory
    Memory,
    /// Bytes read and written
    Io,
}

/// `top`: what systemd-cgtop(1) takes.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// Names of units, or patterns
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// How many times
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub iterations: Option<u64>,
    /// As --iterations=1
    #[arg(short = '1', conflicts_with = "iterations")]
    pub once: bool,
    /// Seconds between
    #[arg(long, short, default_value = "1", value_name = "SECONDS", value_parser = delay)]
    pub delay: std::time::Duration,
    /// Neither keys nor a cleared screen
    #[arg(long, short)]
    pub batch: bool,
    /// Numbers as they are
    #[arg(long, short)]
    pub raw: bool,
    /// By what it is sorted
    #[arg(long, value_enum, default_value_t, value_name = "COLUMN")]
    pub order: Order,
    /// Sort by name
    #[arg(short = 'p', group = "sorted")]
    pub by_path: bool,
    /// Sort by tasks
    #[arg(short = 't', group = "sorted")]
    pub by_tasks: bool,
    /// Sort by processor time
    #[arg(short = 'c', group = "sorted")]
    pub by_cpu: bool,
    /// Sort by memory
    #[arg(short = 'm', group = "sorted")]
    pub by_memory: bool,
    /// Sort by bytes read and written
    #[arg(short = 'i', group = "sorted")]
    pub by_io: bool,
    /// How to print; JSON is printed as --batch
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: crate::cli::display::OutputFormat,
}

impl TopArgs {
    /// By what it is sorted, whichever option says so.
    pub fn order(&self) -> Order {
        let short = [
            (self.by_path, Order::Path),
            (self.by_tasks, Order::Tasks),
            (self.by_cpu, Order::Cpu),
            (self.by_memory, Order::Memory),
            (self.by_io, Order::Io),
        ];
        short.into_iter().find(|(set, _)| *set).map_or(self.order, |(_, order)| order)
    }
}

fn delay(text: &str) -> Result<std::time::Duration, String> {
    let plain = text
        .strip_suffix("ms")
        .map(|number| (number, 0.001))
        .unwrap_or_else(|| (text.strip_suffix('s').unwrap_or(text), 1.0));
    let seconds = plain.0.parse::<f64>().ok().map(|number| number * plain.1);
    let span = seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    span.filter(|span| !span.is_zero()).ok_or_else(|| "write seconds, as 5 or 0.5, or 500ms".to_owned())
}

/// `blame`.
#[derive(Debug, Clone, Args)]
pub struct BlameArgs {
    /// Names of units, or patterns; without one, all that have started
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `critical-chain`.
#[derive(Debug, Clone, Args)]
pub struct ChainArgs {
    /// Names of units
    #[arg(value_name = "UNIT", default_value = "default.target", add = ArgValueCandidates::new(unit_names))]
    pub units: Vec<String>,
    /// How it is printed
    #[command(flatten)]
    pub display: DisplayArgs,
}
