//! Which system calls touch a directory, and which of their arguments say so.

use sampan::sys::process;
use sampan::sys::seccomp_notify::Call;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Where a call names a file.
#[derive(Clone, Copy)]
enum Place {
    /// A descriptor.
    Fd(usize),
    /// A path, from the working directory.
    Path(usize),
    /// A path from a directory's descriptor, which stands before it.
    At(usize),
}

/// What a call does to a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Reads,
    Writes,
    /// Takes a name away.
    Removes,
}

struct Kind {
    number: libc::c_long,
    name: &'static str,
    effect: Effect,
    places: &'static [Place],
}

macro_rules! calls {
    ($($effect:ident: $($name:ident($($place:expr),+))+;)+) => {
        &[$($(Kind {
            number: libc::$name,
            name: stringify!($name),
            effect: Effect::$effect,
            places: &[$($place),+],
        }),+),+]
    };
}

use Place::{At, Fd, Path as P};

#[rustfmt::skip]
const CALLS: &[Kind] = calls! {
    Reads: SYS_read(Fd(0)) SYS_pread64(Fd(0)) SYS_readv(Fd(0)) SYS_getdents64(Fd(0)) SYS_fstat(Fd(0))
        SYS_newfstatat(At(0)) SYS_statx(At(0)) SYS_readlinkat(At(0)) SYS_faccessat(At(0)) SYS_faccessat2(At(0))
        SYS_flistxattr(Fd(0)) SYS_fgetxattr(Fd(0)) SYS_listxattr(P(0)) SYS_getxattr(P(0)) SYS_llistxattr(P(0))
        SYS_lgetxattr(P(0)) SYS_openat(At(0)) SYS_openat2(At(0)) SYS_flock(Fd(0)) SYS_fstatfs(Fd(0)) SYS_statfs(P(0));
    Writes: SYS_write(Fd(0)) SYS_pwrite64(Fd(0)) SYS_writev(Fd(0)) SYS_pwritev(Fd(0)) SYS_ftruncate(Fd(0))
        SYS_truncate(P(0)) SYS_fallocate(Fd(0)) SYS_fsync(Fd(0)) SYS_fdatasync(Fd(0)) SYS_syncfs(Fd(0))
        SYS_copy_file_range(Fd(0), Fd(2)) SYS_sendfile(Fd(0), Fd(1)) SYS_splice(Fd(0), Fd(2))
        SYS_linkat(At(0), At(2)) SYS_symlinkat(At(1)) SYS_renameat(At(0), At(2)) SYS_renameat2(At(0), At(2))
        SYS_mkdirat(At(0)) SYS_mknodat(At(0)) SYS_fchown(Fd(0)) SYS_fchownat(At(0)) SYS_fchmod(Fd(0))
        SYS_fchmodat(At(0)) SYS_fsetxattr(Fd(0)) SYS_setxattr(P(0)) SYS_lsetxattr(P(0)) SYS_fremovexattr(Fd(0))
        SYS_utimensat(At(0)) SYS_ioctl(Fd(0));
    Removes: SYS_unlinkat(At(0));
};

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLD_CALLS: &[Kind] = calls! {
    Reads: SYS_open(P(0)) SYS_stat(P(0)) SYS_lstat(P(0)) SYS_readlink(P(0)) SYS_access(P(0));
    Writes: SYS_link(P(0), P(1)) SYS_symlink(P(1)) SYS_rename(P(0), P(1)) SYS_mkdir(P(0)) SYS_mknod(P(0))
        SYS_chown(P(0)) SYS_lchown(P(0)) SYS_chmod(P(0)) SYS_creat(P(0));
    Removes: SYS_unlink(P(0)) SYS_rmdir(P(0));
};
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[Kind] = &[];

/// The numbers of all calls that may touch a file.
pub fn numbers() -> impl Iterator<Item = u32> {
    CALLS.iter().chain(OLD_CALLS).map(|kind| u32::try_from(kind.number).unwrap())
}

/// A call on a file of the directory.
#[derive(Debug, Clone)]
pub struct Touch {
    pub effect: Effect,
    pub name: &'static str,
    pub path: PathBuf,
}

/// What a waiting call does to a file below `directory`; `None` when it is about others.
pub fn touch(call: &Call, directory: &Path) -> Option<Touch> {
    let kind = CALLS.iter().chain(OLD_CALLS).find(|kind| kind.number == call.number)?;
    let path = kind
        .places
        .iter()
        .filter_map(|place| place.resolve(call))
        .find(|path| path.starts_with(directory))?;
    let creates = kind.name.starts_with("SYS_open") && opens_for_writing(kind.name, call);
    let effect = if creates { Effect::Writes } else { kind.effect };
    Some(Touch { effect, name: kind.name.trim_start_matches("SYS_"), path })
}

/// Whether open(2) makes or empties a file. The flags of openat2(2) stand in a structure, which only reads here.
fn opens_for_writing(name: &str, call: &Call) -> bool {
    let flags = match name {
        "SYS_open" => call.arguments[1],
        "SYS_openat" => call.arguments[2],
        _ => 0,
    };
    let changing = libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY;
    flags as i32 & changing != 0
}

impl Place {
    fn resolve(self, call: &Call) -> Option<PathBuf> {
        match self {
            Fd(index) => opened(call, call.arguments[index]),
            P(index) => Some(working_directory(call)?.join(text(call, call.arguments[index])?)),
            At(index) => {
                let path = text(call, call.arguments[index + 1]).unwrap_or_default();
                let base = match call.arguments[index] as i32 {
                    _ if path.is_absolute() => PathBuf::new(),
                    libc::AT_FDCWD => working_directory(call)?,
                    _ => opened(call, call.arguments[index])?,
                };
                Some(if path.as_os_str().is_empty() { base } else { base.join(path) })
            }
        }
    }
}

fn opened(call: &Call, fd: u64) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{}/fd/{}", call.tid, fd as u32)).ok()
}

fn working_directory(call: &Call) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{}/cwd", call.tid)).ok()
}

fn text(call: &Call, address: u64) -> Option<PathBuf> {
    let mut buffer = vec![0; 4096];
    // A string that ends right before a page that is not mapped is read up to there.
    let length = process::read_memory(call.tid, address, &mut buffer).ok()?;
    let end = buffer[..length].iter().position(|byte| *byte == 0)?;
    buffer.truncate(end);
    Some(OsString::from_vec(buffer).into())
}
