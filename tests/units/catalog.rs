//! What the manager sees of a search path: precedence, drop-ins, templates, aliases, masks and links.

use sampan::paths::Paths;
use sampan::unit::load::{Catalog, Loaded, load_all, load_one};
use sampan::unit::model::{
    Body, Container, ImageSource, KeepAlive, Listen, Pass, RestartPolicy, SocketNode, SocketOptions,
    StartLimit, Unit, UnixName, UnixType,
};
use sampan::unit::name::UnitName;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

/// A host's root directory with files in it.
pub struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Writes a file below the root.
    pub fn write(self, path: &str, text: &str) -> Self {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Makes a link below the root.
    pub fn link(self, path: &str, target: &str) -> Self {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn paths(&self) -> Paths {
        Paths::new(self.root())
    }
}

pub fn name(text: &str) -> UnitName {
    UnitName::parse(text).unwrap()
}

fn good<'c>(catalog: &'c Catalog, unit: &str) -> &'c Unit {
    match catalog.find(&name(unit)) {
        Some(Loaded::Good(unit)) => unit,
        other => panic!("{unit} is {other:?}"),
    }
}

fn container(unit: &Unit) -> &Container {
    match &unit.body {
        Body::Container(container) => container,
        Body::Target => panic!("{} is a target", unit.name),
    }
}

const WEB: &str = "[container]\nimage = \"localhost/web\"\n";

#[test]
fn no_time_for_a_start_or_a_stop_is_no_limit() {
    let text = format!("{WEB}start_timeout = 0\nstop_timeout = \"0s\"\n");
    let host = Host::new().write("etc/sampan/units/web.container.toml", &text);
    let catalog = load_all(&host.paths());
    let web = container(good(&catalog, "web.container"));
    assert_eq!((web.start_timeout, web.stop_timeout), (None, None), "as in systemd.service(5)");
}

#[test]
fn a_job_may_take_its_time_unless_the_unit_bounds_it() {
    let job = format!("{WEB}type = \"oneshot\"\n");
    let host = Host::new()
        .write("etc/sampan/units/job.container.toml", &job)
        .write("etc/sampan/units/short.container.toml", &format!("{job}start_timeout = \"1min\"\n"));
    let catalog = load_all(&host.paths());
    let limits =
        |name| (container(good(&catalog, name)).start_timeout, container(good(&catalog, name)).stop_timeout);
    let seconds = |number| Some(Duration::from_secs(number));
    assert_eq!(limits("job.container"), (None, seconds(90)), "as in systemd.service(5)");
    assert_eq!(limits("short.container"), (seconds(60), seconds(90)));
}

#[test]
fn the_first_directory_wins_and_drop_ins_of_all_are_merged_by_name() {
    let host = Host::new()
        .write("usr/lib/sampan/units/web.container.toml", "[container]\nimage = \"localhost/old\"\n")
        .write(
            "etc/sampan/units/web.container.toml",
            "[container]\nimage = \"localhost/web\"\nenvironment = { A = \"1\" }\n",
        )
        .write(
            "usr/lib/sampan/units/web.container.toml.d/10-b.toml",
            "[container.environment]\nB = \"vendor\"\n",
        )
        .write(
            "etc/sampan/units/web.container.toml.d/20-c.toml",
            "[container.environment]\nB = \"admin\"\nC = \"3\"\n",
        )
        .write(
            "usr/lib/sampan/units/web.container.toml.d/20-c.toml",
            "[container.environment]\nC = \"hidden\"\n",
        )
        .write("run/sampan/units/web.container.toml.d/15-command.toml", "[container]\ncommand = [\"run\"]\n");
    let catalog = load_all(&host.paths());
    let unit = good(&catalog, "web.container");
    let container = container(unit);
    assert_eq!(container.image, ImageSource::Reference("localhost/web".to_owned()));
    let environment: Vec<(&str, &str)> =
        container.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(environment, [("A", "1"), ("B", "admin"), ("C", "3")]);
    let drop_ins: Vec<&str> =
        unit.drop_ins.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(drop_ins, ["10-b.toml", "15-command.toml", "20-c.toml"]);
    assert!(catalog.diagnostics.is_empty(), "{:?}", catalog.diagnostics);
}

#[test]
fn an_unsaid_key_has_the_default_of_the_manual() {
    let host = Host::new().write(
        "etc/sampan/units/web.container.toml",
        "[container]\nimage = \"localhost/web\"\n[socket.a]\nlisten = \"8080\"\n[socket.b]\nlisten = \"@b\"\npass = \"fd\"\n",
    );
    let catalog = load_all(&host.paths());
    let unit = good(&catalog, "web.container");
    let container = container(unit);
    assert_eq!(unit.description, "web.container");
    assert_eq!((container.restart, container.restart_delay), (RestartPolicy::No, Duration::from_millis(100)));
    assert_eq!((container.start_limit.burst, container.start_limit.interval), (5, Duration::from_secs(10)));
    assert_eq!(
        (container.start_timeout, container.stop_timeout),
        (Some(Duration::from_secs(90)), Some(Duration::from_secs(90)))
    );
    assert_eq!((container.hostname.as_str(), container.security.no_new_privileges), ("web", true));
    let socket = container.sockets.get("a").unwrap();
    assert_eq!((socket.pass, socket.backlog, socket.node.mode), (Pass::Swap, 4096, 0o666));
    assert_eq!(socket.listen, Listen::Tcp("[::]:8080".parse().unwrap()));
    assert_eq!(
        container.sockets.get("b").unwrap().listen,
        Listen::Unix(UnixType::Stream, UnixName::Abstract("b".to_owned()))
    );
}

#[test]
fn options_of_a_socket_are_what_the_file_says() {
    let host = Host::new().write(
        "etc/sampan/units/web.container.toml",
        r#"
            [container]
            image = "localhost/web"
            [socket.web]
            listen = "80"
            backlog = 7
            free_bind = true
            bind_to_device = "eth0"
            reuse_port = true
            v6only = true
            keepalive = true
            keepalive_time = "2min"
            keepalive_interval = 10
            keepalive_probes = 5
            nodelay = true
            defer_accept = "3s"
            mark = 0x7
            receive_buffer = "1M"
            send_buffer = "64K"
            [socket.log]
            listen = "datagram:/run/log/in.sock"
            mode = "0620"
            user = "root"
            group = "adm"
            directory_mode = "0750"
            symlinks = ["/run/log.sock"]
            [socket.pipe]
            listen = "fifo:/run/pipe"
            [activation]
            trigger_limit = { burst = 3, interval = "1s" }
        "#,
    );
    let catalog = load_all(&host.paths());
    assert!(catalog.diagnostics.is_empty(), "{:?}", catalog.diagnostics);
    let container = container(good(&catalog, "web.container"));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let options = SocketOptions {
        free_bind: true,
        bind_to_device: Some("eth0".to_owned()),
        reuse_port: true,
        v6only: Some(true),
        keep_alive: KeepAlive { on: true, time: seconds(120), interval: seconds(10), probes: Some(5) },
        no_delay: true,
        defer_accept: seconds(3),
        mark: Some(7),
        receive_buffer: Some(1 << 20),
        send_buffer: Some(1 << 16),
    };
    assert_eq!(
        (&*container.sockets.get("web").unwrap().options, container.sockets.get("web").unwrap().backlog),
        (&options, 7)
    );
    let node = SocketNode {
        mode: 0o620,
        user: Some("root".to_owned()),
        group: Some("adm".to_owned()),
        directory_mode: 0o750,
        symlinks: vec!["/run/log.sock".into()],
    };
    assert_eq!(*container.sockets.get("log").unwrap().node, node);
    assert_eq!(
        (container.sockets.get("log").unwrap().pass, container.sockets.get("pipe").unwrap().pass),
        (Pass::Swap, Pass::Fd)
    );
    assert_eq!(container.trigger_limit, StartLimit { burst: 3, interval: Duration::from_secs(1) });
}

#[test]
fn instances_are_made_of_templates_with_the_drop_ins_of_both() {
    let host = Host::new()
        .write(
            "etc/sampan/units/w@.container.toml",
            "[unit]\ndescription = \"%p for %i\"\n[container]\nimage = \"localhost/w\"\n",
        )
        .write("etc/sampan/units/w@.container.toml.d/10.toml", "[container]\ncommand = [\"all\"]\n")
        .write("etc/sampan/units/w@blue.container.toml.d/10.toml", "[container]\ncommand = [\"%i\"]\n")
        .write("etc/sampan/units/w@.container.toml.d/20.toml", "[container]\nuser = \"33\"\n")
        .link("etc/sampan/units/default.target.wants/w@blue.container.toml", "../w@.container.toml");
    let catalog = load_all(&host.paths());
    let unit = good(&catalog, "w@blue.container");
    assert_eq!(unit.description, "w for blue");
    assert_eq!(container(unit).command.as_deref(), Some(&["blue".to_owned()][..]));
    assert_eq!(container(unit).user.as_deref(), Some("33"));
    assert!(catalog.find(&name("w@.container")).is_none());
    let red = load_one(&host.paths(), &name("w@red.container"));
    assert!(
        matches!(red.loaded, Some(Loaded::Good(unit)) if container(&unit).command.as_deref() == Some(&["all".to_owned()][..]))
    );
    assert_eq!(load_one(&host.paths(), &name("x@red.container")).loaded, None);
}

#[test]
fn drop_ins_of_a_type_a_prefix_a_template_and_a_unit_are_ranked() {
    let say = |name: &str| format!("[container.environment]\n{name} = \"%n\"\nALL = \"{name}\"\n");
    let host = Host::new()
        .write("usr/lib/sampan/units/web-a@.container.toml", WEB)
        .write("usr/lib/sampan/units/db.container.toml", WEB)
        .write("etc/sampan/units/container.d/10.toml", &say("TYPE"))
        .write("usr/lib/sampan/units/container.toml.d/20.toml", &say("VENDOR"))
        .write("usr/lib/sampan/units/web-.container.d/10.toml", &say("PREFIX"))
        .write("etc/sampan/units/web-a@.container.toml.d/30.toml", &say("TEMPLATE"))
        .write("etc/sampan/units/web-a@x.container.d/40.toml", &say("INSTANCE"))
        .link("etc/sampan/units/web-a@.container.d/20.toml", "/dev/null");
    let of = |unit: &str| match load_one(&host.paths(), &name(unit)).loaded {
        Some(Loaded::Good(unit)) => container(&unit).environment.clone(),
        other => panic!("{unit} is {other:?}"),
    };
    let words = |unit: &str| of(unit).into_keys().filter(|key| key != "ALL").collect::<Vec<_>>().join(" ");
    assert_eq!(words("db.container"), "TYPE VENDOR");
    assert_eq!(words("web-a@x.container"), "INSTANCE PREFIX TEMPLATE");
    assert_eq!(words("web-a@y.container"), "PREFIX TEMPLATE");
    assert_eq!(of("web-a@x.container")["ALL"], "INSTANCE");
    assert_eq!(of("db.container")["TYPE"], "db.container");
}

#[test]
fn what_nobody_reads_is_told() {
    let host = Host::new()
        .write("etc/sampan/units/web.container.toml", WEB)
        .write("etc/sampan/units/web.container", "[Container]\nImage=a\n")
        .write("etc/sampan/units/db.contaner.toml", WEB)
        .write("etc/sampan/units/my app.container.toml", WEB)
        .write("etc/sampan/units/pod.yaml", "")
        .write("etc/sampan/units/README", "read me")
        .write("etc/sampan/units/web.container.toml.d/10.conf", "[container]\n")
        .write("etc/sampan/units/wbe.container.d/10.toml", "[container]\n")
        .write("etc/sampan/units/default.target.wants/web.container", "");
    let catalog = load_all(&host.paths());
    let found: Vec<String> = catalog
        .diagnostics
        .iter()
        .map(|fault| fault.to_string().replace(&format!("{}/etc/sampan/units/", host.root().display()), ""))
        .collect();
    assert_eq!(
        found,
        [
            "db.contaner.toml: this file is not named as a unit, ignoring (did you mean \"db.container.toml\"?)",
            "default.target.wants/web.container: this is not the name of a unit's file, ignoring (write the name of \
             the unit and \".toml\")",
            "my app.container.toml: this file is not named as a unit, ignoring (use letters, digits, \"_\", \".\" \
             and \"-\")",
            "pod.yaml: this file is not named as a unit, ignoring (the files of units are named \
             NAME.container.toml and NAME.target.toml)",
            "wbe.container.d: there is no unit wbe.container for these drop-ins (did you mean \"web.container.d\"?)",
            "web.container: this file is not named as a unit, ignoring (did you mean \"web.container.toml\"?)",
            "web.container.toml.d/10.conf: this drop-in does not end in \".toml\", ignoring",
        ]
    );
}

#[test]
fn links_beside_a_target_are_dependencies_and_the_target_comes_after_them() {
    let host = Host::new()
        .write("etc/sampan/units/web.container.toml", WEB)
        .write("etc/sampan/units/db.container.toml", WEB)
        .write(
            "etc/sampan/units/late.container.toml",
            "[unit]\nafter = [\"default.target\"]\n[container]\nimage = \"localhost/late\"\n",
        )
        .link(
            "etc/sampan/units/default.target.wants/web.container.toml",
            "/etc/sampan/units/web.container.toml",
        )
        .link("usr/lib/sampan/units/default.target.wants/late.container.toml", "../late.container.toml")
        .link("usr/lib/sampan/units/default.target.wants/db.container.toml", "../db.container.toml")
        .link("etc/sampan/units/default.target.wants/db.container.toml", "/dev/null")
        .link("etc/sampan/units/web.container.requires/db.container.toml", "../db.container.toml");
    let catalog = load_all(&host.paths());
    let target = good(&catalog, "default.target");
    assert_eq!(target.fragment, None);
    assert!(target.dependencies.wants.iter().eq([&name("late.container"), &name("web.container")]));
    assert!(target.dependencies.after.iter().eq([&name("web.container")]));
    assert!(good(&catalog, "web.container").dependencies.requires.contains(&name("db.container")));
}

#[test]
fn masks_aliases_and_links_are_told_apart() {
    let host = Host::new()
        .write("usr/lib/sampan/units/web.container.toml", WEB)
        .write("usr/lib/sampan/units/gone.container.toml", WEB)
        .write("etc/sampan/units/gone.container.toml", "")
        .link("etc/sampan/units/null.container.toml", "/dev/null")
        .link("etc/sampan/units/blog.container.toml", "/usr/lib/sampan/units/web.container.toml")
        .link("etc/sampan/units/loop.container.toml", "loop2.container.toml")
        .link("etc/sampan/units/loop2.container.toml", "loop.container.toml")
        .link("etc/sampan/units/lost.container.toml", "/srv/lost.toml")
        .link("etc/sampan/units/stale.container.toml", "removed.container.toml")
        .write("srv/units/my.toml", WEB)
        .link("etc/sampan/units/my.container.toml", "/srv/units/my.toml")
        .write(
            "etc/sampan/units/user.container.toml",
            "[unit]\nrequires = [\"blog.container\"]\n[container]\nimage = \"a\"\n",
        );
    let catalog = load_all(&host.paths());
    for masked in ["gone.container", "null.container"] {
        assert_eq!(catalog.find(&name(masked)), Some(&Loaded::Masked), "{masked}");
    }
    assert_eq!(good(&catalog, "blog.container").name, name("web.container"));
    assert!(good(&catalog, "user.container").dependencies.requires.contains(&name("web.container")));
    assert_eq!(
        good(&catalog, "my.container").fragment.as_deref(),
        Some(&*host.root().join("srv/units/my.toml"))
    );
    for bad in ["loop.container", "lost.container", "stale.container"] {
        assert!(matches!(catalog.find(&name(bad)), Some(Loaded::Bad(_))), "{bad}");
    }
}

#[test]
fn a_bad_file_stops_no_other() {
    let host = Host::new()
        .write("etc/sampan/units/a.container.toml", "[container]\nimage = \n")
        .write("etc/sampan/units/b.container.toml", "[container]\nimagee = \"x\"\n")
        .write("etc/sampan/units/c.container.toml", WEB);
    let catalog = load_all(&host.paths());
    assert!(matches!(catalog.find(&name("a.container")), Some(Loaded::Bad(faults)) if faults.len() == 1));
    assert!(matches!(catalog.find(&name("b.container")), Some(Loaded::Bad(faults)) if faults.len() == 1));
    good(&catalog, "c.container");
    assert_eq!(catalog.diagnostics.len(), 2);
}

#[test]
fn a_warning_does_not_keep_a_unit_from_being_loaded() {
    let unit = "[container]\nimage = \"a\"\n[network]\naliases = [\"b\"]\n";
    let host = Host::new().write("etc/sampan/units/a.container.toml", unit);
    let catalog = load_all(&host.paths());
    good(&catalog, "a.container");
    assert_eq!(catalog.diagnostics[0].message, "\"aliases\" is not in effect yet");
}
