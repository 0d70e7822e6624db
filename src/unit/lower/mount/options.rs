//! `mount.*.options`: words as mount(8), tmpfs(5) and systemd-nspawn(1) have them.

use crate::unit::model::{BindDepth, BindOwners, BindPropagation, MountAccess, Restriction, Seed, Tmpfs};
use crate::unit::report::Report;
use crate::unit::schema::MountKind;
use crate::unit::suggest;
use crate::unit::value::{Bytes, Mode, ValueError, Written};
use std::collections::{BTreeMap, BTreeSet};

/// All options of one mount, with what holds where none is given.
pub struct Options {
    pub access: MountAccess,
    pub restrictions: BTreeSet<Restriction>,
    pub seed: Seed,
    pub depth: BindDepth,
    pub propagation: BindPropagation,
    pub owners: BindOwners,
    pub tmpfs: Tmpfs,
}

const ALL: &[MountKind] = MountKind::ALL;
const BIND: &[MountKind] = &[MountKind::Bind];
const VOLUME: &[MountKind] = &[MountKind::Volume];
const MAPPED: &[MountKind] = &[MountKind::Volume, MountKind::Bind];
const TMPFS: &[MountKind] = &[MountKind::Tmpfs];

/// An option, what it decides, and which mounts can have it. Two that decide the same contradict each other; one that
/// ends in "=" takes a value.
const OPTIONS: &[(&str, &str, &[MountKind])] = &[
    ("ro", "access", ALL),
    ("rw", "access", ALL),
    ("nosuid", "suid", ALL),
    ("suid", "suid", ALL),
    ("noexec", "exec", ALL),
    ("exec", "exec", ALL),
    ("nodev", "dev", ALL),
    ("nocopy", "copy", VOLUME),
    ("copy", "copy", VOLUME),
    ("idmap", "owners", MAPPED),
    ("rootidmap", "owners", BIND),
    ("noidmap", "owners", BIND),
    ("rbind", "depth", BIND),
    ("norbind", "depth", BIND),
    ("private", "propagation", BIND),
    ("rprivate", "propagation", BIND),
    ("slave", "propagation", BIND),
    ("rslave", "propagation", BIND),
    ("size=", "size", TMPFS),
    ("mode=", "mode", TMPFS),
    ("uid=", "uid", TMPFS),
    ("gid=", "gid", TMPFS),
];

/// Options of other programs, and what to do here.
const FOREIGN: &[(&[&str], &str)] = &[
    (&["z", "Z"], "files are not labelled for a container: leave it out"),
    (&["U", "chown"], "\"idmap\" has the owners of files be the same inside: leave it out"),
    (&["cached", "delegated", "consistent"], "files of a mount are those of the host at once: leave it out"),
    (&["bind"], "write type = \"bind\""),
    (&["O", "overlay"], "type = \"image\" mounts a tree that nobody changes"),
    (&["defaults"], "leave it out"),
];

/// Reads the options of a mount; what is wrong is reported.
pub fn read(name: &str, kind: MountKind, written: &[String], report: &mut Report<'_>) -> Options {
    let way = ["mount", name, "options"];
    let access = if kind == MountKind::Image { MountAccess::ReadOnly } else { MountAccess::ReadWrite };
    let mut options = Options {
        access,
        restrictions: BTreeSet::new(),
        seed: Seed::Image,
        depth: BindDepth::Recursive,
        propagation: BindPropagation::Private,
        owners: BindOwners::Same,
        tmpfs: Tmpfs::new(None),
    };
    let mut decided: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, option) in written.iter().enumerate() {
        let (key, value) = split(option);
        let found = OPTIONS.iter().find(|(known, _, kinds)| *known == key && kinds.contains(&kind));
        let Some((_, decides, _)) = found else {
            let (message, help) = unknown(option, key, kind);
            report.item_error(&way, index, message, help);
            continue;
        };
        if let Err(error) = options.set(key, value) {
            report.item_error(&way, index, error.message(), error.help());
        }
        match decided.insert(decides, option) {
            Some(other) if other != option => {
                report.error(
                    &way,
                    format!("a mount cannot be both \"{other}\" and \"{option}\""),
                    "leave one out",
                );
            }
            _ => {}
        }
    }
    options
}

/// A key with its "=", and the value.
fn split(option: &str) -> (&str, &str) {
    match option.find('=') {
        Some(at) => option.split_at(at + 1),
        None => (option, ""),
    }
}

fn unknown(option: &str, key: &str, kind: MountKind) -> (String, String) {
    let word = kind.word();
    if matches!(key, "shared" | "rshared") {
        let message = format!("\"{option}\" would let mounts of the container reach the host");
        return (message, "\"slave\" brings mounts of the host to the container".to_owned());
    }
    if matches!(key, "dev") {
        let help = "devices of the host that the container can use are listed in security.devices";
        return ("files of a mount are never devices".to_owned(), help.to_owned());
    }
    if let Some((_, help)) = FOREIGN.iter().find(|(words, _)| words.contains(&key)) {
        return (format!("unknown option \"{option}\""), (*help).to_owned());
    }
    if OPTIONS.iter().any(|(known, ..)| *known == key) {
        return (format!("\"{option}\" is not for type = \"{word}\""), "leave it out".to_owned());
    }
    let known = || OPTIONS.iter().filter(|(.., kinds)| kinds.contains(&kind)).map(|(known, ..)| *known);
    let help = match suggest::nearest(key, known()) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => {
            let words: Vec<String> = known().map(|word| format!("\"{word}\"")).collect();
            format!("known are {}", words.join(", "))
        }
    };
    (format!("unknown option \"{option}\""), help)
}

impl Options {
    fn set(&mut self, key: &str, value: &str) -> Result<(), ValueError> {
        match key {
            "ro" => self.access = MountAccess::ReadOnly,
            "rw" => self.access = MountAccess::ReadWrite,
            "nosuid" => drop(self.restrictions.insert(Restriction::NoSetuid)),
            "noexec" => drop(self.restrictions.insert(Restriction::NoExecute)),
            "nocopy" => self.seed = Seed::Nothing,
            "rootidmap" => self.owners = BindOwners::Root,
            "noidmap" => self.owners = BindOwners::Unmapped,
            "norbind" => self.depth = BindDepth::One,
            "slave" | "rslave" => self.propagation = BindPropagation::Slave,
            "size=" => self.tmpfs.size = Some(size(value)?),
            "mode=" => self.tmpfs.mode = Mode::read(value)?.0,
            "uid=" => self.tmpfs.user = id(value)?,
            "gid=" => self.tmpfs.group = id(value)?,
            // What holds anyway.
            _ => {}
        }
        Ok(())
    }
}

/// To the kernel 0 is no limit, tmpfs(5).
fn size(value: &str) -> Result<u64, ValueError> {
    match Bytes::read(value)?.0 {
        0 => Err(ValueError::new("a tmpfs of size 0 would hold nothing")
            .with_help("write \"size=infinity\" for one without a limit")),
        size => Ok(size),
    }
}

fn id(value: &str) -> Result<u32, ValueError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let id = value.parse().ok().filter(|id: &u32| digits && *id != u32::MAX);
    id.ok_or_else(|| ValueError::new(format!("\"{value}\" is not an id")).with_help("write a number"))
}
