"""The control plane that a test session talks to: started here, or named by KUBECONFIG.

All of it blocks, so that it serves tests with any event loop; an async test asks through `asyncio.to_thread`. Waiting
is watching: `wait` returns with the event that makes its condition true, and fails with what it saw last.
"""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

SERVE = Path(__file__).resolve().parents[2] / "tools" / "controlplane" / "serve.py"
MERGE = "application/merge-patch+json"


class RefusedError(Exception):
    """The API server said no: `status` is HTTP's, the text its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A cluster whose pods have loopback addresses, and the token of its administrator."""

    url: str
    token: str
    ca: Path
    kubeconfig: Path
    audit_log: Path
    """The API server's audit events, one JSON object a line: of the administrator and of every account."""
    programs: Path
    """The folder with kubectl in it, for a PATH."""
    folder: Path
    """Holds the programs' logs."""

    def get(self, path: str) -> Any:
        """Return the object or list at a path, such as `/api/v1/nodes`."""
        return self.request("GET", path)

    def create(self, path: str, body: Any) -> Any:
        """Post an object to the path of its collection and return what was stored."""
        return self.request("POST", path, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE) -> Any:
        """Patch what is at a path; a subresource such as `.../scale` has a path of its own."""
        return self.request("PATCH", path, body, content_type)

    def delete(self, path: str) -> Any:
        """Ask for the deletion of what is at a path, and of all that it owns, in the background."""
        return self.request("DELETE", path, {"propagationPolicy": "Background"})

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Ask the API server as the administrator.

        Raises:
            RefusedError: the server said no.
        """
        with self._answer(path, 30, method, body, content_type) as answer:
            return json.load(answer)

    def wait(
        self, path: str, condition: Callable[[dict[str, Any]], bool], *, selector: str = "", deadline_s: float = 20.0
    ) -> dict[str, Any]:
        """Watch a collection until a condition on it is true, and return its objects by name.

        Raises:
            TimeoutError: the condition was not true within `deadline_s`; the message holds the objects as last seen.
        """
        objects: dict[str, Any] = {}
        for objects in self._states(path, selector, deadline_s):
            if condition(objects):
                return objects
        raise TimeoutError(f"after {deadline_s} s {path} was:\n{yaml.safe_dump(_without_managed_fields(objects))}")

    def wait_established(self, definition: str) -> None:
        """Wait until the resources of a CustomResourceDefinition, named as it is, are served."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self.wait(path, lambda found: _is_established(found.get(definition, {})))

    def service_account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig with which one acts as an account, and as nothing more."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        cluster = {"server": self.url, "certificate-authority": str(self.ca)}
        context = {"cluster": "test", "user": name, "namespace": namespace}
        config = {
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": self.create(path, body)["status"]["token"]}}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        target = self.folder / f"{namespace}-{name}.kubeconfig"
        target.write_text(yaml.safe_dump(config))
        return target

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit events so far, in which a request is as soon as its answer has ended, or a watch begun."""
        *lines, _unfinished = self.audit_log.read_text().split("\n")
        return [json.loads(line) for line in lines]

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """Return an environment in which `kubectl`, and every other client, speaks to this cluster."""
        return {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }

    def _states(self, path: str, selector: str, deadline_s: float) -> Iterator[dict[str, Any]]:
        query = {"labelSelector": selector}
        listed = self.get(f"{path}?{urlencode(query)}")
        objects = {item["metadata"]["name"]: item for item in listed["items"]}
        yield objects
        query |= {
            "watch": "1",
            "resourceVersion": listed["metadata"]["resourceVersion"],
            "timeoutSeconds": f"{deadline_s:.0f}",
        }
        with self._answer(f"{path}?{urlencode(query)}", deadline_s + 10) as events:
            for line in events:
                _apply(json.loads(line), objects)
                yield objects

    @contextmanager
    def _answer(
        self, path: str, timeout_s: float, method: str = "GET", body: Any = None, content_type: str = "application/json"
    ) -> Iterator[HTTPResponse]:
        server, trust = urlsplit(self.url).netloc, ssl.create_default_context(cafile=self.ca)
        with closing(HTTPSConnection(server, timeout=timeout_s, context=trust)) as connection:
            headers = {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": content_type,
                "User-Agent": "tests",  # so managedFields call us, and not "unknown"
            }
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise RefusedError(answer.status, json.load(answer)["message"])
            yield answer


@contextmanager
def started(folder: Path, **options: float) -> Iterator[ControlPlane]:
    """Run a control plane while the context lasts; options are those of serve.py, such as `cold_start_s=3`.

    It is a process of its own that ends when its standard input does, so it ends in good order whatever becomes of us.
    """
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, str(SERVE), str(folder), *flags]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        facts = process.stdout.readline()  # type: ignore[union-attr]
        if not facts:
            raise RuntimeError(f"no control plane: see standard error, and the logs in {folder}")
        yield _from_facts(json.loads(facts))


def attached(kubeconfig: Path) -> ControlPlane:
    """Return the cluster that a kubeconfig names.

    Raises:
        LookupError: it is no cluster to test with. The tests grant and delete, and serve the pods from this machine,
            so a node must give its pods loopback addresses: no cluster that anyone works with has one.
    """
    config = yaml.safe_load(kubeconfig.read_text())
    try:
        context = _named(config, "context", config["current-context"])
        cluster = _named(config, "cluster", context["cluster"])
        token, ca = _named(config, "user", context["user"])["token"], Path(cluster["certificate-authority"])
    except (KeyError, TypeError) as error:
        raise LookupError(f"no cluster with certificate-authority and token in {kubeconfig}") from error
    found = ControlPlane(
        url=cluster["server"],
        token=token,
        ca=ca,
        kubeconfig=kubeconfig,
        audit_log=ca.parent / "audit.log",
        programs=_built(),
        folder=ca.parent,
    )
    if not any(node["spec"].get("podCIDR", "").startswith("127.") for node in found.get("/api/v1/nodes")["items"]):
        raise LookupError(f"{found.url} has no node whose pods have loopback addresses")
    return found


def _named(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {each["name"]: each[kind] for each in config[f"{kind}s"]}[name]
    return found


def _built() -> Path:
    answer = subprocess.run(
        [sys.executable, SERVE.with_name("build.py")], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(answer.stdout.strip())


def _from_facts(facts: dict[str, str]) -> ControlPlane:
    paths = {name: Path(facts[name]) for name in ("ca", "kubeconfig", "audit_log", "programs", "folder")}
    return ControlPlane(url=facts["url"], token=facts["token"], **paths)


def _apply(event: dict[str, Any], objects: dict[str, Any]) -> None:
    name = event["object"]["metadata"]["name"]
    if event["type"] == "DELETED":
        objects.pop(name)
    else:
        objects[name] = event["object"]


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()  # null until the API server has looked at it
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _without_managed_fields(objects: dict[str, Any]) -> dict[str, Any]:
    for each in objects.values():
        each["metadata"].pop("managedFields", None)
    return objects
