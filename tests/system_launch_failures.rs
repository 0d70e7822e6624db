//! Every step of a launch that can fail is made to fail on a private host: what `status` says of it, how the unit
//! ends, and that nothing is left behind.

mod support;

use support::failures::{Case, assert_each_fails, case, host};

const PAYLOADS: &[Case] = &[
    case(
        "command = [\"/bin/no\"]\n",
        "execute: /bin/no: No such file or directory; the program, or the interpreter it names, is not in the image: set container.command or entrypoint",
    ),
    case("command = [\"no\"]\n", "execute: no: No such file or directory; the program"),
    case(
        "command = [\"sleep 1000\"]\n",
        "execute: sleep 1000: No such file or directory; each word is a string of its own: [\"sleep\", \"10\"]",
    ),
    case("command = [\"/file/sh\"]\n", "execute: /file/sh: "),
    case(
        "command = [\"/bin/lost\"]\n",
        "execute: /bin/lost: No such file or directory; the program, or the interpreter it names",
    ),
    case(
        "command = [\"/bin/dynamic\"]\n",
        "execute: /bin/dynamic: No such file or directory; the program, or the interpreter it names",
    ),
    case(
        "command = [\"/bin/foreign\"]\n",
        "execute: /bin/foreign: Exec format error; it is no program of this machine's architecture",
    ),
    case(
        "command = [\"/bin/text\"]\n",
        "execute: /bin/text: Exec format error; it is no program of this machine's architecture, and no script with \"#!\"",
    ),
    case("command = [\"/bin/empty\"]\n", "execute: /bin/empty: Exec format error"),
    case(
        "command = [\"/bin/plain\"]\n",
        "execute: /bin/plain: Permission denied; the file may not be executed by the container's user",
    ),
    case("command = [\"/data\"]\n", "execute: /data: Permission denied"),
    case(
        "user = \"33\"\ncommand = [\"/bin/closed\"]\n",
        "execute: /bin/closed: Permission denied; the file may not be executed by the container's user",
    ),
    case(
        "command = [\"/loop\"]\n",
        "execute: /loop: Too many levels of symbolic links; symbolic links on the way lead in a circle",
    ),
    Case {
        host: ["(printf LONG=; head -c 200000 /dev/zero | tr '\\0' x) >/etc/long.env", "rm /etc/long.env"],
        unit: "command = [\"/bin/true\"]\nenvironment_file = [\"/etc/long.env\"]\n",
        told: "execute: /bin/true: Argument list too long; arguments and variables together are too long",
    },
    case(
        "command = [\"/tmp/x/busybox\"]\n[mount.\"/tmp/x\"]\ntype = \"bind\"\nsource = \"/usr/bin\"\noptions = [\"noidmap\", \"noexec\"]\n",
        "execute: /tmp/x/busybox: Permission denied",
    ),
];

#[test]
fn a_payload_that_cannot_be_executed_is_told() {
    assert_each_fails(&host(), PAYLOADS);
}

const USERS: &[Case] = &[
    case(
        "user = \"www\"\ncommand = [\"/bin/true\"]\n",
        "resolve user: www: The image's /etc/passwd has no such user; set container.user, which can be a number",
    ),
    case(
        "user = \"0:www\"\ncommand = [\"/bin/true\"]\n",
        "resolve group: www: The image's /etc/group has no such group; set container.user or supplementary_groups",
    ),
    case(
        "supplementary_groups = [\"www\"]\ncommand = [\"/bin/true\"]\n",
        "resolve group: www: The image's /etc/group has no such group; ",
    ),
    case("user = \"70000\"\ncommand = [\"/bin/true\"]\n", "change user: 70000: Invalid argument; "),
    case(
        "user = \"www\"\ncommand = [\"/bin/true\"]\n[mount.\"/etc/passwd\"]\ntype = \"bind\"\nsource = \"/dev/full\"\n",
        "resolve user: /etc/passwd: Operation not supported; ",
    ),
    case(
        "working_directory = \"/file\"\ncommand = [\"/bin/true\"]\n",
        "change directory: /file: Not a directory; set container.working_directory",
    ),
    case(
        "working_directory = \"/file/below\"\ncommand = [\"/bin/true\"]\n",
        "change directory: /file/below: Not a directory",
    ),
    case(
        "working_directory = \"/loop\"\ncommand = [\"/bin/true\"]\n",
        "change directory: /loop: Too many levels of symbolic links",
    ),
    case(
        "working_directory = \"/no\"\nroot = \"read-only\"\ncommand = [\"/bin/true\"]\n",
        "change directory: /no: Read-only file system; ",
    ),
    case(
        "command = [\"/bin/true\"]\n[resources]\ncpu_affinity = \"4095\"\n",
        "set CPU affinity: 4095: Invalid argument; the host has none of these",
    ),
    case(
        "command = [\"/bin/true\"]\n[resources.limits]\nnofile = \"infinity\"\n",
        "set limits: RLIMIT_NOFILE: Operation not permitted; the kernel allows no more: lower it in resources.limits",
    ),
    case(
        "command = [\"/bin/true\"]\n[security.sysctl]\n\"net.ipv4.no_such\" = \"1\"\n",
        "set sysctl: net/ipv4/no_such = 1: No such file or directory; this kernel has no such setting",
    ),
    case(
        "command = [\"/bin/true\"]\n[security.sysctl]\n\"net.ipv4.ip_default_ttl\" = \"1000\"\n",
        "set sysctl: net/ipv4/ip_default_ttl = 1000: Invalid argument; the kernel takes no such value",
    ),
    Case {
        host: [
            "systemd-run --quiet --unit=keys --property=Type=notify --property=NotifyAccess=all \
             setpriv --reuid=1000000000 --clear-groups /usr/bin/python3 -c 'import ctypes, os, platform, time; \
             add_key = 248 if platform.machine() == \"x86_64\" else 217; kernel = ctypes.CDLL(None); \
             [kernel.syscall(add_key, b\"user\", str(n).encode(), b\"x\", 1, -2) for n in range(300)]; \
             os.system(\"systemd-notify --ready\"); time.sleep(1000)'",
            "systemctl stop keys",
        ],
        unit: "command = [\"/bin/true\"]\n[security]\nuser_namespace = \"1000000000:65536\"\n",
        told: "join keyring: session: Disk quota exceeded; ",
    },
];

#[test]
fn what_a_payload_cannot_begin_with_is_told() {
    assert_each_fails(&host(), USERS);
}

const MOUNTS: &[Case] = &[
    case(
        "command = [\"/bin/true\"]\ntimezone = \"Mars/Olympus\"\n",
        "open bind: /usr/share/zoneinfo/Mars/Olympus: No such file or directory; the host has no such time zone: correct container.timezone",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/file/x\"]\ntype = \"tmpfs\"\n",
        "mount: /file/x: Not a directory; what is there, or above it, is a file",
    ),
    case("command = [\"\"]\n", "neither the unit nor its image has a command; set container.command"),
    case(
        "command = [\"/bin/true\"]\n[security]\napparmor_profile = \"web\"\n",
        "security.apparmor_profile: AppArmor is not in use on this host; begin it with \"-\"",
    ),
    case(
        "command = [\"/bin/true\"]\n[security]\nselinux_label = \"a:b:c:s0\"\n",
        "security.selinux_label: SELinux is not in use on this host; begin it with \"-\"",
    ),
    case(
        "command = [\"/bin/true\"]\n[security]\nuser_namespace = \"524288:131072\"\n",
        "store: web.container: of the ids 524288:131072 in security.user_namespace keep.container has ",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"bind\"\nsource = \"/srv/no\"\n",
        "open bind: /srv/no: No such file or directory; make it, or begin the mount's source with \"-\" to do without it",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"bind\"\nsource = \"/etc/passwd/x\"\n",
        "open bind: /etc/passwd/x: Not a directory",
    ),
    Case {
        host: ["ln -sfn circle /srv/circle", "rm /srv/circle"],
        unit: "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"bind\"\nsource = \"/srv/circle\"\n",
        told: "open bind: /srv/circle: Too many levels of symbolic links; ",
    },
    case(
        "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"bind\"\nsource = \"/sys/kernel\"\noptions = [\"norbind\"]\n",
        "map ids of bind: /sys/kernel: Invalid argument; its file system, or one mounted below it, cannot map ids: use the options \"noidmap\" or \"norbind\"",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/file\"]\ntype = \"bind\"\nsource = \"/srv\"\n",
        "mount: /file: Not a directory; what is there, or above it, is a file: a directory is mounted on a directory",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/data\"]\ntype = \"bind\"\nsource = \"/etc/passwd\"\noptions = [\"noidmap\"]\n",
        "mount: /data: Is a directory; a file cannot be mounted on a directory",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/file/below\"]\ntype = \"tmpfs\"\n",
        "mount: /file/below: Not a directory",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/loop\"]\ntype = \"tmpfs\"\n",
        "mount: /loop: Too many levels of symbolic links; ",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/dangling\"]\ntype = \"tmpfs\"\n",
        "mount: /dangling: No such file or directory; a symbolic link of the image on the way leads nowhere",
    ),
    case("command = [\"/bin/true\"]\n[mount.\"/to-proc\"]\ntype = \"tmpfs\"\n", "mount: /to-proc: "),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/bound\"]\ntype = \"bind\"\nsource = \"/usr\"\noptions = [\"ro\", \"noidmap\"]\n[mount.\"/bound/new\"]\ntype = \"tmpfs\"\n",
        "mount: /bound/new: Read-only file system; the place to mount at is missing",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"tmpfs\"\noptions = [\"uid=70000\"]\n",
        "mount: /x: Invalid argument; an option is not valid: an id of a tmpfs",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"image\"\nsource = \"localhost/no\"\n",
        "mount.\"/x\": no image \"localhost/no\" in the store; ",
    ),
    case(
        "command = [\"/bin/true\"]\n[mount.\"/file\"]\ntype = \"volume\"\nsource = \"of-file\"\n",
        "volume of-file: read: ",
    ),
    Case {
        host: ["touch /var/lib/sampan/volumes/odd", "rm /var/lib/sampan/volumes/odd"],
        unit: "command = [\"/bin/true\"]\n[mount.\"/x\"]\ntype = \"volume\"\nsource = \"odd\"\n",
        told: "volume odd: ",
    },
    case(
        "command = [\"/bin/true\"]\nenvironment_file = [\"/etc/no.env\"]\n",
        "read environment file: /etc/no.env: No such file or directory; make it, or begin it with \"-\" to do without it",
    ),
    case(
        "command = [\"/bin/true\"]\n[security]\nread_only_paths = [\"/loop\"]\n",
        "protect: /loop: Too many levels of symbolic links; ",
    ),
    case(
        "command = [\"/bin/true\"]\n[security]\nmask_paths = [\"/loop\"]\n",
        "mask: /loop: Too many levels of symbolic links; ",
    ),
    case(
        "command = [\"/bin/true\"]\ntimezone = \"Mars/Olympus\"\n",
        "open bind: /usr/share/zoneinfo/Mars/Olympus: No such file or directory; ",
    ),
    Case {
        host: ["mv /run/systemd/journal/stdout /run/away", "mv /run/away /run/systemd/journal/stdout"],
        unit: "command = [\"/bin/true\"]\n",
        told: "connect to journal: web: No such file or directory; ",
    },
    Case {
        host: [
            "umount -l /dev/full; mv /dev/full /dev/away",
            "mv /dev/away /dev/full; mount --bind /dev/null /dev/full",
        ],
        unit: "command = [\"/bin/true\"]\n",
        told: "copy mount: /dev/full: No such file or directory; the host lacks it",
    },
    Case {
        host: [
            "for image in /var/lib/sampan/images/*; do mv $image/rootfs $image/away; done",
            "for image in /var/lib/sampan/images/*; do mv $image/away $image/rootfs; done",
        ],
        unit: "command = [\"/bin/true\"]\n",
        told: "mount root: /var/lib/sampan/images/",
    },
    Case {
        host: [
            "mkdir -m 0700 /var/lib/sampan/containers/web.container; touch /var/lib/sampan/containers/web.container/persistent",
            "rm -r /var/lib/sampan/containers/web.container",
        ],
        unit: "root = \"persistent\"\ncommand = [\"/bin/true\"]\n",
        told: "mount root: /var/lib/sampan/containers/",
    },
    Case {
        host: [
            "mkdir -m 0700 /var/lib/sampan/containers/web.container; chattr +i /var/lib/sampan/containers/web.container",
            "chattr -i /var/lib/sampan/containers/web.container; rmdir /var/lib/sampan/containers/web.container",
        ],
        unit: "command = [\"/bin/true\"]\n",
        told: "mount root: /var/lib/sampan/containers/",
    },
    Case {
        host: [
            "ln -s /dev/null /run/systemd/system/odd.slice; systemctl daemon-reload",
            "rm /run/systemd/system/odd.slice; systemctl daemon-reload",
        ],
        unit: "command = [\"/bin/true\"]\n[resources]\nslice = \"odd.slice\"\n",
        told: "sampan-web.scope: ",
    },
];

#[test]
fn a_mount_that_cannot_be_made_is_told() {
    assert_each_fails(&host(), MOUNTS);
}
