"""The budgets that the controller follows: from custom resources and files to the controller's `Budgets`.

Rules:
1. A budget that becomes invalid stays in force as it was; the log says so.
2. Of a resource and a file with the same name the resource wins.
3. The resources are followed by a controller of all namespaces only: a budget is of the cluster as a whole.
"""

import asyncio
import logging
import random
from collections.abc import Sequence

from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.app.policy_files import follow_files
from autoscaler.controller.budgets import Budgets
from autoscaler.kubernetes.budgets import BUDGETS, StoredBudget, stored_budget
from autoscaler.kubernetes.client import Api
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.store import Change
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.loading import read_budgets
from autoscaler.runtime.files import FileWatch

_log = logging.getLogger(__name__)


class FollowedBudgets:
    """The budgets of resources and files; `load_files` first, then `run` it.

    Args:
        settings: the controller's own.
        api: the API server.
        budgets: what divides them.
    """

    def __init__(self, settings: ControllerSettings, *, api: Api, budgets: Budgets) -> None:
        self._settings = settings
        self._budgets = budgets
        self._watch = FileWatch(settings.files)
        self._in_files: Sequence[GpuBudget] = ()
        self._in_force: dict[str, GpuBudget] = {}
        """The last valid version of each resource, by name."""
        self._informer: Informer[StoredBudget] | None = None
        if settings.resources and not settings.namespace:
            rng = random.Random()  # noqa: S311 - spreads attempts
            path = BUDGETS.collection("")
            self._informer = Informer(api, path, stored_budget, rng, on_change=self._resources_changed)

    def recheck(self) -> None:
        """Read the files again, even if they look unchanged."""
        self._watch.recheck()

    def load_files(self) -> None:
        """Read the files for the first time; raises DocumentError."""
        self._files_changed(read_budgets(self._watch.files))

    def stored(self) -> dict[str, StoredBudget]:
        """Give the resources by name."""
        items = {} if self._informer is None else self._informer.store.items()
        return {key.removeprefix("/"): stored for key, stored in items.items()}

    async def known(self) -> None:
        """Wait until the resources are known: until then a service could get more than a budget allows.

        If they may not be listed, or their kind is not installed, there are none, and the log says so.
        """
        if self._informer is not None:
            await self._informer.answered.wait()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._informer is not None:
                group.create_task(self._informer.run())
            if self._settings.files:
                group.create_task(follow_files(self._watch, read_budgets, self._files_changed))

    def _files_changed(self, found: Sequence[GpuBudget]) -> None:
        self._in_files = found
        self._apply()

    def _resources_changed(self, changes: Sequence[Change[StoredBudget]]) -> None:
        # The watch also delivers our own status writes, which change nothing here.
        changed = [each for each in changes if _spec(each.before) != _spec(each.after)]
        for key, _before, after in changed:
            name = key.removeprefix("/")
            if after is None:
                self._in_force.pop(name, None)
            elif after.budget is None:
                _log.error("GpuBudget %s is not valid, its last valid version stays in force: %s", name, after.problem)
            else:
                self._in_force[name] = after.budget
        if changed:
            self._apply()

    def _apply(self) -> None:
        self._budgets.set(({budget.name: budget for budget in self._in_files} | self._in_force).values())


def _spec(stored: StoredBudget | None) -> tuple[GpuBudget | None, str] | None:
    return None if stored is None else (stored.budget, stored.problem)
