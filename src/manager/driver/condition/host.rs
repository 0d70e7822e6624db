//! What the host is and has: each as systemd looks at it, systemd.unit(5).

use super::{path, version};
use crate::manager::accounting;
use crate::manager::driver::prepare::unquoted;
use crate::paths::Paths;
use crate::unit::model::{Firmware, SecurityModule, Test, VersionTest, Virtualization};
use crate::unit::value::{CONTAINERS, MACHINES};
use rustix::system::{sysinfo, uname};
use std::fs;
use std::path::Path;
use std::str::FromStr as _;

/// What systemd has told, and where things are.
pub(super) struct Facts {
    pub(super) paths: Paths,
    /// systemd-detect-virt(1), empty for none.
    pub(super) virtualization: String,
    /// Of the service manager.
    pub(super) environment: Vec<String>,
}

impl Facts {
    pub(super) fn holds(&self, test: &Test) -> bool {
        match test {
            Test::Path(test, at) => path::holds(*test, at),
            Test::PathExistsGlob(pattern) => path::matches(pattern),
            Test::Host(host) => self.is_host(host),
            Test::Architecture(word) => word == "native" || *word == architecture(),
            Test::Firmware(Firmware::Uefi) => Path::new("/sys/firmware/efi").exists(),
            Test::Firmware(Firmware::DeviceTree) => Path::new("/sys/firmware/devicetree").exists(),
            Test::Virtualization(virtualization) => self.is_virtual(virtualization),
            Test::KernelCommandLine(word) => is_word_of(word, read("/proc/cmdline").split_whitespace()),
            Test::KernelVersion(tests) => all_hold(tests, &uname().release().to_string_lossy()),
            Test::KernelModuleLoaded(name) => is_loaded(name),
            Test::OsRelease(tests) => {
                tests.iter().all(|(field, test)| version::holds(test, &os_release(field).unwrap_or_default()))
            }
            Test::Credential(name) => ["@system", "@encrypted"]
                .iter()
                .any(|directory| Path::new("/run/credentials").join(directory).join(name).exists()),
            Test::Environment(word) => is_word_of(word, self.environment.iter().map(String::as_str)),
            Test::Security(module) => is_in_use(*module),
            Test::Capability(name) => has_capability(name),
            Test::AcPower(wanted) => on_mains() == *wanted,
            Test::FirstBoot(wanted) => Path::new("/run/systemd/first-boot").exists() == *wanted,
            Test::User(user) => self.is_user(user),
            Test::Group(group) => self.is_group(group),
            Test::ControlGroupController(words) => self.has_controllers(words),
            Test::Memory(comparison, bytes) => {
                let info = sysinfo();
                let total = u64::from(info.mem_unit).saturating_mul(info.totalram);
                comparison.holds(total.cmp(bytes))
            }
            Test::Cpus(comparison, count) => comparison.holds(cpus().cmp(count)),
            Test::CpuFeature(word) => has_feature(word),
        }
    }

    fn is_host(&self, host: &str) -> bool {
        let machine = fs::read_to_string(self.paths.machine_id()).unwrap_or_default();
        let plain: String = host.chars().filter(|letter| *letter != '-').collect();
        let name = uname().nodename().to_string_lossy().to_lowercase();
        plain.eq_ignore_ascii_case(machine.trim())
            || glob::Pattern::new(&host.to_lowercase()).is_ok_and(|pattern| pattern.matches(&name))
    }

    fn is_virtual(&self, wanted: &Virtualization) -> bool {
        let found = self.virtualization.as_str();
        match wanted {
            Virtualization::Any(any) => found.is_empty() != *any,
            Virtualization::Machine => MACHINES.contains(&found),
            Virtualization::Container => CONTAINERS.contains(&found),
            Virtualization::PrivateUsers => {
                let map = read("/proc/self/uid_map");
                !map.split_whitespace().eq(["0", "0", "4294967295"])
            }
            Virtualization::Named(name) => found == name,
        }
    }

    fn is_user(&self, user: &str) -> bool {
        let own = rustix::process::geteuid().as_raw();
        user.parse().ok().or_else(|| number_of(&self.paths.users(), user)) == Some(own)
    }

    fn is_group(&self, group: &str) -> bool {
        let own = rustix::process::getegid().as_raw();
        let further = rustix::process::getgroups().unwrap_or_default();
        let wanted = group.parse().ok().or_else(|| number_of(&self.paths.groups(), group));
        wanted.is_some_and(|wanted| own == wanted || further.iter().any(|gid| gid.as_raw() == wanted))
    }

    fn has_controllers(&self, words: &[String]) -> bool {
        let there = fs::read_to_string(accounting::mount(&self.paths).join("cgroup.controllers"));
        let is_unified = self.paths.control_groups().join("cgroup.controllers").exists();
        let there = there.unwrap_or_default();
        words.iter().all(|word| match word.as_str() {
            "v1" => !is_unified,
            "v2" => is_unified,
            word => there.split_whitespace().any(|controller| controller == word),
        })
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A word alone, or the name of an assignment, or all of one.
fn is_word_of<'a>(wanted: &str, mut words: impl Iterator<Item = &'a str>) -> bool {
    words.any(|word| {
        word == wanted
            || !wanted.contains('=') && word.split_once('=').is_some_and(|(name, _)| name == wanted)
    })
}

fn all_hold(tests: &[VersionTest], version: &str) -> bool {
    tests.iter().all(|test| version::holds(test, version))
}

/// systemd's word for the processor.
fn architecture() -> String {
    let machine = uname().machine().to_string_lossy().into_owned();
    let word = match machine.as_str() {
        "x86_64" => "x86-64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "aarch64" => "arm64",
        "aarch64_be" => "arm64-be",
        "ppc64le" => "ppc64-le",
        arm if arm.starts_with("armv") && arm.ends_with('b') => "arm-be",
        arm if arm.starts_with("armv") => "arm",
        other => other,
    };
    word.to_owned()
}

/// Built into the kernel, or loaded and started.
fn is_loaded(name: &str) -> bool {
    let directory = Path::new("/sys/module").join(name.replace('-', "_"));
    match fs::read_to_string(directory.join("initstate")) {
        Ok(state) => state.trim() == "live",
        Err(_) => directory.is_dir(),
    }
}

/// A field of os-release(5).
fn os_release(field: &str) -> Option<String> {
    let text =
        fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='))?.trim();
    Some(unquoted(value).to_owned())
}

/// Whether the kernel has a security module and uses it.
pub(in crate::manager::driver) fn is_in_use(module: SecurityModule) -> bool {
    let exists = |path: &str| Path::new(path).exists();
    match module {
        SecurityModule::Selinux => exists("/sys/fs/selinux/enforce"),
        SecurityModule::Apparmor => read("/sys/module/apparmor/parameters/enabled").trim() == "Y",
        SecurityModule::Tomoyo => exists("/sys/kernel/security/tomoyo/version"),
        SecurityModule::Smack => exists("/sys/fs/smackfs"),
        SecurityModule::Ima => exists("/sys/kernel/security/ima"),
        SecurityModule::UefiSecureboot => {
            // Four bytes of attributes, and the value.
            let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
            fs::read(variable).is_ok_and(|bytes| bytes.get(4) == Some(&1))
        }
        SecurityModule::Tpm2 => path::matches("/sys/class/tpmrm/*"),
    }
}

fn has_capability(name: &str) -> bool {
    let capability = caps::Capability::from_str(name).ok();
    capability
        .is_some_and(|capability| caps::has_cap(None, caps::CapSet::Bounding, capability).unwrap_or(false))
}

/// Unless a battery is discharged, or there are power supplies and none is plugged in.
fn on_mains() -> bool {
    let mut unplugged = false;
    for supply in fs::read_dir("/sys/class/power_supply").into_iter().flatten().flatten() {
        let field =
            |name: &str| fs::read_to_string(supply.path().join(name)).unwrap_or_default().trim().to_owned();
        match (field("type").as_str(), field("scope").as_str()) {
            (_, "Device") => {}
            ("Mains" | "USB", _) if field("online") == "1" => return true,
            ("Mains", _) => unplugged = true,
            ("Battery", _) if field("status") == "Discharging" => unplugged = true,
            _ => {}
        }
    }
    !unplugged
}

/// The number of a name in passwd(5) or group(5).
fn number_of(file: &Path, name: &str) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Those that this process may run on.
fn cpus() -> u64 {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| u64::from(set.count()))
}

fn has_feature(word: &str) -> bool {
    let information = read("/proc/cpuinfo");
    let lines = information.lines().filter_map(|line| line.split_once(':'));
    let mut features = lines.filter(|(key, _)| matches!(key.trim(), "flags" | "Features"));
    features.next().is_some_and(|(_, words)| words.split_whitespace().any(|feature| feature == word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::model::Comparison;

    #[test]
    fn words_and_assignments_are_found() {
        let line = "quiet root=/dev/vda1 empty=";
        let has = |wanted| is_word_of(wanted, line.split_whitespace());
        assert!(has("quiet") && has("root") && has("root=/dev/vda1") && has("empty") && has("empty="));
        assert!(!has("qui") && !has("root=") && !has("/dev/vda1") && !has("root=/dev"));
    }

    #[test]
    fn this_host_is_what_it_is() {
        let facts = Facts {
            paths: Paths::new(Path::new("/")),
            virtualization: "kvm".to_owned(),
            environment: vec!["LANG=C".to_owned()],
        };
        let name = uname().nodename().to_string_lossy().into_owned();
        let release = uname().release().to_string_lossy().into_owned();
        for test in [
            Test::Host(name),
            Test::Architecture("native".to_owned()),
            Test::KernelVersion(vec![VersionTest::Compares(Comparison::Equal, release)]),
            Test::OsRelease(vec![("ID".to_owned(), VersionTest::Matches("*".to_owned()))]),
            Test::Virtualization(Virtualization::Machine),
            Test::Virtualization(Virtualization::Named("kvm".to_owned())),
            Test::Environment("LANG".to_owned()),
            Test::User("root".to_owned()),
            Test::Group("0".to_owned()),
            Test::Capability("CAP_CHOWN".to_owned()),
            Test::Memory(Comparison::Greater, 1 << 20),
            Test::Cpus(Comparison::GreaterOrEqual, 1),
        ] {
            assert!(facts.holds(&test), "{test:?}");
        }
        for test in [
            Test::Host("no-such-host".to_owned()),
            Test::Virtualization(Virtualization::Container),
            Test::Environment("LANG=de".to_owned()),
            Test::User("daemon".to_owned()),
            Test::Credential("no-such".to_owned()),
            Test::KernelModuleLoaded("no-such".to_owned()),
            Test::CpuFeature("no-such".to_owned()),
            Test::ControlGroupController(vec!["no-such".to_owned()]),
            Test::OsRelease(vec![(
                "NO".to_owned(),
                VersionTest::Compares(Comparison::Equal, "such".to_owned()),
            )]),
        ] {
            assert!(!facts.holds(&test), "{test:?}");
        }
    }
}
