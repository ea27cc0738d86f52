"""From a policy to the gateway's configuration: the one mapping, for the live gateway and for the simulated one."""

from collections.abc import Iterable

from autoscaler.gateway.busy_response import BusyPoll
from autoscaler.gateway.config import (
    Affinity,
    ErrorFormat,
    EventOptions,
    GatewayService,
    OnAbort,
    Takeover,
    Timeouts,
    WaitingOptions,
    WarmUp,
)
from autoscaler.gateway.cors import Cors
from autoscaler.gateway.dispatch.dispatcher import EjectionRules, Limits, LoadBalancing, SlotUse
from autoscaler.gateway.dispatch.hints import HintLimits, PathHint
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.turn_rules import ClassMatch, Fairness, Identity, PriorityClass
from autoscaler.gateway.dispatch.types import FailureKind, QueueLimits
from autoscaler.host_claims import Claim
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.policy.traffic.gateway import Busy, Traffic
from autoscaler.policy.traffic.gateway import Cors as CorsSettings
from autoscaler.policy.traffic.gateway import WarmUp as WarmUpSettings
from autoscaler.policy.traffic.hints import Hints as HintSettings
from autoscaler.policy.traffic.hints import PathHint as PathHintSettings
from autoscaler.policy.traffic.turns import ClassMatch as ClassMatchSettings
from autoscaler.policy.traffic.turns import Fairness as FairnessSettings
from autoscaler.policy.traffic.turns import Priority
from autoscaler.policy.traffic.waiting import Queue, QueueLimit, WaitingEvents
from autoscaler.ports import ServiceName

_DEFAULTS = Traffic.model_validate({"hosts": ["any"]})


def gateway_services(policies: Iterable[ScalingPolicy]) -> dict[ServiceName, GatewayService]:
    """Give the services that the gateway serves; another proxy routes those whose policy has no `traffic`."""
    return {policy.service: gateway_service(policy) for policy in policies if policy.spec.traffic}


def host_claim(policy: ScalingPolicy, created_s: float) -> Claim:
    """Give the hosts that a policy claims; one without `traffic` claims none."""
    return Claim(policy.service, policy.spec.traffic.hosts if policy.spec.traffic else (), created_s)


def gateway_service(policy: ScalingPolicy) -> GatewayService:
    """Give one service as the gateway sees it; without `traffic`, with the defaults of each of its settings."""
    spec, traffic = policy.spec, policy.spec.traffic or _DEFAULTS
    affinity = traffic.affinity
    return GatewayService(
        name=policy.service,
        hosts=traffic.hosts,
        limits=_limits(spec.container_concurrency, traffic),
        timeouts=_timeouts(traffic),
        paths=tuple(
            PathRule(
                rule.match, SlotUse(rule.class_), rule.wake, rule.max_per_pod, rule.request_timeout, _hint(rule.hint)
            )
            for rule in traffic.paths
        ),
        affinity=None if affinity is None else Affinity(affinity.cookie.name, affinity.cookie.timeout),
        classes=_classes(traffic.priority),
        fairness=_fairness(traffic.fairness),
        warm_up=_warm_up(traffic.warm_up),
        busy=_busy(traffic.busy),
        ready_path=traffic.health.ready_path,
        ready_timeout_s=traffic.health.ready_timeout,
        failures=frozenset(map(FailureKind, traffic.health.failures)),
        on_abort=OnAbort(traffic.on_abort),
        interrupt_path=traffic.interrupt_path,
        takeover=Takeover(traffic.takeover),
        cors=_cors(traffic.cors),
        probes=traffic.probes,
        errors=ErrorFormat(traffic.errors),
        waiting=WaitingOptions(
            headers=traffic.waiting.headers,
            deadlines=traffic.waiting.deadlines,
            events=_events(traffic.waiting.events),
            page_keeps_s=traffic.cold_start.keep_place if traffic.cold_start.page else None,
        ),
        hints=_hint_limits(spec.hints),
        display_name=spec.display_name or "",
        half_close=traffic.half_close == "Allow",
        max_body_bytes=traffic.max_body_bytes,
        min_body_bytes_per_s=traffic.min_body_bytes_per_second,
        cold_starts_s=tuple(pool.cold_start for pool in spec.pools or () if pool.cold_start is not None),
        backends=None if spec.backends is None else {address: address for address in spec.backends},
    )


def _hint(given: PathHintSettings | None) -> PathHint | None:
    return None if given is None else PathHint(given.requests, given.within)


def _hint_limits(given: HintSettings | None) -> HintLimits | None:
    return None if given is None else HintLimits(given.max, given.max_per_sender or given.max, given.lead_time)


def _cors(given: CorsSettings | None) -> Cors | None:
    if given is None:
        return None
    origins = tuple(origin.lower() for origin in given.origins)
    return Cors(origins, given.methods, given.headers, given.max_age)


def _limits(concurrency: int, traffic: Traffic) -> Limits:
    affinity, health, given = traffic.affinity, traffic.health, traffic.queue
    return Limits(
        concurrency=concurrency,
        queue_length=given.max_length,
        queue_timeout_s=given.timeout,
        spill_after_s=affinity.spill_after if affinity and affinity.when_busy == "Spill" else float("inf"),
        load_balancing=LoadBalancing(traffic.load_balancing) if traffic.load_balancing else None,
        ejection=EjectionRules(
            consecutive_failures=health.consecutive_failures,
            base_s=health.base_ejection_time,
            longest_s=health.max_ejection_time,
            most=health.max_ejection_percent,
        ),
        shares=tuple(each.share for each in traffic.priority.classes) if traffic.priority else (),
        none_ready=_queue_limits(None if given.none_ready == QueueLimit() else given.none_ready, given),
        all_busy=_queue_limits(given.all_busy, given),
    )


def _events(given: WaitingEvents | None) -> EventOptions | None:
    return None if given is None else EventOptions(given.after, given.every)


def _queue_limits(given: QueueLimit | None, always: Queue) -> QueueLimits | None:
    if given is None:
        return None
    length = always.max_length if given.max_length is None else given.max_length
    return QueueLimits(length, always.timeout if given.timeout is None else given.timeout)


def _classes(given: Priority | None) -> tuple[PriorityClass, ...]:
    classes = given.classes if given else ()
    return tuple(PriorityClass(each.name, tuple(map(_match, each.match or ()))) for each in classes)


def _match(given: ClassMatchSettings) -> ClassMatch:
    header = given.header
    return ClassMatch((header.name, header.value) if header else None, given.paths or (), given.hosts or ())


def _fairness(given: FairnessSettings | None) -> Fairness | None:
    return None if given is None else Fairness(Identity(given.by), given.name or "")


def _warm_up(given: WarmUpSettings | None) -> WarmUp | None:
    return None if given is None else WarmUp(given.method, given.path, given.body.encode(), given.timeout)


def _busy(given: Busy | None) -> BusyPoll | None:
    if given is None:
        return None
    where = given.json_pointers or (), given.metrics or ()
    return BusyPoll(given.path, *where, given.interval, given.timeout, given.port)


def _timeouts(traffic: Traffic) -> Timeouts:
    given = traffic.timeouts
    return Timeouts(
        request_s=traffic.request_timeout,
        response_start_s=given.response_start,
        connect_s=given.connect,
        body_idle_s=given.body_idle,
        stalled_client_s=given.stalled_client,
        tunnel_idle_s=given.tunnel_idle,
        stream_idle_s=given.stream_idle,
    )
