"""Runs what `benches/times` measures, and prints its table."""
import json
import os
import pathlib
import statistics
import subprocess
import time

DIRECTORY, WORK, PROGRAMS = (pathlib.Path(os.environ[name]) for name in ("DIRECTORY", "WORK", "PROGRAMS"))
ROUNDS = int(os.environ["ROUNDS"])
ROOT = WORK / "root"
CLASSES = ":".join(f"/usr/share/java/{name}.jar" for name in ("clojure", "core.specs.alpha", "spec.alpha"))
JAVA = ["java", "-cp", CLASSES, "clojure.main", "-e", "1"]
ARCHIVE = "-XX:SharedArchiveFile=/opt/app.jsa"
STARTS = {
    "Python: NumPy, Django": ["python3", "-c", "import numpy, django.db.models, django.forms, django.http"],
    "Java: JRE's archive": JAVA,
    "Java: own archive": [JAVA[0], ARCHIVE, *JAVA[1:]],
}
# Fails where an archive cannot be used, instead of going on without.
IN_USE = {
    "Java: JRE's archive": ["java", "-Xshare:on", "-version"],
    "Java: own archive": ["java", "-Xshare:on", ARCHIVE, "-cp", CLASSES, "clojure.main", "-e", "1"],
}


def control(*arguments):
    command = [PROGRAMS / "sampanctl", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Container:
    """A root over an image that forgets what is written, with /proc."""

    def __init__(self, lower):
        self.lower = lower

    def __enter__(self):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", ROOT], check=True)
        for name in ("upper", "work", "root"):
            (ROOT / name).mkdir()
        options = f"lowerdir={self.lower},upperdir={ROOT}/upper,workdir={ROOT}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, ROOT / "root"], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", ROOT / "root/proc"], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--recursive", ROOT], check=True)

    def run(self, command):
        """Seconds, seconds of all processors, and whether it succeeded."""
        begin = time.monotonic()
        process = subprocess.Popen(["chroot", ROOT / "root", *command], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, process.returncode == 0


def store(name, options):
    """A store with both images; the tree of the second."""
    path = WORK / name
    control("create-store", "--store", path, *options)
    for image in ("first", "later"):
        control("import", DIRECTORY / f"{image}.tar", "--format", "tree", "--name", image, "--quiet", "--store", path)
    return json.loads(control("inspect", "later", "--output", "json", "--store", path))["rootfs"]


def main():
    ROOT.mkdir()
    trees = {"kept": store("kept", []), "ignored": store("ignored", ["--ignore-mtime"])}
    results = {(start, times): [] for start in STARTS for times in trees}
    for _ in range(ROUNDS + 1):
        for start, times in results:
            with Container(trees[times]) as container:
                *figures, succeeded = container.run(STARTS[start])
                assert succeeded, f"{start} does not start"
                results[start, times].append(figures)
    print(f"{'':<24}{'times':<9}{'s':>6}{'cpu s':>7}   archive")
    for (start, times), figures in results.items():
        # The first round read the files from the disk.
        seconds, processor = (statistics.median(column) for column in zip(*figures[1:]))
        with Container(trees[times]) as container:
            used = {True: "used", False: "refused"}[container.run(IN_USE[start])[2]] if start in IN_USE else ""
        print(f"{start:<24}{times:<9}{seconds:>6.2f}{processor:>7.2f}   {used}")
    print(f"\nload of the last minute {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {ROUNDS} rounds")


main()
