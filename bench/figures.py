#!/usr/bin/env python3
"""The figures of docs/performance.md: CPU per request against a bare Pingora proxy, memory per idle
connection in clear text and over TLS.

    bench/figures.py cpu  [--rounds 7] [--seconds 3]
    bench/figures.py idle [--connections 5000] [--assert]

The proxies run on core 0, origin and load on core 1. Rounds are interleaved (A B A B), so that a
machine that gets slower or faster does so for both; the figures are medians, and the ratio counts.
It needs wrk, and the release build: `cargo build --release --example bare && cargo build --release`.
"""

import argparse
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release")
FALCONER = os.path.join(TARGET, "falconer")
BARE = os.path.join(TARGET, "examples", "bare")
TICK = os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    cpu_arguments = commands.add_parser("cpu")
    cpu_arguments.add_argument("--rounds", type=int, default=7)
    cpu_arguments.add_argument("--seconds", type=int, default=3)
    idle_arguments = commands.add_parser("idle")
    idle_arguments.add_argument("--connections", type=int, default=5000)
    idle_arguments.add_argument("--assert", dest="strict", action="store_true",
                                help="fail above the promised bounds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.command == "cpu":
            cpu(folder, arguments.rounds, arguments.seconds)
        else:
            idle(folder, arguments.connections, arguments.strict)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A program pinned to a core, ended with the block."""

    def __init__(self, core, *command, port):
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.wait_for(port)

    def wait_for(self, port):
        deadline = time.monotonic() + 10
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"it does not listen: {self.process.stderr.read().decode()}")
                time.sleep(0.02)

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def resident(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return int(re.search(r"^Rss:\s+(\d+) kB", rollup.read(), re.M).group(1)) * 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def document(folder, port, endpoint, extra="", listener=""):
    """One route to one endpoint, with the access log in a file and every metric on."""
    path = os.path.join(folder, f"edge-{port}.yaml")
    with open(path, "w") as file:
        file.write(f"""
server: {{ threads: 1, state_dir: {folder}/state }}
listeners: {{ web: {{ address: "127.0.0.1:{port}", {listener}
  limits: {{ connections_per_client: off }} }} }}
upstreams: {{ origin: {{ endpoints: ["http://127.0.0.1:{endpoint}"] }} }}
routes: [{{ name: origin, upstream: origin }}]
access_log: {{ format: json, path: {folder}/access.log }}
{extra}
""")
    return path


def cpu(folder, rounds, seconds):
    origin, edge, bare = free_port(), free_port(), free_port()
    path = document(folder, edge, origin)
    with Program(1, FALCONER, "demo", "--listen", f"127.0.0.1:{origin}", port=origin), \
            Program(0, BARE, f"127.0.0.1:{bare}", f"127.0.0.1:{origin}", port=bare) as yardstick, \
            Program(0, FALCONER, "run", "-c", path, port=edge) as falconer:
        figures = {"bare": [], "falconer": []}
        for round_number in range(rounds + 1):
            for name, program, port in (("bare", yardstick, bare), ("falconer", falconer, edge)):
                figure = measure(program, port, seconds)
                # The first round warms both up.
                if round_number > 0:
                    figures[name].append(figure)
    medians = {name: statistics.median(all_of_it) for name, all_of_it in figures.items()}
    for name, figure in medians.items():
        spread = f"{min(figures[name]):.1f} to {max(figures[name]):.1f}"
        print(f"{name:9} {figure:6.1f} us CPU per request ({spread})")
    print(f"ratio     {medians['falconer'] / medians['bare']:6.2f}")


def measure(program, port, seconds):
    """CPU microseconds of a program for one small GET over 64 keep-alive connections."""
    before = program.cpu_seconds()
    wrk = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t", "1", "-c", "64", "-d", f"{seconds}s",
         f"http://127.0.0.1:{port}/bytes/100"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    used = program.cpu_seconds() - before
    if "Non-2xx" in wrk or "Socket errors" in wrk:
        raise SystemExit(f"not every request succeeded:\n{wrk}")
    requests = int(re.search(r"(\d+) requests in", wrk).group(1))
    return used / requests * 1e6


# KiB that an idle keep-alive connection may cost.
BOUNDS = {"clear text": 2, "TLS": 12}


def idle(folder, connections, strict):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tls = 'tls: { certificates: [dev] },'
    certificates = "certificates: { dev: { self_signed: [localhost] } }"
    for name, listener, extra in (("clear text", "", ""), ("TLS", tls, certificates)):
        origin, port = free_port(), free_port()
        path = document(folder, port, origin, extra, listener)
        with Program(1, FALCONER, "demo", "--listen", f"127.0.0.1:{origin}", port=origin), \
                Program(0, FALCONER, "run", "-c", path, port=port) as falconer:
            context = None
            if listener:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            warm_up(port, context)
            before = falconer.resident()
            clients = [connect(port, context) for _ in range(connections)]
            for _ in range(2):
                for client in clients:
                    ask(client)
            # What was freed is given back to the kernel with a delay.
            time.sleep(3)
            each = (falconer.resident() - before) / connections / 1024
            print(f"{name:10} {each:5.2f} KiB per idle connection "
                  f"({connections} connections, after their second request)")
            if strict and each > BOUNDS[name]:
                raise SystemExit(f"{name}: more than {BOUNDS[name]} KiB")
            for client in clients:
                client.close()


def warm_up(port, context):
    """The allocator's and the runtime's first pages are no connection's."""
    for _ in range(200):
        client = connect(port, context)
        ask(client)
        client.close()
    time.sleep(1)


def connect(port, context):
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(client, server_hostname="localhost") if context else client


def ask(client):
    client.sendall(b"GET /bytes/100 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while True:
        answer += client.recv(65536)
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= 100:
            assert b" 200 " in head.split(b"\r\n")[0], head
            return


if __name__ == "__main__":
    main()
