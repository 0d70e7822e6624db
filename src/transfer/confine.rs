//! What the worker gives up before it reads a byte of an image, and the fetcher before it asks a registry.

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::sys::network;

/// Why the worker could not confine itself, and did not begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot give up {what}: {source}")]
pub struct ConfineError {
    what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What flattening needs: files of any owner and mode, with capabilities, linked from descriptors.
const KEPT: [Capability; 6] = [
    Capability::CAP_CHOWN,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_SETFCAP,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Bytes of address space: the index of the largest image that the limits allow, and room.
const ADDRESS_SPACE: u64 = 16 << 30;
const OPEN_FILES: u64 = 1024;
/// Names the staging directory, random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Leaves this process with the files of `store`, what is below `source` for reading, no network, no new
/// privileges and few capabilities. Must be called while there is one thread: these are a thread's properties.
///
/// # Errors
/// When the kernel refuses. Landlock alone is best effort: kernels may be built without it.
pub fn confine(store: &Path, source: BorrowedFd<'_>) -> Result<(), ConfineError> {
    network::leave().map_err(because("the network"))?;
    rustix::thread::set_no_new_privs(true).map_err(because("new privileges"))?;
    limit_resources(ADDRESS_SPACE).map_err(because("resources"))?;
    restrict_files(store, source).map_err(because("files"))?;
    drop_capabilities().map_err(because("capabilities"))
}

/// Who the fetcher is, once it has read its settings: nobody, on every system.
const NOBODY: u32 = 65534;
const FETCHER_ADDRESS_SPACE: u64 = 4 << 30;
/// What getaddrinfo(3) and the C library read, where it is there.
const RESOLVER: [&str; 6] = ["/etc", "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/run/nscd"];

/// Leaves this process with the network and what finding hosts takes: no file to write, no program to run, no
/// capability, no user. Must be called while there is one thread.
///
/// # Errors
/// When the kernel refuses. Landlock alone is best effort: kernels may be built without it.
pub fn confine_fetcher() -> Result<(), ConfineError> {
    rustix::thread::set_no_new_privs(true).map_err(because("new privileges"))?;
    limit_resources(FETCHER_ADDRESS_SPACE).map_err(because("resources"))?;
    restrict_fetcher().map_err(because("files"))?;
    if rustix::process::geteuid().is_root() {
        become_nobody().map_err(because("root"))?;
    }
    // Its memory holds credentials, and others may be nobody, too.
    let dumpable = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(dumpable).map_err(because("core dumps"))
}

fn restrict_fetcher() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let all = AccessFs::from_all(ABI::V5);
    let ruleset = Ruleset::default().handle_access(all)?.handle_access(AccessNet::BindTcp)?.create()?;
    // Often a link to somewhere below /run, resolv.conf(5) knows not where.
    let servers = std::fs::canonicalize("/etc/resolv.conf").ok();
    let paths = RESOLVER.iter().map(Path::new).chain(servers.as_deref());
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    ruleset.add_rules(path_beneath_rules(paths, read))?.restrict_self()?;
    Ok(())
}

/// The last of it takes all capabilities of root, capabilities(7).
fn become_nobody() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    for capability in caps::read(None, CapSet::Bounding)? {
        caps::drop(None, CapSet::Bounding, capability)?;
    }
    let (user, group) = (rustix::fs::Uid::from_raw(NOBODY), rustix::fs::Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

fn limit_resources(address_space: u64) -> Result<(), rustix::io::Errno> {
    let limits = [(Resource::Core, 0), (Resource::Nofile, OPEN_FILES), (Resource::As, address_space)];
    limits.into_iter().try_for_each(|(resource, value)| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    })
}

fn because<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl FnOnce(E) -> ConfineError {
    move |source| ConfineError { what, source: source.into() }
}

fn restrict_files(
    store: &Path,
    source: BorrowedFd<'_>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let all = AccessFs::from_all(ABI::V5);
    let ruleset = Ruleset::default().handle_access(all)?.create()?;
    let ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(store)?, all))?;
    let ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(BOOT_ID)?, AccessFs::ReadFile))?;
    // A pipe or a file that is open already needs no rule, and a pipe could have none.
    let is_folder = rustix::fs::fstat(source)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
    let ruleset = match is_folder {
        true => ruleset.add_rule(PathBeneath::new(source, AccessFs::from_read(ABI::V5)))?,
        false => ruleset,
    };
    ruleset.restrict_self()?;
    Ok(())
}

/// The bounding set first: to drop from it takes a capability that goes afterwards.
fn drop_capabilities() -> Result<(), caps::errors::CapsError> {
    let kept: CapsHashSet = KEPT.into_iter().collect();
    for capability in caps::read(None, CapSet::Bounding)?.difference(&kept) {
        caps::drop(None, CapSet::Bounding, *capability)?;
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    let own: CapsHashSet = caps::read(None, CapSet::Permitted)?.intersection(&kept).copied().collect();
    caps::set(None, CapSet::Effective, &own)?;
    caps::set(None, CapSet::Permitted, &own)
}
