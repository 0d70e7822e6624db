//! What an import and an export tell while they run, and to whom.

#[path = "support/layout.rs"]
mod layout;

use layout::{Lab, Layout, Tar, gzip, plain};
use std::process::{Command, Output, Stdio};

fn lab() -> (Lab, String) {
    let lab = Lab::new();
    let layers = [
        gzip(&Tar::default().file("a", &"a".repeat(3000)).end()),
        plain(Tar::default().file("b", "b").end()),
    ];
    let layout = Layout::write(&lab.path("layout"), &layers);
    let path = layout.path.to_str().unwrap().to_owned();
    (lab, path)
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_import_tells_what_it_reads_and_writes() {
    let (lab, layout) = lab();
    let output = lab.sampanctl(&["import", &layout, "--name", "web"]);
    let told = told(&output);
    let manifest = lab.json(&["inspect", "web"])["documents"]["manifest"].clone();
    for layer in manifest["layers"].as_array().unwrap() {
        let digits = &layer["digest"].as_str().unwrap()["sha256:".len()..][..12];
        let size = match layer["size"].as_u64().unwrap() {
            size if size < 1024 => format!("{size}B"),
            size => format!("{:.1}K", size as f64 / 1024.0),
        };
        for line in [format!("Reading layer {digits} ({size})"), format!("Read layer {digits}")] {
            assert!(told.lines().any(|told| told == line), "{told} has no {line}");
        }
    }
    assert!(told.ends_with("Writing the image (3 entries)\n"), "{told}");
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.starts_with("sha256:") && out.lines().count() == 1, "{out}");
}

#[test]
fn silence_is_kept_where_it_is_asked_for() {
    let (lab, layout) = lab();
    for option in ["--quiet", "-q", "--progress=never"] {
        let output = lab.sampanctl(&["import", &layout, "--name", "web", option]);
        assert_eq!(told(&output), "", "{option}");
        assert!(output.stdout.starts_with(b"sha256:"), "the id is no progress");
        let output = lab.sampanctl(&["export", "web", "-o", lab.path("web.tar").to_str().unwrap(), option]);
        assert_eq!(told(&output), "", "{option}");
    }
    let both = lab.sampanctl(&["import", &layout, "--quiet", "--progress=plain"]);
    assert_eq!(both.status.code(), Some(1), "which of them?");
}

#[test]
fn a_source_that_is_read_twice_is_told_of_twice() {
    let (lab, layout) = lab();
    let pipe = format!(
        "tar -cf - -C {layout} . | gzip | {} import - --store {}",
        env!("CARGO_BIN_EXE_sampanctl"),
        lab.store().display()
    );
    let told = told(&Command::new("sh").args(["-c", &pipe]).output().unwrap());
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[..2], ["Reading the archive", "Read the archive"], "{told}");
    let tree = lab.path("tree");
    std::fs::create_dir_all(tree.join("etc")).unwrap();
    let told = self::told(&lab.sampanctl(&["import", tree.to_str().unwrap()]));
    assert!(told.starts_with("Reading the folder\nRead the folder\nReading layer "), "{told}");
}

#[test]
fn an_export_tells_on_standard_error_and_writes_its_output_alone() {
    let (lab, layout) = lab();
    lab.sampanctl(&["import", &layout, "--name", "web"]);
    let output = lab.sampanctl(&["export", "web", "-o", "-"]);
    let told = told(&output);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[..2], ["Writing the files (2.9K)", "Wrote the files"], "{told}");
    assert!(lines[2].starts_with("Writing the archive (") && lines[3] == "Wrote the archive", "{told}");
    let mut tar = Command::new("tar").arg("-t").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut tar.stdin.take().unwrap(), &output.stdout).unwrap();
    assert!(tar.wait().unwrap().success(), "nothing but the archive is in it");
}

#[test]
fn on_a_terminal_each_part_has_a_bar() {
    let (lab, layout) = lab();
    let program = env!("CARGO_BIN_EXE_sampanctl");
    let command = format!("{program} import {layout} --name web --store {}", lab.store().display());
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && seen.contains("[=====") && seen.contains("Writing the image"),
        "{seen}"
    );
    assert!(!seen.contains("Reading layer"), "bars or lines, not both: {seen}");
    assert!(seen.trim_end().ends_with("localhost/web:latest"), "the result stands last: {seen}");
}
