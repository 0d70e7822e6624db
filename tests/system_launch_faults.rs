//! Launch steps that nothing in a unit makes fail: `sampand.service` is confined so that the kernel refuses the one
//! system call or file that a step needs, and what `status` says, how the unit ends and what is left are looked at.

mod support;

use support::failures::{Case, assert_each_fails, host};

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
        told: "map ids: 2147352576: Function not implemented; sampand itself may not",
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
