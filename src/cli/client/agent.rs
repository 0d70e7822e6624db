//! polkit's agent for terminals, pkttyagent(1): asks for passwords where the session has no agent of its own.

use crate::sys::{child::end_with_us, readiness};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::io::IsTerminal;
use std::process::{Child, Command, Stdio};

/// One that speaks for this process; it ends with this value, or with us.
#[derive(Debug)]
pub struct Agent(Child);

impl Agent {
    /// Starts it, and waits until polkit knows of it. `None` where it is not needed or cannot be: root is not asked,
    /// nobody types into a file, and the program may not be there.
    pub async fn start() -> Option<Self> {
        if geteuid().is_root() || !std::io::stdin().is_terminal() {
            return None;
        }
        let (registered, notify) = std::io::pipe().ok()?;
        let child = {
            let mut command = Command::new("pkttyagent");
            command.arg(format!("--process={}", std::process::id()));
            if is_in_session() {
                command.arg("--fallback");
            }
            // It opens the terminal by itself, and closes what it notifies on: the terminal must not become its
            // descriptor 0, of which parts of it think that it is none.
            command.arg("--notify-fd=1").stdin(Stdio::null()).stdout(notify);
            end_with_us(&mut command).spawn().ok()?
        };
        let agent = Self(child);
        // It closes its end once it is registered, or when it ends.
        let _ = readiness::watch(&registered).ok()?.readable().await;
        Some(agent)
    }
}

/// Whether polkit finds us in a session of logind, which may have an agent that goes before ours: by the control group,
/// or as the user's graphical one. Without a session polkit 122 finds no agent that is a fallback.
fn is_in_session() -> bool {
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let user = format!("/run/systemd/users/{}", geteuid().as_raw());
    let user = std::fs::read_to_string(user).unwrap_or_default();
    let is_scope = |part: &str| part.starts_with("session-") && part.trim_end().ends_with(".scope");
    group.split('/').any(is_scope) || user.lines().any(|line| line.starts_with("DISPLAY="))
}

impl Drop for Agent {
    fn drop(&mut self) {
        // By its signal it gives the terminal its mode back.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}
