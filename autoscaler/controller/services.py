"""The registry of services: their deciders and queries by name, while policies come, change and go.

The decider of a changed policy continues with the state of the one before it, if that fits and did not fail. If not, it
starts without state, and holds until it knows enough. So do its candidates.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

from algorithms.decider import Decider
from algorithms.observation import Observation
from algorithms.pools import Placement
from autoscaler.controller.candidates import Candidates, candidates_of, continued, restored, with_history
from autoscaler.controller.revisions import RevisedDict
from autoscaler.controller.step import Service
from autoscaler.policy.annotations import PAUSED_UNTIL, overrides_of, pause_alone
from autoscaler.policy.cost import prices
from autoscaler.policy.decider_factory import decider, decides_alike, resumes
from autoscaler.policy.metrics import Prometheus
from autoscaler.policy.pools import placement
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Override, PodQuery, Query, ServiceName
from autoscaler.runtime.errors import described

BACKFILL = "backfill"
"""The name of the rule that holds a new service until its history is known."""
_log = logging.getLogger(__name__)
_BACKFILLED = Override(BACKFILL, inf, "the history before the start is being read", may_rise=True)


class PolicyEntry(NamedTuple):
    """One policy with its age."""

    policy: ScalingPolicy
    created_s: float = 0.0
    """When it was created, in Unix time; policies from files count as the oldest."""


def query(settings: Prometheus | None, default_server: str | None) -> Query | None:
    """Build the Prometheus query of a service; None if neither its policy nor the default names a server."""
    settings = settings or Prometheus()
    server = settings.server_address or default_server
    if not server:
        return None
    return _one_object(server, settings.query, settings.raw_series(), settings.max_sample_age)


def pod_query(settings: Prometheus | None, default_server: str | None) -> PodQuery | None:
    """Give how to ask for what the pods of a service run; None if its policy does not say that."""
    server = settings and (settings.server_address or default_server)
    return PodQuery(server, settings.pod_query) if settings and server and settings.pod_query else None


@lru_cache(maxsize=1024)
def _one_object(server: str, expression: str, series: str, max_age_s: float) -> Query:
    """Give the same object for the same query, so that ten thousand services with one query compare fast."""
    return Query(server, expression, series, max_age_s)


def service_of(policy: ScalingPolicy, *, leads: bool = True) -> Service:
    """Build what decides on the service of a policy, without state.

    Args:
        policy: the policy.
        leads: whether this controller writes.

    Raises:
        ValueError: the policy cannot be followed.
    """
    spec = policy.spec
    active = spec.mode == "Active"
    return Service(
        decider(policy),
        writes=leads and active,
        stands_by=active and not leads,
        requests_per_replica=spec.requests_per_replica,
        placement=placement(spec.pools, spec.spill_after),
        prices=prices(spec.cost, spec.pools),
        candidates=candidates_of(policy),
    )


class ServiceRegistry:
    """Services and queries by name; the controller reads both at every step.

    Args:
        prometheus: the server of policies that name none.
        refusal: says why a server may not be used, empty if it may; a policy that names a refused one is refused.
        on_policy: called with each new policy and what decides by it.
        on_gone: called with each service that is no longer decided on.
        is_broken: tells whether a service's decider fails; a changed policy then starts without its state.
        backfills: whether new services get their history (`remember`); until then their number does not fall.
    """

    def __init__(
        self,
        prometheus: str | None = None,
        on_policy: Callable[[ScalingPolicy, Service], None] = lambda _policy, _service: None,
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
        self.services: RevisedDict[ServiceName, Service] = RevisedDict()
        self.queries: RevisedDict[ServiceName, Query] = RevisedDict()
        self.unwarmed: set[ServiceName] = set()
        """Services that began without state and whose history can be read."""

    def put(self, entry: PolicyEntry) -> None:
        """Decide by this policy from now on.

        Raises:
            ValueError: the policy cannot be followed; nothing has changed.
        """
        policy, service = entry.policy, entry.policy.service
        overrides = overrides_of(policy.metadata.annotations)
        found = self._query(policy)
        goes_on = self._continued(policy)
        fresh = service_of(policy, leads=self._writing)
        decides = fresh._replace(
            decider=goes_on or fresh.decider,
            placement=self._placement(policy, fresh.placement),
            candidates=self._candidates(policy),
        )
        if _deciding(self.services.get(service)) != _deciding(decides):
            self._on_policy(policy, decides)
        self.entries[service] = entry
        self._set_query(service, found)
        if goes_on is None and self._backfills and found is not None:
            self.unwarmed.add(service)
        self.services[service] = decides._replace(overrides=self._with_backfill(service, overrides))

    def pod_query(self, service: ServiceName) -> PodQuery | None:
        """Give how to ask Prometheus for what the pods of a service run; None if that is not asked."""
        entry = self.entries.get(service)
        return None if entry is None else pod_query(entry.policy.spec.metrics.prometheus, self._prometheus)

    def _query(self, policy: ScalingPolicy) -> Query | None:
        found = query(policy.spec.metrics.prometheus, self._prometheus)
        refusal = "" if found is None else self._refusal(found.server)
        if found and refusal:
            raise ValueError(f"spec.metrics.prometheus.serverAddress: {found.server} {refusal}")
        return found

    def _set_query(self, service: ServiceName, found: Query | None) -> None:
        if found is None:
            self._drop_query(service)
        else:
            self.queries[service] = found

    def _drop_query(self, service: ServiceName) -> None:
        if service in self.queries:
            del self.queries[service]
        self.unwarmed.discard(service)

    def _with_backfill(self, service: ServiceName, overrides: tuple[Override, ...]) -> tuple[Override, ...]:
        return (_BACKFILLED, *overrides) if service in self.unwarmed else overrides

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
        overrides = self._with_backfill(service, overrides_of(metadata.annotations))
        self.services[service] = self.services[service]._replace(overrides=overrides)

    def _continued(self, policy: ScalingPolicy) -> Decider | None:
        """Give a decider with the state of the one before it; None if it must start without state."""
        before, known = self.entries.get(policy.service), self.services.get(policy.service)
        if before is None or known is None or (self._is_broken(policy.service) and before.policy != policy):
            return None
        if decides_alike(before.policy, policy):
            return known.decider
        if not resumes(before.policy, policy):
            return None
        return restored(policy, known.decider.export())

    def _candidates(self, policy: ScalingPolicy) -> Candidates:
        """Give the candidates of a policy with what they, or the active policy, have seen."""
        if not policy.spec.candidates:
            return ()
        before, known = self.entries.get(policy.service), self.services.get(policy.service)
        if before is None or known is None:
            return candidates_of(policy)
        active = None if self._is_broken(policy.service) else (before.policy, known.decider)
        return continued(policy, known.candidates, active)

    def _placement(self, policy: ScalingPolicy, fresh: Placement | None) -> Placement | None:
        """Give what places the replicas of a service: the present one, or a fresh one that knows what it knew."""
        before, known = self.entries.get(policy.service), self.services.get(policy.service)
        if fresh is None or before is None or known is None or known.placement is None:
            return fresh
        if (before.policy.spec.pools, before.policy.spec.spill_after) == (policy.spec.pools, policy.spec.spill_after):
            return known.placement
        fresh.restore(known.placement.export())
        return fresh

    def remember(self, service: ServiceName, observations: Sequence[Observation]) -> None:
        """Give a new service a decider that has seen just these observations; without any, it keeps the present one."""
        policy, decides = self.entries[service].policy, self.services[service]
        if observations:
            decides = decides._replace(decider=decider(policy), candidates=with_history(policy, observations))
            for observation in observations:
                decides.decider.decide(observation)
            self._on_policy(policy, decides)
        self.unwarmed.discard(service)
        self.services[service] = decides._replace(overrides=overrides_of(policy.metadata.annotations))

    def renew(self, service: ServiceName) -> None:
        """Let a service be decided on without state, because the present one may be why that fails.

        Raises:
            ValueError: its policy cannot be followed; the state stays.
        """
        policy = self.entries[service].policy
        fresh = service_of(policy, leads=self._writing)._replace(candidates=self.services[service].candidates)
        self._on_policy(policy, fresh)
        self.services[service] = fresh._replace(overrides=self.services[service].overrides)

    def remove(self, service: ServiceName) -> None:
        """Stop deciding on a service; its replicas stay as they are."""
        self.entries.pop(service, None)
        if service in self.services:
            del self.services[service]
        self._drop_query(service)
        self._on_gone(service)

    def set_writing(self, writing: bool) -> None:  # noqa: FBT001 - the result of the election
        """Write decisions, or only decide: only one of several controllers writes."""
        self._writing = writing
        for name, service in self.services.items():
            active = self.entries[name].policy.spec.mode == "Active"
            self.services[name] = service._replace(writes=writing and active, stands_by=active and not writing)


def _deciding(service: Service | None) -> tuple[object, ...] | None:
    """Give the objects that have the state of a service; each is equal to itself only."""
    return None if service is None else (service.decider, service.placement, *service.candidates)


class Origins:
    """Policies from several origins in one registry; of two with the same name the origin named first wins.

    If a policy cannot be followed, only its own service has a problem, whatever error was raised.
    """

    def __init__(self, registry: ServiceRegistry, names: Sequence[str]) -> None:
        self._registry = registry
        self._of: dict[str, dict[ServiceName, PolicyEntry]] = {name: {} for name in names}

    def put(self, origin: str, service: ServiceName, entry: PolicyEntry | None) -> str:
        """Take a policy of one origin, None if it is gone; give why it cannot be followed, empty if it can."""
        if entry is None:
            self._of[origin].pop(service, None)
        else:
            self._of[origin][service] = entry
        return self._settle(service)

    def set(self, origin: str, entries: Mapping[ServiceName, PolicyEntry]) -> dict[ServiceName, str]:
        """Replace all policies of one origin; give the problems of those that cannot be followed."""
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
