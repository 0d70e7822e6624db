//! Files in the search path that nobody reads: a mistake that would otherwise be silent.

use super::diagnostic::{Diagnostic, Severity};
use super::drop_in::{self, Scope};
use super::name::{DEFAULT_TARGET, UnitName};
use super::search::{LinkKind, Search, entries, unit_of_file};
use super::suggest;
use std::path::Path;

/// What the files of units are named.
pub const NAMING: &str = "the files of units are named NAME.container.toml and NAME.target.toml";

/// Suffixes that files of units have elsewhere.
const ELSEWHERE: &[&str] = &[
    "container",
    "target",
    "network",
    "volume",
    "pod",
    "kube",
    "build",
    "image",
    "service",
    "socket",
    "timer",
    "nspawn",
    "conf",
    "ini",
    "yaml",
    "yml",
    "json",
    "toml",
];

/// A warning for each.
pub fn check(search: &Search) -> Vec<Diagnostic> {
    search.paths().flat_map(|path| look(search, &path)).collect()
}

fn look(search: &Search, path: &Path) -> Vec<Diagnostic> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if unit_of_file(path).is_some() {
        return Vec::new();
    }
    if path.is_dir() {
        return directory(search, path, &name);
    }
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((&name, ""));
    if suffix == "toml" && stem.ends_with(".network") {
        return vec![warning(path, "network units are not in effect yet, ignoring", None)];
    }
    let slip = || suggest::nearest(suffix, ["toml"]).is_some() && UnitName::parse(stem).is_ok();
    if !ELSEWHERE.contains(&suffix) && !slip() {
        return Vec::new();
    }
    vec![warning(path, "this file is not named as a unit, ignoring", Some(renaming(&name)))]
}

/// The name that was probably meant.
fn renaming(name: &str) -> String {
    if let Some((stem, suffix)) = name.rsplit_once('.')
        && suggest::nearest(suffix, ["toml"]).is_some()
        && UnitName::parse(stem).is_ok()
    {
        return format!("did you mean \"{stem}.toml\"?");
    }
    let name = name.strip_suffix(".toml").unwrap_or(name);
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    match suffix {
        "socket" => return "sockets are tables of a container's file: [socket.NAME]".to_owned(),
        "timer" => return "a timer is a table of a container's file: [timer]".to_owned(),
        "service" => return format!("did you mean \"{stem}.container.toml\"?"),
        _ => {}
    }
    let meant = match suggest::nearest(suffix, ["container", "target"]) {
        Some(near) => format!("{stem}.{near}"),
        None => return NAMING.to_owned(),
    };
    match UnitName::parse(&meant) {
        Ok(_) => format!("did you mean \"{meant}.toml\"?"),
        Err(_) => "use letters, digits, \"_\", \".\" and \"-\"".to_owned(),
    }
}

/// Drop-ins of no unit, files beside drop-ins, and files beside links.
fn directory(search: &Search, path: &Path, name: &str) -> Vec<Diagnostic> {
    if LinkKind::of_directory(path).is_some() {
        let files = entries(path).into_iter().filter(|file| unit_of_file(file).is_none());
        let help = "write the name of the unit and \".toml\"";
        return files
            .map(|file| {
                warning(&file, "this is not the name of a unit's file, ignoring", Some(help.to_owned()))
            })
            .collect();
    }
    let Some(scope) = drop_in::scope(name) else {
        let near = name.strip_suffix(".d").map(renaming).filter(|help| help != NAMING);
        return near
            .map(|_| warning(path, "this directory is not named after a unit, ignoring", None))
            .into_iter()
            .collect();
    };
    let mut found: Vec<Diagnostic> = entries(path)
        .into_iter()
        .filter(|file| !drop_in::is_drop_in(file))
        .map(|file| warning(&file, "this drop-in does not end in \".toml\", ignoring", None))
        .collect();
    if let Scope::Unit(unit) = &scope
        && !unit.is_template()
        && search.find(unit).is_none()
        && unit.as_str() != DEFAULT_TARGET
    {
        let known = search.names();
        let near = suggest::nearest(unit.as_str(), known.iter().map(UnitName::as_str));
        let ending = if name.ends_with(".toml.d") { ".toml.d" } else { ".d" };
        let help = near.map(|near| format!("did you mean \"{near}{ending}\"?"));
        found.push(warning(path, &format!("there is no unit {unit} for these drop-ins"), help));
    }
    found
}

fn warning(path: &Path, message: &str, help: Option<String>) -> Diagnostic {
    Diagnostic::of_file(Severity::Warning, path, message).with_help(help)
}
