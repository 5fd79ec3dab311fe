"""The loads: wrk for HTTP/1.1, h2load for HTTP/2 over TLS; and the check before both."""

import http.client
import re
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .measure import LOAD_CORE, Failure

CONNECTIONS = 64
H2_CONNECTIONS, H2_STREAMS = 16, 8
CIPHER = "TLS_AES_128_GCM_SHA256"
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Sample:
    """What the load's client saw in one round."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def wrk(port: int, path: str, seconds: int, routes: int = 0) -> Sample:
    """One request at a time on each keep-alive connection, as fast as they are answered."""
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--latency"]
    if routes:
        command += ["-s", str(Path(__file__).parent / "conf" / "routes.lua")]
    command += [f"http://127.0.0.1:{port}{path}", *(["--", str(routes)] if routes else [])]
    said = run(command)
    if "Non-2xx" in said or "Socket errors" in said:
        raise Failure(f"not every request succeeded:\n{said}")
    requests, lasted = read(r"(\d+) requests in (\S+),", said)
    [p50], [p99] = (read(rf"^ +{percent}% +(\S+)$", said) for percent in (50, 99))
    return Sample(int(requests), seconds_of(lasted), seconds_of(p50) * 1e3, seconds_of(p99) * 1e3)


def h2load(port: int, path: str, seconds: int, log: Path) -> Sample:
    """Several streams on each connection, as fast as they are answered."""
    log.unlink(missing_ok=True)
    said = run([*h2load_command(port, path), "-D", str(seconds), f"--log-file={log}"])
    succeeded = all_succeeded(said)
    times = [int(line.rsplit("\t", 1)[1]) / 1e3 for line in log.read_text().splitlines()]
    [lasted] = read(r"^finished in (\S+),", said)
    hundredths = statistics.quantiles(times, n=100)
    return Sample(succeeded, seconds_of(lasted), hundredths[49], hundredths[98])


def h2load_command(port: int, path: str) -> list[str]:
    return ["h2load", "-t", "1", "-c", str(H2_CONNECTIONS), "-m", str(H2_STREAMS),
            f"--tls13-ciphers={CIPHER}", f"https://localhost:{port}{path}"]


def all_succeeded(said: str) -> int:
    done, succeeded = map(int, read(r"(\d+) done, (\d+) succeeded", said))
    [answered] = map(int, read(r"^status codes: (\d+) 2xx", said))
    if not done == succeeded == answered > 0 or "0 failed, 0 errored, 0 timeout" not in said:
        raise Failure(f"not every request succeeded:\n{said}")
    return succeeded


def read(pattern: str, said: str) -> tuple[str, ...]:
    found = re.search(pattern, said, re.MULTILINE)
    if not found:
        raise Failure(f"nothing is like `{pattern}` in:\n{said}")
    return found.groups()


def seconds_of(text: str) -> float:
    """Both programs choose a unit: `994.30ms`, `1.00s`, `1.00m`."""
    [number, unit] = read(r"^([\d.]+)([a-z]+)$", text)
    return float(number) * UNITS[unit]


def run(command: list[str]) -> str:
    ended = subprocess.run(["taskset", "-c", str(LOAD_CORE), *command],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode != 0:
        raise Failure(f"{command[0]} failed:\n{ended.stdout}")
    return ended.stdout


def check(port: int, paths: list[str], status: int, length: int | None) -> None:
    """Each path is answered with this status and a body of this length."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for path in paths:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != status or length not in (None, len(body)):
            raise Failure(f"{path} on port {port}: {response.status} with {len(body)} bytes")
    connection.close()


def check_h2(port: int, path: str, length: int) -> None:
    """HTTP/2 over TLS 1.3 with the one cipher; every answer has this length."""
    count = 2 * H2_CONNECTIONS * H2_STREAMS
    said = run([*h2load_command(port, path), "-n", str(count)])
    if all_succeeded(said) != count or f"({count * length}) data" not in said:
        raise Failure(f"not every answer has {length} bytes:\n{said}")
    for line in ("TLS Protocol: TLSv1.3", f"Cipher: {CIPHER}", "Server Temp Key: X25519",
                 "Application protocol: h2"):
        if line not in said:
            raise Failure(f"not `{line}`:\n{said}")
