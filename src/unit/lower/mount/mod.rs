//! `[mount.*]` as meant.

mod options;

use crate::unit::model::{Bind, IfMissing, ImageSource, Mount, MountAccess, MountSource};
use crate::unit::report::Report;
use crate::unit::schema::{MountKind, MountTable};
use crate::unit::value::{AbsolutePath, ValueError, Written};
use options::Options;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Mounts at these would hide what Sampan itself mounts.
const OURS: &[&str] = &["/", "/proc", "/sys", "/dev"];

/// Mounted last, over all that is there.
const HIDDEN: &str = "/run/host";

/// The mounts that are whole; what is wrong with the others is reported.
pub fn lower(tables: &BTreeMap<String, MountTable>, report: &mut Report<'_>) -> BTreeMap<PathBuf, Mount> {
    let mut mounts = BTreeMap::new();
    for (name, table) in tables {
        let target = target(name, report);
        let Some(kind) = table.kind else {
            let help = match table.source.as_deref().unwrap_or_default() {
                source if source.starts_with(['/', '.', '~']) => {
                    "write type = \"bind\" for a path of the host"
                }
                source if volume(source).is_ok() => {
                    "write type = \"volume\", or \"image\" for an image's tree"
                }
                _ => "write \"volume\", \"bind\", \"tmpfs\", \"image\" or \"mqueue\"",
            };
            report.missing(&["mount", name], "type", help);
            continue;
        };
        let options = options::read(name, kind, &table.options, report);
        let source = source(name, kind, table.source.as_deref(), &options, report);
        let (Some(target), Some(source)) = (target, source) else { continue };
        let mount = Mount { source, access: options.access, restrictions: options.restrictions };
        if mounts.insert(target, mount).is_some() {
            report.error(
                &["mount", name],
                format!("\"{name}\" is another spelling of a mount above"),
                "leave one out",
            );
        }
    }
    mounts
}

fn target(name: &str, report: &mut Report<'_>) -> Option<PathBuf> {
    match AbsolutePath::read(name) {
        Ok(_) if let Some((path, options)) = with_options(name) => {
            let help = format!("write [mount.\"{path}\"] with options = [{options}]");
            report.error(&["mount", name], format!("\"{name}\" is a path with options"), help);
            None
        }
        Ok(path) if path.0.starts_with(HIDDEN) => {
            let message = format!(
                "nothing can be mounted at {name}: the container finds there what it is told of its host"
            );
            report.error(&["mount", name], message, "mount it at another path");
            None
        }
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

fn source(
    name: &str,
    kind: MountKind,
    written: Option<&str>,
    options: &Options,
    report: &mut Report<'_>,
) -> Option<MountSource> {
    let way = ["mount", name, "source"];
    let has_source = !matches!(kind, MountKind::Tmpfs | MountKind::Mqueue);
    let word = kind.word();
    match (written, has_source) {
        (Some(_), false) => {
            report.error(&way, format!("\"{word}\" has no source"), "leave it out");
            return None;
        }
        (None, true) => {
            let help = match (kind, name.split_once(":/")) {
                // SOURCE:TARGET, as other programs have it.
                (_, Some((source, target))) => {
                    &*format!("write [mount.\"/{target}\"] with source = \"{source}\"")
                }
                (MountKind::Volume, _) => "write the volume's name",
                (MountKind::Image, _) => "write the image's name",
                _ => "write the path on the host",
            };
            report.missing(&["mount", name], "source", help);
            return None;
        }
        _ => {}
    }
    let written = written.unwrap_or_default();
    let source = match kind {
        MountKind::Tmpfs => Ok(MountSource::Tmpfs(options.tmpfs.clone())),
        MountKind::Mqueue => Ok(MountSource::Mqueue),
        MountKind::Volume => volume(written).map(|name| MountSource::Volume { name, seed: options.seed }),
        MountKind::Bind => bind(written, options).map(MountSource::Bind),
        MountKind::Image => ImageSource::read(written).map(MountSource::Image),
    };
    if kind == MountKind::Image && options.access == MountAccess::ReadWrite {
        report.error(&["mount", name, "options"], "an image cannot be written", "leave out \"rw\"");
    }
    source.map_err(|error| report.value_error(&way, &error)).ok()
}

/// `-` before the path makes it optional, as for an environment file.
fn bind(written: &str, options: &Options) -> Result<Bind, ValueError> {
    let (path, missing) = match written.strip_prefix('-') {
        Some(path) => (path, IfMissing::Ignore),
        None => (written, IfMissing::Fail),
    };
    let path = AbsolutePath::read(path)?.0;
    if let Some((path, options)) = with_options(written) {
        return Err(ValueError::new(format!("\"{written}\" is a path with options"))
            .with_help(format!("write source = \"{path}\" and options = [{options}]")));
    }
    Ok(Bind {
        missing,
        depth: options.depth,
        propagation: options.propagation,
        owners: options.owners,
        ..Bind::new(path)
    })
}

/// `/srv/data:ro,z`, as other programs have it: the path, and the options in quotes.
fn with_options(written: &str) -> Option<(&str, String)> {
    const WORDS: [&str; 10] =
        ["ro", "rw", "z", "Z", "U", "cached", "delegated", "consistent", "nocopy", "slave"];
    let (path, options) = written.rsplit_once(':')?;
    let options: Vec<&str> = options.split(',').collect();
    let quoted = || options.iter().filter(|word| is_meant(word)).map(|word| format!("\"{word}\""));
    let all = options.iter().all(|word| WORDS.contains(word));
    all.then(|| (path, quoted().collect::<Vec<_>>().join(", ")))
}

/// Whether an option of other programs is one here.
fn is_meant(word: &str) -> bool {
    matches!(word, "ro" | "rw" | "nocopy" | "slave")
}

fn volume(name: &str) -> Result<String, ValueError> {
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let valid = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(byte)
        && name.len() <= 200;
    if valid {
        return Ok(name.to_owned());
    }
    let help = if name.starts_with('/') {
        "for a directory of the host use type = \"bind\""
    } else {
        "use letters, digits, \"_\", \".\" and \"-\", at most 200, and begin with a letter or digit"
    };
    Err(ValueError::new(format!("\"{name}\" is not the name of a volume")).with_help(help))
}
