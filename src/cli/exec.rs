//! `exec` and `shell`: a command in a running container, with our standard input, output and error.

use super::args::{ExecArgs, PlaceArgs, ShellArgs};
use super::client::{Client, talk};
use super::error::{CliError, FAILURE};
use super::pty::Terminal;
use crate::unit::name::UnitName;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::isatty;
use std::os::fd::{AsFd, BorrowedFd};
use tokio::signal::unix::{SignalKind, signal};
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
pub fn run(args: &ExecArgs) -> anyhow::Result<u8> {
    execute(&args.place, &args.command)
}

/// Runs `shell`.
///
/// # Errors
/// As [`run`].
pub fn shell(args: &ShellArgs) -> anyhow::Result<u8> {
    execute(&args.place, &["/bin/sh", "-c", LOGIN_SHELL].map(str::to_owned))
}

fn execute(place: &PlaceArgs, command: &[String]) -> anyhow::Result<u8> {
    let request = Request { unit: UnitName::from_command_line(&place.unit)?.to_string(), place, command };
    let on_terminal = isatty(stdin()) && isatty(stdout());
    talk(async |client| {
        let (code, status) = if place.tty || (on_terminal && !place.no_tty) {
            request.on_terminal(client).await?
        } else {
            let streams = [stdin(), stdout(), stderr()];
            request.send(client, streams).await?
        };
        Ok(exit_status(code, status))
    })
}

struct Request<'a> {
    unit: String,
    place: &'a PlaceArgs,
    command: &'a [String],
}

impl Request<'_> {
    async fn send(&self, client: &Client, streams: [BorrowedFd<'_>; 3]) -> Result<(i32, i32), CliError> {
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let environment: Vec<&str> = self.place.environment.iter().map(String::as_str).collect();
        let (user, directory) = (&self.place.user, &self.place.working_directory);
        let streams = streams.into_iter().map(Fd::from).collect();
        let ended = client.manager.exec(&self.unit, &command, &environment, user, directory, streams).await;
        ended.map_err(|error| CliError::of_call(&format!("execute in {}", self.unit), error))
    }

    /// The command gets a terminal of its own, whose bytes we relay until it ends.
    async fn on_terminal(&self, client: &Client) -> anyhow::Result<(i32, i32)> {
        let mut resized = signal(SignalKind::window_change())?;
        let mut ended = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(signal);
        let [terminate, hangup, interrupt] = &mut ended;
        let (terminal, inner) = Terminal::open()?;
        let result = {
            let call = self.send(client, [inner.as_fd(), inner.as_fd(), inner.as_fd()]);
            tokio::pin!(call);
            loop {
                tokio::select! {
                    result = &mut call => break result,
                    _ = resized.recv() => terminal.resize(),
                    () = received(terminate) => break Err(CliError::Interrupted),
                    () = received(hangup) => break Err(CliError::Interrupted),
                    () = received(interrupt) => break Err(CliError::Interrupted),
                }
            }
        };
        // Our end of the inner side is closed first, so that what is left to read has an end.
        drop(inner);
        terminal.close();
        Ok(result?)
    }
}

/// Waits for a signal; for ever where it cannot be caught.
async fn received(signal: &mut std::io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// As a shell has it: 128 and the signal for a command that was killed.
fn exit_status(code: i32, status: i32) -> u8 {
    const CLD_EXITED: i32 = 1;
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
