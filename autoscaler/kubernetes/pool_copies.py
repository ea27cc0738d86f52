"""Makes and updates the copies of Deployments for pools, removes those of pools that are gone; only the leader writes.

`pool_copy` says what a copy must be.

Rules:
1. A copy is applied when its template or its pool has changed, when somebody else has changed it, and once after a
   start. Server-side apply changes nothing that is already so.
2. A copy of a pool that is gone is first scaled to zero. When it has no pods left, it is deleted.
3. The template is scaled to zero: at once if none of its pods is ready, else when the copies have as many ready pods as
   they were asked for. Between the two lie at least ten seconds, in which the pools are decided on.
4. An error with one policy does not stop the others. It is tried again, and `problem` says why and what to grant.
5. In DryRun nothing is written. A pool that has no copy yet is then one without room.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.informer import Informer
from autoscaler.kubernetes.objects import WORKLOADS
from autoscaler.kubernetes.pool_copy import (
    MANAGER,
    Copies,
    Deployment,
    copy_name,
    copy_of,
    deployment,
    foreign,
    superfluous,
    with_replicas,
)
from autoscaler.kubernetes.store import Change
from autoscaler.kubernetes.watches import Watches
from autoscaler.pool_members import member_of, pool_of, service_of
from autoscaler.ports import ServiceName
from autoscaler.runtime.backoff import Backoff
from autoscaler.runtime.errors import described

_DEPLOYMENTS = WORKLOADS["apps/v1", "Deployment"]
_EVERY_S = 1.0
_TEMPLATE_STAYS_S = 10.0
_AT_ONCE = 4
_GRANT = "grant the controller create, patch and delete of deployments: manifests/components/pools"
_DRY_RUN = "in DryRun no copies are made"
_log = logging.getLogger(__name__)


class PoolCopies:
    """The copies of all policies; `run` it.

    Args:
        api: the API server.
        now: gives the controller's time.
        rng: spreads attempts.
        leads: tells whether we may write.
        on_change: called with each service of which a problem is new or over.
    """

    def __init__(
        self,
        api: Api,
        now: Callable[[], float],
        rng: random.Random,
        *,
        leads: Callable[[], bool],
        on_change: Callable[[ServiceName], None] = lambda _service: None,
    ) -> None:
        self._api = api
        self._now = now
        self._rng = rng
        self._leads = leads
        self._on_change = on_change
        self._services: dict[ServiceName, Copies] = {}
        self._watches: Watches[str, _Deployments] = Watches(
            lambda namespace: _Deployments(api, namespace, rng, self._changed)
        )
        self._due: dict[ServiceName, float] = {}
        """When to check the copies of a service."""
        self._attempts: dict[ServiceName, Backoff] = {}
        self._applied: dict[tuple[str, str], tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        """What was last applied to a copy, and the spec that it then had, by namespace and name."""
        self._template_since_s: dict[ServiceName, float] = {}
        """Since when a template has had replicas."""
        self._problems: dict[ServiceName, str] = {}
        """Why the copy of a member is not as it should be."""
        self._turn = asyncio.Event()
        self._led = False

    def set_services(self, services: Mapping[ServiceName, Copies], known: Collection[ServiceName]) -> None:
        """Keep the copies of exactly these services.

        Args:
            services: what each service with copies wants.
            known: all services. The copies of a service that is known and wants none any more are removed. Those of
                one that is not known stay as they are.
        """
        before = self._services
        dropped = {
            name: copies._replace(pools=()) for name, copies in before.items() if name in known and name not in services
        }
        self._services = {**dropped, **services}
        for name in before.keys() - self._services.keys():
            self._forget(name)
        for name, copies in self._services.items():
            if before.get(name) != copies:
                self._set_problems(name, {})
                self._due[name] = self._now()
        self._turn.set()

    def problem(self, member: ServiceName) -> str:
        """Say why the copy of a member is not as it should be; empty if it is, or if it is being made."""
        return self._problems.get(member, "")

    def refusal(self, member: ServiceName) -> str:
        """Say why a member has no copy at all; empty if it has one, or if it is being made."""
        service = service_of(member)
        copies, watch = self._services.get(service), self._watch(service)
        if copies is None or watch is None or watch.get(copy_name(copies.template, pool_of(member))):
            return ""
        return self.problem(member) if copies.writes else _DRY_RUN

    async def run(self) -> None:
        """Keep the copies until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._watches.need({_namespace(service) for service in self._services}, tasks)
                await self._next_turn()
                if self._leads() and not self._led:
                    self._due = dict.fromkeys(self._services, self._now())
                self._led = self._leads()
                if self._led:
                    await self._check_due()

    async def _next_turn(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_EVERY_S):
                await self._turn.wait()
        self._turn.clear()

    async def _check_due(self) -> None:
        due = [service for service, due_s in self._due.items() if due_s <= self._now()]
        for start in range(0, len(due), _AT_ONCE):
            await asyncio.gather(*map(self._check, due[start : start + _AT_ONCE]))

    def _changed(self, namespace: str, changes: Sequence[Change[Deployment]]) -> None:
        """Take in that Deployments have changed: those of a template, and its copies, have to be checked."""
        found = [each for change in changes for each in (change.before, change.after) if each]
        names, policies = {each.name for each in found}, {each.policy for each in found}
        for change in changes:
            if change.after is None and change.before is not None:
                self._applied.pop((namespace, change.before.name), None)
        for service, copies in self._services.items():
            if _namespace(service) == namespace and (copies.template in names or copies.policy in policies):
                self._due.setdefault(service, self._now())
                self._turn.set()

    # One service.

    async def _check(self, service: ServiceName) -> None:
        watch, copies = self._watch(service), self._services.get(service)
        self._due.pop(service, None)
        if copies is None or watch is None or not copies.writes:
            return
        if not watch.synced:
            self._due[service] = self._now() + _EVERY_S
            return
        try:
            problems = await self._made(service, copies, watch)
            await self._remove_superfluous(service, copies, watch)
        except ApiError as error:
            problems = {} if error.is_conflict else dict.fromkeys(copies.names.values(), _explained(error))
            self._due[service] = self._now() + _EVERY_S
        except Exception as error:  # noqa: BLE001 - one service's; the others are checked
            _log.exception("%s: its copies could not be checked", service)
            problems = dict.fromkeys(copies.names.values(), described(error))
        if problems:
            # A conflict is no problem: somebody has written, and the watch delivers what.
            backoff = self._attempts.setdefault(service, Backoff(self._rng, first_s=1.0, longest_s=30.0))
            self._due[service] = self._now() + backoff.pause_s()
        else:
            self._attempts.pop(service, None)
        self._set_problems(service, problems)

    async def _made(self, service: ServiceName, copies: Copies, watch: "_Deployments") -> dict[str, str]:
        """Make the copies as they should be; give the problem of each pool that has one."""
        template = watch.get(copies.template)
        if template is None:
            why = f"Deployment {watch.namespace}/{copies.template} does not exist, and its pools are copies of it"
            return dict.fromkeys(copies.names.values(), why)
        problems: dict[str, str] = {}
        for pool in copies.pools:
            name = copy_name(copies.template, pool.name)
            problem = foreign(watch.get(name), copies, watch.namespace)
            if not problem:
                try:
                    await self._apply(copy_of(template, copies.policy, pool), watch)
                except ApiError as error:
                    if error.is_conflict:
                        raise
                    problem = f"Deployment {watch.namespace}/{name} cannot be applied: {_explained(error)}"
            if problem:
                problems[pool.name] = problem
        if copies.pools and not problems:
            await self._rest_template(service, template, copies, watch)
        return problems

    async def _apply(self, copy: dict[str, Any], watch: "_Deployments") -> None:
        name = copy["metadata"]["name"]
        existing, known = watch.get(name), self._applied.get((watch.namespace, name))
        if known is not None and (existing is None or known == (copy, existing.spec)):
            # It is as it should be, or has just been made and is not in the watch yet.
            return
        path = f"{_DEPLOYMENTS.collection(watch.namespace)}/{name}"
        body = with_replicas(copy, existing)
        # Without force a copy that another controller has just made keeps its number.
        stored = deployment(await self._api.apply(path, body, MANAGER, force=existing is not None))
        self._applied[watch.namespace, name] = copy, stored.spec

    async def _remove_superfluous(self, service: ServiceName, copies: Copies, watch: "_Deployments") -> None:
        found = superfluous(watch.items(), copies)
        for each in found:
            path = f"{_DEPLOYMENTS.collection(watch.namespace)}/{each.name}"
            if each.replicas:
                await self._scale_to_zero(each, watch)
            elif not each.pods:
                await self._api.remove(path, each.uid)
        if not found and not copies.pools:
            self._forget(service)
            self._services.pop(service, None)

    async def _rest_template(
        self, service: ServiceName, template: Deployment, copies: Copies, watch: "_Deployments"
    ) -> None:
        """Scale the template to zero, if the copies serve in its place."""
        if not template.replicas:
            self._template_since_s.pop(service, None)
            return
        since_s = self._template_since_s.setdefault(service, self._now())
        made = [found for name in copies.names if (found := watch.get(name))]
        in_place = all(each.ready >= each.replicas for each in made) and self._now() - since_s >= _TEMPLATE_STAYS_S
        if not template.ready or in_place:
            await self._scale_to_zero(template, watch)
        else:
            self._due[service] = self._now() + _EVERY_S

    async def _scale_to_zero(self, found: Deployment, watch: "_Deployments") -> None:
        path = f"{_DEPLOYMENTS.collection(watch.namespace)}/{found.name}/scale"
        await self._api.patch(path, {"metadata": {"resourceVersion": found.version}, "spec": {"replicas": 0}})

    # State.

    def _watch(self, service: ServiceName) -> "_Deployments | None":
        return self._watches.get(_namespace(service))

    def _set_problems(self, service: ServiceName, problems: Mapping[str, str]) -> None:
        """Take in the problems of a service, by pool."""
        before = {member: why for member, why in self._problems.items() if service_of(member) == service}
        after = {member_of(service, pool): why for pool, why in problems.items()}
        for member in before.keys() - after.keys():
            del self._problems[member]
        self._problems.update(after)
        if before != after:
            for why in {*after.values()} - {*before.values()}:
                _log.warning("%s: %s", service, why)
            self._on_change(service)

    def _forget(self, service: ServiceName) -> None:
        self._set_problems(service, {})
        for known in (self._due, self._attempts, self._template_since_s):
            known.pop(service, None)


class _Deployments:
    """The Deployments of one namespace."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        rng: random.Random,
        on_change: Callable[[str, Sequence[Change[Deployment]]], None],
    ) -> None:
        self.namespace = namespace
        self._informer: Informer[Deployment] = Informer(
            api,
            _DEPLOYMENTS.collection(namespace),
            deployment,
            rng,
            on_change=lambda changes: on_change(namespace, changes),
        )
        self.run = self._informer.run

    @property
    def synced(self) -> bool:
        return self._informer.synced.is_set()

    def get(self, name: str) -> Deployment | None:
        return self._informer.store.get(f"{self.namespace}/{name}")

    def items(self) -> Iterable[Deployment]:
        return self._informer.store.items().values()


def _namespace(service: ServiceName) -> str:
    return service.partition("/")[0]


def _explained(error: ApiError) -> str:
    """Say what to grant if our account lacks the right; a quota or an admission policy forbids in other words."""
    lacks_right = error.is_forbidden and " cannot " in str(error)
    return f"{error}; {_GRANT}" if lacks_right else str(error)
