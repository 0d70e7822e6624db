//! Unit files as a user writes them: what `sampanctl verify` says about the folders in `tests/units/`, each
//! of which holds its `expected` output. `UPDATE_EXPECTED=1` writes that output anew, to be read and committed.

use sampan::cli::units::verify::{VerifyArgs, check, text};
use sampan::paths::Paths;
use sampan::unit::diagnostic::Style;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "units/catalog.rs"]
mod catalog;
#[path = "units/editing.rs"]
mod editing;
#[path = "units/enablement.rs"]
mod enablement;
#[path = "units/manual.rs"]
mod manual;
#[path = "units/mutation.rs"]
mod mutation;
#[path = "units/schema.rs"]
mod schema;

/// The folders of cases, by name.
fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/units").unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

/// What `verify` prints: about the files of the folder or, where it holds a host's `etc`, about that host.
fn verify(case: &Path) -> String {
    let units = if case.join("etc").is_dir() { Vec::new() } else { files(case) };
    text(&check(&VerifyArgs { units }, &Paths::new(case)), Style::Plain)
}

/// The unit files in a folder, as words of a command line.
fn files(case: &Path) -> Vec<String> {
    let entries = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<String> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    files.sort();
    files
}

#[test]
fn every_case_gets_exactly_the_expected_diagnostics() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (found, expected) = (verify(&case), case.join("expected"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &found).unwrap();
        } else if fs::read_to_string(&expected).unwrap() != found {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files that cannot be read as text at all.
#[test]
fn what_is_no_text_file_gets_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(format!("{name}.container.toml"));
    fs::write(path("bytes"), b"[container]\nimage = \"\xff\xfe\"\n").unwrap();
    fs::write(path("long"), vec![b'#'; (1 << 20) + 1]).unwrap();
    fs::create_dir(path("directory")).unwrap();
    std::os::unix::fs::symlink("/nowhere/web", path("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (name, expected) in [
        ("bytes", "this file is not valid UTF-8"),
        ("long", "this file is longer than 1 MiB, the limit of a unit file"),
        ("directory", "this is a directory, not a unit file"),
        ("dangling", "this is a link to /nowhere/web, which does not exist"),
        ("fifo", "this is not a regular file"),
        ("missing", "this file cannot be read: No such file or directory"),
    ] {
        let units = vec![path(name).to_str().unwrap().to_owned()];
        let found = check(&VerifyArgs { units }, &Paths::new(directory.path()));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].message.as_str(), &found[0].path), (expected, &path(name)));
    }
    let units = vec![path("bytes").to_str().unwrap().to_owned()];
    assert_eq!(check(&VerifyArgs { units }, &Paths::default())[0].line(), Some(2));
}

/// One text of 64 levels, and one key of very many, cost no stack.
#[test]
fn depth_is_no_way_to_bring_a_program_down() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.container.toml");
    for text in [
        format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{}x = 1", "a.".repeat(100_000)),
        format!("[{}x]", "a.".repeat(100_000)),
        "x = {".repeat(50_000),
    ] {
        fs::write(&path, text).unwrap();
        let units = vec![path.to_str().unwrap().to_owned()];
        assert!(!check(&VerifyArgs { units }, &Paths::default()).is_empty());
    }
}
