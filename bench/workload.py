"""The workloads, and the rounds in which the peers take turns."""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from . import load
from .measure import Program, wait_until
from .peers import LARGE, SMALL, Peer, Running, origin


@dataclass(frozen=True)
class Mode:
    """How long to measure."""

    name: str
    rounds: int
    seconds: int
    idle_connections: int


QUICK = Mode("quick", rounds=4, seconds=1, idle_connections=2000)
FULL = Mode("full", rounds=9, seconds=5, idle_connections=5000)


@dataclass(frozen=True)
class Workload:
    """What is asked of every peer."""

    name: str
    title: str
    path: str
    length: int
    h2: bool = False
    # How many routes the peer has; 0 is one route for all. Several are compared within a peer.
    tables: tuple[int, ...] = (0,)


H1_CLIENTS = f"{load.CONNECTIONS} keep-alive connections"
H2_CLIENTS = f"{load.H2_CONNECTIONS} connections with {load.H2_STREAMS} streams each"
ALL = {
    workload.name: workload for workload in (
        Workload("get", f"Small GET, HTTP/1.1: 100 bytes, {H1_CLIENTS}", "/", SMALL),
        Workload("h2", f"HTTP/2 over TLS 1.3: 100 bytes, {H2_CLIENTS}", "/", SMALL, h2=True),
        Workload("large", f"100 KiB, HTTP/1.1, {H1_CLIENTS}", "/large", LARGE),
        Workload("routes", f"10 against 10,000 routes: 100 bytes, {H1_CLIENTS}", "/", SMALL,
                 tables=(10, 10_000)),
    )
}


@dataclass(frozen=True)
class Figures:
    """What one round showed."""

    # CPU microseconds of the proxy for each request.
    cpu_us: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    # The share of the round in which the proxy ran or waited for its core.
    busy: float


@dataclass
class Row:
    """A peer with a number of routes, and what it showed."""

    peer: str
    routes: int
    rounds: list[Figures] = field(default_factory=list)
    # Of all rounds, with those that warm up.
    requests: int = 0
    peak_bytes: int = 0

    def median(self, figure: str) -> float:
        return statistics.median(self.each(figure))

    def each(self, figure: str) -> list[float]:
        return [getattr(one, figure) for one in self.rounds]

    def ratio(self, figure: str, base: "Row") -> float:
        """The median of each round's ratio: what slowed a whole round down is in neither."""
        pairs = zip(self.each(figure), base.each(figure), strict=True)
        return statistics.median(mine / other for mine, other in pairs)


@dataclass
class Result:
    """The rows of a workload."""

    workload: Workload
    rows: list[Row]
    # The load without any proxy, where it can do that.
    origin: Row | None


@dataclass(frozen=True)
class Contestant:
    """Who takes a turn in each round."""

    row: Row
    program: Program
    port: int


def run(folder: Path, workload: Workload, peers: list[Peer], mode: Mode) -> Result:
    folder = folder / workload.name
    with ExitStack() as stack:
        behind, origin_port = origin(folder / "origin")
        stack.enter_context(behind)
        running = [
            (Row(peer.name, routes), stack.enter_context(
                Running(folder / f"{peer.name}-{routes}", peer, origin_port, routes)))
            for peer in peers for routes in workload.tables if peer.routes or not routes]
        contestants = []
        for row, peer in running:
            check(workload, row.routes, peer)
            port = peer.tls if workload.h2 else peer.clear
            contestants.append(Contestant(row, peer.program, port))
        # The origin speaks no TLS.
        direct = None if workload.h2 else Row("origin", workload.tables[0])
        if direct:
            contestants.append(Contestant(direct, behind, origin_port))

        for number in range(mode.rounds + 1):
            for contestant in contestants:
                # The first round warms up.
                figures = one_round(folder, workload, contestant, mode.seconds if number else 1)
                if number:
                    contestant.row.rounds.append(figures)
        for row, peer in running:
            row.peak_bytes = peer.program.peak()
            check_log(row, peer)
    return Result(workload, [row for row, _ in running], direct)


def one_round(folder: Path, workload: Workload, contestant: Contestant, seconds: int) -> Figures:
    program = contestant.program
    cpu, waited = program.cpu_seconds(), program.waited_seconds()
    if workload.h2:
        sample = load.h2load(contestant.port, workload.path, seconds, folder / "h2load.log")
    else:
        sample = load.wrk(contestant.port, workload.path, seconds, contestant.row.routes)
    contestant.row.requests += sample.requests
    cpu = program.cpu_seconds() - cpu
    waited = program.waited_seconds() - waited
    return Figures(
        cpu_us=cpu / sample.requests * 1e6,
        requests_per_second=sample.requests / sample.seconds,
        p50_ms=sample.p50_ms,
        p99_ms=sample.p99_ms,
        # Threads that wait for each other on the one core would count twice.
        busy=min(1.0, (cpu + waited) / sample.seconds),
    )


def check(workload: Workload, routes: int, peer: Running) -> None:
    """Every answer is the origin's, in whole; and a table of routes is asked."""
    if workload.h2:
        load.check_h2(peer.tls, workload.path, workload.length)
    elif routes:
        known = [f"/route-{number:05}/page" for number in (0, routes // 2, routes - 1)]
        load.check(peer.clear, known, 200, workload.length)
        outside = 503 if peer.peer.name == "haproxy" else 404
        load.check(peer.clear, [f"/route-{routes:05}/page"], outside, None)
    else:
        load.check(peer.clear, [workload.path] * 10, 200, workload.length)


def check_log(row: Row, peer: Running) -> None:
    """A peer that loses lines under load would have it easier."""
    if peer.peer.logs:
        wait_until(lambda: peer.logged() >= row.requests, f"{row.peer} lost lines of its log", 5)
