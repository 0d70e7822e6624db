//! What a transfer does, told while it does it: by the import worker to the command line, by an export to its caller.

use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two tellings of how far a part has come.
const PACE: Duration = Duration::from_millis(100);

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A part begins.
    Begun {
        /// Which: `layer sha256:...`, `the archive`.
        part: String,
        /// Its bytes, where somebody knows.
        size: Option<u64>,
    },
    /// More of it is done.
    Advanced {
        /// Which.
        part: String,
        /// Bytes so far.
        done: u64,
    },
    /// It is done.
    Ended {
        /// Which.
        part: String,
    },
    /// An image is written and brought to the disk; nothing is told before that is over.
    Committing {
        /// Entries of its layers.
        entries: u64,
    },
}

type Tell = dyn Fn(&Step) + Send + Sync;

/// Who hears of steps: nobody by default.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Tell>>);

impl Watch {
    /// Tells this of each step, from any thread.
    pub fn new(tell: impl Fn(&Step) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    /// Tells of a step.
    pub fn tell(&self, step: &Step) {
        if let Some(tell) = &self.0 {
            tell(step);
        }
    }

    /// Begins a part of `size` bytes.
    pub(super) fn begin(&self, part: &str, size: Option<u64>) -> Progress {
        if self.0.is_some() {
            self.tell(&Step::Begun { part: part.to_owned(), size });
        }
        let (done, told) = (Cell::new(0), Cell::new(Instant::now()));
        Progress { watch: self.clone(), part: part.to_owned(), done, told }
    }

    /// The same stream, its bytes being the part.
    pub(super) fn stream<S>(&self, part: &str, size: Option<u64>, stream: S) -> Watched<S> {
        Watched { stream, progress: Some(self.begin(part, size)) }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Watch").finish_non_exhaustive()
    }
}

/// How far a part has come. One that is dropped has failed, of which its error tells.
#[derive(Debug)]
pub(super) struct Progress {
    watch: Watch,
    part: String,
    done: Cell<u64>,
    told: Cell<Instant>,
}

impl Progress {
    /// More bytes are done.
    pub(super) fn advance(&self, count: usize) {
        self.done.set(self.done.get() + count as u64);
        if self.watch.0.is_some() && self.told.get().elapsed() >= PACE {
            self.told.set(Instant::now());
            self.watch.tell(&Step::Advanced { part: self.part.clone(), done: self.done.get() });
        }
    }

    /// All is done.
    pub(super) fn end(self) {
        self.watch.tell(&Step::Ended { part: self.part });
    }
}

/// A stream that is watched until its end, where its reader sees that.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    progress: Option<Progress>,
}

impl<S> Watched<S> {
    /// The part is done.
    pub(super) fn end(&mut self) {
        self.progress.take().into_iter().for_each(Progress::end);
    }

    fn advance(&self, count: usize) {
        self.progress.iter().for_each(|progress| progress.advance(count));
    }
}

impl<S: Read> Read for Watched<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        match count {
            0 if !buffer.is_empty() => self.end(),
            count => self.advance(count),
        }
        Ok(count)
    }
}

impl<S: Write> Write for Watched<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(buffer)?;
        self.advance(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_stream_is_told_of_from_its_begin_to_its_end() {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&steps);
        let watch = Watch::new(move |step| heard.lock().unwrap().push(step.clone()));
        let mut reader = watch.stream("layer", Some(3), &b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        let part = || "layer".to_owned();
        let all = [Step::Begun { part: part(), size: Some(3) }, Step::Ended { part: part() }];
        assert_eq!(*steps.lock().unwrap(), all);
        let mut broken = watch.stream("broken", None, &b"abc"[..]);
        broken.read_exact(&mut [0; 2]).unwrap();
        drop(broken);
        assert_eq!(steps.lock().unwrap().len(), 3, "what broke off has not ended");
    }
}
