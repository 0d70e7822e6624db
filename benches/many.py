"""Measures many units, on the host that it runs on; `benches/many` calls it there.

Each number is a median; ours and Podman's rounds alternate, so that both see the same machine.
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

UNITS = 500
CONTAINERS = 100
ROUNDS = 5
CALLS = 50
SRV = pathlib.Path("/srv")
FILES = pathlib.Path("/etc/sampan/units")
UNIT = """[unit]
description = "Service {0} of many"
documentation = ["https://service{0}.example/"]
before = ["service{1}.container"]
[container]
image = "localhost/bench"
command = ["pause"]
environment = {{ NUMBER = "{0}", ADDRESS = "127.0.0.1:{2}" }}
restart = "on-failure"
[resources]
memory_max = "256M"
tasks_max = 64
[install]
wanted_by = ["default.target"]
"""
PAUSE = """[container]
image = "localhost/bench"
command = ["pause"]
start_limit = { burst = 0 }
"""


def run(*words):
    """Runs a command that must succeed; its standard output."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def milliseconds(*words):
    """How long a command takes, from its start to its end."""
    begin = time.monotonic_ns()
    run(*words)
    return (time.monotonic_ns() - begin) / 1e6


def show(name, values, unit="ms"):
    """Prints a median."""
    print(f"  {name:44} {statistics.median(values):9.2f} {unit}   ({min(values):.2f} to {max(values):.2f})")


def daemon():
    """The process of sampand."""
    return run("systemctl", "show", "--property=MainPID", "--value", "sampand").strip()


def resident():
    """Its resident memory in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{daemon()}/status").read_text())[1])


def switches():
    """How often its threads have run."""
    tasks = pathlib.Path(f"/proc/{daemon()}/task").glob("*/status")
    return sum(int(count) for task in tasks for count in re.findall(r"ctxt_switches:\s+(\d+)", task.read_text()))


def units():
    """Many units that are loaded, and none of them runs."""
    for number in range(UNITS):
        text = UNIT.format(number, number + 1, 10000 + number)
        (FILES / f"service{number}.container.toml").write_text(text)
    run("sampanctl", "daemon-reload")
    print(f"\n{UNITS} units loaded, medians of {CALLS} calls")
    loaded = run("sampanctl", "list-units", "--all", "--no-legend").count("loaded")
    print(f"  units in memory: {loaded}, sampand: {resident()} KiB resident")
    show("sampanctl daemon-reload, whole process", [milliseconds("sampanctl", "daemon-reload") for _ in range(CALLS)])
    call = ["busctl", "call", "org.sampan1", "/org/sampan1", "org.sampan1.Manager", "Reload"]
    show("busctl call … Reload, whole process", [milliseconds(*call) for _ in range(CALLS)])
    show("sampanctl list-units --all, whole process", [milliseconds("sampanctl", "list-units", "--all") for _ in range(CALLS)])
    show("sampanctl list-units, whole process", [milliseconds("sampanctl", "list-units") for _ in range(CALLS)])
    show("sampanctl --version, whole process", [milliseconds("sampanctl", "--version") for _ in range(CALLS)])
    print(f"  sampand afterwards: {resident()} KiB resident")


def idle(seconds):
    """Whether an idle daemon with units and a container is ever woken."""
    run("sampanctl", "start", "pause@0")
    time.sleep(2)
    before = switches()
    time.sleep(seconds)
    print(f"\nIdle for {seconds} s: sampand was woken {switches() - before} times")
    log = SRV / "strace"
    watch = ["timeout", "--signal=INT", str(seconds), "strace", "-f", "-qq", "-o", str(log), "-p", daemon()]
    subprocess.run(watch, check=False)
    # What strace itself interrupted is there, as a call that never ends.
    calls = [line for line in log.read_text().splitlines() if "unfinished" not in line and "detached" not in line]
    print(f"  system calls that strace saw in as long: {len(calls)}")
    run("sampanctl", "stop", "pause@0")


def podman(*words):
    """A command of Podman, whose storage is on the real disk."""
    return ["podman", "--root", "/srv/podman", "--runroot", "/run/podman-bench", *words]


def starts():
    """Many containers at once, and one alone, beside Podman.

    Podman's have no control group: its device rules are a BPF program, which a host in namespaces may not load.
    """
    names = [f"pause@{number}.container" for number in range(CONTAINERS)]
    wants = "".join(f'"{name}", ' for name in names)
    (FILES / "many.target.toml").write_text(f"[unit]\nwants = [{wants}]\nafter = [{wants}]\n")
    run("sampanctl", "daemon-reload")
    run(*podman("import", "--quiet", "/srv/layer.tar", "localhost/bench"))
    theirs = [f"bench{number}" for number in range(CONTAINERS)]
    for name in theirs:
        options = ["--pull=never", "--network=none", "--cgroups=disabled", "--log-driver=journald", "--stop-signal=KILL", "--name", name]
        run(*podman("create", *options, "localhost/bench", "/payload", "pause"))
    samples = {"ours": [], "alone": [], "podman": [], "parallel": [], "podman alone": []}
    for _ in range(ROUNDS):
        samples["ours"].append(milliseconds("sampanctl", "start", "many.target"))
        active = run("sampanctl", "list-units", "--state=running", "--no-legend", "pause@*").count("running")
        assert active == CONTAINERS, active
        run("sampanctl", "stop", "many.target", *names)
        for _ in range(10):
            samples["alone"].append(milliseconds("sampanctl", "start", "pause@0"))
            run("sampanctl", "stop", "pause@0")
        samples["podman"].append(milliseconds(*podman("start", *theirs)))
        run(*podman("kill", "--signal=KILL", *theirs))
        run(*podman("wait", *theirs))
        samples["podman alone"].append(milliseconds(*podman("start", theirs[0])))
        run(*podman("kill", "--signal=KILL", theirs[0]))
        run(*podman("wait", theirs[0]))
        parallel = f"printf '%s\\n' {' '.join(theirs)} | xargs -P {os.cpu_count()} -n 10 {' '.join(podman('start'))}"
        samples["parallel"].append(milliseconds("sh", "-c", parallel))
        run(*podman("kill", "--signal=KILL", *theirs))
        run(*podman("wait", *theirs))
    print(f"\n{CONTAINERS} containers, medians of {ROUNDS} rounds")
    show("sampanctl start many.target", samples["ours"])
    show("podman start, of all in one command", samples["podman"])
    show(f"podman start, {os.cpu_count()} commands at once", samples["parallel"])
    ours = statistics.median(samples["ours"])
    for name in ("podman", "parallel"):
        print(f"  ratio to ours: {statistics.median(samples[name]) / ours:.2f}")
    show("ours, of one alone", samples["alone"])
    show("ours, of one among all", [value / CONTAINERS for value in samples["ours"]])
    show("podman, of one alone", samples["podman alone"])
    run(*podman("rm", "--force", "--all"))


def main():
    FILES.mkdir(parents=True, exist_ok=True)
    run("sampanctl", "import", str(SRV / "bench"), "--name", "localhost/bench")
    (FILES / "pause@.container.toml").write_text(PAUSE)
    run("systemctl", "start", "sampand")
    units()
    starts()
    idle(int(sys.argv[1]))
    print(f"\nload of the last minute {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


main()
