//! One private systemd host (`tests/host`, `tests/uml`), for as long as its value lives.

use super::events::Events;
use super::subscription::Subscription;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Whose kernel a host has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// This machine's.
    Shared,
    /// One of its own. Nothing of the host is seen from outside, but its directory.
    Own,
}

impl Kernel {
    /// The script that boots such hosts.
    fn script(self) -> &'static str {
        match self {
            Self::Shared => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/host"),
            Self::Own => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/uml"),
        }
    }
}

/// A running host. It ends with this value, and with the test process if that is killed.
pub struct Host {
    runner: Child,
    directory: PathBuf,
    kernel: Kernel,
}

impl Host {
    /// Boots a host with Sampan installed and no daemon running.
    pub fn boot() -> Self {
        Self::boot_on(Kernel::Shared)
    }

    /// Boots a host with a kernel of its own, which is the oldest that Sampan runs on and has the controllers of
    /// control groups (cpu io memory pids), starts `sampand` on it and imports images. That takes as long as ten other
    /// hosts do: one host is for many checks, see [`check_all`].
    pub fn with_controllers(images: &[&str]) -> Self {
        let host = Self::boot_on(Kernel::Own);
        host.succeed(&["systemctl", "start", "sampand"]);
        host.add_images(images);
        host
    }

    fn boot_on(kernel: Kernel) -> Self {
        let mut runner = Command::new(kernel.script())
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Whoever ends the test by its process group must not end the cleaning up.
            .process_group(0)
            .spawn()
            .expect("the script runs");
        let mut directory = String::new();
        let output = runner.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut directory).expect("the script prints a directory");
        assert!(!directory.is_empty(), "the private host did not boot: it needs root, cgroup v2 and systemd");
        Self { runner, directory: PathBuf::from(directory.trim_end()), kernel }
    }

    /// Boots a host and starts `sampand` on it.
    pub fn start() -> Self {
        let host = Self::boot();
        host.succeed(&["systemctl", "start", "sampand"]);
        host
    }

    /// Boots a host, starts `sampand` on it and imports images that `tests/images` makes: `NAME.tar` becomes
    /// `localhost/NAME`.
    pub fn with_images(names: &[&str]) -> Self {
        let host = Self::start();
        host.add_images(names);
        host
    }

    /// Imports images that `tests/images` makes, as [`Self::with_images`].
    pub fn add_images(&self, names: &[&str]) {
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/images");
        let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images"))
            .arg(&images)
            .args(names)
            .status();
        assert!(made.expect("tests/images runs").success(), "tests/images made no images");
        for name in names {
            let file = format!("{name}.tar");
            fs::hard_link(images.join(&file), self.shared().join(&file)).expect("the image is there");
            self.import(&file, &format!("localhost/{name}"));
        }
    }

    /// A command, to be run inside.
    pub fn command(&self, words: &[&str]) -> Command {
        self.script("exec", words)
    }

    fn script(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.kernel.script());
        command.arg(verb).arg(&self.directory).args(words).stdin(Stdio::null());
        command
    }

    /// Runs a command inside to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the script runs")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {}\n{text}{errors}{}", output.status, self.recent());
        text
    }

    /// Runs a command that must fail with an exit status; its standard error.
    pub fn fail(&self, status: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{words:?}:\n{text}{errors}{}", self.recent());
        errors
    }

    /// Runs a command that ends with this status; its standard output.
    pub fn answer(&self, status: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}:\n{text}{errors}{}", self.recent());
        text
    }

    /// Where this machine sees a file of the host.
    pub fn path(&self, inside: &str) -> PathBuf {
        assert!(self.kernel == Kernel::Shared, "{inside}: files of another kernel are not seen from outside");
        PathBuf::from(format!("/proc/{}/root{inside}", self.init()))
    }

    /// Writes a file of the host, with the directories above it.
    pub fn write(&self, inside: &str, text: &str) {
        if self.kernel == Kernel::Own {
            let script = "mkdir --parents \"${0%/*}\" && printf %s \"$1\" >\"$0\"";
            self.succeed(&["sh", "-c", script, inside, text]);
            return;
        }
        let path = self.path(inside);
        fs::create_dir_all(path.parent().expect("an absolute path")).expect("directories are made");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{inside}: {error}"));
    }

    /// Writes a unit file and has it loaded. `name` is the full name of the unit.
    pub fn unit(&self, name: &str, text: &str) {
        self.write(&format!("/etc/sampan/units/{name}.toml"), text);
        self.succeed(&["sampanctl", "daemon-reload"]);
    }

    /// A directory that both see: its path here. Inside it is `/srv`.
    pub fn shared(&self) -> PathBuf {
        self.directory.join("srv")
    }

    /// Imports an archive or layout from the shared directory under a name.
    pub fn import(&self, file: &str, reference: &str) {
        self.succeed(&["sampanctl", "import", &format!("/srv/{file}"), "--name", reference]);
    }

    /// Does something in the host's network; threads and programs that it starts stay there.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.init())).expect("the host runs");
        // The namespace is one of the thread, and a thread that ends cannot leave it changed.
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let namespace = std::os::fd::AsFd::as_fd(&namespace);
                move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).expect("root may");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Connects from inside the host's network.
    pub fn connect(&self, address: &str) -> std::io::Result<TcpStream> {
        let address: SocketAddr = address.parse().expect("an address");
        self.in_network(|| TcpStream::connect_timeout(&address, Duration::from_secs(30)))
    }

    /// The answer to `GET /` over a new connection.
    pub fn get(&self, address: &str) -> String {
        self.try_get(address).unwrap_or_else(|error| panic!("{address}: {error}\n{}", self.recent()))
    }

    /// The same, or what a client sees go wrong.
    pub fn try_get(&self, address: &str) -> std::io::Result<String> {
        let stream = self.connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        exchange(stream, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    }

    /// Journal lines that `journalctl` picks by these arguments, from the first on.
    pub fn journal(&self, arguments: &[&str]) -> Events {
        const FOLLOW: [&str; 5] = ["journalctl", "--follow", "--no-tail", "--quiet", "--output=cat"];
        if self.kernel == Kernel::Own {
            return Events::of(self.script("follow", &[&FOLLOW, arguments].concat()));
        }
        let mut command = Command::new(FOLLOW[0]);
        command.arg("--root").arg(self.path("/")).args(&FOLLOW[1..]).args(arguments);
        Events::of(command)
    }

    /// Signals from `org.sampan1`, one JSON object a line, from now on.
    pub fn signals(&self) -> Signals {
        let ours = "--match=type='signal',sender='org.sampan1'";
        // A daemon that comes back may have changed anything before somebody subscribed to it.
        let back = "--match=type='signal',member='NameOwnerChanged',arg0='org.sampan1'";
        let socket = self.path("/run/dbus/system_bus_socket");
        let mut command = Command::new("busctl");
        command.arg(format!("--address=unix:path={}", socket.display()));
        let again = "--match=type='signal',interface='org.sampan1.Test'";
        command.args(["--json=short", ours, back, again, "monitor"]);
        let events = Events::of_monitor(command);
        Signals { events, _subscription: Subscription::new(&socket) }
    }

    /// Waits for a line that the container of a unit has printed.
    pub fn wait_log(&self, unit: &str, text: &str) -> String {
        self.journal(&[&format!("--unit=sampan-{unit}.scope")]).wait(text)
    }

    /// Waits until `ready` holds, and asks again whenever the daemon tells something.
    pub fn wait_until(&self, what: &str, ready: impl FnMut(&Self) -> bool) {
        match self.kernel {
            Kernel::Shared => self.wait_told(&mut self.signals(), what, ready),
            Kernel::Own => self.wait_told(&mut self.journal(&["--unit=sampand"]), what, ready),
        }
    }

    fn wait_told(&self, signals: &mut Events, what: &str, mut ready: impl FnMut(&Self) -> bool) {
        while !ready(self) {
            assert!(signals.next().is_some() || ready(self), "no sign of this: {what}\n{}", self.recent());
        }
    }

    /// Waits until `sampanctl show` gives a unit's property a value.
    pub fn wait_property(&self, unit: &str, property: &str, value: &str) {
        self.wait_until(&format!("{unit}: {property}={value}"), |host| {
            host.property(unit, property) == value
        });
    }

    /// One property of a unit as `sampanctl show` prints it.
    pub fn property(&self, unit: &str, property: &str) -> String {
        let option = format!("--property={property}");
        self.succeed(&["sampanctl", "show", "--value", &option, unit]).trim_end().to_owned()
    }

    /// Shuts down and boots again.
    pub fn reboot(&self) {
        let status = self.script("reboot", &[]).status();
        assert!(status.expect("the script runs").success(), "the host did not come up again");
    }

    /// The host's first process, as this machine numbers it.
    pub fn init(&self) -> u32 {
        let parent = fs::read_to_string(self.directory.join("pid")).expect("the host runs");
        let parent = parent.trim();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        children.expect("the host runs").trim().parse().expect("one child")
    }

    /// The last lines of its journal.
    pub fn recent(&self) -> String {
        let output = self.run(&["journalctl", "--no-pager", "--lines=40", "--quiet"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The daemon's signals, which are sent while somebody subscribes.
pub struct Signals {
    events: Events,
    _subscription: Subscription,
}

impl std::ops::Deref for Signals {
    type Target = Events;

    fn deref(&self) -> &Events {
        &self.events
    }
}

impl std::ops::DerefMut for Signals {
    fn deref_mut(&mut self) -> &mut Events {
        &mut self.events
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.runner.stdin.take());
        let _ = self.runner.wait();
    }
}

/// What is to be seen of a host, in words, and who looks.
pub type Check = (&'static str, fn(&Host));

/// Makes every check on one host, and fails with all that failed.
pub fn check_all(host: &Host, checks: &[Check]) {
    let holds =
        |check: fn(&Host)| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(host))).is_ok();
    let failed: Vec<&str> =
        checks.iter().filter(|(_, check)| !holds(*check)).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "{} of {} checks failed: {}", failed.len(), checks.len(), failed.join(", "));
}

/// What comes back, to its end, for a request.
pub fn exchange(mut stream: impl Read + Write, request: &[u8]) -> std::io::Result<String> {
    stream.write_all(request)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A program of this build.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sampanctl")).with_file_name(name)
}
