"""Runs what `benches/import` measures, and prints its tables."""
import json
import os
import pathlib
import statistics
import subprocess
import time

DIRECTORY, WORK = pathlib.Path(os.environ["DIRECTORY"]), pathlib.Path(os.environ["WORK"])
IMPORTER, CONTROL = os.environ["IMPORTER"], os.environ["CONTROL"]
ROUNDS = int(os.environ["ROUNDS"])
DISK = WORK / "disk"
STORE = DISK / "store"


def blobs(name):
    """The paths of an image's layers."""
    layout = DIRECTORY / name
    blob = lambda digest: layout / "blobs" / digest.replace(":", "/")
    manifest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return [blob(layer["digest"]) for layer in json.loads(blob(manifest).read_text())["layers"]]


def fresh_disk():
    """An empty ext4 of its own, in a file."""
    subprocess.run(["umount", "--quiet", "--recursive", DISK], check=False)
    image = WORK / "disk.img"
    image.unlink(missing_ok=True)
    with open(image, "wb") as file:
        file.truncate(8 << 30)
    options = "lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-E", options, image], check=True)
    subprocess.run(["mount", "-o", "loop", image, DISK], check=True)
    os.sync()


def measure(command, source=os.devnull):
    """Seconds, seconds of all processors and peak memory in MB of a command that must succeed."""
    descriptor = os.open(source, os.O_RDONLY)
    begin = time.monotonic()
    process = subprocess.Popen(command, stdin=descriptor, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    os.close(descriptor)
    if process.returncode != 0:
        raise SystemExit(f"{command} failed: {error.decode()}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def shell(script):
    return measure(["bash", "-euo", "pipefail", "-c", script])


def sampan(image, store=STORE):
    return measure([IMPORTER, "--store", str(store)], DIRECTORY / image)


def each(image, command, after=""):
    """A command for each layer; LAYER stands for its path."""
    return shell("; ".join(command.replace("LAYER", str(path)) for path in blobs(image)) + after)


def tar(image, unpack, after=""):
    (DISK / "tree").mkdir()
    return each(image, f"{unpack} <LAYER | tar --extract --directory {DISK}/tree --numeric-owner --xattrs", after)


def podman(image):
    options = f"--root {DISK}/podman --runroot {WORK}/run --storage-driver overlay"
    return shell(f"podman {options} pull --quiet oci:{DIRECTORY}/{image}:latest")


def skopeo(image):
    storage = f"containers-storage:[overlay@{DISK}/skopeo+{WORK}/run]bench:latest"
    return measure(["skopeo", "copy", "--quiet", f"oci:{DIRECTORY}/{image}:latest", storage])


def umoci(image):
    return measure(["umoci", "unpack", "--image", f"{DIRECTORY}/{image}:latest", f"{DISK}/bundle"])


def again(image):
    sampan(image)
    return sampan(image)


def second():
    sampan("gzip")
    return sampan("second")


ROWS = {
    "limit: gzip -dc": lambda: each("gzip", "gzip -dc <LAYER >/dev/null"),
    "sampan, gzip": lambda: sampan("gzip"),
    "limit: gzip -dc | tar -x": lambda: tar("gzip", "gzip -dc"),
    "umoci unpack, gzip": lambda: umoci("gzip"),
    "skopeo copy, gzip": lambda: skopeo("gzip"),
    "podman pull, gzip": lambda: podman("gzip"),
    "limit: zstd -dc": lambda: each("zstd", "zstd -dc <LAYER >/dev/null"),
    "sampan, zstd": lambda: sampan("zstd"),
    "limit: zstd -dc | tar -x": lambda: tar("zstd", "zstd -dc"),
    "limit: zstd, tar -x, sync": lambda: tar("zstd", "zstd -dc", f"; sync --file-system {DISK}"),
    "podman pull, zstd": lambda: podman("zstd"),
    "sampan, again": lambda: again("gzip"),
    "sampan, second": second,
}
BASES = {"gzip": "limit: gzip -dc", "zstd": "limit: zstd -dc | tar -x"}


def times():
    """The table of times; rows take turns, so that all see the same machine."""
    results = {name: [] for name in ROWS}
    for _ in range(ROUNDS):
        for name, row in ROWS.items():
            fresh_disk()
            results[name].append(row())
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in results.items()}
    print(f"{'':<26}{'s':>7}{'(min':>8}-{'max)':<7}{'cpu s':>7}{'MB':>6}   ratio")
    for name, (seconds, processor, memory) in medians.items():
        spread = [row[0] for row in results[name]]
        base = next((base for packing, base in BASES.items() if packing in name), BASES["gzip"])
        ratio = seconds / medians[base][0]
        print(f"{name:<26}{seconds:>7.2f}{min(spread):>8.2f}-{max(spread):<7.2f}{processor:>6.2f}{memory:>6.0f}"
              f"   {ratio:.2f} of {base.removeprefix('limit: ')}")


def used():
    """Bytes of the files of the disk."""
    lines = subprocess.run(["du", "--summarize", "--block-size=1", DISK], check=True, capture_output=True, text=True)
    return int(lines.stdout.split()[0])


def disk():
    """What several images take together."""
    images = ["gzip", "second", "whole", "rebuilt"]
    layers = {path.name: path for image in images for path in blobs(image)}
    fresh_disk()
    empty = used()
    for name, path in layers.items():
        (DISK / name).mkdir()
        shell(f"gzip -dc <{path} | tar --extract --directory {DISK / name} --numeric-owner --xattrs")
    overlay = used() - empty
    print(f"\n{'disk of 4 images':<26}{'MB':>7}   ratio\n{'overlay, a tree per layer':<26}{overlay / 1e6:>7.0f}")
    for name, options in {"sampan": [], "sampan, ignoring times": ["--ignore-mtime"]}.items():
        fresh_disk()
        subprocess.run([CONTROL, "create-store", "--store", STORE, *options], check=True)
        for image in images:
            sampan(image)
        print(f"{name:<26}{(used() - empty) / 1e6:>7.0f}   {(used() - empty) / overlay:.2f}")


times()
disk()
subprocess.run(["umount", "--recursive", DISK], check=True)
print(f"\nload of the last minute {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {ROUNDS} rounds")
