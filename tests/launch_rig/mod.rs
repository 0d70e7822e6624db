//! A host for one launch: a busybox image on disk, a journal that is the test itself, and the protocol's
//! manager side.

use rustix::event::{PollFd, PollFlags, poll};
use sampan::image::config::ImageConfig;
use sampan::launch::identity::Identity;
use sampan::launch::plan::{Command, HostFacts, join, plan};
use sampan::launch::protocol::{Order, Report, StepError};
use sampan::launch::spawn::{Launch, Launcher};
use sampan::launch::step::{CredentialStores, HostTree, IdRange, Output, Plan, RootSize};
use sampan::sys::pidfd::{self, Exit};
use sampan::unit::assemble::assemble_with;
use sampan::unit::lower::Files;
use sampan::unit::model::*;
use sampan::unit::name::UnitName;
use sampan::unit::source::Source;
use sampan::unit::specifier::Host;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const STORE: u32 = 2_147_352_576;
pub const RANGE: IdRange = IdRange { base: 1_000_013_824, length: 65_536 };

/// Debian's e2fsprogs.
pub fn root_size() -> RootSize {
    let program = |name: &str| Path::new("/usr/sbin").join(name);
    RootSize { bytes: 0, make: program("mkfs.ext4"), check: program("e2fsck"), grow: program("resize2fs") }
}

pub struct Rig {
    pub directory: tempfile::TempDir,
    pub container: Container,
    pub image: ImageConfig,
    pub facts: HostFacts,
    journal: UnixListener,
    launcher: Launcher,
}

/// What became of a launch.
pub struct Outcome {
    pub failed: Option<StepError>,
    pub header: Vec<String>,
    pub output: String,
    /// All of the second stream to the journal.
    pub second: String,
    /// What was left in the FIFO.
    pub written: String,
    pub exit: Exit,
}

/// A container whose payload runs.
pub struct Running {
    process: Option<OwnedFd>,
    pub notifier: Option<OwnedFd>,
    /// The FIFO `/dev/stdout`, and the stream for what comes out of it.
    pub output: Vec<OwnedFd>,
    pub failed: Option<StepError>,
    pub started: Instant,
    pub executed: Instant,
}

impl Rig {
    pub fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "launches need root");
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let rootfs = directory.path().join("rootfs");
        make_image(&rootfs);
        for part in ["volumes", "staging"] {
            std::fs::create_dir_all(directory.path().join("store").join(part)).unwrap();
        }
        let journal = directory.path().join("journal");
        let facts = HostFacts {
            rootfs: HostTree { path: rootfs, id_base: STORE },
            range: RANGE,
            directory: directory.path().join("container"),
            store: directory.path().join("store"),
            shared: BTreeMap::new(),
            images: BTreeMap::new(),
            private: None,
            device_groups: BTreeMap::new(),
            profile: None,
            kernel: sampan::launch::profile::Kernel(6, 1),
            modules: std::collections::BTreeSet::new(),
            environment: Vec::new(),
            hierarchy: "/sys/fs/cgroup".into(),
            group: None,
            invocation: "0123456789abcdef0123456789abcdef".into(),
            identity: Identity::default(),
            journal: journal.clone(),
            credentials: CredentialStores::default(),
            root_size: root_size(),
            output: Output::Journal,
        };
        let listener = UnixListener::bind(&journal).unwrap();
        std::fs::set_permissions(&journal, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        Self {
            directory,
            container: container(),
            image: ImageConfig::default(),
            facts,
            journal: listener,
            launcher: Launcher::load(Path::new(env!("CARGO_BIN_EXE_sampan-launch"))).unwrap(),
        }
    }

    pub fn script(&mut self, script: &str) -> &mut Self {
        self.container.command = Some(vec!["sh".into(), "-c".into(), script.into()]);
        self
    }

    pub fn rootfs(&self) -> &Path {
        &self.facts.rootfs.path
    }

    /// Where a volume is.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.facts.store.join("volumes").join(name)
    }

    /// Mounts something.
    pub fn mount(&mut self, at: &str, mount: Mount) -> &mut Self {
        self.container.mounts.insert(at.into(), mount);
        self
    }

    pub fn plan(&self) -> Plan {
        plan(&self.unit(), &self.container, &self.image, &self.facts).unwrap()
    }

    fn unit(&self) -> Unit {
        unit(&self.container)
    }

    /// Starts the container; the payload has been executed, or something failed.
    pub fn start(&self, sockets: &[BorrowedFd<'_>]) -> Running {
        converse(self.launcher.spawn(&self.plan(), sockets).unwrap())
    }

    /// Has a launcher ready; gives its number.
    pub fn keep_launcher(&self) -> u32 {
        self.launcher.keep_spares();
        *children().last().expect("a launcher waits")
    }

    /// Starts the container and waits for its end.
    pub fn run(&self) -> Outcome {
        self.run_with(&[])
    }

    pub fn run_with(&self, sockets: &[BorrowedFd<'_>]) -> Outcome {
        let running = self.start(sockets);
        self.finish(running)
    }

    /// A launch whose manager goes away before it has written the run down; gives the container's first process.
    pub fn abandon(&self) -> OwnedFd {
        let launch = self.launcher.spawn(&self.plan(), &[]).unwrap();
        launch.send(&Order::Attached).unwrap();
        let process = loop {
            match next(&launch).unwrap() {
                (Report::Ready | Report::Mounted { .. }, _) => {}
                (Report::Started { .. }, mut descriptors) => break descriptors.pop(),
                (report, _) => panic!("{report:?}"),
            }
        };
        drop(launch.control);
        pidfd::wait(&launch.process).unwrap();
        process.unwrap()
    }

    /// Runs a command in a running container; its output and exit.
    pub fn join(&self, running: &Running, command: &Command) -> (String, Result<Exit, StepError>) {
        let join = join(&self.container, &self.image, &self.facts, command).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let streams = [null.as_fd(), writer.as_fd(), writer.as_fd()];
        let joined = converse(self.launcher.join(&join, running.process().as_fd(), streams).unwrap());
        drop(writer);
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        let exit = pidfd::wait(joined.process());
        (output, joined.failed.map_or(Ok(exit.unwrap()), Err))
    }

    /// Output and end of a container.
    pub fn finish(&self, running: Running) -> Outcome {
        // A launch that fails outside has no process.
        let exit = running.process.as_ref().map_or(Exit::Code(1), |process| pidfd::wait(process).unwrap());
        let written = running.output.first().map(unread).unwrap_or_default();
        drop(running.output);
        let mut text = String::new();
        self.journal.set_nonblocking(true).unwrap();
        if let Ok((mut stream, _)) = self.journal.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.read_to_string(&mut text).unwrap();
        }
        let mut second = String::new();
        if let Ok((mut stream, _)) = self.journal.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.read_to_string(&mut second).unwrap();
        }
        let mut lines = text.lines().map(str::to_owned);
        let header = lines.by_ref().take(7).collect();
        let output = lines.map(|line| line + "\n").collect();
        Outcome { failed: running.failed, header, output, second, written, exit }
    }
}

impl Running {
    pub fn process(&self) -> &OwnedFd {
        self.process.as_ref().unwrap_or_else(|| panic!("{:?}", self.failed))
    }
}

impl Outcome {
    /// What the payload printed; it must have been executed and succeeded.
    #[track_caller]
    pub fn printed(&self) -> &str {
        assert_eq!((&self.failed, self.exit), (&None, Exit::Code(0)), "{}", self.output);
        &self.output
    }

    #[track_caller]
    pub fn failure(&self) -> (&str, &str, i32) {
        let failed = self.failed.as_ref().unwrap_or_else(|| panic!("executed: {}", self.output));
        (&failed.step, &failed.subject, failed.errno)
    }
}

/// Speaks the manager's part until the payload is executed.
fn converse(launch: Launch) -> Running {
    let (mut process, mut notifier, mut output, mut failed) = (None, None, Vec::new(), None);
    let mut started = Instant::now();
    // There is no systemd that would move the launcher.
    let _ = launch.send(&Order::Attached);
    while let Some((report, mut descriptors)) = next(&launch) {
        match report {
            Report::Ready | Report::Mounted { .. } | Report::Prepared | Report::Executed => {}
            Report::Started { pid, .. } => {
                assert!(Path::new(&format!("/proc/{pid}")).exists());
                process = descriptors.pop();
                started = Instant::now();
                // A program that joins a container waits for no order, and may have ended.
                let _ = launch.send(&Order::Go);
            }
            Report::Output { .. } => output = descriptors,
            Report::Notifier => notifier = descriptors.pop(),
            Report::Failed(error) => failed = failed.or(Some(error)),
        }
    }
    let executed = Instant::now();
    pidfd::wait(&launch.process).unwrap();
    Running { process, notifier, output, failed, started, executed }
}

fn next(launch: &Launch) -> Option<(Report, Vec<OwnedFd>)> {
    loop {
        let mut ready = [PollFd::new(&launch.control, PollFlags::IN)];
        let deadline = rustix::time::Timespec::try_from(Duration::from_secs(20)).unwrap();
        assert_ne!(poll(&mut ready, Some(&deadline)).unwrap(), 0, "the launcher says nothing");
        match launch.receive() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return result.unwrap(),
        }
    }
}

/// What is in a FIFO now.
fn unread(fifo: &OwnedFd) -> String {
    let mut bytes = vec![0; 65536];
    let length = match rustix::io::read(fifo, &mut bytes) {
        Err(rustix::io::Errno::AGAIN) => 0,
        result => result.unwrap(),
    };
    bytes.truncate(length);
    String::from_utf8(bytes).unwrap()
}

fn make_image(rootfs: &Path) {
    for directory in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var/www", "srv"] {
        std::fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    let busybox = rootfs.join("bin/busybox");
    std::fs::copy("/bin/busybox", &busybox).expect("install busybox-static");
    let listed = std::process::Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(listed.stdout).unwrap().lines().filter(|name| *name != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    std::fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/var/www:/bin/sh\n",
    )
    .unwrap();
    std::fs::write(rootfs.join("etc/group"), "root:x:0:\nweb:x:44:\nlog:x:4:web\n").unwrap();
    own(rootfs);
    std::fs::set_permissions(rootfs.join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .unwrap();
    chown(rootfs.join("var/www"), Some(STORE + 33), Some(STORE + 44)).unwrap();
}

pub fn own(path: &Path) {
    lchown(path, Some(STORE), Some(STORE)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in path.read_dir().unwrap() {
            own(&entry.unwrap().path());
        }
    }
}

/// What the tests begin with.
const UNIT: &str = r#"
[unit]
description = "web"
[container]
image = "localhost/web"
command = ["true"]
start_timeout = "infinity"
stop_timeout = "infinity"
[network]
hostname = "boat"
"#;

fn read() -> Unit {
    let (name, path) = (UnitName::parse("web.container").unwrap(), PathBuf::from("/web.container.toml"));
    let source = Source::from_text(&path, UNIT);
    let files = Files { fragment: Some(path), drop_ins: vec![] };
    let (unit, warnings) = assemble_with(&name, files, &Host::default(), Some(&source)).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    unit
}

/// The unit `web.container`.
pub fn unit(container: &Container) -> Unit {
    Unit { fragment: None, body: Body::Container(Box::new(container.clone())), ..read() }
}

pub fn socket(pass: Pass) -> Socket {
    Socket::new(Listen::Unix(UnixType::Stream, UnixName::Path(PathBuf::from("/run/web.sock"))), pass)
}

pub fn container() -> Container {
    read().body.container().unwrap().clone()
}

/// Processes of this test, in the order of their births.
pub fn children() -> Vec<u32> {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let listed = std::fs::read_to_string(Path::new("/proc").join(thread).join("children")).unwrap();
    listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
