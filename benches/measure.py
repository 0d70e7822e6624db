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


def crun_bundle(name, rootfs, verb):
    """A bundle for crun with the payload and the FIFO."""
    bundle = SRV / name
    bundle.mkdir()
    run("crun", "spec", cwd=bundle)
    spec = json.loads((bundle / "config.json").read_text())
    spec["root"] = {"path": rootfs, "readonly": True}
    spec["process"]["args"] = ["/payload", verb]
    spec["process"]["terminal"] = False
    # Device rules are a BPF program, which a host in namespaces may not be allowed to load.
    del spec["linux"]["resources"]
    spec["mounts"].append({"destination": "/stamp", "source": "/srv/stamp", "type": "bind", "options": ["bind"]})
    (bundle / "config.json").write_text(json.dumps(spec))
    return str(bundle)


def podman(*words):
    """A command of Podman, whose storage is on the real disk.

    Its containers have no control group: device rules are a BPF program, which a host in namespaces may not load.
    """
    return ["podman", "--root", "/srv/podman", "--runroot", "/run/podman-bench", *words]


PODMAN_RUN = ["run", "--pull=never", "--network=none", "--cgroups=disabled", "--log-driver=journald"]


def nothing():
    """What a contender that cleans up by itself leaves to do."""


def starters(rootfs):
    """Name, command and clean-up of each contender; ours first."""
    yield "sampanctl start", ["sampanctl", "start", "stamp"], lambda: run("sampanctl", "stop", "stamp")
    isolate = [f"--unshare-{name}" for name in NAMESPACES]
    bwrap = ["bwrap", *isolate, "--ro-bind", rootfs, "/", "--bind", "/srv/stamp", "/stamp"]
    bwrap += ["--proc", "/proc", "--dev", "/dev", "/payload", "stamp"]
    yield "bwrap", bwrap, nothing
    yield "systemd-run --scope bwrap", ["systemd-run", "--quiet", "--scope", *bwrap], nothing
    bundle = crun_bundle("stamper", rootfs, "stamp")
    yield "crun run", ["crun", "run", "--bundle", bundle, "bench"], nothing
    yield "crun --systemd-cgroup run", ["crun", "--systemd-cgroup", "run", "--bundle", bundle, "bench"], nothing
    volume = "--volume=/srv/stamp:/stamp"
    yield "podman run", podman(*PODMAN_RUN, "--rm", volume, "localhost/bench", "/payload", "stamp"), nothing


def stop_latency(start, stop, pause):
    """Milliseconds from the start of a command that stops to the end of it, and of what it stops."""
    running = start()
    time.sleep(pause)
    begin = time.monotonic_ns()
    run(*stop)
    if running is not None:
        running.wait()
    return (time.monotonic_ns() - begin) / 1e6


def started(*words):
    """Runs a command that leaves what it has started running."""
    run(*words)


def until_it_runs(command, sign):
    """Starts a command in the background and waits until a file is there."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not sign():
        if process.poll() is not None:
            sys.exit(f"{command} failed")
        time.sleep(0.001)
    return process


def crun_runs():
    """Whether crun's container executes the payload."""
    state = subprocess.run(["crun", "state", "rest"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return state.returncode == 0 and json.loads(state.stdout)["status"] == "running"


def stoppers(rootfs):
    """Name, start and command to stop of each contender; ours first."""
    yield "sampanctl stop", lambda: started("sampanctl", "start", "pause@0"), ["sampanctl", "stop", "pause@0"]
    bundle = crun_bundle("pauser", rootfs, "pause")
    crun = ["crun", "run", "--bundle", bundle, "rest"]
    yield "crun kill TERM", lambda: until_it_runs(crun, crun_runs), ["crun", "kill", "rest", "TERM"]
    detached = podman(*PODMAN_RUN, "--rm", "--detach", "--name=rest", "localhost/bench", "/payload", "pause")
    yield "podman stop", lambda: started(*detached), podman("stop", "rest")
    unit = "rest.service"
    yield (
        "systemctl stop",
        lambda: started("systemd-run", "--quiet", "--service-type=exec", f"--unit={unit}", "/srv/payload", "pause"),
        ["systemctl", "stop", unit],
    )


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
    run(*podman("import", "--quiet", "/srv/layer.tar", "localhost/bench"))
    compare("Start of a stopped unit to the payload's first instruction", starters("/srv/rootfs"), start_latency)
    compare("Stop of a payload that obeys SIGTERM, whole command", stoppers("/srv/rootfs"), stop_latency)
    compare("connect() to the first byte of a stopped service", activators(), first_byte_latency)
    memory()


main()
