//! Somebody who sits at a terminal of a private host.

use super::host::Host;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(90);

/// A program on a terminal of its own.
pub struct Terminal {
    program: Child,
    keys: Option<ChildStdin>,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Runs a line of the shell on it, as a user.
    pub fn of(host: &Host, user: &str, line: &str) -> Self {
        let line = format!("tty; {line}");
        let mut command = host.command(&["runuser", "-u", user, "--", "script", "-qefc", &line, "/dev/null"]);
        let mut program =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tests/host runs");
        let mut output = program.stdout.take().expect("its output is a pipe");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = program.stdin.take();
        Self { program, keys, screen, shown: String::new() }
    }

    /// Waits until a text is shown.
    pub fn wait(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("\"{text}\" is not shown, but this:\n{}", self.shown),
            }
        }
    }

    /// Types something.
    pub fn press(&mut self, keys: &str) {
        let terminal = self.keys.as_mut().expect("nobody has left");
        terminal.write_all(keys.as_bytes()).and_then(|()| terminal.flush()).expect("somebody reads");
    }

    /// Types a password once what is typed is not shown any more: what was typed before is thrown away.
    pub fn press_secretly(&mut self, host: &Host, keys: &str) {
        let device =
            self.shown.lines().find(|line| line.starts_with("/dev/")).expect("tty(1) tells").to_owned();
        let deadline = Instant::now() + PATIENCE;
        while !host.succeed(&["stty", "-F", &device, "-a"]).contains("-echo ") {
            assert!(Instant::now() < deadline, "nobody asks for a secret: {}", self.shown);
        }
        self.press(keys);
    }

    /// Waits until the program has ended: its status, and all that was shown.
    pub fn end(mut self) -> (ExitStatus, String) {
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        drop(self.keys.take());
        let status = self.program.wait().expect("it is our child");
        (status, self.shown.clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
