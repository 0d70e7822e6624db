"""Measures sockets, on the host that it runs on; `benches/sockets` calls it there.

Each number is a median over alternating rounds, so that all contenders see the same machine; ratios are to the first.
"""
import os
import pathlib
import random
import re
import socket
import statistics
import subprocess
import sys
import time

WAKES = 25
REST = 0.25
LOADS = 5
SLEEPERS = 1000
SLEEPERS_BEFORE = 200
SRV = pathlib.Path("/srv")
UNITS = pathlib.Path("/etc/sampan/units")
SYSTEM = pathlib.Path("/etc/systemd/system")
CONTAINER = '[container]\nimage = "localhost/{image}"\nstart_limit = {{ burst = 0 }}\n{command}[activation]\nstart = "socket"\n{idle}[socket.main]\nlisten = "{listen}"\npass = "{how}"\n{target}{mount}'


def run(*words):
    """Runs a command that must succeed; its standard output."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def unit(name, image, listen, how, command="", target="", idle="", mount=""):
    """Writes a unit."""
    command = f"command = {command}\n" if command else ""
    target = f'target = "{target}"\n' if target else ""
    text = CONTAINER.format(image=image, listen=listen, how=how, command=command, target=target, idle=idle, mount=mount)
    (UNITS / f"{name}.container.toml").write_text(text)


def systemd(name, port, service):
    """Writes a socket of systemd's and its service."""
    (SYSTEM / f"{name}.socket").write_text(f"[Socket]\nListenStream=127.0.0.1:{port}\nTriggerLimitBurst=0\n")
    (SYSTEM / f"{name}.service").write_text(f"[Unit]\nStartLimitBurst=0\n[Service]\n{service}")


ISOLATED = """ExecStart=/payload serve
RootDirectory=/srv/rootfs
MountAPIVFS=yes
PrivateUsers=yes
PrivateNetwork=yes
PrivateIPC=yes
PrivateDevices=yes
ProtectHostname=yes
NoNewPrivileges=yes
SystemCallFilter=@system-service
"""
# As Quadlet writes it. Without a control group: its device rules are a BPF program, which this host may not load.
QUADLET = """Type=notify
NotifyAccess=all
KillMode=mixed
ExecStart=podman --root /srv/podman --runroot /run/podman-bench run --name=quadlet --replace --rm --sdnotify=conmon -d \
--pull=never --network=none --cgroups=disabled --log-driver=journald localhost/bench /payload serve
ExecStop=podman --root /srv/podman --runroot /run/podman-bench rm -f -t 0 quadlet
"""


def first_byte(port):
    """Milliseconds from connect to the first byte."""
    begin = time.monotonic_ns()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        if connection.recv(1) != b"!":
            sys.exit(f"port {port}: no answer")
    return (time.monotonic_ns() - begin) / 1e6


def show(samples, unit, more_is_better=False):
    """Prints each median and its ratio to the first."""
    first = statistics.median(next(iter(samples.values())))
    for name, values in samples.items():
        median = statistics.median(values)
        ratio = first / median if more_is_better else median / first
        print(f"  {name:40} {median:10.2f} {unit}   {ratio:6.2f} x   ({min(values):.2f} to {max(values):.2f})")


def wakes():
    """A connection to a service that does not run."""
    unit("fd", "bench", "127.0.0.1:9001", "fd", '["serve"]')
    unit("swap", "bench", "127.0.0.1:9002", "swap", '["bind", "9002"]')
    unit("proxy", "bench", "127.0.0.1:9003", "proxy", '["bind", "9003"]')
    systemd("isolated", 9004, ISOLATED)
    systemd("plain", 9005, "ExecStart=/srv/payload serve\n")
    systemd("quadlet", 9006, QUADLET)
    run("systemctl", "daemon-reload")
    run("sampanctl", "daemon-reload")
    ours = [(f'sampan, pass = "{name}"', name, port) for name, port in [("fd", 9001), ("swap", 9002), ("proxy", 9003)]]
    theirs = [("systemd, namespaces as ours", "isolated", 9004), ("systemd, no isolation", "plain", 9005)]
    theirs.append(("podman, as Quadlet has it", "quadlet", 9006))
    samples = {name: [] for name, *_ in ours + theirs}
    rows = [(row, ["sampanctl"], row[1:2]) for row in ours]
    rows += [(row, ["systemctl"], [f"{row[1]}.socket", f"{row[1]}.service"]) for row in theirs]
    for _ in range(WAKES):
        # What one leaves to be done after its end must not always be paid by the same next one.
        for (name, _, port), manager, units in random.sample(rows, len(rows)):
            run(*manager, "start", units[0])
            time.sleep(REST)
            samples[name].append(first_byte(port))
            run(*manager, "stop", *units)
    print(f"connect() to the first byte of a stopped service (median of {WAKES})")
    show(samples, "ms")


def thaws():
    """A connection to a container that is frozen, beside one that runs."""
    unit("awake", "bench", "127.0.0.1:9011", "fd", '["serve"]')
    unit("frozen", "bench", "127.0.0.1:9012", "fd", '["serve"]', idle='idle_timeout = "100ms"\nidle_action = "freeze"\n')
    run("sampanctl", "daemon-reload")
    run("sampanctl", "start", "awake", "frozen")
    samples = {"running": [], "frozen": []}
    first_byte(9011), first_byte(9012)
    for _ in range(WAKES):
        while run("sampanctl", "show", "--value", "--property=SubState", "frozen").strip() != "frozen":
            time.sleep(0.02)
        time.sleep(REST)
        samples["running"].append(first_byte(9011))
        samples["frozen"].append(first_byte(9012))
    print(f"\nconnect() to the first byte of a container that is there (median of {WAKES})")
    show(samples, "ms")
    run("sampanctl", "stop", "awake", "frozen")


def nginx_on_host(port):
    """The server of the image, on the host."""
    text = (SRV / "nginx.conf").read_text().replace("listen 80", f"listen 127.0.0.1:{port}")
    (SRV / "bare.conf").write_text(text.replace("/run/nginx.pid", "/run/bare.pid").replace("user www-data;", "user root;"))
    return subprocess.Popen(["nginx", "-c", "/srv/bare.conf"], stderr=subprocess.DEVNULL)


NGINX = """daemon off;
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr notice;
events { }
http {
    access_log off;
    server { listen 80; root /srv/www; }
}
"""


def load(seconds):
    """Requests of nginx and Redis behind each way of passing.

    The page lies in one directory for all, as data does; what the file system of a root costs is a row of its own: this
    host's is an overlay itself, so that open(2) goes through two of them.
    """
    (SRV / "www").mkdir()
    (SRV / "www" / "index.html").write_text("<h1>Hello from nginx</h1>\n")
    (SRV / "nginx.conf").write_text(NGINX)
    servers = [nginx_on_host(9021), subprocess.Popen(["redis-server", "--port", "9031", "--save", ""], stdout=subprocess.DEVNULL)]
    page = '[mount."/var/www"]\ntype = "bind"\nsource = "/srv/www"\n'
    unit("nginx-swap", "web", "127.0.0.1:9022", "swap", target="0.0.0.0:80", mount=page)
    unit("nginx-proxy", "web", "127.0.0.1:9023", "proxy", target="127.0.0.1:80", mount=page)
    unit("nginx-root", "web", "127.0.0.1:9024", "swap", target="0.0.0.0:80")
    redis = '["/usr/bin/redis-server", "--save", "", "--protected-mode", "no"]'
    unit("redis-swap", "servers", "127.0.0.1:9032", "swap", redis, target="0.0.0.0:6379")
    unit("redis-proxy", "servers", "127.0.0.1:9033", "proxy", redis, target="127.0.0.1:6379")
    units = ["nginx-swap", "nginx-proxy", "nginx-root", "redis-swap", "redis-proxy"]
    run("sampanctl", "daemon-reload")
    run("sampanctl", "start", *units)
    names = ["on the bare host", 'sampan, pass = "swap"', 'sampan, pass = "proxy"']
    pages = [*names, "swap, the page in the image"]
    rates, latencies = ({name: [] for name in pages} for _ in range(2))
    redis = {name: [] for name in names}
    for _ in range(LOADS):
        for name, port in zip(pages, range(9021, 9025)):
            text = run("wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/")
            rates[name].append(float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]))
            value, scale = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
            latencies[name].append(float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[scale])
        for name, port in zip(names, range(9031, 9034)):
            text = run("redis-benchmark", "-p", str(port), "-t", "get", "-n", "50000", "-c", "16", "-q")
            redis[name].append(float(re.findall(r"([\d.]+) requests per second", text)[-1]))
    print(f"\nnginx, 16 connections, requests per second (median of {LOADS})")
    show(rates, "/s", more_is_better=True)
    print("nginx, median latency")
    show(latencies, "us")
    print("Redis, GET by 16 clients, requests per second")
    show(redis, "/s", more_is_better=True)
    for server in servers:
        server.terminate()
    run("sampanctl", "stop", *units)


def daemon():
    """The process of sampand."""
    return run("systemctl", "show", "--property=MainPID", "--value", "sampand").strip()


def private():
    """Its own memory in KiB."""
    text = pathlib.Path(f"/proc/{daemon()}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+)", text))


def listen(numbers):
    """Loads units that are started by their sockets, and has them listen: sampand's memory before, between and after."""
    before = private()
    names = [f"s{number}" for number in numbers]
    for name in names:
        unit(name, "bench", f"/run/sleepers/{name}.sock", "fd", '["serve"]')
    run("sampanctl", "daemon-reload")
    loaded = private()
    run("sampanctl", "start", *names)
    run("sampanctl", "list-sockets")
    return before, loaded, private()


def sleepers():
    """Many units that listen, and run nothing. The first have the program in memory that they are read with."""
    run("systemctl", "restart", "sampand")
    listen(range(SLEEPERS_BEFORE))
    before, loaded, own = listen(range(SLEEPERS_BEFORE, SLEEPERS_BEFORE + SLEEPERS))
    listening = run("sampanctl", "list-sockets", "--no-legend").count(" listening ")
    log = SRV / "strace"
    subprocess.run(["timeout", "--signal=INT", "20", "strace", "-f", "-qq", "-o", str(log), "-p", daemon()], check=False)
    calls = [line for line in log.read_text().splitlines() if "unfinished" not in line and "detached" not in line]
    processes = subprocess.run(["pgrep", "--count", "--full", "/payload"], stdout=subprocess.PIPE, text=True, check=False)
    print(f"\n{listening} sleeping units: {(own - before) / SLEEPERS:.2f} KiB of sampand's own memory for each of the last {SLEEPERS}, {(own - loaded) / SLEEPERS:.2f} of it to listen")
    print(f"  processes: {processes.stdout.strip()}; system calls of sampand in 20 s: {len(calls)}")


def main():
    UNITS.mkdir(parents=True, exist_ok=True)
    run("sampanctl", "import", str(SRV / "bench"), "--name", "localhost/bench")
    for image in ("web", "servers"):
        run("sampanctl", "import", str(SRV / f"{image}.tar"), "--name", f"localhost/{image}")
    run("podman", "--root", "/srv/podman", "--runroot", "/run/podman-bench", "import", "--quiet", "/srv/layer.tar", "localhost/bench")
    run("systemctl", "start", "sampand")
    parts = {"wakes": wakes, "thaws": thaws, "load": lambda: load(sys.argv[1]), "sleepers": sleepers}
    for name in sys.argv[2:] or parts:
        parts[name]()
    print(f"\nload of the last minute {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


main()
