"""The figures of docs/performance.md: falconer beside nginx, HAProxy and a bare Pingora proxy.

    python3 -m bench compare [--quick] [--json FILE] [--workload NAME]... [--peer NAME]...
    python3 -m bench cpu     [--rounds 7] [--seconds 3]
    python3 -m bench idle    [--connections 5000] [--assert]

The proxies run on core 0, origin and load on core 1. Rounds are interleaved (A B C A B C), so that
a machine that gets slower or faster does so for all; the figures are medians, and the ratio counts.
It needs what `scripts/install bench` installs, and the release build of falconer and the example
`bare`.
"""

import argparse
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import idle, report, workload
from .measure import Failure
from .peers import PEERS


def main() -> None:
    arguments = parse()
    # Thousands of clients live in this process, and the programs inherit the limit.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Whoever ends this program ends the proxies too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by a signal"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            arguments.run(Path(folder), arguments)
    except Failure as failure:
        raise SystemExit(f"bench: {failure}") from None


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    compare_arguments = commands.add_parser("compare", help="every workload on every peer")
    compare_arguments.add_argument("--quick", action="store_true",
                                   help="short rounds: under 3 minutes")
    compare_arguments.add_argument("--json", type=Path, metavar="FILE",
                                   help="every figure of every round")
    compare_arguments.add_argument("--workload", action="append", choices=[*workload.ALL, "idle"],
                                   help="only this one; may be repeated")
    compare_arguments.add_argument("--peer", action="append", choices=list(PEERS),
                                   help="falconer and only this one; may be repeated")
    compare_arguments.set_defaults(run=compare)

    cpu_arguments = commands.add_parser("cpu", help="CPU per request against bare Pingora")
    cpu_arguments.add_argument("--rounds", type=int, default=7)
    cpu_arguments.add_argument("--seconds", type=int, default=3)
    cpu_arguments.set_defaults(run=cpu)

    idle_arguments = commands.add_parser("idle", help="falconer's memory per idle connection")
    idle_arguments.add_argument("--connections", type=int, default=5000)
    idle_arguments.add_argument("--assert", dest="strict", action="store_true",
                                help="fail above the promised bounds")
    idle_arguments.set_defaults(run=bounds)
    return parser.parse_args()


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    mode = workload.QUICK if arguments.quick else workload.FULL
    names = ["falconer", *(name for name in arguments.peer or PEERS if name != "falconer")]
    wanted = arguments.workload or [*workload.ALL, "idle"]
    found = report.Report(mode, [PEERS[name] for name in names])
    print(found.heading(), flush=True)
    for name in wanted:
        if name == "idle":
            found.idle = {
                name: idle.of_peer(folder, PEERS[name], mode.idle_connections) for name in names}
            print(found.idle_table(), flush=True)
        else:
            result = workload.run(folder, workload.ALL[name], found.peers, mode)
            found.results.append(result)
            print(report.table(result), flush=True)
    print(f"{mode.name} mode, {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
    if arguments.json:
        found.write(arguments.json)


def cpu(folder: Path, arguments: argparse.Namespace) -> None:
    mode = workload.Mode("cpu", arguments.rounds, arguments.seconds, idle_connections=0)
    peers = [PEERS["falconer"], PEERS["bare"]]
    print(report.table(workload.run(folder, workload.ALL["get"], peers, mode)))


def bounds(folder: Path, arguments: argparse.Namespace) -> None:
    found = idle.of_peer(folder, PEERS["falconer"], arguments.connections)
    for kind, each in found.items():
        print(f"{kind:10} {each:5.2f} KiB per idle connection "
              f"({arguments.connections} connections, after their second request)")
        if arguments.strict and each > idle.BOUNDS[kind]:
            raise Failure(f"{kind}: more than {idle.BOUNDS[kind]} KiB")


if __name__ == "__main__":
    main()
