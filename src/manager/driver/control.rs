//! The conversation with one launcher, and what its failures are to the core.

use super::live::until_ended;
use crate::launch::protocol::{Order, Report, StepError};
use crate::launch::spawn::{Launch, Origin, SpawnError};
use crate::launch::status::LaunchStatus;
use crate::manager::machine::{Exit, Failure};
use crate::sys::errno::without_numbers;
use crate::sys::readiness::SHORTAGE_INTERVAL;
use crate::sys::{pidfd, readiness};
use crate::unit::exit_status;
use crate::unit::name::UnitName;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// The manager's end of the conversation with one launcher. Where it is given up, so is what the launcher began.
pub(super) struct Control {
    conversation: Rc<Conversation>,
}

struct Conversation {
    launch: Launch,
    readiness: AsyncFd<OwnedFd>,
    reaped: RefCell<Option<JoinHandle<()>>>,
}

impl Conversation {
    /// The next report; `None` at the end.
    async fn receive(&self) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.readiness.readable().await?;
            if let Ok(result) = ready.try_io(|_| self.launch.receive()) {
                return result;
            }
        }
    }

    /// A process of which nobody has heard would stay as a zombie, and a container with one of those cannot end:
    /// its first process waits until all others have been collected, pid_namespaces(7).
    async fn hear_out(self: Rc<Self>) {
        while let Ok(Some((report, descriptors))) = self.receive().await {
            if let Report::Started { pid, .. } = report
                && let Ok(process) = process_of(pid, descriptors)
            {
                end(process);
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The launcher sees an end, and can still be heard.
        let _ = shutdown(&self.conversation.launch.control, Shutdown::Write);
        drop(tokio::task::spawn_local(self.conversation.clone().hear_out()));
    }
}

/// How long a launcher that was given up may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

impl Control {
    /// Gives up what the launcher began. Nothing of it is done any more when this returns.
    pub(super) async fn end(self) {
        let _ = shutdown(&self.conversation.launch.control, Shutdown::Write);
        // Its end of the socket is closed once all of its processes are about to end.
        let ended = async {
            self.conversation.clone().hear_out().await;
            if let Some(reaped) = self.conversation.reaped.take() {
                // The task has no end but its own.
                let _ = reaped.await;
            }
        };
        if tokio::time::timeout(END_TIMEOUT, ended).await.is_err() {
            tracing::warn!("sampan-launch: does not end, killing process {}", self.conversation.launch.pid);
            // It may have ended now, which is as good.
            let _ = pidfd::signal(&self.conversation.launch.process, Signal::KILL);
        }
    }

    pub(super) fn new(launch: Launch) -> Result<Self, Failure> {
        let reaped = RefCell::new(Some(reap(launch.process.clone())));
        match readiness::watch(&launch.control) {
            Ok(readiness) => Ok(Self { conversation: Rc::new(Conversation { launch, readiness, reaped }) }),
            // It ends with its socket.
            Err(error) => Err(io_failure("sampan-launch", &error)),
        }
    }

    /// The number of the launcher's outer process.
    pub(super) fn pid(&self) -> u32 {
        self.conversation.launch.pid
    }

    /// Where the launcher comes from.
    pub(super) fn origin(&self) -> Origin {
        self.conversation.launch.origin
    }

    /// That process, for who lets systemd have it.
    pub(super) fn process(&self) -> Result<OwnedFd, Failure> {
        let process = self.conversation.launch.process.try_clone();
        process.map_err(|error| io_failure("sampan-launch", &error))
    }

    /// The next report; `None` at the end.
    pub(super) async fn receive(&self) -> Result<Option<(Report, Vec<OwnedFd>)>, Failure> {
        self.conversation.receive().await.map_err(|error| io_failure("sampan-launch", &error))
    }

    /// The first report of who joins a container, which must be of a process.
    pub(super) async fn started(&self) -> Result<(u32, OwnedFd), Failure> {
        match self.receive().await? {
            Some((Report::Started { pid, .. }, descriptors)) => Ok((pid, process_of(pid, descriptors)?)),
            Some((Report::Failed(error), _)) => Err(join_failure(&error)),
            Some((report, _)) => Err(failure(format!("sampan-launch: unexpected {report:?}"), 0)),
            None => Err(failure("sampan-launch: ended without a word".into(), 0)),
        }
    }

    /// Gives an order. A launcher that is gone says why, or its silence does.
    pub(super) fn order(&self, order: &Order) {
        let _ = self.conversation.launch.send(order);
    }

    /// Its program has been executed when the conversation ends.
    pub(super) async fn executed(&self) -> Result<(), Failure> {
        match self.receive().await? {
            None => Ok(()),
            Some((Report::Failed(error), _)) => Err(join_failure(&error)),
            Some((report, _)) => Err(failure(format!("sampan-launch: unexpected {report:?}"), 0)),
        }
    }
}

/// The one descriptor that comes with a report, if this process has a place for it.
pub(super) fn only(descriptors: Vec<OwnedFd>) -> Result<OwnedFd, Failure> {
    let missing = || io_failure("sampan-launch", &Errno::MFILE.into());
    descriptors.into_iter().next().ok_or_else(missing)
}

/// The process of which [`Report::Started`] speaks. Where there is no place for its descriptor, it is ended.
pub(super) fn process_of(pid: u32, descriptors: Vec<OwnedFd>) -> Result<OwnedFd, Failure> {
    only(descriptors).inspect_err(|_| {
        // It is a child of ours: nobody else gets the number before it is collected.
        drop(tokio::task::spawn_local(end_by_number(pid)));
    })
}

/// Kills a process of ours for which there is no descriptor, and collects it.
async fn end_by_number(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process(pid, Signal::KILL);
    while let Ok(None) = waitpid(Some(pid), WaitOptions::NOHANG) {
        tokio::time::sleep(SHORTAGE_INTERVAL).await;
    }
}

/// Collects a process of ours when it ends, however that goes.
pub(super) fn reap(process: impl AsFd + 'static) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        until_ended(process.as_fd()).await;
        // Nobody else waits for it, so that this does not fail.
        let _ = pidfd::wait(&process);
    })
}

/// Kills a process of ours and collects it.
pub(super) fn end(process: OwnedFd) {
    // It may have ended, which is as good.
    let _ = pidfd::signal(&process, Signal::KILL);
    drop(reap(process));
}

/// systemd's forked process exits with the class of what it could not do, and so does the launcher to whoever asks.
pub(super) fn step_failure(error: &StepError) -> Failure {
    let exit = Some(Exit::Code(LaunchStatus::of(error).number()));
    Failure { message: error.to_string(), errno: error.errno, exit }
}

fn join_failure(error: &StepError) -> Failure {
    Failure { message: error.of_join(), ..step_failure(error) }
}

pub(super) fn failure(message: String, errno: i32) -> Failure {
    let hint = match errno {
        libc::EMFILE => "; sampand has as many descriptors as it may: raise LimitNOFILE= of sampand.service",
        libc::ENFILE => "; the host has as many open files as it allows: raise fs.file-max",
        _ => "",
    };
    Failure { message: without_numbers(&message) + hint, errno, exit: None }
}

/// The journal's sentence for what has exited in the place of a payload, in systemd's words.
pub(super) fn log_exit(unit: &UnitName, failure: &Failure) {
    if let Some(Exit::Code(status)) = failure.exit {
        let name = exit_status::name(status.into()).unwrap_or("n/a");
        tracing::info!(
            SAMPAN_UNIT = %unit, EXIT_CODE = "exited", EXIT_STATUS = status,
            "{unit}: Main process exited, code=exited, status={status}/{name}"
        );
    }
}

/// No launcher could be started.
pub(super) fn unlaunched(error: &SpawnError) -> Failure {
    failure(format!("sampan-launch: {error}"), errno(error))
}

pub(super) fn io_failure(subject: &str, error: &io::Error) -> Failure {
    failure(format!("{subject}: {error}"), error.raw_os_error().unwrap_or_default())
}

/// The error number at the bottom of an error, or 0.
pub(super) fn errno(error: &(dyn Error + 'static)) -> i32 {
    let causes = std::iter::successors(Some(error), |cause| Error::source(*cause));
    causes.filter_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error()).next().unwrap_or_default()
}
