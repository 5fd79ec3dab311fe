"""Memory for each idle keep-alive connection, in clear text and over TLS."""

import socket
import ssl
from pathlib import Path

from .measure import Failure, settled, small_pages
from .peers import SMALL, Peer, Running, origin

# KiB that an idle connection of falconer may cost.
BOUNDS = {"clear text": 2, "TLS": 12}


def of_peer(folder: Path, peer: Peer, connections: int) -> dict[str, float]:
    """KiB for each connection after its second request, by the resident memory of the processes."""
    found = {}
    for kind in BOUNDS:
        inside = folder / "idle" / f"{peer.name}-{kind.replace(' ', '-')}"
        behind, port = origin(inside / "origin")
        room = connections + 512
        # Lines on their way to a busy disk would count as the connections' own.
        with (
            behind,
            small_pages(),
            Running(inside / peer.name, peer, port, connections=room, logs=False) as proxy,
        ):
            found[kind] = cost(proxy, kind, connections) / 1024
    return found


def cost(proxy: Running, kind: str, connections: int) -> float:
    context = None
    port = proxy.clear
    if kind == "TLS":
        port = proxy.tls
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    warm_up(port, context)
    # A table for so many connections that a peer makes when it starts is in neither.
    before = settled(proxy.program.resident, quiet=1)
    clients = [connect(port, context) for _ in range(connections)]
    for _ in range(2):
        for client in clients:
            ask(client)
    after = settled(proxy.program.resident, quiet=2)
    for client in clients:
        client.close()
    return (after - before) / connections


def warm_up(port: int, context: ssl.SSLContext | None) -> None:
    """The allocator's and the runtime's first pages are no connection's."""
    for _ in range(200):
        client = connect(port, context)
        ask(client)
        client.close()


def connect(port: int, context: ssl.SSLContext | None) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(client, server_hostname="localhost") if context else client


def ask(client: socket.socket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while True:
        answer += client.recv(65536)
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= SMALL:
            if not head.startswith(b"HTTP/1.1 200 "):
                raise Failure(f"not every request succeeded:\n{head.decode()}")
            return
