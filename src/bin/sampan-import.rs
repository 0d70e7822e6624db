//! The import worker: one transfer from its standard input into the store, confined; the fetcher, which brings a
//! registry to such a worker; the process that runs both for the manager; and the one that looks into the store for it.
//!
//! All are started by other programs of Sampan, which open the source. The worker writes a report to standard
//! output, after a line for each step where these are asked for, or one line to standard error and exits with 1. The
//! others write a line for each event.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use sampan::image::change::Change;
use sampan::image::limits::Limits;
use sampan::image::manifest::Platform;
use sampan::image::origin::Policy;
use sampan::image::reference::Reference;
use sampan::image::text::shortened;
use sampan::manager::images::{self, Question};
use sampan::paths::Paths;
use sampan::store::{Scrutiny, Store};
use sampan::sys::errno::without_numbers;
use sampan::transfer::order::{ImportOrder, Order, PullOrder};
use sampan::transfer::registry::Signatures;
use sampan::transfer::worker::{Claims, WORDS_MAX};
use sampan::transfer::{Format, Naming, Selection, Step, Terms, Watch, confine, errand, import, registry};
use serde::de::DeserializeOwned;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Brings the image on standard input into the store.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// The image store.
    #[arg(long, required = true)]
    store: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// Writes a line to standard output for each step.
    #[arg(long)]
    steps: bool,
    /// Writes to standard error how long each phase takes.
    #[arg(long)]
    trace: bool,
    /// What an image may cost, as the settings of the host have it.
    #[arg(long, value_parser = json::<Limits>, default_value = "")]
    limits: Limits,
    /// Which names it may have.
    #[arg(long, value_parser = json::<Policy>, default_value = "")]
    policy: Policy,
}

/// What is said of a source.
#[derive(clap::Args, Clone)]
struct Source {
    /// A full name for the image.
    #[arg(long, value_parser = Reference::parse, conflicts_with = "keep_names")]
    name: Option<Reference>,
    /// Gives the images the names that the source claims.
    #[arg(long)]
    keep_names: bool,
    /// The form of the source.
    #[arg(long)]
    format: Option<Format>,
    /// The platform whose images are wanted.
    #[arg(long, value_parser = Platform::parse)]
    platform: Option<Platform>,
    /// A change to the configuration that is made for a tree.
    #[arg(long, allow_hyphen_values = true)]
    change: Vec<String>,
    /// Reads what the store has of the images, and heals it.
    #[arg(long)]
    verify: bool,
}

impl Source {
    fn naming(&self) -> Naming {
        match &self.name {
            Some(name) => Naming::Name(name.clone()),
            None if self.keep_names => Naming::Claimed,
            None => Naming::Nameless,
        }
    }

    fn scrutiny(&self) -> Scrutiny {
        Scrutiny::of_verify(self.verify)
    }

    fn order(&self) -> ImportOrder {
        let Self { format, platform, change, .. } = self.clone();
        let claims = Claims { naming: self.naming(), format, platform, changes: change };
        ImportOrder { claims, scrutiny: self.scrutiny() }
    }
}

fn json<T: DeserializeOwned + Default>(text: &str) -> Result<T, serde_json::Error> {
    match text {
        "" => Ok(T::default()),
        text => serde_json::from_str(text),
    }
}

#[derive(Subcommand)]
enum Mode {
    /// Serves an image of a registry on standard input, which is a channel to a worker.
    Fetch {
        /// A full name.
        reference: String,
        /// The root of the host whose settings count.
        #[arg(long)]
        root: PathBuf,
        /// Fetches the image's signatures, too.
        #[arg(long)]
        signatures: bool,
    },
    /// Answers a question of the manager about the images of the store.
    Keep {
        /// As JSON.
        #[arg(value_parser = question)]
        question: Question,
        /// The root of the host whose units use images.
        #[arg(long)]
        root: PathBuf,
        /// The image store.
        #[arg(long)]
        store: PathBuf,
    },
    /// Pulls an image for the manager, which speaks to it over standard input and output.
    Pull {
        /// A full name.
        #[arg(value_parser = Reference::parse)]
        reference: Reference,
        /// The root of the host whose settings count.
        #[arg(long)]
        root: PathBuf,
        /// The image store.
        #[arg(long)]
        store: PathBuf,
        /// The platform whose image is wanted.
        #[arg(long, value_parser = Platform::parse)]
        platform: Option<Platform>,
        /// Reads what the store has of the image, and heals it.
        #[arg(long)]
        verify: bool,
    },
    /// Imports for the manager what comes with its word on standard input.
    Receive {
        #[command(flatten)]
        source: Source,
        /// The root of the host whose settings count.
        #[arg(long)]
        root: PathBuf,
        /// The image store.
        #[arg(long)]
        store: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.mode {
        // The last of its words has told how it went.
        Some(Mode::Pull { reference, root, store, platform, verify }) => {
            let (image, platform) = (reference.clone(), platform.clone());
            let order = PullOrder { image, platform, scrutiny: Scrutiny::of_verify(*verify) };
            errand::perform(Order::Pull(order), &Paths::new(root).with_store(store));
            return ExitCode::SUCCESS;
        }
        Some(Mode::Receive { source, root, store }) => {
            errand::perform(Order::Import(source.order()), &Paths::new(root).with_store(store));
            return ExitCode::SUCCESS;
        }
        Some(Mode::Keep { question, root, store }) => {
            keep(question.clone(), &Paths::new(root).with_store(store))
        }
        // Its events have told the error already.
        Some(Mode::Fetch { reference, root, signatures }) => {
            let wanted = if *signatures { Signatures::Fetch } else { Signatures::Leave };
            return serve(reference, root, wanted);
        }
        None => run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let words = without_numbers(&error.to_string());
            eprintln!("{}", shortened(words, WORDS_MAX - "…\n".len()));
            ExitCode::FAILURE
        }
    }
}

fn question(text: &str) -> Result<Question, serde_json::Error> {
    serde_json::from_str(text)
}

fn keep(question: Question, paths: &Paths) -> anyhow::Result<()> {
    // The manager is the last that may be killed for memory, and what it starts inherits that.
    std::fs::write(paths.oom_score(), "0")?;
    serde_json::to_writer(std::io::stdout(), &images::answer(question, paths))?;
    Ok(())
}

fn serve(reference: &str, root: &Path, signatures: Signatures) -> ExitCode {
    let channel = std::io::stdin().as_fd().try_clone_to_owned();
    let fetched = channel.map_err(|_| ()).and_then(|channel| {
        registry::fetch(reference, signatures, &Paths::new(root), &channel, std::io::stdout()).map_err(drop)
    });
    if fetched.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(args: Args) -> anyhow::Result<()> {
    // Whoever wanted the image is gone with the process that started this one.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if args.trace {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG).init();
    }
    let source = args.source;
    let (naming, scrutiny) = (source.naming(), source.scrutiny());
    let changes = source.change.iter().map(|text| Change::parse(text)).collect::<Result<_, _>>()?;
    let selection = Selection { format: source.format, platform: source.platform, changes };
    let store = Store::create(&Paths::default().with_store(&args.store.unwrap_or_default()))?;
    let input: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    confine::confine(store.root(), input.as_fd())?;
    let terms = Terms { limits: args.limits, policy: args.policy, scrutiny };
    let watch = if args.steps { Watch::new(tell) } else { Watch::default() };
    let report = import(&store, input, &selection, &naming, &terms, watch)?;
    serde_json::to_writer(std::io::stdout(), &report)?;
    Ok(())
}

/// A reader that went away misses nothing but this.
fn tell(step: &Step) {
    if let Ok(mut line) = serde_json::to_vec(step) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
    }
}
