"""The document `ScalingPolicy`: every setting of one service with its default, its range and its meaning.

The same document is applied as a custom resource, read from a file and simulated.
"""

from ipaddress import ip_address
from sys import intern
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from algorithms.bounds import BoundsAt, with_reserve
from algorithms.kpa_scale import ScaleOptions
from autoscaler.documents.fields import RULES, Duration, ResourceModel, Shape, lasting, rule
from autoscaler.policy.algorithm import AlgorithmChoice, ScaleDown, ScaleUp
from autoscaler.policy.candidates import UNIQUE, Candidate, Candidates, candidate_rules
from autoscaler.policy.cost import NEEDS_A_PRICE, PER_REPLICA, Cost, check_cost
from autoscaler.policy.decision_fields import (
    BELOW_THE_LIMIT,
    BELOW_THE_MOST,
    IDLE_BELOW,
    STANDBY_NEEDS,
    WORTH_A_START_NEEDS,
    MaxCold,
    MaxReplicas,
    MinReplicas,
    Schedule,
    Standby,
    TargetPerReplica,
    TargetUtilization,
    decision_rules,
)
from autoscaler.policy.hpa_keda import Bounds
from autoscaler.policy.http_texts import NAME_OR_ADDRESS
from autoscaler.policy.knative_settings import TARGET_MIN, SettingError
from autoscaler.policy.kpa import Kpa
from autoscaler.policy.metrics import Metrics
from autoscaler.policy.pools import GpuPool, check_pools, pool_rules
from autoscaler.policy.schedule.windows import bounds_over_time, check_schedule, strictest
from autoscaler.policy.target_ref import LABEL, Name, ScaleTargetRef
from autoscaler.policy.traffic import Traffic
from autoscaler.policy.traffic.hints import HINT_NEEDS_HINTS, HINTS_NEED_OURS, HINTS_NEED_TRAFFIC, Hints

GROUP = "inflight.dev"
API_VERSION = "inflight.dev/v1alpha1"

Namespace = Annotated[str, StringConstraints(pattern=f"^{LABEL}$", max_length=63)]
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
Backend = Annotated[
    str, Shape(rf"({NAME_OR_ADDRESS}):{_PORT}", "host:port, with a name or [IPv6] and a port of 1 to 65535", 259)
]

DisplayName = Annotated[str, Shape(r"[^\x00-\x1f\x7f]+", "a name without control characters", 64)]


def backend_address(backend: str) -> str:
    """Write a backend so that equal addresses are equal texts; names are not resolved."""
    host, _, port = backend.rpartition(":")
    try:
        host = str(ip_address(host.strip("[]")))
    except ValueError:
        host = host.lower().removesuffix(".")
    return f"{host}:{int(port)}"


_ONE_AT_A_TIME = "Interrupt needs containerConcurrency 1, for the call ends whatever the replica runs"
_NEVER_ALL_TO_ONE = "FirstAvailable needs a limit in containerConcurrency, else one replica gets everything"
NO_BACKENDS = "backends: can stand in a file only; a resource names what is scaled in scaleTargetRef"
"""A rule of the definition only; files may have backends."""
_NO_POD_QUERY = "metrics.prometheus.podQuery: must not stand beside traffic, for the gateway says what each pod runs"
_ONE_TARGET = "must have exactly one of scaleTargetRef, backends, pools with a scaleTargetRef each"
_NO_POOLS_OF_BACKENDS = "pools: backends have none, for their replicas cannot be scaled"
_SPEC_RULES = [
    rule(
        "[has(self.scaleTargetRef), has(self.backends), "
        "has(self.pools) && self.pools.exists(pool, has(pool.scaleTargetRef))].exists_one(given, given)",
        _ONE_TARGET,
    ),
    rule("!has(self.backends)", NO_BACKENDS),
    *decision_rules(),
    rule(
        "self.?traffic.?onAbort.orValue('') != 'Interrupt' || self.?containerConcurrency.orValue(1) == 1",
        f"traffic.onAbort: {_ONE_AT_A_TIME}",
    ),
    rule(
        "self.?traffic.?loadBalancing.orValue('') != 'FirstAvailable' || self.?containerConcurrency.orValue(1) > 0",
        f"traffic.loadBalancing: {_NEVER_ALL_TO_ONE}",
    ),
    rule("!has(self.traffic) || !self.?metrics.?prometheus.?podQuery.hasValue()", _NO_POD_QUERY),
    rule(
        "!has(self.hints) || !(self.?algorithm.?kpa.hasValue() || self.?algorithm.?hpa.hasValue() || "
        "self.?algorithm.?keda.hasValue())",
        HINTS_NEED_OURS,
    ),
    rule("!has(self.hints) || has(self.traffic)", HINTS_NEED_TRAFFIC),
    rule(
        "has(self.hints) || !has(self.traffic) || !has(self.traffic.paths) || "
        "self.traffic.paths.all(each, !has(each.hint))",
        HINT_NEEDS_HINTS,
    ),
    *pool_rules(),
    rule("!(has(self.pools) && has(self.backends))", _NO_POOLS_OF_BACKENDS),
    rule(PER_REPLICA, NEEDS_A_PRICE),
    *candidate_rules(),
]


class PolicySpec(ResourceModel):
    """How one service is scaled."""

    model_config = ConfigDict(json_schema_extra={RULES: _SPEC_RULES})

    display_name: DisplayName | None = None
    """What a person calls the service, such as Stable Diffusion. Absent: its name."""
    scale_target_ref: ScaleTargetRef | None = None
    """The target; exactly one of this, `backends`, and `pools` with a `scaleTargetRef` each."""
    backends: Annotated[tuple[Backend, ...], Field(max_length=1000)] | None = None
    """Only in a file, instead of `scaleTargetRef`: the addresses of the service as host:port, each once and for one
    service. A resource in the cluster must not have it, because its author could make the gateway connect to any
    address."""
    min_replicas: MinReplicas = 0
    """The lower bound of replicas; 0 allows scale to zero."""
    max_replicas: MaxReplicas = 10
    """The upper bound of replicas; with `pools` there is one more while a replica moves from one to another."""
    schedule: Schedule = ()
    """Other bounds at times of the day or the week. Of several open windows the highest minReplicas and the highest
    maxReplicas hold."""
    standby: Standby = 0
    """Spare replicas while there is load: this many more than the algorithm asks for, and none if it asks for none.
    Only with `concurrency` and `mpa`."""
    max_cold: MaxCold | None = None
    """How many replicas may start at once; more are asked for as others become ready, also up to minReplicas. It never
    lowers the number. Absent: no limit."""
    pools: Annotated[tuple[GpuPool, ...], Field(min_length=1, max_length=16)] | None = None
    """Kinds of GPUs, the most wanted first. Replicas run in the first pool that has room. Pools without a
    `scaleTargetRef` are copies of the Deployment that the policy's `scaleTargetRef` names; that one stays at 0."""
    spill_after: Annotated[Duration, lasting("1s", "1h")] = 60.0
    """How long a replica may wait for a place in a pool before the next pool gets it. The better pool is tried again
    after a pause of this length, which doubles while it fails, up to 30m."""
    container_concurrency: Annotated[int, Field(ge=0, le=1000)] = 1
    """Requests that a replica gets at a time. The gateway enforces it; 0 is no limit."""
    target_per_replica: TargetPerReplica | None = None
    """Requests in flight per replica at 100 % utilization, at most containerConcurrency unless that is 0. Absent:
    containerConcurrency, or 100 if that is 0. `algorithm.kpa.target` replaces it."""
    target_utilization: TargetUtilization = 1.0
    """Replicas = requests in flight / (targetPerReplica x this), rounded up. The product is at least 0.01."""
    algorithm: AlgorithmChoice = AlgorithmChoice.model_validate({"concurrency": {}})
    """The algorithm that recommends the number of replicas."""
    scale_up: ScaleUp | None = None
    """What holds back a scale-up. Absent: nothing."""
    scale_down: ScaleDown = ScaleDown()
    """Delays of scale-down."""
    metrics: Metrics = Metrics()
    """Where requests in flight are read."""
    traffic: Traffic | None = None
    """What the gateway does. Absent: another proxy routes the requests."""
    hints: Hints | None = None
    """Requests that may be announced before they arrive, by `POST /v1/hints` or by a path with a `hint`. Absent: none.
    Only with `traffic`, and with `concurrency` or `mpa`."""
    cost: Cost | None = None
    """What replicas cost. Absent: no cost is counted."""
    mode: Literal["Active", "DryRun"] = "Active"
    """DryRun: decide and record, and write nothing."""
    candidates: Candidates = ()
    """Policies that decide beside this one on the same data, and never write: their numbers are in the status, in
    metrics and in the decision log."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self._has_one_target()
        self._can_decide()
        check_cost(self.cost, self.pools)
        self._names_each_backend_once()
        self._fits_its_traffic()
        self._may_take_hints()
        self._decides_with_each_candidate()
        return self

    def _can_decide(self) -> None:
        """Check the rules across fields that decide; `decision_fields` has them in CEL."""
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas: must be at most maxReplicas, which is {self.max_replicas}")
        self._has_fitting_pools()
        if 0 < self.container_concurrency < (self.target_per_replica or 0):
            raise ValueError(f"targetPerReplica: {BELOW_THE_LIMIT}, which is {self.container_concurrency}")
        self._idles_below_its_minimum()
        self._is_legal_in_knative()
        self._suits_its_algorithm()

    def _decides_with_each_candidate(self) -> None:
        if len({each.name for each in self.candidates}) < len(self.candidates):
            raise ValueError(UNIQUE)
        for number, candidate in enumerate(self.candidates):
            try:
                self.with_candidate(candidate)._can_decide()  # noqa: SLF001 - of its own class
            except ValueError as error:
                raise ValueError(f"candidates.{number}.{error}") from error

    def alone(self) -> Self:
        """Give the spec without its candidates, which change none of its decisions."""
        return self.model_copy(update={"candidates": ()}) if self.candidates else self

    def with_candidate(self, candidate: Candidate) -> Self:
        """Give the spec that a candidate follows, as if it were the active one."""
        return self.model_copy(update={**candidate.changes, "candidates": ()})

    def _has_one_target(self) -> None:
        found = {
            "scaleTargetRef": self.scale_target_ref is not None,
            "backends": self.backends is not None,
            "pools with a scaleTargetRef": any(pool.scale_target_ref for pool in self.pools or ()),
        }
        if sum(found.values()) != 1:
            given = [name for name, is_given in found.items() if is_given]
            raise ValueError(f"{_ONE_TARGET}; has {' and '.join(given) or 'none'}")

    def _has_fitting_pools(self) -> None:
        if self.pools is None:
            return
        if self.backends is not None:
            raise ValueError(_NO_POOLS_OF_BACKENDS)
        least, most = strictest(self.schedule, self.min_replicas, self.max_replicas)
        check_pools(self.pools, self.scale_target_ref, min_replicas=least, max_replicas=most)

    def _names_each_backend_once(self) -> None:
        known = [backend_address(backend) for backend in self.backends or ()]
        for number, address in enumerate(known):
            if address in known[:number]:
                raise ValueError(f"backends: has {address} twice")

    def _may_take_hints(self) -> None:
        if self.hints is not None and not self._is_ours:
            raise ValueError(HINTS_NEED_OURS)
        if self.hints is not None and self.traffic is None:
            raise ValueError(HINTS_NEED_TRAFFIC)
        if self.hints is None and self.traffic and any(each.hint for each in self.traffic.paths):
            raise ValueError(HINT_NEEDS_HINTS)

    def _fits_its_traffic(self) -> None:
        if self.traffic is None:
            return
        if self.traffic.on_abort == "Interrupt" and self.container_concurrency != 1:
            raise ValueError(f"traffic.onAbort: {_ONE_AT_A_TIME}")
        if self.traffic.load_balancing == "FirstAvailable" and self.container_concurrency == 0:
            raise ValueError(f"traffic.loadBalancing: {_NEVER_ALL_TO_ONE}")
        if self.metrics.prometheus and self.metrics.prometheus.pod_query is not None:
            raise ValueError(_NO_POD_QUERY)

    def _idles_below_its_minimum(self) -> None:
        idle = self.algorithm.keda.idle_replica_count if self.algorithm.keda else None
        if idle is not None and idle >= self.min_replicas:
            raise ValueError(f"algorithm.keda.idleReplicaCount: {IDLE_BELOW}, which is {self.min_replicas}")

    def _is_legal_in_knative(self) -> None:
        try:
            options = self.kpa_options()
        except SettingError as error:
            key = to_camel(error.key.rpartition("/")[2].replace("-", "_"))
            raise ValueError(f"algorithm.kpa.{key}: must be {error.legal}") from error
        if options is not None and options.min_scale > self.max_replicas:
            raise ValueError(f"algorithm.kpa.minScale: {BELOW_THE_MOST}, which is {self.max_replicas}")

    def _suits_its_algorithm(self) -> None:
        kpa = self.kpa_options()
        check_schedule(
            self.schedule,
            self.min_replicas,
            self.max_replicas,
            least=0 if self._is_ours else self.min_replicas if kpa is None else kpa.min_scale,
        )
        needs = {STANDBY_NEEDS: self.standby, WORTH_A_START_NEEDS: self.worth_a_start}
        if not self._is_ours and (wrong := [why for why, given in needs.items() if given]):
            raise ValueError(wrong[0])

    @property
    def _is_ours(self) -> bool:
        """Whether the algorithm reproduces no other controller."""
        return self.algorithm.name not in {"kpa", "hpa", "keda"}

    def kpa_options(self) -> ScaleOptions | None:
        """Resolve the settings of `kpa` if it is chosen; raises ValueError if Knative refuses them."""
        return None if self.algorithm.kpa is None else self._knative(self.algorithm.kpa, self.max_replicas)

    def knative_options(self, kpa: Kpa) -> ScaleOptions:
        """Resolve settings of `kpa` with the bounds and the concurrency of this policy, as Knative does.

        Raises:
            ValueError: Knative refuses them.
        """
        return self._knative(kpa, self.highest_max_replicas)

    def _knative(self, kpa: Kpa, max_replicas: int) -> ScaleOptions:
        return kpa.options(
            container_concurrency=self.container_concurrency,
            target=self.target_per_replica,
            utilisation=self.target_utilization,
            min_replicas=self.min_replicas,
            max_replicas=max_replicas,
        )

    def bounds_over_time(self, min_replicas: int) -> BoundsAt:
        """Give the bounds at any time, with `min_replicas` outside of the windows of the schedule, and reserves."""
        lead_s = max((pool.cold_start or 0.0 for pool in self.pools or ()), default=0.0)
        bounds = bounds_over_time(self.schedule, min_replicas, self.max_replicas, lead_s)
        return with_reserve(bounds, self.reserve) if self.reserve else bounds

    def replica_range(self, now_s: float) -> tuple[int, int]:
        """Give the bounds in force at a time, with defaults and `kpa`'s own bounds."""
        chosen = self.algorithm.kpa
        kpa = None if chosen is None else self.knative_options(chosen)
        in_force = self.bounds_over_time(self.min_replicas if kpa is None else kpa.min_scale)(now_s)
        most = in_force.most if kpa is None else min(kpa.max_scale or in_force.most, in_force.most)
        return min(in_force.least, most), most

    @property
    def worth_a_start(self) -> float | None:
        """The part of a start within which a queue may be cleared instead; None if every start is worth it."""
        return None if self.scale_up is None else self.scale_up.worth_a_start

    @property
    def highest_max_replicas(self) -> int:
        """The upper bound that holds at all times: an algorithm with a bound of its own gets this one."""
        return max(self.max_replicas, *(window.max_replicas or 0 for window in self.schedule), 0)

    @property
    def reserve(self) -> int:
        """The replicas that the pools keep as a reserve, all together."""
        return sum(pool.min_replicas for pool in self.pools or ())

    @property
    def bounds(self) -> Bounds:
        """The values that every algorithm uses."""
        return Bounds(self.target, self.min_replicas, self.highest_max_replicas)

    @property
    def full_target(self) -> float:
        """Requests in flight per replica at 100 % utilization; without a limit, Knative's default of 100."""
        return self.target_per_replica or float(self.container_concurrency or 100)

    @property
    def requests_per_replica(self) -> float:
        """Requests in flight that each replica should have, also if the algorithm has a target of its own."""
        options = self.kpa_options()
        return self.target if options is None else options.target

    @property
    def target(self) -> float:
        """Requests in flight that each replica should have."""
        return max(TARGET_MIN, self.full_target * self.target_utilization)


class Metadata(ResourceModel):
    """Name, namespace and annotations."""

    name: Name
    """The service's name."""
    namespace: Namespace = "default"
    """Where the service runs."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """`inflight.dev/paused-until` holds the number until that time. `inflight.dev/replicas` with
    `inflight.dev/replicas-until` sets it until that time. No other key may begin with `inflight.dev/`. With
    `algorithm.keda`, KEDA's own annotations are read too."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Not read."""


class ScalingPolicy(ResourceModel):
    """The policy of one service."""

    api_version: Literal["inflight.dev/v1alpha1"]
    """The version of this document."""
    kind: Literal["ScalingPolicy"]
    """The kind of this document."""
    metadata: Metadata
    """Name and namespace of the service."""
    spec: PolicySpec
    """How the service is scaled."""

    @property
    def candidates(self) -> "dict[str, ScalingPolicy]":
        """The policy that each candidate follows, by the candidate's name."""
        return {
            each.name: self.model_copy(update={"spec": self.spec.with_candidate(each)}) for each in self.spec.candidates
        }

    def alone(self) -> "ScalingPolicy":
        """Give the policy without its candidates."""
        return self.model_copy(update={"spec": self.spec.alone()}) if self.spec.candidates else self

    @property
    def service(self) -> str:
        """The key of the service: `namespace/name`."""
        return intern(f"{self.metadata.namespace}/{self.metadata.name}")
