"""Budgets as custom resources, and their status: what the services use of each, and who gets less than it wants."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from autoscaler.controller.budgets import BudgetState
from autoscaler.documents.document import Document, DocumentError
from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import Resource
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.loading import validated
from autoscaler.policy.schema import KINDS
from autoscaler.policy.spec import API_VERSION

BUDGETS = Resource(API_VERSION, KINDS["GpuBudget"].plural)
_METADATA = ("name", "annotations", "labels")
_EVERY_S = 2.0
_SHOWN = 100
"""How many services a status names."""
_log = logging.getLogger(__name__)


class StoredBudget(NamedTuple):
    """One custom resource and its status."""

    budget: GpuBudget | None
    """None if it is not valid; `problem` then says why."""
    problem: str
    status: Mapping[str, Any]


def stored_budget(item: Mapping[str, Any]) -> StoredBudget:
    """Read a custom resource as a document, with only the metadata that a document may have."""
    metadata = {key: item["metadata"][key] for key in _METADATA if key in item["metadata"]}
    value = {"apiVersion": API_VERSION, "kind": "GpuBudget", "metadata": metadata, "spec": item.get("spec")}
    source, status = f"GpuBudget {metadata['name']}", item.get("status") or {}
    try:
        return StoredBudget(validated(Document(source, value, {}), GpuBudget), "", status)
    except DocumentError as error:
        return StoredBudget(None, "; ".join(each.removeprefix(f"{source}:1: ") for each in error.problems), status)


def status(state: BudgetState) -> dict[str, Any]:
    """Give the status of a budget."""
    of = state.budget.amount
    used = {name: state.occupied(name) for name in state.shares}
    wants = {name: demand.wanted * demand.cost for name, demand in state.demands.items()}
    most = sorted(state.shares, key=lambda name: (-max(used[name], wants[name]), name))[:_SHOWN]
    return {
        "used": of(state.used),
        "wanted": of(sum(wants.values())),
        "limited": sum(share.allowed < state.demands[name].wanted for name, share in state.shares.items()),
        "services": [
            {
                "service": name,
                "wanted": state.demands[name].wanted,
                "allowed": state.shares[name].allowed,
                "used": of(used[name]),
            }
            for name in most
        ],
    }


class BudgetReporter:
    """Writes the status of each budget that is a resource; `run` it.

    Args:
        api: the API server.
        states: gives how each budget is used.
        stored: gives the resources by name, with the status that they have.
        leads: tells whether this replica of the controller may write now.
    """

    def __init__(
        self,
        api: Api,
        *,
        states: Callable[[], Iterable[BudgetState]],
        stored: Callable[[], Mapping[str, StoredBudget]],
        leads: Callable[[], bool],
    ) -> None:
        self._api = api
        self._states = states
        self._stored = stored
        self._leads = leads

    async def run(self) -> None:
        """Write what has changed every two seconds, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self._leads():
                for state in self._states():
                    await self._write(state)

    async def _write(self, state: BudgetState) -> None:
        stored, made = self._stored().get(state.budget.name), status(state)
        if stored is None or stored.budget != state.budget or stored.status == made:
            return
        try:
            await self._api.patch(f"{BUDGETS.collection('')}/{state.budget.name}/status", {"status": made})
        except ApiError as error:
            _log.warning("status of GpuBudget %s not written: %s", state.budget.name, error)
