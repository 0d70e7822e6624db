"""Starts the server and the proxies, runs wrk against each, prints medians and ratios. For benches/proxy."""

import atexit, json, os, re, resource, socket, statistics, subprocess, sys, time

SAMPAN, NGINX, SECONDS = sys.argv[1], sys.argv[2], sys.argv[3]
ROUNDS = 3
PLACES = "/usr/bin/docker-proxy", "/usr/sbin/docker-proxy", "/usr/libexec/docker/docker-proxy"
DOCKER = os.environ.get("DOCKER_PROXY") or next(filter(os.path.exists, PLACES), None)
SYSTEMD = "/usr/lib/systemd/systemd-socket-proxyd"


started = []


def start(*command, **options):
    process = subprocess.Popen(command, **options)
    started.append(process)
    return process


@atexit.register
def stop():
    """The workers of nginx end with their master only where that ends by itself."""
    for process in reversed(started):
        process.terminate()
    for process in reversed(started):
        process.wait()


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def until_served(address):
    while True:
        try:
            with socket.create_connection(address) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if client.recv(4096):
                    return
        except OSError:
            time.sleep(0.01)


def activated(port, command, configuration=b""):
    """A program that gets the socket of a port; it begins with the first client. As of a service of systemd its SIGPIPE
    is ignored (systemd.exec(5), IgnoreSIGPIPE=): a client that leaves in the midst of an answer would end
    systemd-socket-proxyd."""
    listen = f"127.0.0.1:{port}"
    activate = ["systemd-socket-activate", "-l", listen, *inside, *command]
    process = start(*activate, stdin=subprocess.PIPE, restore_signals=False)
    process.stdin.write(configuration)
    process.stdin.close()
    until_served(("127.0.0.1", port))
    return process


def wrk(address, path, connections, *more):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", *more]
    before = children_time()
    text = run(*command, f"http://{address}{path}")
    client = children_time() - before
    number = lambda pattern: re.search(pattern, text)
    latency = number(r"50%\s+([\d.]+)(us|ms|s)")
    requests = int(number(r"(\d+) requests in").group(1))
    bytes_, unit = number(r"Transfer/sec:\s+([\d.]+)([KMG]?)B").groups()
    return {
        "rate": float(number(r"Requests/sec:\s+([\d.]+)").group(1)),
        "median": float(latency.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[latency.group(2)],
        "requests": requests,
        "client": client,
        "throughput": float(bytes_) * {"": 2**-20, "K": 2**-10, "M": 1, "G": 2**10}[unit],
    }


def children_time():
    """Of those that have ended and were waited for, in microseconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def processor_time(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1000


def memory(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", file.read(), re.M))
    return {name: int(fields[name]) for name in ("Rss", "Pss", "Private_Dirty")}


KINDS = {
    "keep-alive, 32 connections": ("/", 32, ()),
    "a connection per request, 32": ("/", 32, ("-H", "Connection: close")),
    "keep-alive, 1 connection": ("/", 1, ()),
    "a connection per request, 1": ("/", 1, ("-H", "Connection: close")),
    "256 MiB, 1 connection": ("/large", 1, ("--timeout", "60s")),
}

run("ip", "link", "set", "lo", "up")
container = start("unshare", "--net", "sleep", "infinity")
while os.readlink(f"/proc/{container.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
    time.sleep(0.01)
inside = ["nsenter", f"--net=/proc/{container.pid}/ns/net"]
run("ip", "link", "add", "veth", "type", "veth", "peer", "eth0", "netns", str(container.pid))
run("ip", "addr", "add", "10.99.0.1/24", "dev", "veth")
run("ip", "link", "set", "veth", "up")
run(*inside, "ip", "link", "set", "lo", "up")
run(*inside, "ip", "addr", "add", "10.99.0.2/24", "dev", "eth0")
run(*inside, "ip", "link", "set", "eth0", "up")
master = start(*inside, "nginx", "-c", NGINX)
until_served(("10.99.0.2", 80))
server = int(run("pgrep", "--parent", str(master.pid)))

second = {"secs": 1, "nanos": 0}
configuration = {"sockets": [{
    "name": "http", "target": {"internet": "127.0.0.1:80"}, "max_connections": 4096,
    "connect_timeout": second, "idle_timeout": second,
}]}
ways = {
    "direct": ("10.99.0.2:80", None),
    "sampan-proxy": ("127.0.0.1:9001", activated(9001, [SAMPAN], json.dumps(configuration).encode())),
    "systemd-socket-proxyd": (
        "127.0.0.1:9002", activated(9002, [SYSTEMD, "--connections-max=4096", "127.0.0.1:80"])),
}
if DOCKER:
    # It wants to tell at its descriptor 3 whether it listens.
    words = ["-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", "9003",
             "-container-ip", "10.99.0.2", "-container-port", "80"]
    ways["docker-proxy"] = (
        "127.0.0.1:9003", start("sh", "-c", 'exec "$0" "$@" 3>/dev/null', DOCKER, *words))
    until_served(("127.0.0.1", 9003))

idle = {way: memory(process.pid) for way, (_, process) in ways.items() if process}
results = {}
for _ in range(ROUNDS):
    for kind, (path, connections, more) in KINDS.items():
        for way, (address, process) in ways.items():
            before = processor_time(process.pid) if process else 0
            served = processor_time(server)
            try:
                result = wrk(address, path, connections, *more)
            finally:
                if process and process.poll() is not None:
                    sys.exit(f"{way} has ended by itself in \"{kind}\": status {process.returncode}")
            spent = processor_time(process.pid) - before if process else 0
            result["processor"] = spent / max(result["requests"], 1)
            # Where clients, proxy and server share the processors, no proxy serves more requests than this leaves room for.
            everybody = spent + processor_time(server) - served + result["client"]
            result["everybody"] = everybody / max(result["requests"], 1)
            result["busy"] = spent / float(SECONDS) / 1e4
            results.setdefault((kind, way), []).append(result)

for kind in KINDS:
    print(f"\n{kind}\n{'':24}{'requests/s':>12}{'MiB/s':>9}{'median µs':>11}{'CPU µs/req':>12}{'of all':>8}{'busy %':>8}")
    middle = {}
    for way in ways:
        rounds = results[kind, way]
        middle[way] = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        row = middle[way]
        print(f"{way:24}{row['rate']:12.0f}{row['throughput']:9.0f}{row['median']:11.0f}"
              f"{row['processor']:12.1f}{row['everybody']:8.0f}{row['busy']:8.0f}")
    own, direct = middle["sampan-proxy"], middle["direct"]
    for way in list(ways)[2:]:
        other = middle[way]
        print(f"sampan-proxy to {way}: {own['throughput'] / other['throughput']:.2f} times the rate, "
              f"{other['processor'] / own['processor']:.2f} times less processor, added latency "
              f"{own['median'] - direct['median']:.0f} µs to {other['median'] - direct['median']:.0f} µs")

print(f"\nmemory, KiB\n{'':24}{'idle RSS':>10}{'PSS':>8}{'private':>9}{'bytes/connection':>18}")
for way, (address, process) in ways.items():
    if not process:
        continue
    host, port = address.split(":")
    before = memory(process.pid)
    clients = [socket.create_connection((host, int(port))) for _ in range(1000)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        client.recv(4096)
    each = (memory(process.pid)["Private_Dirty"] - before["Private_Dirty"]) * 1024 / len(clients)
    print(f"{way:24}{idle[way]['Rss']:10}{idle[way]['Pss']:8}{idle[way]['Private_Dirty']:9}{each:18.0f}")
    for client in clients:
        client.close()

