"""The figures as Markdown for people and as JSON for programs."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .peers import Peer, version
from .workload import Mode, Result, Row

# Below this share of a busy core, requests/s is the load's limit and not the proxy's.
BUSY = 0.9


@dataclass
class Report:
    """All that one run found."""

    mode: Mode
    peers: list[Peer]
    results: list[Result] = field(default_factory=list)
    # KiB for each idle connection, by peer and kind.
    idle: dict[str, dict[str, float]] = field(default_factory=dict)

    def heading(self) -> str:
        versions = ", ".join(f"{peer.name} {version(peer)}" for peer in self.peers)
        mode = self.mode
        return (f"{versions}; {mode.name} mode, {mode.rounds} interleaved rounds of "
                f"{mode.seconds} s; medians (smallest to largest).")

    def idle_table(self) -> str:
        base = self.idle["falconer"]
        rows = [
            [name, *(text for kind, each in kinds.items()
                     for text in (f"{each:.1f}", f"{each / base[kind]:.2f}"))]
            for name, kinds in self.idle.items()]
        count = self.mode.idle_connections
        title = f"Idle connections: KiB for each of {count:,}, after two requests"
        head = ["proxy", *(text for kind in base for text in (kind, "ratio"))]
        return section(title, head, rows)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({
            "mode": asdict(self.mode),
            "machine": {"kernel": platform.release(), "cores": os.cpu_count()},
            "versions": {peer.name: version(peer) for peer in self.peers},
            "workloads": {result.workload.name: as_json(result) for result in self.results},
            "idle_kib": self.idle,
        }, indent=2) + "\n")


def table(result: Result) -> str:
    """A workload's rows; a ratio is to falconer, or among tables of routes to the smallest."""
    rows = []
    for row in result.rows:
        base = base_of(row, result)
        rows.append([
            label(row), spread(row, "cpu_us", ".1f"), f"{row.ratio('cpu_us', base):.2f}",
            spread(row, "requests_per_second", ",.0f"),
            f"{row.ratio('requests_per_second', base):.2f}",
            f"{row.median('p50_ms'):.2f}", f"{row.median('p99_ms'):.2f}",
            f"{row.peak_bytes / 1024 ** 2:.0f}", f"{row.median('busy'):.0%}",
        ])
    if result.origin:
        rows.append(["(origin alone)", "", "", spread(result.origin, "requests_per_second", ",.0f"),
                     "", f"{result.origin.median('p50_ms'):.2f}",
                     f"{result.origin.median('p99_ms'):.2f}", "", ""])
    head = ["proxy", "µs CPU/request", "ratio", "requests/s", "ratio", "p50 ms", "p99 ms",
            "peak MiB", "busy"]
    text = section(result.workload.title, head, rows)
    idlers = [label(row) for row in result.rows if row.median("busy") < BUSY]
    if idlers:
        text += ("\nThe core of these was not busy, so their requests/s is what origin and load "
                 f"can do: {'; '.join(idlers)}.\n")
    return text


def base_of(row: Row, result: Result) -> Row:
    smallest = min(result.workload.tables)
    name = row.peer if len(result.workload.tables) > 1 else "falconer"
    return next(one for one in result.rows if one.peer == name and one.routes == smallest)


def label(row: Row) -> str:
    return f"{row.peer}, {row.routes:,} routes" if row.routes else row.peer


def spread(row: Row, figure: str, form: str) -> str:
    each = row.each(figure)
    return f"{row.median(figure):{form}} ({min(each):{form}} to {max(each):{form}})"


def section(title: str, head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return f"\n### {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_json(result: Result) -> dict[str, object]:
    return {
        "title": result.workload.title,
        "rows": [row_as_json(row, result) for row in result.rows],
        "origin_alone": asdict(result.origin) if result.origin else None,
    }


def row_as_json(row: Row, result: Result) -> dict[str, object]:
    base = base_of(row, result)
    figures = ("cpu_us", "requests_per_second", "p50_ms", "p99_ms", "busy")
    return {
        **asdict(row),
        "median": {figure: row.median(figure) for figure in figures},
        "ratio": {figure: row.ratio(figure, base) for figure in figures},
        "ratio_to": label(base),
    }
