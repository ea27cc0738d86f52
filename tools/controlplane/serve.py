#!/usr/bin/env python3
"""Runs a control plane of its own in a folder, until its standard input ends or a signal comes.

`serve.py [FOLDER]` starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK on free loopback ports
and then prints one line of JSON: where the API is, a token that may do everything, a kubeconfig, the audit log. Whoever
started it holds its standard input open: however that process ends, the control plane ends with it, and in order.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from build import HERE, control_plane_programs, say

ROOM = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "512Gi", "pods": "250", "nvidia.com/gpu": "64"}
DEADLINE_S = 60.0
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "validatingadmissionpolicy-status-controller",
)
NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "loopback", "labels": {"kubernetes.io/hostname": "loopback", "kubernetes.io/os": "linux"}},
    "spec": {"podCIDR": "127.1.0.0/24"},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "allocatable": ROOM,
        "capacity": ROOM,
    },
}


@dataclass(frozen=True, slots=True)
class Api:
    """Where the API server listens, and what its callers need to know."""

    folder: Path
    port: int
    admin: str
    machinery: str

    @property
    def url(self) -> str:
        """Return the address, which the server's own certificate is made for."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """Return the file with the certificate that the server makes for itself."""
        return self.folder / "apiserver.crt"

    def request(self, path: str, body: Any = None) -> Any:
        """Read what is at a path, or post a body there.

        Raises:
            OSError: nothing answers there yet.
            LookupError: the server does not know of it, or not yet.
        """
        trust = ssl.create_default_context(cafile=self.ca)
        with closing(HTTPSConnection("127.0.0.1", self.port, timeout=5, context=trust)) as connection:
            headers = {"Authorization": f"Bearer {self.admin}", "Content-Type": "application/json"}
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise LookupError(text)
        return json.loads(text)

    def kubeconfig(self, user: str, token: str) -> Path:
        """Write the kubeconfig of a user and return where it is."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
            "current-context": "test",
        }
        return _written(self.folder / f"{user}.kubeconfig", json.dumps(content, indent=1))


@contextmanager
def control_plane(
    folder: Path, cold_start_s: float, exit_s: float, forward_to: int | None = None
) -> Iterator[dict[str, str]]:
    """Run the control plane while the context lasts, and say where everything is.

    The programs start in the order in which they need each other and stop in the reverse: without etcd the API server's
    graceful stop hangs.
    """
    binaries = control_plane_programs()
    ports = _free_ports(4)
    api = Api(folder, ports[0], secrets.token_hex(), secrets.token_hex())
    admin = api.kubeconfig("admin", api.admin)
    machinery = api.kubeconfig("machinery", api.machinery)
    with ExitStack() as running:

        def start(name: str, *flags: str) -> subprocess.Popen[bytes]:
            return running.enter_context(_running(binaries / name, folder / f"{name}.log", flags))

        start("etcd", *_etcd(folder, ports[1], ports[2]))
        server = start("kube-apiserver", *_apiserver(api, ports[1]))
        _until(lambda: api.request("/api/v1/namespaces/default"), server)
        start("kube-controller-manager", *_controller_manager(machinery))
        start("kube-scheduler", *_serving_nothing(machinery))
        start("kwok", *_kwok(api, machinery, _kubelet(cold_start_s, exit_s, forward_to), ports[3]))
        api.request("/api/v1/nodes", _node(ports[3]))
        _until(lambda: _ready(api), server)
        yield {
            "url": api.url,
            "token": api.admin,
            "ca": str(api.ca),
            "kubeconfig": str(admin),
            "audit_log": str(folder / "audit.log"),
            "programs": str(binaries),
            "folder": str(folder),
        }
    shutil.rmtree(folder / "etcd", ignore_errors=True)


def _etcd(folder: Path, port: int, peer_port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def _apiserver(api: Api, etcd_port: int) -> list[str]:
    tokens = f'{api.admin},admin,admin,"system:masters"\n{api.machinery},machinery,machinery,"system:masters"\n'
    key = api.folder / "apiserver.key"  # the server makes it for its certificate before it reads it for the accounts
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={api.port}",
        "--advertise-address=192.0.2.1",  # loopback is refused, and the machine may have no other address
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.0.0.0/16",
        f"--cert-dir={api.folder}",
        f"--token-auth-file={_written(api.folder / 'tokens.csv', tokens)}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=TaintNodesByCondition",  # no node-lifecycle-controller is there to take it off
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--audit-policy-file={HERE / 'audit.yaml'}",
        f"--audit-log-path={api.folder / 'audit.log'}",
    ]


def _serving_nothing(kubeconfig: Path) -> list[str]:
    return [f"--kubeconfig={kubeconfig}", "--secure-port=0", "--leader-elect=false"]


def _controller_manager(kubeconfig: Path) -> list[str]:
    return [
        *_serving_nothing(kubeconfig),
        f"--controllers={','.join(CONTROLLERS)}",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def _kubelet(cold_start_s: float, exit_s: float, forward_to: int | None) -> str:
    stages = (HERE / "kubelet.yaml").read_text()
    stages = stages.replace("EXIT_S", f"{exit_s}").replace("COLD_START_S", f"{cold_start_s}")
    if forward_to is None:
        return stages
    forwards = [{"target": {"address": "127.0.0.1", "port": forward_to}}]
    rule = {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterPortForward", "metadata": {"name": "all"}}
    return f"{stages}\n---\n{json.dumps({**rule, 'spec': {'forwards': forwards}})}\n"


def _node(kubelet_port: int) -> dict[str, Any]:
    endpoints = {"kubeletEndpoint": {"Port": kubelet_port}}
    return {**NODE, "status": {**NODE["status"], "daemonEndpoints": endpoints}}


def _kwok(api: Api, kubeconfig: Path, stages: str, port: int) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--config={_written(api.folder / 'kubelet.yaml', stages)}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=0",
        f"--server-address=127.0.0.1:{port}",
    ]


@contextmanager
def _running(program: Path, log: Path, flags: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own, so that a Ctrl-C in the terminal does not upset the order."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *flags], stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )
    try:
        yield process
    finally:
        if process.poll() is not None:
            say(f"{program.name} has ended by itself with {process.returncode}, see {log}")
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            say(f"{program.name} did not end on SIGTERM")
            process.kill()
            process.wait()


def _ready(api: Api) -> bool:
    """Tell whether KWOK has taken the node, and the controllers have begun to work."""
    conditions = api.request("/api/v1/nodes/loopback")["status"].get("conditions", ())
    api.request("/api/v1/namespaces/default/serviceaccounts/default")
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _until(answer: Callable[[], Any], server: subprocess.Popen[bytes]) -> None:
    """Ask until the answer is yes. While the server starts, it refuses connections and knows less than it will."""
    deadline = time.monotonic() + DEADLINE_S
    reason: object = "no"
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if answer():
                return
        except (OSError, LookupError) as error:
            reason = error
        time.sleep(0.05)
    raise TimeoutError(f"the control plane did not start: {reason}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [taken.getsockname()[1] for taken in sockets]


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def main() -> None:
    """Serve until nobody listens any more."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where logs and keys go (default: a new temporary folder)")
    parser.add_argument("--cold-start-s", type=float, default=3.0, help="from a pod's start until it is Ready")
    parser.add_argument("--exit-s", type=float, default=1.0, help="from a pod's deletion until it is gone")
    parser.add_argument("--forward-to", type=int, metavar="PORT", help="of loopback: where kubectl port-forward leads")
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="inflight-"))).absolute()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    with control_plane(folder, options.cold_start_s, options.exit_s, options.forward_to) as facts:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        while os.read(sys.stdin.fileno(), 4096):
            pass


if __name__ == "__main__":
    main()
