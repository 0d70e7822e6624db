//! `[mount.*]` as meant.

use crate::unit::model::{Mount, MountAccess, MountSource};
use crate::unit::report::Report;
use crate::unit::schema::{MountKind, MountTable};
use crate::unit::value::{AbsolutePath, Bytes, Written};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Mounts at these would hide what Sampan itself mounts.
const OURS: &[&str] = &["/", "/proc", "/sys", "/dev"];

/// The mounts that are whole; what is wrong with the others is reported.
pub fn lower(tables: &BTreeMap<String, MountTable>, report: &mut Report<'_>) -> BTreeMap<PathBuf, Mount> {
    let mut mounts = BTreeMap::new();
    for (name, table) in tables {
        let target = target(name, report);
        let options = options(name, table, report);
        let source = source(name, table, options.size, report);
        if let (Some(target), Some(source)) = (target, source)
            && mounts.insert(target, Mount { source, access: options.access }).is_some()
        {
            report.error(&["mount", name], format!("\"{name}\" is another spelling of a mount above"), "");
        }
    }
    mounts
}

fn target(name: &str, report: &mut Report<'_>) -> Option<PathBuf> {
    match AbsolutePath::read(name) {
        Ok(path) if OURS.iter().any(|ours| path.0.as_os_str() == *ours) => {
            report.error(&["mount", name], format!("nothing can be mounted at {name}"), "mount below it");
            None
        }
        Ok(path) => Some(path.0),
        Err(error) => {
            report.value_error(&["mount", name], &error);
            None
        }
    }
}

struct Options {
    access: MountAccess,
    size: Option<u64>,
}

fn options(name: &str, table: &MountTable, report: &mut Report<'_>) -> Options {
    let way = ["mount", name, "options"];
    let mut options = Options { access: MountAccess::ReadWrite, size: None };
    for (index, option) in table.options.iter().enumerate() {
        match (option.as_str(), option.strip_prefix("size=")) {
            ("ro", _) => options.access = MountAccess::ReadOnly,
            ("rw", _) => options.access = MountAccess::ReadWrite,
            // A bind is always seen through the container's ids.
            ("idmap", _) => {}
            (_, Some(size)) if table.kind == Some(MountKind::Tmpfs) => match Bytes::read(size) {
                Ok(bytes) => options.size = Some(bytes.0),
                Err(error) => {
                    report.item_error(&way, index, error.message(), error.help());
                }
            },
            _ => {
                let help = "supported are \"ro\", \"rw\", \"idmap\", and \"size=\" for a tmpfs";
                report.item_error(&way, index, format!("unknown option \"{option}\""), help);
            }
        }
    }
    if table.options.iter().any(|option| option == "ro") && table.options.iter().any(|option| option == "rw")
    {
        report.error(&way, "a mount cannot be both \"ro\" and \"rw\"", "");
    }
    options
}

fn source(name: &str, table: &MountTable, size: Option<u64>, report: &mut Report<'_>) -> Option<MountSource> {
    let way = |key| ["mount", name, key];
    let written = table.source.as_deref();
    match (table.kind, written) {
        (None, _) => {
            report.missing(&["mount", name], "type", "write \"volume\", \"bind\" or \"tmpfs\"");
            None
        }
        (Some(MountKind::Image | MountKind::Mqueue), _) => {
            let help = "supported are \"volume\", \"bind\" and \"tmpfs\"";
            report.error(&way("type"), "this type of mount is not supported yet", help);
            None
        }
        (Some(MountKind::Tmpfs), None) => Some(MountSource::Tmpfs { size }),
        (Some(MountKind::Tmpfs), Some(_)) => {
            report.error(&way("source"), "a tmpfs has no source", "leave it out");
            None
        }
        (Some(_), None) => {
            report.missing(&["mount", name], "source", "write the volume's name or the path on the host");
            None
        }
        (Some(MountKind::Volume), Some(volume)) => self::volume(name, volume, report),
        (Some(MountKind::Bind), Some(path)) => match AbsolutePath::read(path) {
            Ok(path) => Some(MountSource::Bind(path.0)),
            Err(error) => {
                report.value_error(&way("source"), &error);
                None
            }
        },
    }
}

fn volume(name: &str, volume: &str, report: &mut Report<'_>) -> Option<MountSource> {
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let valid = volume.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && volume.bytes().all(byte)
        && volume.len() <= 200;
    if valid {
        return Some(MountSource::Volume(volume.to_owned()));
    }
    let help = if volume.starts_with('/') {
        "for a directory of the host use type = \"bind\""
    } else {
        "use letters, digits, \"_\", \".\" and \"-\""
    };
    report.error(&["mount", name, "source"], format!("\"{volume}\" is not the name of a volume"), help);
    None
}
