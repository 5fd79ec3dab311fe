"""The proxies and the origin behind them: how each is configured and started.

What makes the comparison fair is written in `conf/`, first of all in `nginx.conf`.
"""

import os
import shutil
import string
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .measure import LOAD_CORE, PROXY_CORE, Failure, Program, free_ports

CONF = Path(__file__).parent / "conf"
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", "target"), "release")

SMALL, LARGE = 100, 100 * 1024

# Enough for every load but the idle connections.
CONNECTIONS = 1024


@dataclass(frozen=True)
class Peer:
    """A proxy to compare."""

    name: str
    # The words of its configuration that depend on the number of routes; 0 is one route for all.
    routes: Callable[[int, Path], str] | None
    configuration: str | None
    command: Callable[[dict[str, str]], list[str]]
    # What makes the program say its version.
    version: Callable[[], list[str]] | None = None
    logs: bool = True


class Running:
    """A peer before the origin."""

    def __init__(self, folder: Path, peer: Peer, origin: int, routes: int = 0,
                 connections: int = CONNECTIONS, *, logs: bool = True) -> None:
        folder.mkdir(parents=True)
        self.peer = peer
        self.clear, self.tls = free_ports(2)
        self.log = folder / "access.log"
        values = {
            **certificate(folder), "folder": str(folder), "log": str(self.log),
            "clear": str(self.clear), "tls": str(self.tls), "origin": str(origin),
            "connections": str(connections), "temporary": temporary(folder),
        }
        if peer.name == "falconer" and not logs:
            values["log"] = "off"
        if peer.configuration:
            values["routes"] = peer.routes(routes, folder)
            values["configuration"] = str(render(peer.configuration, folder, values))
        # Standard output is HAProxy's access log; the others write nothing there.
        output = self.log if peer.name == "haproxy" else folder / "output"
        self.program = Program(PROXY_CORE, peer.command(values), [self.clear, self.tls], output)

    def logged(self) -> int:
        """The lines in its access log."""
        if not self.log.exists():
            return 0
        with self.log.open("rb") as log:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: log.read(1 << 20), b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.end()


def origin(folder: Path) -> tuple[Program, int]:
    """What answers `/large` with 100 KiB and everything else with 100 bytes, on the load's core."""
    folder.mkdir(parents=True)
    folder.joinpath("large").write_bytes(b"x" * LARGE)
    [port] = free_ports(1)
    configuration = render("origin.conf", folder, {
        "folder": str(folder), "port": str(port), "small": "x" * SMALL,
        "temporary": temporary(folder),
    })
    command = nginx({"folder": str(folder), "configuration": str(configuration)})
    return Program(LOAD_CORE, command, [port], folder / "output"), port


class Template(string.Template):
    """nginx and HAProxy have uses of their own for `$`."""

    delimiter = "@"


def render(name: str, folder: Path, values: dict[str, str]) -> Path:
    path = folder / name
    path.write_text(Template(CONF.joinpath(name).read_text()).substitute(values))
    return path


def temporary(folder: Path) -> str:
    """Debian's nginx would put these where only root may."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/temporary;" for kind in kinds)


def certificate(folder: Path) -> dict[str, str]:
    """One chain and key for all, made in the folder above."""
    chain, key, pair = (folder.parent / f"certificate.{kind}" for kind in ("crt", "key", "pair"))
    if not pair.exists():
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(chain)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if made.returncode != 0:
            raise Failure(f"openssl makes no certificate:\n{made.stdout}")
        pair.write_text(chain.read_text() + key.read_text())
    return {"chain": str(chain), "key": str(key), "pair": str(pair)}


def falconer_routes(count: int, _: Path) -> str:
    if count == 0:
        return "  - { name: origin, upstream: origin }"
    names = (f"route-{number:05}" for number in range(count))
    return "\n".join(
        f'  - {{ name: {name}, match: {{ path: "/{name}/*" }}, upstream: origin }}'
        for name in names)


def nginx_routes(count: int, _: Path) -> str:
    if count == 0:
        return "location / { proxy_pass http://origin; }"
    locations = (f"location /route-{number:05}/ {{ proxy_pass http://origin; }}"
                 for number in range(count))
    return "\n    ".join(["location / { return 404; }", *locations])


def haproxy_routes(count: int, folder: Path) -> str:
    if count == 0:
        return "default_backend origin"
    map_file = folder / "routes.map"
    map_file.write_text("".join(f"/route-{number:05}/ origin\n" for number in range(count)))
    return f"use_backend %[path,map_beg({map_file})]"


def nginx(values: dict[str, str]) -> list[str]:
    # Neither its log of errors nor a relative path may lead to Debian's folders.
    program = [installed("nginx"), "-e", "stderr", "-p", values["folder"]]
    return [*program, "-c", values["configuration"]]


def haproxy(values: dict[str, str]) -> list[str]:
    return [installed("haproxy"), "-db", "-f", values["configuration"]]


def falconer(values: dict[str, str]) -> list[str]:
    return [built("falconer"), "run", "-c", values["configuration"]]


def bare(values: dict[str, str]) -> list[str]:
    clear, endpoint, tls = (f"127.0.0.1:{values[port]}" for port in ("clear", "origin", "tls"))
    return [built("examples/bare"), clear, endpoint, tls, values["chain"], values["key"]]


def installed(program: str) -> str:
    # Debian keeps servers out of an ordinary user's path.
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not found:
        raise Failure(f"{program} is missing: scripts/install bench")
    return found


def built(program: str) -> str:
    path = RELEASE / program
    if not path.exists():
        raise Failure(f"{path} is missing: cargo build --release --bin falconer --example bare")
    return str(path)


PEERS = {
    peer.name: peer for peer in (
        Peer("falconer", falconer_routes, "falconer.yaml", falconer,
             lambda: [built("falconer"), "--version"]),
        # The floor: nobody's proxy, without log, metrics, limits or routes.
        Peer("bare", None, None, bare, logs=False),
        Peer("nginx", nginx_routes, "nginx.conf", nginx, lambda: [installed("nginx"), "-v"]),
        Peer("haproxy", haproxy_routes, "haproxy.cfg", haproxy,
             lambda: [installed("haproxy"), "-v"]),
    )
}


def version(peer: Peer) -> str:
    """The first version number that the program says of itself."""
    if not peer.version:
        return "Pingora"
    said = subprocess.run(peer.version(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=True).stdout
    return next(word for word in said.replace("/", " ").split() if word[0].isdigit())
