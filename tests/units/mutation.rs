//! Whatever a file holds, it is answered with diagnostics: nothing panics, nothing takes long.

use proptest::prelude::*;
use proptest::sample::Index;
use sampan::unit::assemble::assemble;
use sampan::unit::diagnostic::Style;
use sampan::unit::lower::Files;
use sampan::unit::name::UnitName;
use sampan::unit::specifier::Host;
use std::fs;

/// One change of a text.
#[derive(Debug, Clone)]
enum Mutation {
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Copy(Index, usize, Index),
}

/// Bits that mean something in a unit file.
const WORDS: &[&str] = &[
    "=",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "\"",
    "'''",
    "\n",
    ".",
    ",",
    "%",
    "%i",
    "-",
    "é",
    "\u{202e}",
    "\0",
    "\t",
    "#",
    "0x",
    "inf",
    "nan",
    "1979-05-27",
    "true",
    "[socket.x]\n",
    "listen",
    "image",
    "\"\\u0000\"",
    "99999999999999999999",
    "\r\n",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let word = proptest::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec());
    let bytes = prop_oneof![3 => word, 1 => proptest::collection::vec(any::<u8>(), 1..4)];
    prop_oneof![
        3 => (any::<Index>(), bytes).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        2 => (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Mutation::Delete(at, length)),
        1 => (any::<Index>(), 1..40_usize, any::<Index>()).prop_map(|(from, length, to)| Mutation::Copy(from, length, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    let clip = |at: &Index, count: usize| at.index(length + 1)..(at.index(length + 1) + count).min(length);
    match mutation {
        Mutation::Insert(at, new) => drop(bytes.splice(clip(at, 0), new.iter().copied())),
        Mutation::Delete(at, count) => drop(bytes.drain(clip(at, *count))),
        Mutation::Copy(from, count, to) => {
            let copied = bytes[clip(from, *count)].to_vec();
            drop(bytes.splice(clip(to, 0), copied));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_is_a_panic(mutations in proptest::collection::vec(mutation(), 1..12)) {
        let mut bytes = fs::read("tests/units/20-whole/web.container.toml").unwrap();
        for mutation in &mutations {
            apply(&mut bytes, mutation);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.container.toml");
        fs::write(&path, &bytes).unwrap();
        let files = Files { fragment: Some(path), drop_ins: Vec::new() };
        let host = Host { hostname: "h".into(), machine_id: "m".into(), boot_id: "b".into(), kernel: "6".into() };
        let name = UnitName::parse("web.container").unwrap();
        let diagnostics = match assemble(&name, files, &host) {
            Ok((unit, warnings)) => {
                prop_assert_eq!(unit.name, name);
                warnings
            }
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                faults
            }
        };
        for diagnostic in diagnostics {
            let rendered = diagnostic.render(Style::Plain);
            prop_assert!(!rendered.contains(['\x1b', '\u{202e}']), "{}", rendered);
            diagnostic.render(Style::Colored);
        }
    }
}
