"""Finds the API server and our credentials: the service account of this pod, or the user of a kubeconfig.

The account of a pod, and a user with a token or certificate files, are read here. Everything else that a kubeconfig can
contain is left to kubernetes_asyncio, which takes seconds and 65 MB to import. No pod needs it.
"""

import asyncio
import ssl
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

POD_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_LASTS_S = 60.0
"""A pod's token is replaced well before it expires; client-go reads it as often."""
_CLUSTER_KEYS = frozenset({"server", "certificate-authority", "certificate-authority-data", "extensions"})
_USER_KEYS = frozenset({"token", "tokenFile", "client-certificate", "client-key"})


class UnconfiguredError(Exception):
    """No cluster is configured; the message says why."""


class Account(NamedTuple):
    """An API server and how to authenticate to it."""

    server: str
    """Base address."""
    tls: ssl.SSLContext
    authorization: Callable[[], Awaitable[str]]
    """Gives the `Authorization` header of a request; empty if the client certificate is enough."""
    server_name: str | None = None
    """The name that the server's certificate must have, if it is not its address."""
    proxy: str | None = None


async def find_account(environment: Mapping[str, str]) -> Account:
    """Find the service account of this pod; outside a pod read $KUBECONFIG or ~/.kube/config.

    Raises:
        UnconfiguredError: neither exists, or it cannot be read.
    """
    kubeconfig = environment.get("KUBECONFIG")
    try:
        if not kubeconfig and "KUBERNETES_SERVICE_HOST" in environment:
            return pod_account(POD_ACCOUNT, environment)
        return _plain_user(Path(kubeconfig or Path.home() / ".kube" / "config")) or await _by_library(kubeconfig)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UnconfiguredError(f"no Kubernetes cluster is configured: {error}") from error


def pod_account(folder: Path, environment: Mapping[str, str]) -> Account:
    """Read what Kubernetes puts into every pod; raises OSError or KeyError if it is missing."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = _TokenFile(folder / "token")
    token.read()
    return Account(server, ssl.create_default_context(cafile=folder / "ca.crt"), token.header)


def _plain_user(path: Path) -> Account | None:
    """Read a kubeconfig; None if it contains more than is supported here."""
    if not path.is_file():
        # No file, or several files in one variable.
        return None
    config = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    context = _named(config, "context", config["current-context"])
    cluster, user = _named(config, "cluster", context["cluster"]), _named(config, "user", context.get("user"))
    if cluster.keys() - _CLUSTER_KEYS or user.keys() - _USER_KEYS:
        return None
    tls = _trusting(path.parent, cluster)
    if "client-certificate" in user:
        tls.load_cert_chain(path.parent / user["client-certificate"], path.parent / user["client-key"])
    return Account(cluster["server"].rstrip("/"), tls, _shown(path.parent, user))


def _named(config: Mapping[str, Any], kind: str, name: str | None) -> dict[str, Any]:
    for each in config.get(f"{kind}s") or ():
        if each["name"] == name:
            return each[kind] or {}
    raise KeyError(f"the kubeconfig has no {kind} {name!r}")


def _trusting(folder: Path, cluster: Mapping[str, Any]) -> ssl.SSLContext:
    if "certificate-authority-data" in cluster:
        return ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    authority = cluster.get("certificate-authority")
    return ssl.create_default_context(cafile=folder / authority if authority else None)


def _shown(folder: Path, user: Mapping[str, Any]) -> Callable[[], Awaitable[str]]:
    if "tokenFile" in user:
        return _TokenFile(folder / user["tokenFile"]).header

    async def header() -> str:
        return f"Bearer {user['token']}" if "token" in user else ""

    return header


class _TokenFile:
    """A token that another program replaces from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header = ""
        self._read_s = float("-inf")

    def read(self) -> None:
        """Read it; raises OSError."""
        self._header, self._read_s = f"Bearer {self._path.read_text().strip()}", _now_s()

    async def header(self) -> str:
        """Give the header, with a token that was read recently."""
        if _now_s() - self._read_s >= _TOKEN_LASTS_S:
            self.read()
        return self._header


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _by_library(kubeconfig: str | None) -> Account:
    from kubernetes_asyncio import config  # noqa: PLC0415 - takes seconds
    from kubernetes_asyncio.client import Configuration  # noqa: PLC0415

    found = Configuration()
    try:
        await config.load_kube_config(config_file=kubeconfig, client_configuration=found)
    except config.ConfigException as error:
        raise UnconfiguredError(f"no Kubernetes cluster is configured: {error}") from error
    tls = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if found.cert_file:
        tls.load_cert_chain(found.cert_file, found.key_file)
    if not found.verify_ssl:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE

    async def header() -> str:
        settings = (await found.auth_settings()).values()
        return next((str(each["value"]) for each in settings if each["key"].lower() == "authorization"), "")

    return Account(str(found.host).rstrip("/"), tls, header, found.tls_server_name, found.proxy)
