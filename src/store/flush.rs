//! Writing to the disk while layers are still read, so that the sync before a commit finds little left to do.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// After so many new bytes the disk is given work.
const STEP: u64 = 32 << 20;

/// A thread that syncs the store's file system now and then.
#[derive(Debug)]
pub(super) struct Flusher {
    written: AtomicU64,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<Mutex<Option<rustix::io::Errno>>>,
}

impl Flusher {
    /// Starts with the file system of `root`.
    pub(super) fn start(root: &File) -> io::Result<Self> {
        let root = root.try_clone()?;
        let (wake, asked) = sync_channel(1);
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        let work = move || {
            while asked.recv().is_ok() {
                if let Err(error) = rustix::fs::syncfs(&root) {
                    told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        let thread = std::thread::Builder::new().name("flush".to_owned()).spawn(work)?;
        Ok(Self { written: AtomicU64::new(0), wake: Some(wake), thread: Some(thread), failure })
    }

    /// Counts new bytes of the store.
    pub(super) fn wrote(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / STEP != (before + bytes) / STEP
            && let Some(wake) = &self.wake
        {
            // Full when a sync is asked for already.
            let _ = wake.try_send(());
        }
    }

    /// Tells whether a sync has failed: the next one would not hear of it again, syncfs(2).
    pub(super) fn check(&self) -> Result<(), rustix::io::Errno> {
        match *self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
