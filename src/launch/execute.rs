//! The end of a launch: giving up what the payload must not have, then becoming it.

use super::capability::{self, Holder};
use super::channel;
use super::failure::During;
use super::init;
use super::inside::Trees;
use super::label;
use super::protocol::{Report, StepError};
use super::settings;
use super::standard::{JOURNAL, STDOUT};
use super::step::{Binds, Execute, First, Links, NewPrivileges};
use super::target;
use super::user::{self, User};
use crate::sys::execute::execute;
use crate::sys::seccomp::Instruction;
use crate::sys::{seccomp, seccomp_program, session};
use crate::unit::model::StandardInput;
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, ioctl_fionbio};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// The first descriptor that is passed, sd_listen_fds(3).
const FIRST_SOCKET: i32 = 3;
/// Descriptors of the launcher itself lie here and above, out of the way.
pub const OUT_OF_THE_WAY: i32 = 512;
/// Where the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What came with the plan.
#[derive(Debug)]
pub struct Passed<'launch> {
    /// Where to report; lies out of the way.
    pub control: &'launch OwnedFd,
    /// Sockets in the order of the plan.
    pub sockets: Vec<OwnedFd>,
    /// Which system calls the payload may make, for seccomp(2).
    pub filters: Vec<Vec<Instruction>>,
}

/// Standard input, output and error that came with the plan.
pub type Streams = [OwnedFd; 3];

/// Becomes the payload. `whole` is when the container was all there. Returns only on failure.
pub fn become_payload(
    plan: &Execute,
    trees: &mut Trees,
    streams: Option<Streams>,
    mut passed: Passed<'_>,
    whole: Duration,
) -> Result<(), StepError> {
    if let Some(streams) = streams {
        use_streams(streams)?;
    } else {
        let [fifo, stdout, journal] = ["output", STDOUT, JOURNAL].map(|name| trees.take(name));
        use_output(&stdout?).during("connect to journal", "standard output")?;
        hand_over(&fifo?, &journal?, passed.control, whole).during("connect to journal", "/dev/stdout")?;
        if plan.standard_input == StandardInput::Socket {
            use_socket(&mut passed.sockets).during("pass sockets", "standard input")?;
        }
    }
    // All other trees have their place; their descriptors lead nowhere new, but are nobody's business either.
    trees.clear();
    match plan.first {
        First::Payload => join_payload(plan, passed),
        First::Init => init::begin(plan, passed),
    }
}

/// The same where the container runs already.
pub fn join_payload(plan: &Execute, passed: Passed<'_>) -> Result<(), StepError> {
    let user = user::resolve(&plan.user, &plan.settings.supplementary_groups, &plan.hidden)?;
    enter_directory(&plan.working_directory).during_path("change directory", &plan.working_directory)?;
    let environment = environment(plan, &user);
    session::new_keyring().during("join keyring", "session")?;
    new_session().during("start session", "terminal")?;
    session::reset_signals();
    // On the way they lie higher than the payload's own limit may allow.
    let names = if plan.sockets.is_empty() { "none".to_owned() } else { plan.sockets.join(" ") };
    place_sockets(passed.sockets).during("pass sockets", names)?;
    settings::apply(&plan.settings)?;
    label::set(&plan.labels)?;
    drop_privileges(plan, &user, passed.control, &passed.filters)?;
    execute_in_path(plan, &environment)
}

/// Makes three descriptors the standard ones.
pub fn use_streams([input, output, error]: Streams) -> Result<(), StepError> {
    rustix::stdio::dup2_stdin(&input).during("begin", "standard input")?;
    rustix::stdio::dup2_stdout(&output).during("begin", "standard output")?;
    rustix::stdio::dup2_stderr(&error).during("begin", "standard error")
}

/// Errors stay with the journal: a client is not told of them.
fn use_socket(sockets: &mut Vec<OwnedFd>) -> io::Result<()> {
    let socket = sockets.pop().ok_or(Errno::BADF)?;
    rustix::stdio::dup2_stdin(&socket)?;
    rustix::stdio::dup2_stdout(&socket)?;
    Ok(())
}

fn use_output(stream: &OwnedFd) -> io::Result<()> {
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(stream)?;
    rustix::stdio::dup2_stderr(stream)?;
    Ok(())
}

/// The manager moves what is written to the FIFO. A stream of its own for that can be nonblocking while the
/// payload's blocks.
fn hand_over(fifo: &OwnedFd, stream: &OwnedFd, control: &OwnedFd, whole: Duration) -> io::Result<()> {
    ioctl_fionbio(stream, true)?;
    channel::send(control, &Report::Output { whole }, &[fifo.as_fd(), stream.as_fd()])
}

/// Goes to the working directory, making it as other engines do, and checks that it is inside of the root.
fn enter_directory(path: &Path) -> io::Result<()> {
    rustix::process::fchdir(target::directory(path, Links::Follow)?)?;
    let inside = rustix::process::getcwd(Vec::new())?.to_bytes().starts_with(b"/");
    if inside { Ok(()) } else { Err(Errno::XDEV.into()) }
}

fn environment(plan: &Execute, user: &User) -> Vec<String> {
    let mut environment = plan.environment.clone();
    let has = |environment: &[String], name: &str| environment.iter().any(|line| line.starts_with(name));
    if !has(&environment, "PATH=") {
        environment.push(format!("PATH={PATH}"));
    }
    if !has(&environment, "HOME=") {
        environment.push(format!("HOME={}", user.home));
    }
    if !plan.sockets.is_empty() {
        environment.push(format!("LISTEN_FDS={}", plan.sockets.len()));
        environment.push(format!("LISTEN_PID={}", std::process::id()));
        environment.push(format!("LISTEN_FDNAMES={}", plan.sockets.join(":")));
    }
    environment
}

/// A session of its own. A terminal that belongs to no session yet becomes the payload's.
fn new_session() -> io::Result<()> {
    // EPERM: it leads one already.
    match rustix::process::setsid() {
        Err(Errno::PERM) => {}
        result => drop(result?),
    }
    match rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()) {
        Ok(()) | Err(Errno::NOTTY | Errno::PERM | Errno::INVAL | Errno::IO) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Moves sockets to 3 and up, and leaves nothing else open.
fn place_sockets(sockets: Vec<OwnedFd>) -> io::Result<()> {
    let mut away = Vec::with_capacity(sockets.len());
    for socket in &sockets {
        away.push(fcntl_dupfd_cloexec(socket, OUT_OF_THE_WAY)?);
    }
    drop(sockets);
    let mut next = FIRST_SOCKET;
    for socket in away {
        let placed = fcntl_dupfd_cloexec(socket, next)?;
        if placed.as_raw_fd() != next {
            return Err(Errno::BUSY.into());
        }
        fcntl_setfd(&placed, FdFlags::empty())?;
        // The payload's from now on.
        next = placed.into_raw_fd() + 1;
    }
    session::close_on_execute_from(u32::try_from(next).unwrap_or_default())
}

/// Without no_new_privs a filter needs a capability that goes next, and so comes first.
fn drop_privileges(
    plan: &Execute,
    user: &User,
    control: &OwnedFd,
    filters: &[Vec<Instruction>],
) -> Result<(), StepError> {
    let (keep, ambient) = (capability::bits(&plan.capabilities), capability::bits(&plan.ambient));
    if plan.new_privileges == NewPrivileges::Never {
        set_no_new_privs(true).during("drop privileges", "no_new_privs")?;
    }
    if plan.binds == Binds::Manager {
        let listener = seccomp::install_with_listener(&seccomp_program::binds()).during("filter", "bind")?;
        channel::send(control, &Report::Notifier, &[listener.as_fd()]).during("filter", "bind")?;
    }
    let install =
        || filters.iter().try_for_each(|program| seccomp::install(program)).during("filter", "system calls");
    if plan.new_privileges == NewPrivileges::Allowed {
        install()?;
    }
    capability::bound(keep).during("drop privileges", "bounding set")?;
    set_keep_capabilities(true).during("drop privileges", "capabilities")?;
    change_user(user).during("change user", &plan.user)?;
    let (keep, holder) = match (user.uid, ambient) {
        (0, _) => (keep, Holder::Root),
        (_, 0) => (0, Holder::Root),
        (_, ambient) => (ambient, Holder::User),
    };
    capability::hold(keep, holder).during("drop privileges", "capabilities")?;
    if plan.new_privileges == NewPrivileges::Never {
        // Nothing but execve(2) follows: what the unit's own filter refuses is refused to the payload alone.
        install()?;
    }
    Ok(())
}

fn change_user(user: &User) -> io::Result<()> {
    let groups: Vec<_> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}

fn execute_in_path(plan: &Execute, environment: &[String]) -> Result<(), StepError> {
    const STEP: &str = "execute";
    let program = plan.command.first().map(String::as_str).unwrap_or_default();
    let strings = |strings: &[String]| {
        strings.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>()
    };
    let arguments = strings(&plan.command).during(STEP, program)?;
    let environment_strings = strings(environment).during(STEP, program)?;
    let path = environment.iter().find_map(|line| line.strip_prefix("PATH=")).unwrap_or(PATH);
    // As execvp(3): the first that is there and may be executed; what may not is remembered.
    let mut failure = io::Error::from(Errno::NOENT);
    for candidate in candidates(program, path) {
        let candidate = CString::new(candidate).during(STEP, program)?;
        let error = execute(&candidate, &arguments, &environment_strings);
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => {}
            Some(Errno::ACCESS) => failure = error,
            _ => return Err(error).during(STEP, program),
        }
    }
    Err(failure).during(STEP, program)
}

fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':')
        .map(|directory| format!("{}/{program}", if directory.is_empty() { "." } else { directory }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_without_a_slash_are_searched() {
        assert_eq!(candidates("sh", "/a:/b"), ["/a/sh", "/b/sh"]);
        assert_eq!(candidates("./sh", "/a"), ["./sh"]);
        assert!(candidates("", "/a").is_empty());
    }
}
