"""A program pinned to a core, and what the kernel says its tree of processes used."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

PROXY_CORE, LOAD_CORE = 0, 1
TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """What makes a measurement void, in a sentence."""


class Program:
    """A program on a core, ready when its ports listen, ended with the block."""

    def __init__(self, core: int, command: list[str], ports: list[int], output: Path) -> None:
        # Into files, because a pipe that nobody reads would stop it.
        self.errors = output.with_suffix(".err")
        with output.open("wb") as out, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        try:
            for port in ports:
                wait_until(lambda port=port: self.listens(port), f"{command[0]} does not listen")
        except Failure as failure:
            self.end()
            raise Failure(f"{failure}\n{self.errors.read_text()}") from None

    def listens(self, port: int) -> bool:
        if self.process.poll() is not None:
            raise Failure("it ended at once")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def processes(self) -> list[int]:
        return list(tree(self.process.pid))

    def cpu_seconds(self) -> float:
        """What the tree has used, in its own code and in the kernel on its behalf."""
        used = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            used += int(fields[11]) + int(fields[12])
        return used / TICK

    def waited_seconds(self) -> float:
        """How long threads of the tree could have run, but something else had the core."""
        waited = 0
        for pid in self.processes():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                try:
                    waited += int((thread / "schedstat").read_text().split()[1])
                except OSError:  # a thread that ended just now
                    continue
        return waited / 1e9

    def resident(self) -> int:
        """Bytes in memory now; what a child shares with its parent counts once."""
        first, *children = (memory(pid) for pid in self.processes())
        return first["Rss"] + sum(child["Rss"] - shared(child) for child in children)

    def peak(self) -> int:
        """The most bytes in memory since the start, shared ones counted in the same way."""
        first, *children = self.processes()
        return high_water(first) + sum(high_water(pid) - shared(memory(pid)) for pid in children)

    def end(self) -> None:
        # The first before its children, so that it starts none anew.
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from tree(int(child))


def memory(pid: int) -> dict[str, int]:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)
    return {name: int(kibibytes) * 1024 for name, kibibytes in lines}


def shared(process: dict[str, int]) -> int:
    return process["Shared_Clean"] + process["Shared_Dirty"]


def high_water(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024


def settled(read: Callable[[], int], quiet: float) -> int:
    """The value once it did not change for so many seconds: freed memory goes back with a delay."""
    value, since, deadline = read(), time.monotonic(), time.monotonic() + 20
    while time.monotonic() - since < quiet and time.monotonic() < deadline:
        time.sleep(0.05)
        if (now := read()) != value:
            value, since = now, time.monotonic()
    return value


@contextmanager
def small_pages() -> Iterator[None]:
    """Programs that start meanwhile get no huge pages, of which an unused rest would count."""
    disable = 41  # PR_SET_THP_DISABLE, inherited by children and kept over exec
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(disable, 1, 0, 0, 0) != 0:
        raise Failure(f"huge pages cannot be switched off: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        prctl(disable, 0, 0, 0, 0)


def wait_until(is_so: Callable[[], bool], otherwise: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(otherwise)
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
