"""What the gate adds to a warm request, and how many it relays a second (W8)."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tools.bench.figures import Figure, at_least, at_most, exactly, need, observed
from tools.bench.gate_process import REQUEST, running

TITLE = "a warm request through the gate, small bodies (wrk, nginx behind it)"

ROUNDS = 4
SECONDS = 2
ANSWER = (
    '{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":'
    '"assistant","content":"Paris."},"finish_reason":"stop"}],"usage":{"prompt_tokens":14,'
    '"completion_tokens":3,"total_tokens":17}}'
)
NGINX = """
daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/error.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {here}; proxy_temp_path {here}; fastcgi_temp_path {here};
  uwsgi_temp_path {here}; scgi_temp_path {here};
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 '{answer}'; }} }}
}}
"""
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[{body}]]
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %f\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50)))
end
"""


class Load(NamedTuple):
    """One run of wrk."""

    per_second: float
    median_us: float
    errors: int


def run() -> dict[str, Figure]:
    """Direct, through a bare relay, and through the gate, by turns."""
    wrk = need("wrk", "wrk")
    nginx = need("nginx", "nginx-light")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(SCRIPT.format(body=REQUEST))
        with (
            backend(nginx, Path(folder)) as port,
            running("gate", port) as gate,
            running("relay", port) as relay,
        ):
            ways = {"direct": port, "relay": relay, "gate": gate}
            for way in ways.values():
                load(wrk, script, way, connections=4, seconds=1)
            one = {name: [] for name in ways}
            many = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    one[name].append(load(wrk, script, way, 1, SECONDS))
                    many[name].append(load(wrk, script, way, 32, SECONDS))
    median = {name: min(r.median_us for r in runs) for name, runs in one.items()}
    rate = {name: max(r.per_second for r in runs) for name, runs in many.items()}
    errors = sum(r.errors for r in [*one["gate"], *many["gate"]])
    direct = median["direct"]
    return {
        "added p50, 1 connection": at_most(
            round(median["gate"] - direct, 1), 80, "µs", round(median["relay"] - direct, 1)
        ),
        "p50 direct, 1 connection": observed(direct, "µs"),
        "rate, 32 connections": at_least(round(rate["gate"]), 25_000, "1/s", round(rate["relay"])),
        "rate direct, 32 connections": observed(round(rate["direct"]), "1/s"),
        "errors": exactly(errors, 0, "requests"),
    }


def load(wrk: str, script: Path, port: int, connections: int, seconds: int) -> Load:
    """Requests as fast as they are answered."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    line = next(line for line in out.splitlines() if line.startswith("RESULT"))
    requests, duration, errors, median = line.split()[1:]
    if not int(requests):
        raise RuntimeError(f"port {port} answered no request within {seconds} s")
    return Load(int(requests) / (int(duration) / 1e6), float(median), int(errors))


@contextmanager
def backend(nginx: str, folder: Path) -> Iterator[int]:
    """An nginx that answers every request with the same small completion."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    json.loads(ANSWER)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(here=folder, port=port, answer=ANSWER))
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(config)], stderr=-3)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("nginx does not answer") from None
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)
