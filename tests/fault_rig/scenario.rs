//! One change of a store, interrupted at every call that it makes.

use super::calls::Effect;
use super::snapshot::{Snapshot, difference, snapshot};
use super::{Fault, Run, run};
use rustix::io::Errno;
use sampan::paths::Paths;
use sampan::store::Store;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A command that changes a store from one whole state to another.
pub struct Scenario {
    pub name: &'static str,
    /// The store before; copied for each run.
    pub before: PathBuf,
    /// The command; the store is the last word.
    pub command: Vec<OsString>,
    pub input: Option<PathBuf>,
    pub kind: Kind,
}

/// What is asked of an interrupted change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The store is as before or as after, and the same command then leaves it as after.
    AllOrNothing,
    /// As before or as after; after it, the same command has nothing to do and says so.
    Once,
    /// The store was damaged; whatever was done, the same command then leaves it as after.
    Heals,
}

/// What all runs of a scenario came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub calls: usize,
    pub runs: usize,
    pub refused: usize,
    pub endured: usize,
    pub killed: usize,
    /// What did not hold.
    pub broken: Vec<String>,
    /// How often each call was hit.
    pub hits: BTreeMap<&'static str, usize>,
}

/// The whole states that a store may be found in.
struct States {
    before: Snapshot,
    after: Snapshot,
}

const WRITE_ERRORS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS];

impl Scenario {
    /// Injects at every `step`-th call; of several faults for one call, one after the other when there are steps.
    pub fn play(&self, work: &Path, step: usize) -> Tally {
        let whole = self.copy(work, "whole");
        let first = self.run(&whole, usize::MAX, Fault::Kill);
        assert!(first.status.success(), "{}: {}", self.name, first.error);
        let states = States { before: collected(&self.copy(work, "before")), after: collected(&whole) };
        let points: Vec<(usize, Fault)> = (1..=first.calls)
            .filter(|at| at % step == 0)
            .flat_map(|at| faults(at, step).into_iter().map(move |fault| (at, fault)))
            .collect();
        let (next, tally) =
            (AtomicUsize::new(0), Mutex::new(Tally { calls: first.calls, ..Tally::default() }));
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (states, points, next, tally) = (&states, &points, &next, &tally);
                scope.spawn(move || {
                    while let Some((at, fault)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let store = self.copy(work, &format!("run{thread}"));
                        let run = self.run(&store, *at, *fault);
                        let verdict = self.judge(&store, states, *fault, &run);
                        tally.lock().unwrap().count(&run, verdict);
                    }
                });
            }
        });
        tally.into_inner().unwrap()
    }

    fn run(&self, store: &Path, at: usize, fault: Fault) -> Run {
        let command: Vec<OsString> = self.command.iter().cloned().chain([store.into()]).collect();
        run(&command, self.input.as_deref(), store, at, fault)
    }

    /// A copy of the store before, which may be no store at all.
    fn copy(&self, work: &Path, name: &str) -> PathBuf {
        let store = work.join(name);
        let _ = std::fs::remove_dir_all(&store);
        if self.before.exists() {
            let copied = Command::new("cp").args(["-a", "-T"]).arg(&self.before).arg(&store).status();
            assert!(copied.unwrap().success());
        }
        store
    }

    /// Looks at a store after a run: what readers see, what is left of the work, what the next writers make of it.
    fn judge(&self, store: &Path, states: &States, fault: Fault, run: &Run) -> Result<(), String> {
        let Some(hit) = &run.hit else { return Ok(()) };
        let place = hit.path.strip_prefix(store).unwrap_or(&hit.path).display();
        let what = format!("{}: {fault:?} at {} {place}: {:?}", self.name, hit.name, run.error.trim_end());
        let holds = |holds: bool, why: &str| match holds {
            true => Ok(()),
            false => Err(format!("{what}: {why}")),
        };
        holds(!run.error.contains("panicked"), "panicked")?;
        if fault != Fault::Kill {
            let lines = run.error.trim_end().lines().count();
            holds(run.status.success() || run.status.code() == Some(1) && lines <= 1, "is no clear refusal")?;
            // Only what stopped the clean-up itself may have left something.
            let stopped = hit.effect != Effect::Writes;
            holds(stopped || entries(&store.join("staging")) == 0, "work in progress stays")?;
        }
        let listing =
            Command::new(env!("CARGO_BIN_EXE_sampanctl")).args(["images", "--store"]).arg(store).output();
        let listing = listing.unwrap();
        holds(listing.status.success(), &String::from_utf8_lossy(&listing.stderr))?;
        if self.kind == Kind::Heals {
            return self.finishes(store, states, &holds);
        }
        holds(findings(store).is_empty(), &findings(store).join("; "))?;
        let now = collected(store);
        let is_after = now == states.after;
        let half = || format!("half of it is there\n{}", difference(&now, &states.after));
        holds(is_after || now == states.before, &half())?;
        holds(is_after || !run.status.success(), "success was claimed")?;
        match self.kind {
            Kind::Once => Ok(()),
            Kind::AllOrNothing | Kind::Heals => self.finishes(store, states, &holds),
        }
    }

    /// The same command, left alone, comes to the same end.
    fn finishes(
        &self,
        store: &Path,
        states: &States,
        holds: &dyn Fn(bool, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        let again = self.run(store, usize::MAX, Fault::Kill);
        holds(again.status.success(), &format!("the next one fails: {}", again.error))?;
        let last = collected(store);
        holds(last == states.after, &format!("the next one differs\n{}", difference(&last, &states.after)))?;
        holds(findings(store).is_empty(), &findings(store).join("; "))
    }
}

impl Tally {
    fn count(&mut self, run: &Run, verdict: Result<(), String>) {
        self.runs += 1;
        self.broken.extend(verdict.err());
        let Some(hit) = &run.hit else { return };
        *self.hits.entry(hit.name).or_default() += 1;
        match run.status.code() {
            None => self.killed += 1,
            Some(0) => self.endured += 1,
            Some(_) => self.refused += 1,
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, runs, refused, endured, killed, .. } = self;
        write!(formatter, "{calls} calls; {runs} runs: {killed} killed, {refused} refused, {endured} endured")
    }
}

/// Every fault for a call where all are asked for, else one, in turn.
fn faults(at: usize, step: usize) -> Vec<Fault> {
    let failures = WRITE_ERRORS.into_iter().chain([Errno::MLINK]).map(Fault::Fail);
    let all: Vec<Fault> = failures.chain([Fault::Kill]).collect();
    match step {
        1 => all,
        _ => vec![all[at / step % all.len()]],
    }
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).map(Iterator::count).unwrap_or_default()
}

fn open(store: &Path) -> Option<Store> {
    let paths = Paths::default().with_store(store);
    store.join("format").exists().then(|| Store::open(&paths).unwrap())
}

/// What the check of the store has to say.
fn findings(store: &Path) -> Vec<String> {
    let findings = open(store).map(|store| store.fsck().unwrap()).unwrap_or_default();
    findings.iter().map(|finding| format!("{} {}", finding.path.display(), finding.what)).collect()
}

/// The store after a collection of garbage, which is a writer, so that nothing of an earlier one is left.
fn collected(store: &Path) -> Snapshot {
    let Some(opened) = open(store) else { return Snapshot::new() };
    opened.gc(Vec::new).unwrap();
    let mut found = snapshot(store);
    // An empty store is as good as none, and a shard may have been made for an object that never came.
    found.retain(|path, _| path.components().count() > 1 && path.parent() != Some(Path::new("objects")));
    found
}
