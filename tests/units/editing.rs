//! `sampanctl edit`, as a user calls it, with small scripts for editors.

use super::catalog::Host;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const WEB: &str = "[container]\nimage = \"localhost/web\"\n";
const UNIT: &str = "usr/lib/sampan/units/web.container.toml";
const DROP_IN: &str = "etc/sampan/units/web.container.toml.d/override.toml";

/// An editor that appends a text, which `$1` names the file of.
fn editor(host: &Host, script: &str) -> PathBuf {
    let path = host.root().join("editor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn sampanctl(host: &Host, script: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampanctl"));
    command.args(arguments).arg("--root").arg(host.root());
    // What is kept of a text goes with the host.
    command.env("TMPDIR", host.root());
    run(command.env("EDITOR", editor(host, script)), input)
}

fn run(command: &mut Command, input: &str) -> Output {
    let command = command.env_remove("SYSTEMD_EDITOR").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that does not read has ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_drop_in_is_made_and_changed() {
    let host = Host::new().write(UNIT, WEB);
    let first = sampanctl(&host, "sed -i '1a [container]\\nuser = \"33\"' $1", &["edit", "web"], "");
    assert!(first.status.success(), "{}", errors(&first));
    let drop_in = host.root().join(DROP_IN);
    assert_eq!(fs::read_to_string(&drop_in).unwrap(), "[container]\nuser = \"33\"\n");
    let second = sampanctl(&host, "sed -i 's/33/34/' $1", &["edit", "web"], "");
    assert!(second.status.success(), "{}", errors(&second));
    assert_eq!(fs::read_to_string(&drop_in).unwrap(), "[container]\nuser = \"34\"\n");
    let nothing = sampanctl(&host, "true", &["edit", "web"], "");
    assert!(nothing.status.success() && errors(&nothing).contains("is as it was"), "{}", errors(&nothing));
    let files = fs::read_dir(drop_in.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1);
}

#[test]
fn an_error_is_told_and_leaves_nothing() {
    let host = Host::new().write(UNIT, WEB);
    for (script, arguments, input) in [
        ("sed -i '1a [container]\\nuserr = \"33\"' $1", &["edit", "web"][..], ""),
        ("exit 3", &["edit", "--stdin", "web"], "[container]\nuserr = \"33\"\n"),
        ("exit 3", &["edit", "web"], ""),
        ("printf '' > $1", &["edit", "web"], ""),
        ("echo '[container]' > $1", &["edit", "--full", "web"], ""),
    ] {
        let output = sampanctl(&host, script, arguments, input);
        assert_eq!(output.status.code(), Some(1), "{script}: {}", errors(&output));
        if errors(&output).contains("userr") {
            assert!(
                errors(&output).contains("override.toml:2:1")
                    && errors(&output).contains("did you mean \"user\"")
            );
        }
        assert!(!host.root().join("etc").exists(), "{script}: {}", errors(&output));
    }
}

#[test]
fn a_whole_file_is_made_and_laid_over_that_of_a_package() {
    let host = Host::new().write(UNIT, WEB);
    let output = sampanctl(&host, "sed -i s/web/blog/ $1", &["edit", "--full", "web"], "");
    assert!(output.status.success(), "{}", errors(&output));
    let over = fs::read_to_string(host.root().join("etc/sampan/units/web.container.toml")).unwrap();
    assert_eq!(over, WEB.replace("web", "blog"));
    assert_eq!(fs::read_to_string(host.root().join(UNIT)).unwrap(), WEB);
    let absent = sampanctl(&host, "true", &["edit", "new"], "");
    assert!(errors(&absent).contains("edit --force --full new.container"), "{}", errors(&absent));
    let new = sampanctl(&host, "exit 3", &["edit", "--force", "--full", "--stdin", "--runtime", "new"], WEB);
    assert!(new.status.success(), "{}", errors(&new));
    assert_eq!(fs::read_to_string(host.root().join("run/sampan/units/new.container.toml")).unwrap(), WEB);
    let named =
        sampanctl(&host, "", &["edit", "--stdin", "--drop-in=50-user", "web"], "[container]\nuser = \"1\"");
    assert!(named.status.success(), "{}", errors(&named));
    assert!(host.root().join("etc/sampan/units/web.container.toml.d/50-user.toml").exists());
}

#[test]
fn what_was_private_stays_private() {
    let host = Host::new().write(UNIT, WEB).write(DROP_IN, "[container]\nuser = \"33\"\n");
    let mode = |path: &str| fs::metadata(host.root().join(path)).unwrap().permissions().mode() & 0o7777;
    let over = "etc/sampan/units/web.container.toml";
    let other = "etc/sampan/units/web.container.toml.d/secret.toml";
    let edit = |arguments: &[&str], text: &str| {
        let output = sampanctl(&host, "", &[&["edit", "--stdin"], arguments].concat(), text);
        assert!(output.status.success(), "{}", errors(&output));
    };
    fs::set_permissions(host.root().join(DROP_IN), fs::Permissions::from_mode(0o640)).unwrap();
    edit(&["web"], "[container]\nuser = \"34\"\n");
    assert_eq!(mode(DROP_IN), 0o640, "as what it replaces");
    edit(&["--drop-in=open", "web"], "[container]\nuser = \"35\"\n");
    assert_eq!(mode("etc/sampan/units/web.container.toml.d/open.toml"), mode(UNIT), "as the unit's file");

    let packaged = host.root().join(UNIT);
    fs::set_permissions(&packaged, fs::Permissions::from_mode(0o600)).unwrap();
    let (user, group) = (Some(1234), Some(5678));
    std::os::unix::fs::chown(&packaged, user, group).unwrap();
    edit(&["--drop-in=secret", "web"], "[container]\nuser = \"36\"\n");
    edit(&["--full", "web"], &WEB.replace("web", "blog"));
    for path in [other, over] {
        let made = fs::metadata(host.root().join(path)).unwrap();
        assert_eq!((mode(path), Some(made.uid()), Some(made.gid())), (0o600, user, group), "{path}");
    }
}

#[test]
fn a_text_that_cannot_be_saved_is_kept() {
    let host = Host::new().write(UNIT, WEB).write("etc/sampan/units/web.container.toml.d", "in the way");
    let output = sampanctl(&host, "sed -i '1a [container]\\nuser = \"33\"' $1", &["edit", "web"], "");
    assert_eq!(output.status.code(), Some(1));
    let told = errors(&output);
    assert!(told.contains("cannot write ") && told.contains("override.toml: "), "{told}");
    let kept = told.split("The edited text is kept in ").nth(1).unwrap().trim_end().trim_end_matches('.');
    assert!(fs::read_to_string(kept).unwrap().contains("[container]\nuser = \"33\"\n"), "{told}");
    fs::remove_dir_all(PathBuf::from(kept).parent().unwrap()).unwrap();
    let untouched = sampanctl(&host, "exit 3", &["edit", "web"], "");
    assert!(!errors(&untouched).contains("kept"), "{}", errors(&untouched));
}

#[test]
fn a_unit_that_is_given_up_keeps_no_other_from_being_edited() {
    let host = Host::new().write(UNIT, WEB).write("etc/sampan/units/db.container.toml", WEB);
    let script = "case $(cat $1) in *web.container*) printf '' > $1;; \
                  *) sed -i '1a [container]\\nuser = \"33\"' $1;; esac";
    for units in [["web", "db"], ["db", "web"]] {
        let output = sampanctl(&host, script, &["edit", units[0], units[1]], "");
        assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
        let saved = host.root().join("etc/sampan/units/db.container.toml.d/override.toml");
        assert_eq!(fs::read_to_string(&saved).unwrap(), "[container]\nuser = \"33\"\n");
        fs::remove_file(saved).unwrap();
    }
}

#[test]
fn on_a_terminal_the_text_can_be_edited_again() {
    let host = Host::new().write(UNIT, WEB);
    // Wrong at first, right at the second attempt.
    let script = "if [ -e $(dirname $0)/again ]; then sed -i s/userr/user/ $1; else touch $(dirname $0)/again; \
                  sed -i '1a [container]\\nuserr = \"33\"' $1; fi";
    let program = env!("CARGO_BIN_EXE_sampanctl");
    let call = format!("{program} edit web --root {}", host.root().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &call, "/dev/null"]);
    let output = run(command.env("EDITOR", editor(&host, script)), "x\ne\n");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(errors(&output).contains("What now?"), "{}", errors(&output));
    assert_eq!(fs::read_to_string(host.root().join(DROP_IN)).unwrap(), "[container]\nuser = \"33\"\n");
}
