//! Launch steps that nothing in a unit makes fail: `sampand.service` is confined so that the kernel refuses the one
//! system call or file that a step needs, and what `status` says, how the unit ends and what is left are looked at.

mod support;

use sampan::launch::status::LaunchStatus;
use std::fs;
use support::failures::{Case, SLEEP, assert_each_fails, case, host, told_in};

const UNDO: &str =
    "rm -r /run/systemd/system/sampand.service.d; systemctl daemon-reload; systemctl restart sampand";

/// How the manager, and with it the launcher, is confined; and how it is freed.
macro_rules! confined {
    ($($settings:tt)+) => {
        [
            concat!(
                "mkdir -p /run/systemd/system/sampand.service.d; printf '[Service]\\n",
                $($settings)+,
                "\\n' >/run/systemd/system/sampand.service.d/fault.conf; systemctl daemon-reload; systemctl restart sampand"
            ),
            UNDO,
        ]
    };
}

/// A system call that is refused.
macro_rules! refused {
    ($calls:literal) => {
        confined!(concat!("SystemCallFilter=~", $calls, "\\nSystemCallErrorNumber=EPERM"))
    };
}

const TRUE: &str = "command = [\"/bin/true\"]\n";
const NICE: &str = "command = [\"/bin/true\"]\n[resources]\nnice = 3\n";
const IDLE: &str = "command = [\"/bin/true\"]\n[resources]\nio_scheduling_class = \"idle\"\n";
const BATCH: &str = "command = [\"/bin/true\"]\n[resources]\ncpu_scheduling_policy = \"batch\"\n";
const SWAP: &str = "command = [\"/bin/true\"]\n[socket.http]\nlisten = \"127.0.0.1:81\"\npass = \"swap\"\n";
const DEVICE: &str = "command = [\"/bin/true\"]\n[security]\ndevices = [\"/dev/fuse\"]\n";

const NAMESPACES: &[Case] = &[
    Case {
        host: refused!("sethostname"),
        unit: TRUE,
        told: "set hostname: web: Operation not permitted; sampand itself may not: see \"CONFINEMENT\" in sampand(8)",
    },
    Case {
        host: confined!("RestrictAddressFamilies=AF_UNIX AF_NETLINK"),
        unit: TRUE,
        told: "raise loopback: lo: Address family not supported by protocol",
    },
    Case {
        host: refused!("pivot_root"),
        unit: TRUE,
        told: "enter root: /: Operation not permitted; sampand itself may not",
    },
    Case { host: refused!("symlinkat"), unit: TRUE, told: "link: /" },
    Case { host: refused!("mknodat"), unit: TRUE, told: "make: /" },
    Case {
        host: [
            "mkdir -p -m 0700 /var/lib/sampan/containers/web.container; touch /var/lib/sampan/containers/web.container/devices",
            "rm -r /var/lib/sampan/containers/web.container",
        ],
        unit: DEVICE,
        told: "make device: /dev/fuse: ",
    },
    Case {
        host: refused!("unshare"),
        unit: TRUE,
        told: "enter namespace: unshare: Operation not permitted; sampand itself may not",
    },
    Case { host: refused!("setgroups"), unit: TRUE, told: "enter namespace: user: Operation not permitted" },
    Case {
        host: confined!("RestrictNamespaces=yes"),
        unit: TRUE,
        told: "start helper: clone: Function not implemented; sampand itself may not",
    },
];

const PRIVILEGES: &[Case] = &[
    Case {
        host: refused!("capset"),
        unit: TRUE,
        told: "drop privileges: capabilities: Operation not permitted; sampand itself may not",
    },
    Case {
        host: refused!("seccomp"),
        unit: TRUE,
        told: "filter: system calls: Operation not permitted; sampand itself may not",
    },
    Case { host: refused!("seccomp"), unit: SWAP, told: "filter: bind: Operation not permitted" },
    Case {
        // Where it leads a session already it is EPERM.
        host: confined!("SystemCallFilter=~setsid\\nSystemCallErrorNumber=ENOSYS"),
        unit: TRUE,
        told: "start session: terminal: Function not implemented; sampand itself may not",
    },
    Case {
        host: refused!("personality"),
        unit: "command = [\"/bin/true\"]\npersonality = \"x86\"\n",
        told: "set personality: x86: Operation not permitted",
    },
    Case { host: refused!("setpriority"), unit: NICE, told: "set nice value: 3: Operation not permitted" },
    Case {
        host: refused!("ioprio_set"),
        unit: IDLE,
        told: "set I/O scheduling: idle 0: Operation not permitted",
    },
    Case {
        host: refused!("sched_setscheduler sched_setattr"),
        unit: BATCH,
        told: "set CPU scheduling: batch 0: Operation not permitted",
    },
    Case { host: refused!("keyctl"), unit: TRUE, told: "join keyring: session: Operation not permitted" },
    Case {
        host: confined!("CapabilityBoundingSet=~CAP_SYS_RESOURCE"),
        unit: "command = [\"/bin/true\"]\n[resources]\noom_score_adjust = -1000\n",
        told: "set OOM score: -1000: Permission denied; the manager may not lower it, which needs CAP_SYS_RESOURCE",
    },
];

const OBSTACLES: &[Case] = &[
    Case {
        host: confined!("InaccessiblePaths=/sys/kernel/cgroup"),
        unit: "command = [\"/bin/true\"]\ninit = \"system\"\n",
        told: "delegate control group: /sys/kernel/cgroup/delegate: ",
    },
    Case {
        host: confined!("LimitNOFILE=256"),
        unit: TRUE,
        told: "begin: control socket: Operation not permitted; sampand has too few descriptors: raise LimitNOFILE= of sampand.service",
    },
    // A soft limit is no matter: launchers raise it.
    Case {
        host: confined!("LimitNOFILE=256:524288"),
        unit: "command = [\"/bin/no\"]\n",
        told: "execute: /bin/no: No such file or directory; ",
    },
    Case {
        host: [
            "cd /var/lib/sampan/containers; mkdir -p -m 0700 web.container/ephemeral/upper; cd web.container/ephemeral/upper; touch locked; chattr +i locked",
            "cd /var/lib/sampan/containers; for all in web.container gone-*; do [ ! -d $all ] || { chattr -R -i $all; rm -r $all; }; done",
        ],
        unit: TRUE,
        told: "discard changes: /var/lib/sampan/containers/web.container/ephemeral: Operation not permitted; something else than Sampan has made or locked it",
    },
    case(
        "command = [\"/bin/no\"]\n[socket.http]\nlisten = \"127.0.0.1:81\"\npass = \"fd\"\n[resources.limits]\nnofile = 16\n",
        "execute: /bin/no: No such file or directory; ",
    ),
    Case {
        host: [
            "mkdir -p -m 0700 /var/lib/sampan/containers/web.container; touch /var/lib/sampan/containers/web.container/empty",
            "rm -r /var/lib/sampan/containers/web.container",
        ],
        unit: "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"image\"\nsource = \"localhost/odd\"\n",
        told: "mount image: /var/lib/sampan/containers/",
    },
    Case {
        host: [
            "mkdir -p -m 0700 /var/lib/sampan/containers/web.container; touch /var/lib/sampan/containers/web.container/private",
            "rm -r /var/lib/sampan/containers/web.container",
        ],
        unit: "command = [\"/bin/true\"]\nshare = false\n",
        told: "private image: ",
    },
    Case {
        host: [
            "mkdir -p /etc/names; cd /etc/names; name=$(printf %0100d); mkdir -p $name/$name; echo x >$name/$name/$name",
            "rm -r /etc/names",
        ],
        unit: "command = [\"/bin/true\"]\n[credentials]\nx = { path = \"/etc/names\" }\n",
        told: "load credential: x_0",
    },
];

fn assert_each_is_told(cases: &[Case]) {
    let host = host();
    // Each case has a manager of its own, which adopts what runs.
    host.succeed(&["systemctl", "restart", "sampand"]);
    assert_each_fails(&host, cases);
}

#[test]
fn a_namespace_that_the_kernel_refuses_is_told() {
    assert_each_is_told(NAMESPACES);
}

#[test]
fn a_privilege_that_the_kernel_refuses_is_told() {
    assert_each_is_told(PRIVILEGES);
}

#[test]
fn what_is_in_the_way_of_a_launch_is_told() {
    assert_each_is_told(OBSTACLES);
}

/// What comes before there is a process is for want of resources.
const RESOURCES: &[Case] = &[
    Case {
        host: [
            "prlimit --nofile=3: --pid $(systemctl show --property=MainPID --value sampand)",
            // What is executed in a container has a launcher wait again.
            "pid=$(systemctl show --property=MainPID --value sampand); prlimit --nofile=$(prlimit --nofile --noheadings --output=HARD --pid $pid | tr -d ' '): --pid $pid; sampanctl exec keep /bin/true",
        ],
        unit: TRUE,
        told: "image: cannot read /var/lib/sampan/refs/localhost%odd:latest: Too many open files; sampand has as many descriptors as it may: raise LimitNOFILE= of sampand.service",
    },
    Case {
        host: [
            "cd /sys/fs/cgroup/sampan.slice; sed -n 's/^nr_descendants //p' cgroup.stat >cgroup.max.descendants",
            "echo max >/sys/fs/cgroup/sampan.slice/cgroup.max.descendants",
        ],
        unit: TRUE,
        told: "sampan-web.scope: ",
    },
];

#[test]
fn a_host_that_lets_nothing_begin_is_told() {
    let host = host();
    // From now on a launcher waits for commands, too.
    host.succeed(&["sampanctl", "exec", "keep", "/bin/true"]);
    assert_each_fails(&host, RESOURCES);
    host.unit("web.container", &format!("[container]\nimage = \"localhost/odd\"\n{SLEEP}"));
    host.succeed(&["sampanctl", "start", "web"]);
}

/// Whichever descriptor is the first for which there is no place.
#[test]
fn a_manager_that_runs_short_of_descriptors_tells_it_and_goes_on() {
    let host = host();
    let shell = |script: &str| {
        let manager = "manager=$(systemctl show --property=MainPID --value sampand)";
        host.succeed(&["sh", "-c", &format!("{manager}; {script}")])
    };
    let mut endings = [0, 0];
    for left in 0..16 {
        // The limit is one of numbers, of which some below the highest may be free.
        let limit = format!(
            "ls /proc/$manager/fd | sort -n | awk '{{ for (; n < $1; n++) free[++count] = n; n++ }} \
             END {{ print {left} < count ? free[{left} + 1] : n + {left} - count }}'"
        );
        shell(&format!("prlimit --nofile=$({limit}): --pid $manager"));
        let status = shell("sampanctl start web >/dev/null 2>&1; echo $?");
        shell(
            "prlimit --nofile=$(prlimit --nofile --noheadings --output=HARD --pid $manager | tr -d ' '): --pid $manager",
        );
        let error = host.property("web", "LaunchError");
        let told = match status.trim() {
            "0" => error.is_empty(),
            _ => error.contains("Too many open files; sampand has as many descriptors as it may"),
        };
        assert!(told, "{left} descriptors: {status} {error}");
        endings[usize::from(status.trim() == "0")] += 1;
        host.succeed(&["sampanctl", "stop", "web"]);
        host.succeed(&["sampanctl", "reset-failed", "web"]);
        // And has a launcher wait for the next.
        host.succeed(&["sampanctl", "exec", "keep", "/bin/true"]);
        shell("while ps -o stat= --ppid $manager | grep Z; do sleep 0.1; done");
    }
    assert!(endings.iter().all(|count| *count > 0), "{endings:?}");
    assert_eq!(host.property("keep", "ActiveState"), "active");
}

#[test]
fn more_sockets_than_a_launcher_has_places_for_are_told() {
    let socket = |number| format!("[socket.s{number}]\nlisten = \"@many{number}\"\npass = \"fd\"\n");
    let unit: String = std::iter::once(TRUE.to_owned()).chain((0..100).map(socket)).collect();
    let told = "pass sockets: s0 s1 s10 ";
    assert_each_is_told(&[Case { host: confined!("LimitNOFILE=580"), unit: unit.leak(), told }]);
}

/// Steps that no test has fail, and why.
const UNFAILED: &[(&str, &str)] = &[
    (
        "hand over",
        "between the two processes of one launcher: it fails with the other, which tells its own step",
    ),
    ("take over", "as \"hand over\""),
    ("keep credential", "a file in memory that was just mounted, of a name that was looked at before"),
    ("wait for scope", "when the manager is gone, and then nobody is told: its successor launches anew"),
    ("open", "the control group that systemd has just made and has the launcher in"),
    ("mount volume", "open_tree(2) of the store, which the root has had succeed"),
    ("map ids of volume", "the store's file system, whose maps the root has had"),
    ("restrict bind", "mount_setattr(2), which the root has had succeed"),
    ("mount device", "open_tree(2) of the node that was just made"),
    ("write", "into memory that was just mounted"),
    ("merge memory", "a kernel that knows it takes it, and one that does not is not told"),
    ("set SELinux label", "no host of the tests has a policy"),
];

#[test]
fn each_step_has_a_case() {
    let mut sources = String::new();
    for entry in fs::read_dir("tests").expect("tests are run in the project").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            sources += &fs::read_to_string(entry.path()).expect("a source");
        }
    }
    for step in LaunchStatus::steps() {
        let excused = UNFAILED.iter().any(|(unfailed, _)| *unfailed == step);
        assert!(told_in(&sources, step) != excused, "{step}: excused and has a case, or neither");
    }
}
