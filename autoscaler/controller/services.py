"""What is decided on at the moment: services by name, kept up with policies that come, change and go.

A changed policy goes on with what the one before it had learned, where that fits it and its decider does not fail;
where not, it starts afresh, and holds until it knows enough.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

from algorithms.decider import Decider
from algorithms.types import Observation
from autoscaler.controller.step import Service, described
from autoscaler.policy.annotations import PAUSED_UNTIL, overrides_of, pause_alone
from autoscaler.policy.decider_factory import decider, decides_alike, resumes
from autoscaler.policy.spec import Prometheus, ScalingPolicy
from autoscaler.ports import Override, Query, ServiceName

BACKFILL = "backfill"
"""The name of the rule under which a newcomer is not lowered."""
_log = logging.getLogger(__name__)
_BACKFILLED = Override(BACKFILL, inf, "what was before the start is being asked for", may_rise=True)


class PolicyEntry(NamedTuple):
    """One policy with the origin that tells its age."""

    policy: ScalingPolicy
    created_s: float = 0.0
    """When it was made, in Unix time; those from files come before all others."""


def query(settings: Prometheus | None, default_server: str | None) -> Query | None:
    """Build how Prometheus is asked for a service; None where neither policy nor default name a server."""
    settings = settings or Prometheus()
    server = settings.server_address or default_server
    if not server:
        return None
    return _one_object(server, settings.query, settings.raw_series(), settings.max_sample_age)


@lru_cache(maxsize=1024)
def _one_object(server: str, expression: str, series: str, max_age_s: float) -> Query:
    """Give the same object for the same query: ten thousand services with one query are told so at a glance."""
    return Query(server, expression, series, max_age_s)


class ServiceRegistry:
    """Services and queries, by name; the controller reads both at every step.

    Args:
        prometheus: the server of policies that name none.
        refusal: says why a server may not be asked, nothing if it may; a policy that names it cannot be followed.
        on_policy: is told of a policy that begins to be followed, with its decider.
        on_gone: called with a service that is decided on no more.
        is_broken: tells whether a service's decider fails; a changed policy then goes on with nothing of it.
        backfills: whether newcomers will be told of their past (`remember`); until then they are not lowered.
    """

    def __init__(
        self,
        prometheus: str | None = None,
        on_policy: Callable[[ScalingPolicy, Decider], None] = lambda _policy, _decider: None,
        on_gone: Callable[[ServiceName], None] = lambda _service: None,
        *,
        backfills: bool = False,
        refusal: Callable[[str], str] = lambda _server: "",
        is_broken: Callable[[ServiceName], bool] = lambda _service: False,
    ) -> None:
        self._prometheus = prometheus
        self._refusal = refusal
        self._is_broken = is_broken
        self._on_policy = on_policy
        self._on_gone = on_gone
        self._backfills = backfills
        self._writing = True
        self.entries: dict[ServiceName, PolicyEntry] = {}
        self.services: dict[ServiceName, Service] = {}
        self.queries: dict[ServiceName, Query] = {}
        self.unwarmed: set[ServiceName] = set()
        """Those that began without any memory, and may be told of their past: somebody can be asked for it."""

    def put(self, entry: PolicyEntry) -> None:
        """Decide by this policy from now on; raises ValueError, and leaves all as it was, if it cannot be followed."""
        policy, service = entry.policy, entry.policy.service
        orders = overrides_of(policy.metadata.annotations)
        found = self._query(policy)
        goes_on = self._goes_on(policy)
        follows = goes_on or decider(policy)
        known = self.services.get(service)
        if known is None or known.decider is not follows:
            self._on_policy(policy, follows)
        self.entries[service] = entry
        self._ask(service, found)
        if goes_on is None and self._backfills and found is not None:
            self.unwarmed.add(service)
        self.services[service] = Service(follows, self._writes(policy), self._with_backfill(service, orders))

    def _query(self, policy: ScalingPolicy) -> Query | None:
        found = query(policy.spec.metrics.prometheus, self._prometheus)
        refusal = "" if found is None else self._refusal(found.server)
        if found and refusal:
            raise ValueError(f"spec.metrics.prometheus.serverAddress: {found.server} {refusal}")
        return found

    def _ask(self, service: ServiceName, found: Query | None) -> None:
        if found is None:
            self.queries.pop(service, None)
            self.unwarmed.discard(service)
        else:
            self.queries[service] = found

    def _with_backfill(self, service: ServiceName, orders: tuple[Override, ...]) -> tuple[Override, ...]:
        return (_BACKFILLED, *orders) if service in self.unwarmed else orders

    def pause(self, service: ServiceName, annotations: Mapping[str, str]) -> None:
        """Take over the pause, or its end, of a changed policy that cannot be followed; nothing else of it counts.

        A person who pauses all services at once means this one too.
        """
        before = self.entries.get(service)
        if before is None:
            return
        metadata = before.policy.metadata
        others = {key: value for key, value in metadata.annotations.items() if key != PAUSED_UNTIL}
        metadata = metadata.model_copy(update={"annotations": {**others, **pause_alone(annotations)}})
        self.entries[service] = before._replace(policy=before.policy.model_copy(update={"metadata": metadata}))
        orders = self._with_backfill(service, overrides_of(metadata.annotations))
        self.services[service] = self.services[service]._replace(orders=orders)

    def _goes_on(self, policy: ScalingPolicy) -> Decider | None:
        """Give the decider that goes on with what it has learned; None where one must start afresh."""
        before, known = self.entries.get(policy.service), self.services.get(policy.service)
        if before is None or known is None or (self._is_broken(policy.service) and before.policy != policy):
            return None
        if decides_alike(before.policy, policy):
            return known.decider
        if not resumes(before.policy, policy):
            return None
        return _continued(policy, known.decider)

    def remember(self, service: ServiceName, observations: Sequence[Observation]) -> None:
        """Let a newcomer decide as one that has seen all these looks, and nothing else; none leaves it as it is."""
        policy, follows = self.entries[service].policy, self.services[service].decider
        orders = overrides_of(policy.metadata.annotations)
        if observations:
            follows = decider(policy)
            for observation in observations:
                follows.decide(observation)
            self._on_policy(policy, follows)
        self.unwarmed.discard(service)
        self.services[service] = self.services[service]._replace(decider=follows, orders=orders)

    def renew(self, service: ServiceName) -> None:
        """Let a service start afresh: what its decider remembers may be what it fails by.

        Raises:
            ValueError: its policy cannot be followed; the decider stays.
        """
        policy = self.entries[service].policy
        fresh = decider(policy)
        self._on_policy(policy, fresh)
        self.services[service] = self.services[service]._replace(decider=fresh)

    def remove(self, service: ServiceName) -> None:
        """Decide on a service no more; its replicas stay as they are."""
        self.entries.pop(service, None)
        self.services.pop(service, None)
        self.queries.pop(service, None)
        self.unwarmed.discard(service)
        self._on_gone(service)

    def set_writing(self, writing: bool) -> None:  # noqa: FBT001 - one fact, told by the election
        """Write what is decided, or only decide: of several controllers one writes."""
        self._writing = writing
        for name, service in self.services.items():
            self.services[name] = service._replace(writes=self._writes(self.entries[name].policy))

    def _writes(self, policy: ScalingPolicy) -> bool:
        return self._writing and policy.spec.mode == "Active"


def _continued(policy: ScalingPolicy, old: Decider) -> Decider | None:
    new = decider(policy)
    try:
        new.restore(old.export())
    except (ValueError, LookupError, TypeError):
        # Of another algorithm or another set of rules; what was restored until then must not stay.
        return None
    return new


class Origins:
    """Policies from several origins as one roster: of two by the same name the origin named first wins.

    A policy that cannot be followed, whatever is raised, is the problem of its own service.
    """

    def __init__(self, registry: ServiceRegistry, names: Sequence[str]) -> None:
        self._registry = registry
        self._of: dict[str, dict[ServiceName, PolicyEntry]] = {name: {} for name in names}

    def put(self, origin: str, service: ServiceName, entry: PolicyEntry | None) -> str:
        """Take in a policy of one origin, or that it is gone; says why it cannot be followed, or nothing if it can."""
        if entry is None:
            self._of[origin].pop(service, None)
        else:
            self._of[origin][service] = entry
        return self._settle(service)

    def set(self, origin: str, entries: Mapping[ServiceName, PolicyEntry]) -> dict[ServiceName, str]:
        """Replace all policies of one origin; gives the problems of those that cannot be followed."""
        gone = self._of[origin].keys() - entries.keys()
        problems = {name: self.put(origin, name, entries.get(name)) for name in [*gone, *entries]}
        return {name: problem for name, problem in problems.items() if problem}

    def _settle(self, service: ServiceName) -> str:
        entry = next((each[service] for each in self._of.values() if service in each), None)
        if entry is None:
            self._registry.remove(service)
        elif entry != self._registry.entries.get(service) and (problem := self._problem(service, entry)):
            self._registry.pause(service, entry.policy.metadata.annotations)
            return problem
        return ""

    def _problem(self, service: ServiceName, entry: PolicyEntry) -> str:
        """Decide by this policy from now on, or say why that cannot be."""
        try:
            self._registry.put(entry)
        except ValueError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - one policy's; the others are followed
            _log.exception("%s: its policy cannot be followed", service)
            return f"it cannot be followed: {described(error)}"
        return ""
