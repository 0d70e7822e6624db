//! The exit status of a launch that fails, systemd.exec(5) "Process Exit Codes": which class of steps it has failed
//! at.

use super::protocol::StepError;

/// What a process of systemd's that has not got to its program exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LaunchStatus {
    /// `EXIT_CHDIR`.
    Chdir = 200,
    /// `EXIT_NICE`.
    Nice = 201,
    /// `EXIT_FDS`.
    Fds = 202,
    /// `EXIT_EXEC`.
    Exec = 203,
    /// `EXIT_LIMITS`.
    Limits = 205,
    /// `EXIT_OOM_ADJUST`.
    OomAdjust = 206,
    /// `EXIT_STDIN`.
    Stdin = 208,
    /// `EXIT_STDOUT`.
    Stdout = 209,
    /// `EXIT_IOPRIO`.
    IoPriority = 211,
    /// `EXIT_SETSCHEDULER`.
    SetScheduler = 214,
    /// `EXIT_CPUAFFINITY`.
    CpuAffinity = 215,
    /// `EXIT_GROUP`.
    Group = 216,
    /// `EXIT_USER`.
    User = 217,
    /// `EXIT_CAPABILITIES`.
    Capabilities = 218,
    /// `EXIT_CGROUP`.
    ControlGroup = 219,
    /// `EXIT_SETSID`.
    Setsid = 220,
    /// `EXIT_STDERR`.
    Stderr = 222,
    /// `EXIT_NETWORK`.
    Network = 225,
    /// `EXIT_NAMESPACE`.
    Namespace = 226,
    /// `EXIT_NO_NEW_PRIVILEGES`.
    NoNewPrivileges = 227,
    /// `EXIT_SECCOMP`.
    Seccomp = 228,
    /// `EXIT_SELINUX_CONTEXT`.
    SelinuxContext = 229,
    /// `EXIT_PERSONALITY`.
    Personality = 230,
    /// `EXIT_APPARMOR_PROFILE`.
    Apparmor = 231,
    /// `EXIT_KEYRING`.
    Keyring = 237,
    /// `EXIT_CREDENTIALS`.
    Credentials = 243,
    /// `EXIT_KSM`.
    Ksm = 245,
}

/// Steps by their class.
const STEPS: &[(LaunchStatus, &[&str])] = &[
    (LaunchStatus::Fds, &["begin", "hand over", "take over", "pass sockets"]),
    (LaunchStatus::ControlGroup, &["wait for scope", "open", "delegate control group"]),
    (
        LaunchStatus::Namespace,
        &[
            "enter namespace",
            "set hostname",
            "set sysctl",
            "enter root",
            "mount root",
            "mount image",
            "mount volume",
            "map ids of volume",
            "limit root",
            "discard changes",
            "copy mount",
            "open bind",
            "map ids of bind",
            "restrict bind",
            "open device",
            "make device",
            "mount device",
            "mount",
            "protect",
            "mask",
            "link",
            "make",
            "write",
            "start helper",
            "start init",
        ],
    ),
    (LaunchStatus::Network, &["raise loopback"]),
    (
        LaunchStatus::Credentials,
        &[
            "load credential",
            "find credential",
            "find encrypted credential",
            "decrypt credential",
            "keep credential",
            "give credentials to user",
        ],
    ),
    (LaunchStatus::Stdout, &["connect to journal"]),
    (LaunchStatus::Chdir, &["change directory"]),
    (LaunchStatus::User, &["map ids", "resolve user", "change user"]),
    (LaunchStatus::Group, &["resolve group"]),
    (LaunchStatus::Keyring, &["join keyring"]),
    (LaunchStatus::Setsid, &["start session"]),
    (LaunchStatus::OomAdjust, &["set OOM score"]),
    (LaunchStatus::Limits, &["set limits"]),
    (LaunchStatus::Ksm, &["merge memory"]),
    (LaunchStatus::Nice, &["set nice value"]),
    (LaunchStatus::IoPriority, &["set I/O scheduling"]),
    (LaunchStatus::SetScheduler, &["set CPU scheduling"]),
    (LaunchStatus::CpuAffinity, &["set CPU affinity"]),
    (LaunchStatus::Personality, &["set personality"]),
    (LaunchStatus::Apparmor, &["set AppArmor profile"]),
    (LaunchStatus::SelinuxContext, &["set SELinux label"]),
    (LaunchStatus::Capabilities, &["drop privileges"]),
    (LaunchStatus::Seccomp, &["filter"]),
    (LaunchStatus::Exec, &["execute"]),
];

impl LaunchStatus {
    /// The number.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// All steps.
    pub fn steps() -> impl Iterator<Item = &'static str> {
        STEPS.iter().flat_map(|(_, steps)| *steps).copied()
    }

    /// Of a step that has failed. What has no class of its own is the making of mounts, as volumes are, which have
    /// their names in their steps.
    pub fn of(error: &StepError) -> Self {
        let class = || STEPS.iter().find(|(_, steps)| steps.contains(&error.step.as_str()));
        of_subject(&error.step, &error.subject)
            .or_else(|| class().map(|(status, _)| *status))
            .unwrap_or(Self::Namespace)
    }
}

/// Where a step does what systemd tells apart.
fn of_subject(step: &str, subject: &str) -> Option<LaunchStatus> {
    Some(match (step, subject) {
        ("begin", "standard input") => LaunchStatus::Stdin,
        ("begin", "standard output") => LaunchStatus::Stdout,
        ("begin", "standard error") => LaunchStatus::Stderr,
        ("begin" | "mount", "credentials") => LaunchStatus::Credentials,
        ("enter namespace", "user") => LaunchStatus::User,
        ("drop privileges" | "start init", "no_new_privs") => LaunchStatus::NoNewPrivileges,
        ("start init", "bounding set" | "capabilities") => LaunchStatus::Capabilities,
        ("start init", "system calls") => LaunchStatus::Seccomp,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn status(step: &str, subject: &str) -> LaunchStatus {
        LaunchStatus::of(&StepError { step: step.to_owned(), subject: subject.to_owned(), errno: 1 })
    }

    #[test]
    fn each_class_has_systemds_status() {
        assert_eq!(status("open bind", "/srv/no"), LaunchStatus::Namespace);
        assert_eq!(status("volume data", "/x"), LaunchStatus::Namespace);
        assert_eq!(status("drop privileges", "bounding set"), LaunchStatus::Capabilities);
        assert_eq!(status("drop privileges", "no_new_privs"), LaunchStatus::NoNewPrivileges);
        assert_eq!(status("execute", "/bin/no").number(), 203);
    }

    #[test]
    fn each_status_has_a_name() {
        for (class, _) in STEPS {
            assert!(crate::unit::exit_status::name(class.number().into()).is_some(), "{class:?}");
        }
    }

    /// The literal words of steps in the sources of this room.
    fn steps_in(directory: &Path, steps: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                steps_in(&path, steps);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for start in ["during(\"", "during_path(\"", "const STEP: &str = \"", "const LOAD: &str = \""] {
                for rest in code.split(start).skip(1) {
                    steps.insert(rest.split('"').next().unwrap().to_owned());
                }
            }
        }
    }

    #[test]
    fn each_step_has_a_class() {
        let mut steps = BTreeSet::new();
        steps_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/launch"), &mut steps);
        assert!(steps.len() > 40, "{steps:?}");
        let classes: BTreeSet<&str> = STEPS.iter().flat_map(|(_, steps)| *steps).copied().collect();
        let missing: Vec<_> = steps.iter().filter(|step| !classes.contains(step.as_str())).collect();
        assert!(missing.is_empty(), "without a class: {missing:?}");
    }
}
