"""What is decided on at the moment: services by name, kept up with policies that come, change and go.

A changed policy goes on with what the one before it had learned, where that fits it; where not, it starts afresh, and
holds until it knows enough.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from algorithms.decider import Decider
from autoscaler.annotations import standing_orders
from autoscaler.deciding import decider
from autoscaler.loop import Service
from autoscaler.policy import Prometheus, ScalingPolicy
from autoscaler.ports import Query, ServiceName


class Entry(NamedTuple):
    """One policy with the origin that tells its age."""

    policy: ScalingPolicy
    created_s: float = 0.0
    """When it was made, in Unix time; those from files come before all others."""


def query(settings: Prometheus | None, default_server: str | None) -> Query | None:
    """Build how Prometheus is asked for a service; None where neither policy nor default name a server."""
    settings = settings or Prometheus()
    server = settings.server_address or default_server
    return Query(server, settings.query, settings.raw_series(), settings.max_sample_age) if server else None


class Roster:
    """Services and queries, by name; the controller reads both at every step.

    Args:
        prometheus: the server of policies that name none.
        on_policy: is told of a policy that begins to be followed, with its decider.
    """

    def __init__(
        self,
        prometheus: str | None = None,
        on_policy: Callable[[ScalingPolicy, Decider], None] = lambda _policy, _decider: None,
    ) -> None:
        self._prometheus = prometheus
        self._on_policy = on_policy
        self._writing = True
        self.entries: dict[ServiceName, Entry] = {}
        self.services: dict[ServiceName, Service] = {}
        self.queries: dict[ServiceName, Query] = {}

    def put(self, entry: Entry) -> None:
        """Decide by this policy from now on; raises ValueError, and leaves all as it was, if it cannot be followed."""
        policy = entry.policy
        orders = standing_orders(policy.metadata.annotations)
        follows = self._follows(policy)
        known = self.services.get(policy.service)
        if known is None or known.decider is not follows:
            self._on_policy(policy, follows)
        self.entries[policy.service] = entry
        self.services[policy.service] = Service(follows, self._writes(policy), orders)
        found = query(policy.spec.metrics.prometheus, self._prometheus)
        if found is None:
            self.queries.pop(policy.service, None)
        else:
            self.queries[policy.service] = found

    def _follows(self, policy: ScalingPolicy) -> Decider:
        before, known = self.entries.get(policy.service), self.services.get(policy.service)
        if before is None or known is None:
            return decider(policy)
        if before.policy.spec == policy.spec:
            return known.decider
        # Knative's own delay window is restored with its old length, so a changed `kpa` starts afresh.
        if before.policy.spec.algorithm.kpa != policy.spec.algorithm.kpa:
            return decider(policy)
        return _continued(policy, known.decider)

    def remove(self, service: ServiceName) -> None:
        """Decide on a service no more; its replicas stay as they are."""
        self.entries.pop(service, None)
        self.services.pop(service, None)
        self.queries.pop(service, None)

    def set_writing(self, writing: bool) -> None:  # noqa: FBT001 - one fact, told by the election
        """Write what is decided, or only decide: of several controllers one writes."""
        self._writing = writing
        for name, service in self.services.items():
            self.services[name] = service._replace(writes=self._writes(self.entries[name].policy))

    def _writes(self, policy: ScalingPolicy) -> bool:
        return self._writing and policy.spec.mode == "Active"


def _continued(policy: ScalingPolicy, old: Decider) -> Decider:
    new = decider(policy)
    try:
        new.restore(old.export())
    except (ValueError, LookupError, TypeError):
        # Of another algorithm or another set of rules; what was restored until then must not stay.
        return decider(policy)
    return new


class Origins:
    """Policies from several origins as one roster: of two by the same name the origin named first wins."""

    def __init__(self, roster: Roster, names: Sequence[str]) -> None:
        self._roster = roster
        self._of: dict[str, dict[ServiceName, Entry]] = {name: {} for name in names}

    def put(self, origin: str, service: ServiceName, entry: Entry | None) -> str:
        """Take in a policy of one origin, or that it is gone; says why it cannot be followed, or nothing if it can."""
        if entry is None:
            self._of[origin].pop(service, None)
        else:
            self._of[origin][service] = entry
        return self._settle(service)

    def set(self, origin: str, entries: Mapping[ServiceName, Entry]) -> dict[ServiceName, str]:
        """Replace all policies of one origin; gives the problems of those that cannot be followed."""
        gone = self._of[origin].keys() - entries.keys()
        problems = {name: self.put(origin, name, entries.get(name)) for name in [*gone, *entries]}
        return {name: problem for name, problem in problems.items() if problem}

    def _settle(self, service: ServiceName) -> str:
        entry = next((each[service] for each in self._of.values() if service in each), None)
        if entry is None:
            self._roster.remove(service)
        elif entry != self._roster.entries.get(service):
            try:
                self._roster.put(entry)
            except ValueError as error:
                return str(error)
        return ""
