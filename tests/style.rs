//! The rules of the source tree that the compiler does not check: layers, where `unsafe` may stand, no
//! unfinished work, sizes of files.

use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer than this.
const LINES_MAX: usize = 600;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rooms in the order in which `src/lib.rs` declares them: each imports only from those before it.
fn rooms() -> Vec<String> {
    let library = fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    let names = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is read") {
        let path = entry.expect("the entry is read").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let file = source().join(format!("{room}.rs"));
    if file.exists() { vec![file] } else { files_below(&source().join(room)) }
}

/// The names that follow `crate::` in code, `use` or not; those in braces too.
fn rooms_named(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let named = rest.strip_prefix('{').map_or_else(|| vec![first_word(rest)], braced);
        names.extend(named.into_iter().filter(|name| !name.is_empty()));
    }
    names
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The first word of each item at the top level of `{a::{b, c}, d}`, whose first brace is gone.
fn braced(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut items = vec![String::new()];
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ => {}
        }
        if let Some(item) = items.last_mut().filter(|_| letter != ',' || depth > 0) {
            item.push(letter);
        }
    }
    items.iter().map(|item| first_word(item)).collect()
}

#[test]
fn rooms_import_only_from_rooms_above_them() {
    let rooms = rooms();
    assert!(rooms.len() > 10, "src/lib.rs declares the rooms: {rooms:?}");
    for (place, room) in rooms.iter().enumerate() {
        for file in files_of(room) {
            for name in rooms_named(&fs::read_to_string(&file).expect("a source file")) {
                let below = rooms.iter().position(|other| *other == name).is_some_and(|other| other > place);
                assert!(!below, "{}: {room} is above {name} and must not import it", file.display());
            }
        }
    }
}

#[test]
fn braces_are_read_as_imports() {
    let text = "use crate::{unit::{name, model}, paths};\n// crate::cli\nfn a() { crate::store::open() }";
    assert_eq!(rooms_named(text), ["unit", "paths", "store"]);
}

#[test]
fn only_sys_may_hold_unsafe_code() {
    for room in rooms().iter().filter(|room| *room != "sys") {
        let file = source().join(format!("{room}.rs"));
        let root = if file.exists() { file } else { source().join(room).join("mod.rs") };
        let text = fs::read_to_string(&root).expect("a source file");
        let forbids = text.lines().any(|line| line == "#![forbid(unsafe_code)]");
        assert!(forbids, "{} does not forbid unsafe code", root.display());
    }
}

#[test]
fn nothing_is_left_unfinished() {
    // In two parts, so that this file does not name them itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["for", " now"], ["unimple", "mented!"]];
    for file in files_below(source().parent().expect("the project")).iter().filter(|file| is_ours(file)) {
        let text = fs::read_to_string(file).expect("a source file");
        for word in words.map(|parts| parts.concat()) {
            assert!(!text.contains(&word), "{} says \"{word}\"", file.display());
        }
    }
}

#[test]
fn files_say_what_they_are_for_and_stay_small() {
    for file in files_below(&source()) {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(text.starts_with("//! "), "{} does not say what it is for", file.display());
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", file.display());
    }
}

fn is_ours(file: &Path) -> bool {
    let project = source().parent().expect("the project").to_owned();
    let first = file.strip_prefix(project).ok().and_then(|path| path.iter().next()?.to_str());
    matches!(first, Some("src" | "tests" | "benches"))
}
