"""Follows which hosts namespaces may claim: from the operator's file if there is one, else from annotations."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from autoscaler.app.policy_files import follow_files
from autoscaler.host_claims import HostGrants, HostPermissions, NamespaceHostPermissions
from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.namespaces import NAMESPACES, granted_namespaces, permissions_of
from autoscaler.policy.host_claims_file import read_host_claims
from autoscaler.runtime.files import FileWatch


class WatchedHostPermissions:
    """The current permissions to claim hosts; `run` it.

    Args:
        api: the API server, for the annotations of namespaces.
        rng: spreads attempts.
        namespace: the only namespace with policies, which needs no permission; empty means all namespaces.
        file: the operator's file, instead of annotations.
        on_change: called with the permissions, at first and on every change.

    Raises:
        DocumentError: the file is not valid.
    """

    def __init__(
        self,
        api: Api,
        rng: random.Random,
        *,
        namespace: str,
        file: Path | None,
        on_change: Callable[[HostPermissions], None],
    ) -> None:
        self._on_change = on_change
        self._watch = None if file is None else FileWatch([file])
        on_change(NamespaceHostPermissions() if self._watch is None else _granted(self._watch.files))
        self._namespaces: Informer[frozenset[str]] | None = None
        if file is None and not namespace:
            path = NAMESPACES.collection("")
            self._namespaces = Informer(api, path, granted_namespaces, rng, on_change=lambda _changes: self._listed())

    async def run(self) -> None:
        """Follow the file or the namespaces until cancelled."""
        if self._watch is not None:
            await follow_files(self._watch, _granted, self._on_change)
        elif self._namespaces is not None:
            await self._namespaces.run()

    async def known(self) -> None:
        """Wait until the permissions are known: until then a permitted host would be refused.

        If the account may not list namespaces, no permission is given, and everything else goes on. The log says so.
        """
        if self._namespaces is not None:
            await self._namespaces.answered.wait()

    def unready(self) -> str:
        """Say why the permissions are not known yet; empty if they are."""
        if self._namespaces is None or self._namespaces.answered.is_set():
            return ""
        return self._namespaces.problem or "the namespaces have not been listed yet"

    def _listed(self) -> None:
        if self._namespaces is not None:
            self._on_change(permissions_of(self._namespaces.store.items()))


def _granted(files: Sequence[Path]) -> HostGrants:
    (file,) = files
    return read_host_claims(file)
