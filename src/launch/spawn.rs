//! The manager's side of a launch: starting a launcher and speaking the protocol with it.

use super::channel;
use super::credentials;
use super::protocol::{Order, Report};
use super::separation::Separation;
use super::step::{Join, Plan};
use super::work::Work;
use crate::sys::child::start_held;
use crate::sys::pidfd;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{Errno, ioctl_fionbio};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

/// Why a launcher could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program cannot be read.
    #[error("cannot load the launcher {path}: {source}")]
    Load {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be executed, or not be told what to do.
    #[error("cannot start the launcher: {0}")]
    Start(#[source] io::Error),
}

/// The launcher program in sealed memory, so that no container can reach the file on disk through its
/// `/proc/PID/exe`, and an upgrade of the file changes nothing for a running manager.
#[derive(Debug)]
pub struct Launcher {
    program: OwnedFd,
    spares: RefCell<BTreeMap<Separation, Option<Spare>>>,
}

/// A launcher that has been executed and waits for its plan: a third of the time that a launch takes is that of the
/// dynamic linker.
#[derive(Debug)]
struct Spare(Option<Launch>);

impl Spare {
    /// Tells it what to do. One that has ended meanwhile is of no use.
    fn begin(mut self, descriptors: &[BorrowedFd<'_>]) -> Option<Launch> {
        // Its helper, which dies with it, may hold the socket open for a moment longer.
        let Launch { control, .. } =
            self.0.as_ref().filter(|launch| !pidfd::has_ended(launch.process.as_fd()))?;
        channel::send(control, &Order::Begin, descriptors).ok()?;
        self.0.take().map(|launch| Launch { origin: Origin::Spare, ..launch })
    }
}

impl Drop for Spare {
    /// Nothing is left of it: it ends with its socket.
    fn drop(&mut self) {
        if let Some(Launch { control, process, .. }) = self.0.take() {
            drop(control);
            let _ = pidfd::wait(&process);
        }
    }
}

/// A launch under way.
#[derive(Debug)]
pub struct Launch {
    /// The manager's end of the socket, nonblocking: readable when there is a report.
    pub control: OwnedFd,
    /// The number of the launcher's outer process.
    pub pid: u32,
    /// That process. It ends by itself once the container is prepared, and must be reaped.
    pub process: Rc<OwnedFd>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a launcher comes from: how far it is when its launch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is executed for this launch. When it can be moved to the scope, it says so with [`Report::Ready`]: one that is
    /// moved before that misses the moment in which its container is best born.
    Fresh,
    /// It has waited. It is ready long before systemd can move it.
    Spare,
}

impl Launcher {
    /// Copies the program at `path` into memory.
    ///
    /// # Errors
    /// When it cannot be read or memory is short.
    pub fn load(path: &Path) -> Result<Self, SpawnError> {
        let load = || {
            let mut program = executable_memory()?;
            io::copy(&mut File::open(path)?, &mut program)?;
            seal(program)
        };
        let program = load().map_err(|source| SpawnError::Load { path: path.to_owned(), source })?;
        let spares = RefCell::new(BTreeMap::from([(Separation::Ahead, None)]));
        Ok(Self { program, spares })
    }

    /// Has launchers ready for the next launch: one for what most containers are, and one for all else once there was
    /// something. Without one a launch begins with its execution.
    pub fn keep_spares(&self) {
        for (separation, spare) in self.spares.borrow_mut().iter_mut().filter(|(_, spare)| spare.is_none()) {
            *spare = self.wait_ahead(*separation).ok();
        }
    }

    fn wait_ahead(&self, separation: Separation) -> io::Result<Spare> {
        let launch = self.execute()?;
        match separation {
            Separation::None => {}
            Separation::Ahead => launch.send(&Order::Separate)?,
        }
        Ok(Spare(Some(launch)))
    }

    /// Starts a container; `sockets` as the plan lists them, after three streams where it wants them passed.
    ///
    /// # Errors
    /// When no process can be started. What fails later is reported over [`Launch`].
    pub fn spawn(&self, plan: &Plan, sockets: &[BorrowedFd<'_>]) -> Result<Launch, SpawnError> {
        let begin = || {
            let secrets = credentials::beside(plan)?;
            let descriptors: Vec<_> =
                secrets.iter().map(AsFd::as_fd).chain(sockets.iter().copied()).collect();
            self.begin(&Work::Start(plan.clone()), &descriptors)
        };
        begin().map_err(SpawnError::Start)
    }

    /// Executes a program in the container whose first process is `container`.
    ///
    /// # Errors
    /// When no process can be started. What fails later is reported over [`Launch`].
    pub fn join(
        &self,
        join: &Join,
        container: BorrowedFd<'_>,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<Launch, SpawnError> {
        let [input, output, error] = streams;
        self.begin(&Work::Join(join.clone()), &[container, input, output, error]).map_err(SpawnError::Start)
    }

    fn begin(&self, work: &Work, descriptors: &[BorrowedFd<'_>]) -> io::Result<Launch> {
        let mut plan = File::from(memfd_create("plan", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        plan.write_all(&serde_json::to_vec(work)?)?;
        let plan = seal(plan)?;
        let descriptors = [&[plan.as_fd()], descriptors].concat();
        let spare = self.spares.borrow_mut().insert(Separation::of(work), None).flatten();
        if let Some(launch) = spare.and_then(|spare| spare.begin(&descriptors)) {
            return Ok(launch);
        }
        let launch = self.execute()?;
        match channel::send(&launch.control, &Order::Begin, &descriptors) {
            // It has ended before it was told anything: why is heard as what any other says.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PIPE) => {}
            sent => sent?,
        }
        Ok(launch)
    }

    fn execute(&self) -> io::Result<Launch> {
        let (control, theirs) = channel::pair()?;
        ioctl_fionbio(&control, true)?;
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command.env_clear().current_dir("/");
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        // The standard library spawns with an empty signal mask.
        let (child, process) = start_held(&mut command)?;
        Ok(Launch { control, pid: child.id(), process: Rc::new(process), origin: Origin::Fresh })
    }
}

impl Launch {
    /// The next report with the descriptors beside it, of which some are missing where there is no place for them;
    /// `None` at the end: the payload has been executed, or what [`Report::Failed`] said.
    ///
    /// # Errors
    /// `WouldBlock` while there is nothing.
    pub fn receive(&self) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
        Ok(channel::receive_cut(&self.control)?.0)
    }

    /// Gives an order.
    ///
    /// # Errors
    /// `EPIPE` when the launcher has ended.
    pub fn send(&self, order: &Order) -> io::Result<()> {
        channel::send(&self.control, order, &[])
    }
}

/// Whether a process has not executed its payload yet.
///
/// # Errors
/// When it has ended: then it has no program any more.
pub fn is_launcher(pid: u32) -> io::Result<bool> {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    Ok(program.as_os_str().as_encoded_bytes().starts_with(MEMORY.as_bytes()))
}

/// How proc(5) shows the program that [`executable_memory`] holds.
const MEMORY: &str = "/memfd:sampan-launch";

/// Kernels before 6.3 do not know the flag and need none: there all memory files are executable.
fn executable_memory() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("sampan-launch", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => Ok(File::from(memfd_create("sampan-launch", flags)?)),
        result => Ok(File::from(result?)),
    }
}

fn seal(file: File) -> io::Result<OwnedFd> {
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file.into())
}
