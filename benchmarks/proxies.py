"""Starts the gateway and other proxies, each alone on the second core, and reads their CPU time and memory."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from autoscaler.runtime import programs
from autoscaler.testing import policy_document

PEERS = Path(__file__).parent / "peers"
HOST = "127.0.0.1"
OTHERS_CORE, PROXY_CORE = "0", "1" if (os.cpu_count() or 1) > 1 else "0"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 2s
frontend f
  bind {address}
  option forwardfor
  default_backend b
backend b
  cookie sd insert indirect nocache httponly
  server origin {origin} cookie o
"""
_NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream o {{ server {origin}; keepalive 64; }}
  server {{ listen {address}; keepalive_requests 1000000;
    location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}
"""


def free_port() -> int:
    """Give a free port, below the range of ephemeral ports."""
    while True:
        port = random.randrange(15_000, 32_000)  # noqa: S311
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


class Running:
    """A running proxy or server."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.port = port
        self.pid = process.pid
        self.metrics_port = 0

    def cpu_s(self) -> float:
        """Its CPU seconds so far, with its children's."""
        pids = [self.pid, *_children(self.pid)]
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS_PER_S

    def rss_bytes(self) -> int:
        """Its resident memory now, in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def started(name: str, port: int, core: str, command: Sequence[str | Path]) -> Iterator[Running]:
    """Run a program on one core during the block; it listens when the block begins."""
    pin = ["taskset", "-c", core] if shutil.which("taskset") else []
    with subprocess.Popen([*pin, *map(str, command)], stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            _wait_for(port, process)
            yield Running(name, port, process)
        finally:
            # The gateway drains at the first signal and ends at the second.
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"no process listens on port {port}")


def peers_binary(folder: Path) -> Path:
    """Build the Go program of the benchmark."""
    built = folder / "peers"
    subprocess.run(["go", "build", "-o", built, "."], cwd=PEERS, check=True)  # noqa: S603, S607
    return built


def gateway_command(config: Path, port: int, metrics_port: int) -> list[str]:
    """Give the command that runs a gateway."""
    ports = ["--port", str(port), "--metrics-port", str(metrics_port)]
    return [sys.executable, "-m", "autoscaler", "gateway", "--config", str(config), *ports]


@contextmanager
def gateway(
    folder: Path, backends: Sequence[str], *, concurrency: int = 0, queue: int = 100, options: Sequence[str] = ()
) -> Iterator[Running]:
    """Run the gateway's command, with cookies and both path classes, and more options."""
    port, metrics_port = free_port(), free_port()
    document = policy_document(
        "bench",
        backends=list(backends),
        containerConcurrency=concurrency,
        traffic={
            "hosts": [HOST],
            "queue": {"maxLength": queue},
            "affinity": {"cookie": {"name": "sd"}, "whenBusy": "Spill", "spillAfter": "0s"},
            "paths": [{"match": ["/pass*"], "class": "Pass", "maxPerPod": 1000}],
        },
    )
    config = folder / f"gateway-{port}.yaml"
    config.write_text(json.dumps(document))
    with started("gateway", port, PROXY_CORE, [*gateway_command(config, port, metrics_port), *options]) as running:
        running.metrics_port = metrics_port
        yield running


def others(stack: ExitStack, folder: Path, peers: Path, origin: str) -> list[Running]:
    """Start Go's proxy, and HAProxy and nginx if they are installed."""
    port = free_port()
    found = [stack.enter_context(started("go", port, PROXY_CORE, [peers, "proxy", f"{HOST}:{port}", origin]))]
    for name, template, arguments in (("haproxy", _HAPROXY, ["-f"]), ("nginx", _NGINX, ["-c"])):
        program = programs.find(name)
        if program is None:
            print(f"{name}: not found, left out")
            continue
        port = free_port()
        config = folder / f"{name}.conf"
        config.write_text(template.format(address=f"{HOST}:{port}", origin=origin, folder=folder))
        found.append(stack.enter_context(started(name, port, PROXY_CORE, [program, *arguments, config])))
    return found
