//! `exec` and `shell`: a command in a running container, with our standard input, output and error.

mod pty;
mod streams;

use super::args::{ExecArgs, PlaceArgs, ShellArgs};
use super::client::{Client, talk};
use super::error::{CliError, FAILURE};
use super::output::complain;
use super::suggestion;
use crate::paths::Paths;
use crate::sys::readiness;
use crate::unit::name::UnitName;
pub use pty::{Pty, Terminal};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::stdio::{stdin, stdout};
use rustix::termios::isatty;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
pub use streams::{Streams, Typing};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zbus::Fd;

/// Runs the shell that the container's `/etc/passwd` gives the user, else `/bin/sh`. The file is read from another
/// descriptor than standard input, which the shell inherits.
const LOGIN_SHELL: &str = r#"
uid=$(id -u 2>/dev/null) && while IFS=: read -r _ _ id _ _ _ shell <&3; do
    [ "$id" = "$uid" ] && [ -x "$shell" ] && exec "$shell" -l 3<&-
done 3</etc/passwd
exec /bin/sh -l"#;

/// Runs `exec`.
///
/// # Errors
/// When the unit does not run, the command cannot be executed or the manager cannot be reached.
pub fn run(args: &ExecArgs, paths: &Paths) -> anyhow::Result<u8> {
    execute(&args.place, &args.command, paths)
}

/// Runs `shell`.
///
/// # Errors
/// As [`run`].
pub fn shell(args: &ShellArgs, paths: &Paths) -> anyhow::Result<u8> {
    if args.place.terminal() == Wanted::Terminal && !args.place.quiet {
        let unit = &args.place.unit;
        complain(&format!("Connected to {unit}. Press ^] three times within 1s to exit the session."));
    }
    let ended = execute(&args.place, &["/bin/sh", "-c", LOGIN_SHELL].map(str::to_owned), paths);
    ended.map_err(|error| match error.downcast::<CliError>() {
        Ok(error) => error.of_shell(&args.place.unit).into(),
        Err(error) => error,
    })
}

/// What a command runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A terminal of its own.
    Terminal,
    /// Our streams.
    Streams,
}

impl Wanted {
    /// As the options say, else as ours are.
    pub fn of(tty: bool, no_tty: bool) -> Self {
        let on_terminal = isatty(stdin()) && isatty(stdout());
        if tty || (on_terminal && !no_tty) { Self::Terminal } else { Self::Streams }
    }
}

impl PlaceArgs {
    fn terminal(&self) -> Wanted {
        Wanted::of(self.tty, self.no_tty)
    }
}

fn execute(place: &PlaceArgs, command: &[String], paths: &Paths) -> anyhow::Result<u8> {
    let unit = UnitName::from_command_line(&place.unit)?.to_string();
    let mut environment = place.environment.clone();
    if place.terminal() == Wanted::Terminal {
        environment = [of_terminal(), environment].concat();
    }
    let request = Request { unit, place, environment, command };
    talk(async |client| {
        let ended = match place.terminal() {
            Wanted::Terminal => request.on_terminal(client).await,
            Wanted::Streams => request.on_streams(client).await,
        };
        match ended {
            Ok((code, status)) => Ok(exit_status(code, status)),
            Err(error) if error.is_unknown_unit() => {
                complain(&format!("{error}{}", suggestion::of_unit(&request.unit, paths)));
                Ok(error.status())
            }
            Err(error) => Err(error.into()),
        }
    })
}

/// What programs ask of a terminal, environ(7).
pub fn of_terminal() -> Vec<String> {
    let of = |name: &str| std::env::var(name).ok().map(|value| format!("{name}={value}"));
    ["TERM", "COLORTERM"].into_iter().filter_map(of).collect()
}

struct Request<'a> {
    unit: String,
    place: &'a PlaceArgs,
    environment: Vec<String>,
    command: &'a [String],
}

impl Request<'_> {
    async fn send(
        &self,
        client: &Client,
        streams: [BorrowedFd<'_>; 3],
        leash: BorrowedFd<'_>,
    ) -> Result<(i32, i32), CliError> {
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let environment: Vec<&str> = self.environment.iter().map(String::as_str).collect();
        let (user, directory) = (&self.place.user, &self.place.working_directory);
        let descriptors: Vec<Fd<'_>> = streams.into_iter().chain([leash]).map(Fd::from).collect();
        let asked = (&self.unit, command, environment, user, directory, descriptors);
        let ended = client.call("Exec", &asked).await;
        ended.map_err(|error| CliError::of_call(&format!("execute in {}", self.unit), error))
    }

    /// The command gets our streams. Signals that we get it gets.
    async fn on_streams(&self, client: &Client) -> Result<(i32, i32), CliError> {
        let mut signals = Signals::new()?;
        let leash = Leash::new()?;
        let (streams, typing) = Streams::open()?;
        let result = {
            let call = self.send(client, streams.theirs(), leash.theirs.as_fd());
            tokio::pin!(call);
            let mut typing = Some(typing);
            loop {
                tokio::select! {
                    result = &mut call => break result,
                    () = leash.allowed(), if typing.is_some() => typing.take().into_iter().for_each(Typing::begin),
                    number = signals.next() => leash.signal(number),
                }
            }
        };
        streams.close();
        result
    }

    /// The command gets a terminal of its own, whose bytes we relay until it ends. Ours is left alone until the command
    /// is allowed, because a password may be typed before. When we are told to end, its terminal hangs up.
    async fn on_terminal(&self, client: &Client) -> Result<(i32, i32), CliError> {
        let mut resized = signal(SignalKind::window_change()).map_err(CliError::of_signals)?;
        let mut signals = Signals::new()?;
        let leash = Leash::new()?;
        let (pty, inner) = Pty::open()?;
        let (terminal, result) = {
            let call = self.send(client, [inner.as_fd(), inner.as_fd(), inner.as_fd()], leash.theirs.as_fd());
            tokio::pin!(call);
            let ended = tokio::select! {
                biased;
                () = leash.allowed() => None,
                result = &mut call => Some(result?),
                number = signals.next() => return Ok((CLD_KILLED, i32::from(number))),
            };
            let terminal = pty.begin()?;
            let result = match ended {
                Some(result) => Ok(result),
                None => loop {
                    tokio::select! {
                        result = &mut call => break result,
                        _ = resized.recv() => terminal.resize(),
                        number = signals.next() => break Ok((CLD_KILLED, i32::from(number))),
                        () = terminal.left() => break Err(CliError::LeftTerminal),
                    }
                },
            };
            (terminal, result)
        };
        // Our end of the inner side is closed first, so that what is left to read has an end.
        drop(inner);
        terminal.close();
        result
    }
}

/// A pair of sockets whose bytes are signals for the command, and whose end is the command's. The manager's only byte
/// says that the command is allowed.
#[derive(Debug)]
pub struct Leash {
    ours: OwnedFd,
    /// What the manager gets.
    pub theirs: OwnedFd,
}

impl Leash {
    /// A new one.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn new() -> Result<Self, CliError> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { ours, theirs })
    }

    /// Waits until the manager says that the command is allowed, and about to be run.
    async fn allowed(&self) {
        if let Ok(ours) = readiness::watch(&self.ours) {
            // An end without a word is told by the call.
            let _ = ours.readable().await;
        }
    }

    /// Takes it off: its end stops nothing, and until then the unit is held all the same.
    pub fn release(&self) {
        self.signal(0);
    }

    /// Has the command get a signal.
    pub fn signal(&self, number: u8) {
        // A manager that is gone is told by the call.
        let _ = rustix::io::write(&self.ours, &[number]);
    }
}

/// The signals that end programs.
#[derive(Debug)]
pub struct Signals([(Signal, u8); 4]);

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// When they cannot be caught.
    pub fn new() -> Result<Self, CliError> {
        use rustix::process::Signal as Number;
        let of = |number: Number| -> std::io::Result<_> {
            let raw = number.as_raw();
            Ok((signal(SignalKind::from_raw(raw))?, u8::try_from(raw).unwrap_or_default()))
        };
        let all = || -> std::io::Result<_> {
            Ok([of(Number::INT)?, of(Number::TERM)?, of(Number::HUP)?, of(Number::QUIT)?])
        };
        all().map(Self).map_err(CliError::of_signals)
    }

    /// Waits for the next; its number.
    pub async fn next(&mut self) -> u8 {
        let [first, second, third, fourth] = &mut self.0;
        tokio::select! {
            _ = first.0.recv() => first.1,
            _ = second.0.recv() => second.1,
            _ = third.0.recv() => third.1,
            _ = fourth.0.recv() => fourth.1,
        }
    }
}

/// waitid(2): it ended by itself.
pub const CLD_EXITED: i32 = 1;
/// waitid(2): a signal ended it.
pub const CLD_KILLED: i32 = 2;

/// As a shell has it: 128 and the signal for a command that was killed.
pub fn exit_status(code: i32, status: i32) -> u8 {
    let status = if code == CLD_EXITED { status } else { 128 + status };
    u8::try_from(status).unwrap_or(FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!((exit_status(1, 0), exit_status(1, 42), exit_status(2, 9)), (0, 42, 137));
    }
}
