//! Runs a program and fails or kills it at a chosen one of the system calls that touch a directory.
//!
//! The test program starts itself again; the new process puts a seccomp filter on itself whose listener it hands
//! back, and becomes the program. Each call then waits until the test has looked at it.

pub mod calls;
pub mod scenario;
pub mod snapshot;

use calls::{Touch, numbers, touch};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use sampan::sys::process;
use sampan::sys::seccomp::{self, Instruction};
use sampan::sys::seccomp_notify::{self as notify, Call, Pending, Reply};
use std::ffi::OsString;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Names the socket on which the started process hands its listener back.
const CHANNEL: &str = "SAMPAN_TEST_FAULT_CHANNEL";

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Fail(Errno),
    Kill,
}

/// A run of the program.
#[derive(Debug)]
pub struct Run {
    pub status: ExitStatus,
    pub error: String,
    /// How many calls touched the directory.
    pub calls: usize,
    /// The call at which the fault was injected.
    pub hit: Option<Touch>,
}

/// Becomes the program of its arguments, below a filter, when this process was started by [`run`].
pub fn become_program_if_asked() {
    let Some(channel) = std::env::var_os(CHANNEL) else { return };
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let channel = UnixStream::connect(channel).unwrap();
    let listener = seccomp::install_with_listener(&filter()).unwrap();
    send(&channel, listener.as_fd());
    drop((listener, channel));
    let error = Command::new(&arguments[0]).args(&arguments[1..]).env_remove(CHANNEL).exec();
    panic!("{}: {error}", arguments[0].display());
}

/// Runs `command` with `fault` at the call of number `at`, from 1, that touches `directory`.
pub fn run(command: &[OsString], input: Option<&Path>, directory: &Path, at: usize, fault: Fault) -> Run {
    let channels = tempfile::tempdir().unwrap();
    let channel = channels.path().join("channel");
    let server = UnixListener::bind(&channel).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(command)
        .env(CHANNEL, &channel)
        .stdin(input.map_or_else(Stdio::null, |path| File::open(path).unwrap().into()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let listener = receive(&server.accept().unwrap().0);
    let (calls, hit) = supervise(listener.as_fd(), directory, at, fault);
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    Run { status: child.wait().unwrap(), error, calls, hit }
}

/// Every call that may touch a file is asked about.
fn filter() -> Vec<Instruction> {
    const LOAD_NUMBER: Instruction = Instruction { code: 0x20, if_true: 0, if_false: 0, operand: 0 };
    let give = |operand: u32| Instruction { code: 0x06, if_true: 0, if_false: 0, operand };
    let (allow, ask) = (0x7fff_0000, 0x7fc0_0000);
    let ask_about =
        |number: u32| [Instruction { code: 0x15, if_true: 0, if_false: 1, operand: number }, give(ask)];
    let mut program = vec![LOAD_NUMBER];
    program.extend(numbers().flat_map(ask_about));
    program.push(give(allow));
    program
}

/// Answers until no process with the filter is left.
fn supervise(listener: BorrowedFd<'_>, directory: &Path, at: usize, fault: Fault) -> (usize, Option<Touch>) {
    let received = notify::Received::new().unwrap();
    let (mut calls, mut hit) = (0, None);
    loop {
        poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
        let call = match notify::receive_call(listener, &received) {
            Ok(Pending::Request(call)) => call,
            Ok(Pending::Closed) => return (calls, hit),
            Ok(Pending::Nothing) => continue,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) => panic!("{error}"),
        };
        let touched = touch(&call, directory);
        calls += usize::from(touched.is_some());
        let reply = match touched {
            Some(touched) if calls == at && hit.is_none() => {
                hit = Some(touched);
                inject(&call, fault)
            }
            _ => Reply::Continue,
        };
        match notify::answer(listener, &call, reply) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => panic!("{error}"),
            _ => {}
        }
    }
}

/// A killed process never performs the call that it waits in.
fn inject(call: &Call, fault: Fault) -> Reply {
    match fault {
        Fault::Fail(error) => Reply::Error(error),
        Fault::Kill => {
            let process = process::status(call.tid).unwrap().process;
            let process = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
            rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
            Reply::Error(Errno::INTR)
        }
    }
}

fn send(channel: &UnixStream, fd: BorrowedFd<'_>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [fd];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    rustix::net::sendmsg(channel, &[IoSlice::new(b"l")], &mut control, SendFlags::empty()).unwrap();
}

fn receive(channel: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .unwrap();
    let descriptors = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    descriptors.expect("the started process hands its listener over")
}
