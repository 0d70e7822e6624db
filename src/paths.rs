//! Every directory that Sampan reads or writes, joined onto one root. Nobody else spells a path.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

/// The directories of one host, all below `root` (normally `/`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
    store: PathBuf,
    owner: Owner,
}

/// Whose unit files they are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    System,
    User { config: PathBuf, runtime: PathBuf, data: PathBuf },
}

impl Default for Paths {
    fn default() -> Self {
        Self::new(Path::new("/"))
    }
}

impl Paths {
    /// The directories of the host whose root directory is `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), store: root.join("var/lib/sampan"), owner: Owner::System }
    }

    /// The same with the unit files of a user, whose directories the environment names as in the XDG Base Directory
    /// Specification.
    #[must_use]
    pub fn of_user(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let home = PathBuf::from(variable("HOME").unwrap_or_else(|| "/".to_owned()));
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        self.owner = Owner::User {
            config: absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            runtime: absolute("XDG_RUNTIME_DIR").unwrap_or_else(|| {
                PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()))
            }),
            data: absolute("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")),
        };
        self
    }

    /// The same, with the image store in another directory.
    #[must_use]
    pub fn with_store(mut self, store: &Path) -> Self {
        store.clone_into(&mut self.store);
        self
    }

    /// The root that all else is joined onto.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the root is that of the host that this program runs on.
    pub fn are_of_this_host(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Directories of unit files, the first wins (`sampan.unit(5)`).
    pub fn unit_search_path(&self) -> Vec<PathBuf> {
        match &self.owner {
            Owner::System => self.joined(&[
                "run/sampan/transient",
                "etc/sampan/units",
                "run/sampan/units",
                "usr/local/lib/sampan/units",
                "usr/lib/sampan/units",
            ]),
            Owner::User { data, .. } => {
                let mut directories = vec![self.transient_units(), self.enablement(), self.runtime_units()];
                directories.push(data.join("sampan/units"));
                directories.extend(self.joined(&["usr/share/sampan/user-units"]));
                directories
            }
        }
    }

    /// Directories of preset files, the first wins (`sampan.unit(5)`).
    pub fn presets(&self) -> Vec<PathBuf> {
        match &self.owner {
            Owner::System => self.joined(&[
                "etc/sampan/presets",
                "run/sampan/presets",
                "usr/local/lib/sampan/presets",
                "usr/lib/sampan/presets",
            ]),
            Owner::User { config, .. } => {
                let mut directories = vec![config.join("sampan/presets")];
                directories.extend(self.joined(&["etc/sampan/user-presets", "usr/lib/sampan/user-presets"]));
                directories
            }
        }
    }

    fn joined(&self, directories: &[&str]) -> Vec<PathBuf> {
        directories.iter().map(|directory| self.root.join(directory)).collect()
    }

    /// Directories of systemd's own units, the first wins (systemd.unit(5)).
    pub fn native_search_path(&self) -> Vec<PathBuf> {
        let kind = if self.owner == Owner::System { "system" } else { "user" };
        ["etc", "run", "usr/local/lib", "usr/lib"]
            .iter()
            .map(|directory| self.root.join(directory).join("systemd").join(kind))
            .collect()
    }

    /// Directories in which systemd finds mount units, those of its generators among them; the first wins.
    pub fn native_mount_path(&self) -> Vec<PathBuf> {
        if self.owner != Owner::System {
            return self.native_search_path();
        }
        let directories = [
            "run/systemd/transient",
            "run/systemd/generator.early",
            "etc/systemd/system",
            "run/systemd/system",
            "run/systemd/generator",
            "usr/local/lib/systemd/system",
            "usr/lib/systemd/system",
            "run/systemd/generator.late",
        ];
        self.joined(&directories)
    }

    /// Where links in units of systemd's are made that last.
    pub fn native_enablement(&self) -> PathBuf {
        match &self.owner {
            Owner::System => self.root.join("etc/systemd/system"),
            Owner::User { config, .. } => config.join("systemd/user"),
        }
    }

    /// Where links in units of systemd's are made that are gone at reboot.
    pub fn native_runtime_units(&self) -> PathBuf {
        match &self.owner {
            Owner::System => self.root.join("run/systemd/system"),
            Owner::User { runtime, .. } => runtime.join("systemd/user"),
        }
    }

    /// Settings of the host, `sampan.toml(5)`.
    pub fn settings(&self) -> PathBuf {
        self.root.join("etc/sampan/sampan.toml")
    }

    /// Which images are accepted, `sampan-policy.toml(5)`.
    pub fn policy(&self) -> PathBuf {
        self.root.join("etc/sampan/policy.toml")
    }

    /// Where `enable` makes its links.
    pub fn enablement(&self) -> PathBuf {
        match &self.owner {
            Owner::System => self.root.join("etc/sampan/units"),
            Owner::User { config, .. } => config.join("sampan/units"),
        }
    }

    /// Units that are gone at reboot.
    pub fn runtime_units(&self) -> PathBuf {
        match &self.owner {
            Owner::System => self.root.join("run/sampan/units"),
            Owner::User { runtime, .. } => runtime.join("sampan/units"),
        }
    }

    /// Units that `run` makes and that are gone once they have ended.
    pub fn transient_units(&self) -> PathBuf {
        match &self.owner {
            Owner::System => self.root.join("run/sampan/transient"),
            Owner::User { runtime, .. } => runtime.join("sampan/transient"),
        }
    }

    /// The image store.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Large files that nobody needs after a reboot.
    pub fn temporary(&self) -> PathBuf {
        self.root.join("var/tmp")
    }

    /// State of the running manager, gone at reboot.
    pub fn runtime(&self) -> PathBuf {
        self.root.join("run/sampan")
    }

    /// Root's own way to the manager, beside the bus.
    pub fn private_socket(&self) -> PathBuf {
        self.runtime().join("private")
    }

    /// One record for each running unit.
    pub fn state(&self) -> PathBuf {
        self.runtime().join("state")
    }

    /// The journal's socket for streams of lines, `systemd-journald.service(8)`.
    pub fn journal_stream(&self) -> PathBuf {
        self.root.join("run/systemd/journal/stdout")
    }

    /// The link by which systemd tells journald the id of a unit's run.
    pub fn invocation(&self, unit: &str) -> PathBuf {
        self.root.join(format!("run/systemd/units/invocation:{unit}"))
    }

    /// When a manager was first started since boot.
    pub fn startup(&self) -> PathBuf {
        self.runtime().join("startup")
    }

    /// One stamp file for each timer that outlives a reboot.
    pub fn timers(&self) -> PathBuf {
        self.root.join("var/lib/sampan/timers")
    }

    /// Its time is that at which the timer of a unit elapsed last.
    pub fn timer_stamp(&self, unit: &str) -> PathBuf {
        self.timers().join(format!("stamp-{unit}"))
    }

    /// The time zone of the host, localtime(5).
    pub fn local_time(&self) -> PathBuf {
        self.root.join("etc/localtime")
    }

    /// Real-time clocks of the host, rtc(4).
    pub fn real_time_clocks(&self) -> PathBuf {
        self.root.join("sys/class/rtc")
    }

    /// os-release(5).
    pub fn os_release(&self) -> PathBuf {
        let [own, vendors] = ["etc/os-release", "usr/lib/os-release"].map(|path| self.root.join(path));
        if own.exists() { own } else { vendors }
    }

    /// hosts(5).
    pub fn hosts(&self) -> PathBuf {
        self.root.join("etc/hosts")
    }

    /// The id of this installation, machine-id(5).
    pub fn machine_id(&self) -> PathBuf {
        self.root.join("etc/machine-id")
    }

    /// The id of this boot, random(4).
    pub fn boot_id(&self) -> PathBuf {
        self.root.join("proc/sys/kernel/random/boot_id")
    }

    /// The host's name servers, resolv.conf(5).
    pub fn resolver(&self) -> PathBuf {
        self.root.join("etc/resolv.conf")
    }

    /// What is said about registries, `sampan-registries(5)`.
    pub fn registries(&self) -> PathBuf {
        self.root.join("etc/sampan/registries.toml")
    }

    /// More files of the same kind, laid over it in the order of their names.
    pub fn registries_directory(&self) -> PathBuf {
        self.root.join("etc/sampan/registries.d")
    }

    /// Credentials of the host for registries, containers-auth.json(5).
    pub fn credentials(&self) -> PathBuf {
        self.root.join("etc/sampan/auth.json")
    }

    /// Credentials of the host, the first directory wins, systemd.exec(5).
    pub fn credential_stores(&self) -> Vec<PathBuf> {
        self.joined(&["etc/credstore", "run/credstore", "usr/local/lib/credstore", "usr/lib/credstore"])
    }

    /// The same, of encrypted ones.
    pub fn encrypted_credential_stores(&self) -> Vec<PathBuf> {
        let encrypted = |mut directory: PathBuf| {
            directory.set_extension("encrypted");
            directory
        };
        self.credential_stores().into_iter().map(encrypted).collect()
    }

    /// A program for administrators, `/usr/sbin`.
    pub fn administration_program(&self, name: &str) -> PathBuf {
        self.root.join("usr/sbin").join(name)
    }

    /// What decrypts them, systemd-creds(1).
    pub fn decrypt_program(&self) -> PathBuf {
        self.root.join("usr/bin/systemd-creds")
    }

    /// Users of the host, passwd(5).
    pub fn users(&self) -> PathBuf {
        self.root.join("etc/passwd")
    }

    /// Who has been given further ids, subuid(5) and subgid(5).
    pub fn subordinate_ids(&self) -> [PathBuf; 2] {
        ["etc/subuid", "etc/subgid"].map(|file| self.root.join(file))
    }

    /// Groups of the host, group(5).
    pub fn groups(&self) -> PathBuf {
        self.root.join("etc/group")
    }

    /// How likely this process is killed for memory, proc(5).
    pub fn oom_score(&self) -> PathBuf {
        self.root.join("proc/self/oom_score_adj")
    }

    /// The root directory of a process, proc(5).
    pub fn process_root(&self, pid: u32) -> PathBuf {
        self.root.join(format!("proc/{pid}/root"))
    }

    /// Where the unified control group hierarchy is mounted.
    pub fn control_groups(&self) -> PathBuf {
        self.root.join("sys/fs/cgroup")
    }

    /// A helper program: beside the running program in a build tree, else in `/usr/libexec/sampan`.
    pub fn helper(&self, name: &str) -> PathBuf {
        let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(name)));
        match beside {
            Some(path) if path.exists() => path,
            _ => self.root.join("usr/libexec/sampan").join(name),
        }
    }
}
