//! `packaging/install` on a host: over an older installation, twice, and taken away again.

mod support;

use std::fs;
use std::path::Path;
use support::host::{Host, program};
use support::units::{shell, socket};

const INSTALL: [&str; 4] =
    ["env", "CARGO_TARGET_DIR=/srv/target", "/srv/project/packaging/install", "--debug"];

/// What the script needs of this build, where the host can see it.
fn share_project(host: &Host) {
    let project = host.shared().join("project");
    for directory in ["packaging", "units", "man"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        fs::create_dir_all(project.join(directory)).expect("it is made");
        for entry in fs::read_dir(source).expect("the project has it") {
            let path = entry.expect("it can be read").path();
            let name = path.file_name().expect("it has a name");
            fs::copy(&path, project.join(directory).join(name)).expect("it is copied");
        }
    }
    let programs = host.shared().join("target/debug");
    fs::create_dir_all(&programs).expect("it is made");
    for name in ["sampanctl", "sampand", "sampan-import", "sampan-launch", "sampan-proxy"] {
        fs::hard_link(program(name), programs.join(name)).expect("it is built");
    }
}

#[test]
fn an_upgrade_hurts_no_container_and_keeps_what_was_edited_and_a_removal_leaves_the_data() {
    let host = Host::with_images(&["hello", "web"]);
    share_project(&host);
    let nginx = "[container]\nimage = \"localhost/web\"\n";
    host.unit(
        "web.container",
        &format!("{nginx}{}", socket("127.0.0.1:8001", "\"swap\"\ntarget = \"0.0.0.0:80\"")),
    );
    let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    host.unit("job.container", &(shell(script) + "[install]\nwanted_by = [\"default.target\"]\n"));
    host.succeed(&["systemctl", "enable", "sampand", "sampan@job"]);
    host.succeed(&["sampanctl", "enable", "job"]);
    host.succeed(&["sampanctl", "start", "web", "job"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    let identity =
        || ["web", "job"].map(|unit| host.property(unit, "InvocationID") + &host.property(unit, "MainPID"));
    let before = identity();

    // An older installation, with what its administrator has changed.
    let service = "/usr/lib/systemd/system/sampand.service";
    host.succeed(&["sed", "-i", "s/^Description=.*/Description=Old/; /^Watchdog/d", service]);
    host.write("/etc/systemd/system/sampand.service.d/own.conf", "[Service]\nOOMScoreAdjust=-500\n");
    host.write("/etc/sampan/sampan.toml", "# ours\n");
    host.succeed(&["systemctl", "daemon-reload"]);
    for _ in 0..2 {
        let daemon = host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]);
        let said = host.succeed(&INSTALL);
        assert!(said.contains("the new sampand runs"), "{said}");
        assert_ne!(host.succeed(&["systemctl", "show", "--property=MainPID", "--value", "sampand"]), daemon);
        assert_eq!(identity(), before);
        assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
    }
    let shown = host.succeed(&["systemctl", "show", "--property=Description,OOMScoreAdjust", "sampand"]);
    assert_eq!(shown, "OOMScoreAdjust=-500\nDescription=Sampan Container Manager\n");
    assert_eq!(host.succeed(&["cat", "/etc/sampan/sampan.toml"]), "# ours\n");
    assert_eq!(host.succeed(&["sampanctl", "is-enabled", "job"]), "enabled\n");

    let said = host.succeed(&[&INSTALL[..3], &["--uninstall"]].concat());
    for left in ["/etc/sampan", "/var/lib/sampan", "/etc/systemd/system/sampand.service.d"] {
        assert!(said.contains(left), "{left}: {said}");
    }
    host.wait_log("job", "bye");
    let find = "find /usr /etc /run /var -xdev -iname '*sampan*' -not -path '/var/log/*' -not -path '/var/tmp/*' | sort";
    let left = host.succeed(&["sh", "-c", find]);
    let expected =
        "/etc/sampan\n/etc/sampan/sampan.toml\n/etc/systemd/system/sampand.service.d\n/var/lib/sampan\n";
    assert_eq!(left, expected);
    assert_eq!(host.succeed(&["sh", "-c", "pgrep -a sampan || true"]), "");
    assert_eq!(
        host.succeed(&["systemctl", "list-units", "--no-legend", "sampan*.scope", "sampan*.service"]),
        ""
    );

    // Everything is there again with the next installation.
    host.succeed(&INSTALL);
    host.succeed(&["systemctl", "enable", "--now", "sampand"]);
    host.wait_property("job", "SubState", "running");
    host.succeed(&["sampanctl", "start", "web"]);
    assert!(host.get("127.0.0.1:8001").contains("Hello from nginx"));
}
