"""Measures Sampan beside its peers, on the host that it runs on; `benches/run` calls it there.

Each number is a median over alternating rounds, so that all contenders see the same machine. All is measured
twice. At rest is what a service that sleeps sees: moving a process into a control group waits for a grace period of
RCU, some 10 ms. Back to back, the measurement before has paid for that, if it was less than that long ago.
"""
import json
import os
import pathlib
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import time

ROUNDS = 25
REST = 0.25
CONTAINERS = 100
SRV = pathlib.Path("/srv")
FIFO = SRV / "stamp" / "at"
NAMESPACES = ["user", "ipc", "pid", "net", "uts", "cgroup"]


def run(*words, **options):
    """Runs a command that must succeed; its standard output."""
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options)
    return done.stdout


def start_latency(command, clean, pause):
    """Milliseconds from the start of a command to the payload's first instruction."""
    time.sleep(pause)
    fifo = os.open(FIFO, os.O_RDWR)
    begin = time.monotonic_ns()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    stamp = os.read(fifo, 64) if select.select([fifo], [], [], 30)[0] else b""
    if process.wait() != 0 or not stamp:
        sys.exit(f"{command} failed")
    os.close(fifo)
    clean()
    return (int(stamp) - begin) / 1e6


def first_byte_latency(address, prepare, clean, pause):
    """Milliseconds from connect to the first byte."""
    prepare()
    time.sleep(pause)
    begin = time.monotonic_ns()
    with socket.create_connection(address, timeout=30) as connection:
        if connection.recv(1) != b"!":
            sys.exit(f"{address}: no answer")
    end = time.monotonic_ns()
    clean()
    return (end - begin) / 1e6


def crun_bundle(rootfs):
    """A bundle for crun with the payload and the FIFO."""
    bundle = SRV / "bundle"
    bundle.mkdir()
    run("crun", "spec", cwd=bundle)
    spec = json.loads((bundle / "config.json").read_text())
    spec["root"] = {"path": rootfs, "readonly": True}
    spec["process"]["args"] = ["/payload", "stamp"]
    spec["process"]["terminal"] = False
    # Device rules are a BPF program, which a host in namespaces may not be allowed to load.
    del spec["linux"]["resources"]
    spec["mounts"].append({"destination": "/stamp", "source": "/srv/stamp", "type": "bind", "options": ["bind"]})
    (bundle / "config.json").write_text(json.dumps(spec))
    return str(bundle)


def starters(rootfs):
    """Name, command and clean-up of each contender; ours first."""
    yield "sampanctl start", ["sampanctl", "start", "stamp"], lambda: run("sampanctl", "stop", "stamp")
    isolate = [f"--unshare-{name}" for name in NAMESPACES]
    bwrap = ["bwrap", *isolate, "--ro-bind", rootfs, "/", "--bind", "/srv/stamp", "/stamp"]
    bwrap += ["--proc", "/proc", "--dev", "/dev", "/payload", "stamp"]
    yield "systemd-run --scope bwrap", ["systemd-run", "--quiet", "--scope", *bwrap], lambda: None
    if shutil.which("crun"):
        bundle = crun_bundle(rootfs)
        crun = ["crun", "--systemd-cgroup", "run", "--bundle", bundle, "bench"]
        yield "crun --systemd-cgroup run", crun, lambda: None


def activators():
    """Name, address, preparation and clean-up of each contender; ours first."""
    ours = lambda: run("sampanctl", "start", "serve"), lambda: run("sampanctl", "stop", "serve")
    yield "sampan, pass = \"fd\"", ("127.0.0.1", 9001), *ours
    for port, unit, name in [(9002, "isolated", "systemd, namespaces as ours"), (9003, "plain", "systemd, no isolation")]:
        units = [f"{unit}.socket", f"{unit}.service"]
        yield (
            name,
            ("127.0.0.1", port),
            lambda units=units: run("systemctl", "start", units[0]),
            lambda units=units: run("systemctl", "stop", *units),
        )


def compare(title, contenders, measure):
    """Prints the medians of all contenders, at rest and back to back."""
    contenders = list(contenders)
    for state, pause in [("at rest", REST), ("back to back", 0)]:
        samples = {name: [] for name, *_ in contenders}
        for _ in range(ROUNDS):
            for name, *arguments in contenders:
                samples[name].append(measure(*arguments, pause))
        print(f"\n{title}, {state} (median of {ROUNDS})")
        show(samples)


def show(samples):
    """Prints each median and its ratio to the first."""
    ours = statistics.median(next(iter(samples.values())))
    for name, values in samples.items():
        median = statistics.median(values)
        print(f"  {name:28} {median:8.2f} ms   {median / ours:5.2f} x   ({min(values):.2f} to {max(values):.2f})")


def resident(pid):
    """Resident kilobytes of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def memory():
    """Prints what the daemon takes for many containers, and which processes of ours stay."""
    daemon = run("systemctl", "show", "--property=MainPID", "--value", "sampand").strip()
    before = resident(daemon)
    names = [f"pause@{number}" for number in range(CONTAINERS)]
    for name in names:
        run("sampanctl", "start", name)
    print(f"\nResident memory of sampand: {before} KiB, with {CONTAINERS} containers {resident(daemon)} KiB")
    found = subprocess.run(["pgrep", "--count", "sampan-"], stdout=subprocess.PIPE, text=True, check=False)
    print(f"Other processes of ours: {found.stdout.strip()}")


def main():
    compare("Start of a stopped unit to the payload's first instruction", starters("/srv/rootfs"), start_latency)
    compare("connect() to the first byte of a stopped service", activators(), first_byte_latency)
    memory()


main()
