"""An installation of the shipped manifests in which the containers really run: as processes, for KWOK starts none.

The manifests are copied with other port numbers, since all pods are on this machine. All else is as it is shipped: each
process has its container's arguments, acts as its pod's account and nothing more, listens at its pod's address where it
can, and counts as started when its probes answer.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cluster_kit import free_port

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
OWN = "inflight-system"
PATIENCE_S = 90
"""Programs start side by side on a machine that may be busy."""


@dataclass(frozen=True)
class Ports:
    """What stands in the copy in place of the shipped numbers."""

    controller: int = field(default_factory=free_port)
    gateway: int = field(default_factory=free_port)
    metrics: int = field(default_factory=free_port)
    peer: int = field(default_factory=free_port)
    service: int = field(default_factory=free_port)

    def in_place_of(self, file: Path) -> dict[str, int]:
        http = self.controller if "controller" in file.parts else self.gateway
        return {"8080": http, "9090": self.metrics, "9091": self.peer, "7860": self.service}


def copied(folder: Path, ports: Ports, namespace: str = "") -> Path:
    """Copy the manifests with other ports and, where one is given, another namespace than `default`."""
    target = Path(shutil.copytree(MANIFESTS, folder / "manifests"))
    for file in target.rglob("*.yaml"):
        other = ports.in_place_of(file.relative_to(target))
        # All pods share the loopback interface of this machine: each page takes a free port there.
        text = file.read_text().replace("--page=127.0.0.1:8090", "--page=127.0.0.1:0")
        text = re.sub(r"\b(8080|9090|9091|7860)\b", lambda found, other=other: str(other[found[0]]), text)
        file.write_text(text.replace("namespace: default", f"namespace: {namespace}") if namespace else text)
    return target


@dataclass(frozen=True)
class Container:
    """One container of one pod, and what a kubelet would give to it."""

    pod: str
    address: str
    spec: dict[str, Any]
    account: Path
    """A kubeconfig."""
    namespace: str
    mounts: dict[str, Path]
    """Local folders by the paths at which the container finds them."""
    variables: dict[str, str]
    """Those of its environment that the manifests set."""
    hosts: str
    """Where its ports listen: two pods have one port, and a node forwards to another address of one of them."""

    @property
    def arguments(self) -> list[str]:
        return self.spec["args"]

    def probe(self, kind: str) -> str:
        request = self.spec[kind]["httpGet"]
        port = next(each["containerPort"] for each in self.spec["ports"] if each["name"] == request["port"])
        return f"http://{self.address}:{port}{request['path']}"


def container_of(control_plane, folder: Path, pod: dict[str, Any], hosts: str) -> Container:
    """Give the container of a pod; its ConfigMaps are mounted below the folder."""
    (spec,) = pod["spec"]["containers"]
    namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
    volumes = {
        each["name"]: each["configMap"]["name"] for each in pod["spec"].get("volumes", ()) if "configMap" in each
    }
    mounts = {
        each["mountPath"]: _mounted(control_plane, namespace, volumes[each["name"]], folder)
        for each in spec.get("volumeMounts", ())
        if each["name"] in volumes
    }
    return Container(
        pod["metadata"]["name"],
        pod["status"]["podIP"],
        spec,
        control_plane.service_account(namespace, account),
        namespace,
        mounts,
        {each["name"]: _value(each, pod) for each in spec.get("env", ())},
        hosts,
    )


def _mounted(control_plane, namespace: str, config_map: str, folder: Path) -> Path:
    mounted = folder / config_map
    mounted.mkdir(exist_ok=True)
    found = control_plane.get(f"/api/v1/namespaces/{namespace}/configmaps/{config_map}")
    for name, content in found["data"].items():
        (mounted / name).write_text(content)
    return mounted


def _value(variable: dict[str, Any], pod: dict[str, Any]) -> str:
    if "value" in variable:
        return variable["value"]
    part, name = variable["valueFrom"]["fieldRef"]["fieldPath"].split(".")
    return pod[part][name]


Launch = Callable[[Container], tuple[list[str], dict[str, str] | None]]
"""Gives command and environment."""


def as_process(container: Container) -> tuple[list[str], dict[str, str]]:
    """Start the program of this clone."""
    arguments = container.arguments
    for path, folder in container.mounts.items():
        arguments = [each.replace(path, str(folder)) for each in arguments]
    environment = {
        **os.environ,
        "KUBECONFIG": str(container.account),
        "INFLIGHT_OWN_NAMESPACE": container.namespace,
        "INFLIGHT_HOST": container.hosts,
        "INFLIGHT_TICK": "0.5s",
        **container.variables,
    }
    return [sys.executable, "-m", "autoscaler", *arguments], environment


class Containers:
    """The containers of controller and gateway, from `start` until the end of the block; each must then end well."""

    def __init__(
        self,
        control_plane,
        namespace: str,
        folder: Path,
        launch: Launch = as_process,
        *,
        controllers: int = 2,
        gateways: int = 3,
    ) -> None:
        self._control_plane = control_plane
        self._namespace = namespace
        self._folder = folder
        self._launch = launch
        self._pods_wanted = {"inflight-controller": controllers, "inflight-gateway": gateways}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        """Those that run, by pod."""
        self._forwarded = ""
        """The gateway that a node forwards to."""
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        self._stack.__exit__(*error)

    def start(self) -> None:
        """Start all that do not run, and wait until each is alive and ready."""
        pods = [pod for pod in self._pods() if pod["metadata"]["name"] not in self._processes]
        containers = [container_of(self._control_plane, self._folder, pod, self._hosts(pod)) for pod in pods]
        for container in containers:
            self._start(container)
        for container in containers:
            for kind in ("livenessProbe", "readinessProbe"):
                _answers(container.probe(kind), self._folder / f"{container.pod}.log")

    def kill(self, workload: str, *, all_but: int = 0) -> None:
        """Kill the processes of a workload's pods, all but the first so many."""
        for name in [each for each in self._processes if each.startswith(workload)][all_but:]:
            with self._processes.pop(name) as process:
                process.kill()

    def start_model(self, port: int) -> None:
        """Start what answers for the pods of every service, whatever their address."""
        options = ["--host=0.0.0.0", f"--port={port}", "--service-time=0.1"]
        log = self._run("model", [sys.executable, "-m", "autoscaler.demo.fake_pod", *options], dict(os.environ))
        _answers(f"http://127.0.0.1:{port}/sdapi/v1/progress", log)

    def folder_of(self, config_map: str) -> Path:
        """Give the local folder in which a ConfigMap is mounted."""
        return self._folder / config_map

    def _pods(self) -> list[dict[str, Any]]:
        """Give the pods of what was applied last; an earlier test's stay until theirs is rolled out in their place."""
        deployments = f"/apis/apps/v1/namespaces/{self._namespace}/deployments"
        self._control_plane.wait(deployments, self._rolled_out, deadline_s=60)

        def all_there(found):
            names = [each["metadata"]["labels"].get("app.kubernetes.io/name") for each in _addressed(found)]
            return all(names.count(name) == number for name, number in self._pods_wanted.items())

        pods = self._control_plane.wait(f"/api/v1/namespaces/{self._namespace}/pods", all_there, deadline_s=60)
        wanted = self._pods_wanted
        return [pod for pod in _addressed(pods) if pod["metadata"]["labels"].get("app.kubernetes.io/name") in wanted]

    def _rolled_out(self, deployments: dict[str, Any]) -> bool:
        return all(name in deployments and _is_rolled_out(deployments[name]) for name in self._pods_wanted)

    def _hosts(self, pod: dict[str, Any]) -> str:
        """Let one gateway listen at 127.0.0.1 too, where a node forwards to."""
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        if name.startswith("inflight-gateway"):
            self._forwarded = self._forwarded or name
        return f"127.0.0.1,{address}" if name == self._forwarded else address

    def _start(self, container: Container) -> None:
        command, environment = self._launch(container)
        self._run(container.pod, command, environment)

    def _run(self, name: str, command: list[str], environment: dict[str, str] | None) -> Path:
        log = self._folder / f"{name}.log"
        output = self._stack.enter_context(log.open("wb"))
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self._processes[name] = process
        self._stack.callback(self._end, name, log)
        return log

    def _end(self, name: str, log: Path) -> None:
        if name in self._processes:
            _end(self._processes.pop(name), log)


def _is_rolled_out(deployment: dict[str, Any]) -> bool:
    """Ask what `kubectl rollout status` asks, short of whether the pods are available."""
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return seen and status.get("updatedReplicas", 0) == status.get("replicas", 0) == wanted


def _addressed(pods: dict[str, Any]) -> list[dict[str, Any]]:
    return [pod for pod in pods.values() if "podIP" in pod["status"] and "deletionTimestamp" not in pod["metadata"]]


def _end(process: subprocess.Popen[bytes], log: Path) -> None:
    try:
        status = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    assert status == 0, log.read_text()


def _answers(url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - an address of our own
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer:\n{log.read_text()}")


def answered(port: int, host: str) -> tuple[int, bytes]:
    """Ask a gateway for a picture and return status and body; until it listens and knows the host it is asked again."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := _asked(port, host))[0] == HTTPStatus.NOT_FOUND:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the gateway has not heard of {host}")
        time.sleep(0.1)
    return answer


def _asked(port: int, host: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{port}/sdapi/v1/txt2img"
    request = urllib.request.Request(url, b'{"prompt": "pretty dog"}', {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - an address of our own
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return HTTPStatus.NOT_FOUND, b""
        raise
