//! Lines from a program that reports what happens, with a deadline in place of sleeping.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(90);

/// Lines that come as things happen.
pub struct Events {
    program: Child,
    lines: Receiver<String>,
}

impl Events {
    /// The lines of a program's standard output.
    pub fn of(mut command: Command) -> Self {
        let mut program = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let lines = lines_of(program.stdout.take().expect("its output is a pipe"));
        Self { program, lines }
    }

    /// The same for `busctl monitor`, from the moment at which it hears everything.
    pub fn of_monitor(mut command: Command) -> Self {
        command.stderr(Stdio::piped());
        let mut events = Self::of(command);
        let notices = lines_of(events.program.stderr.take().expect("its errors are a pipe"));
        let notice = notices.recv_timeout(PATIENCE).expect("busctl monitors");
        assert!(notice.contains("Monitoring"), "{notice}");
        events
    }

    /// The next line; `None` when none came for 30 seconds or the program has ended.
    pub fn next(&mut self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    /// Waits for the first line that holds `text`.
    pub fn wait(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with \"{text}\" came; these did:\n{}", seen.join("\n"));
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn lines_of(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
