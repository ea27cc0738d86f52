"""Reads a ScaledObject of KEDA, with the route of its HTTP add-on that a trigger names."""

from collections.abc import Sequence

from autoscaler.convert.annotations import sift, unknown
from autoscaler.convert.behavior import map_behavior
from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.hand_over import hand_over, within
from autoscaler.convert.keda.route import map_route, port_of, route_of, say_how_it_wakes, service_of
from autoscaler.convert.keda.triggers import Trigger, are_queues_only, map_triggers, triggers_of
from autoscaler.convert.measures import server_limit
from autoscaler.convert.served import Beside, find_beside, lead_traffic, map_target, write_beside
from autoscaler.convert.source import Source, Sources
from autoscaler.documents.document import DocumentError, KeyPath
from autoscaler.documents.fields import format_duration

_MOST = 100
"""maxReplicaCount where a ScaledObject does not say it."""
_COOLDOWN_S = 300
"""cooldownPeriod where a ScaledObject does not say it."""
_HOUR_S = 3600
COOLDOWNS_S = (0, 86_400)
"""What a policy allows."""
_PREFIX = "autoscaling.keda.sh/"
_SWITCHES = ("paused", "paused-replicas", "paused-scale-in", "paused-scale-out", "force-activation")
_OWNERSHIP = ("scaledobject.keda.sh/transfer-hpa-ownership", "validations.keda.sh/hpa-ownership")
_NO_PAUSE = {"0", "f", "F", "FALSE", "false", "False"}
_HPA: KeyPath = ("spec", "advanced", "horizontalPodAutoscalerConfig")
_RESTORE: KeyPath = ("spec", "advanced", "restoreToOriginalReplicaCount")
_FALLBACK: KeyPath = ("spec", "fallback")
_NONE_BY_DEFAULT = "the default algorithm has no such setting"


def read(source: Source, sources: Sources, options: Options) -> Draft:
    """Make a draft of a ScaledObject.

    Raises:
        DocumentError: nobody sends requests to what it scales, or a value cannot be read.
    """
    draft = Draft(source, source.name, source.namespace)
    triggers, route = triggers_of(source), route_of(source, sources)
    map_target(draft, ("spec", "scaleTargetRef"))
    ref = source.mapping("spec", "scaleTargetRef")
    beside = find_beside(draft, sources, ref, service_of(route) if route else None)
    if route is None:
        _refuse_workers(source, beside, triggers)
    _map_replicas(draft, options)
    if route:
        map_route(draft, route)
        for trigger in triggers:
            source.mapped(trigger.path, f"the {route.title} says what it counts")
    else:
        map_triggers(draft, triggers, server_limit(beside.workload) if beside.workload else None, options)
    _map_delays(draft, options)
    _map_advanced(draft, options)
    _map_annotations(draft, options)
    if route:
        say_how_it_wakes(draft)
    lead_traffic(draft, sources, beside, options, port_of(route) if route else None)
    write_beside(draft, beside)
    _use_keda_parts(draft, sources, triggers)
    _hand_over(draft, route)
    return draft


def _refuse_workers(source: Source, beside: Beside, triggers: list[Trigger]) -> None:
    """Refuse to scale by requests what nobody sends requests to.

    Raises:
        DocumentError: the workload has no port and no Service, or all triggers watch queues and nothing shows a port.
    """
    fetches = are_queues_only(triggers) or (beside.shows_pods and not any(each.is_of_requests for each in triggers))
    if beside.service or beside.ports or not fetches:
        return
    what = f"{beside.workload.title} has no port for requests" if beside.workload else "the input shows no port"
    problems = [
        source.problem(
            ("spec", "scaleTargetRef", "name"),
            f"no policy is written: {what} and no Service, so nobody sends it requests. KEDA stays right for a "
            "workload that fetches its work",
        )
    ]
    problems += [source.problem((*each.path, "type"), each.why) for each in triggers]
    problems += [
        source.problem(("metadata", "annotations", _PREFIX + name), f"KEDA is paused now, at {_replicas(source)}")
        for name in ("paused", "paused-replicas")
        if is_on(source, name)
    ]
    problems += [
        source.problem((*each.path, "authenticationRef"), "its TriggerAuthentication and Secrets are not copied")
        for each in triggers
        if each.get("authenticationRef") is not None
    ]
    raise DocumentError(problems)


def is_on(source: Source, name: str) -> bool:
    """Tell whether an annotation of KEDA's switches something on; a text that is no boolean does."""
    value = source.get("metadata", "annotations", _PREFIX + name)
    return value is not None and (name == "paused-replicas" or str(value) not in _NO_PAUSE)


def _replicas(source: Source) -> str:
    replicas = source.get("metadata", "annotations", f"{_PREFIX}paused-replicas")
    return "the present number" if replicas is None else str(replicas)


def _map_replicas(draft: Draft, options: Options) -> None:
    source = draft.source
    least, idle = (source.whole("spec", key) for key in ("minReplicaCount", "idleReplicaCount"))
    if least is not None:
        draft.map(source, ("spec", "minReplicaCount"), "minReplicas", least)
    limit_replicas(draft, ("spec", "maxReplicaCount"), options)
    if idle is None:
        return
    path = ("spec", "idleReplicaCount")
    if idle >= (least or 0):
        source.ineffective(path, "is not below minReplicaCount, so that it has no effect in KEDA either")
    elif options.algorithm == "same":
        draft.map(source, path, "algorithm.keda.idleReplicaCount", idle)
    elif least == 1:
        draft.map(source, path, "minReplicas", idle, "one replica while there are requests is the same")
    else:
        source.ineffective(path, f"{_NONE_BY_DEFAULT}: minReplicas holds without requests too")


def limit_replicas(draft: Draft, path: KeyPath, options: Options) -> None:
    """Set maxReplicas, KEDA's default if neither the input nor `--max` says it."""
    most = draft.source.whole(*path)
    if most is None and options.max_replicas is None:
        draft.default("maxReplicas", _MOST, "KEDA's default; ours is 10")
    else:
        draft.limit_replicas(draft.source, path, most, options)


def _map_delays(draft: Draft, options: Options) -> None:
    source = draft.source
    map_cooldown(draft, ("spec", "cooldownPeriod"), options)
    for key, range_s in (("pollingInterval", (1, _HOUR_S)), ("initialCooldownPeriod", COOLDOWNS_S)):
        if options.algorithm == "same":
            map_seconds(draft, ("spec", key), f"algorithm.keda.{key}", range_s)
        elif source.get("spec", key) is not None:
            source.ineffective(("spec", key), _NONE_BY_DEFAULT)
    if source.get(*_FALLBACK) is None:
        return
    if options.algorithm == "same" and source.get(*_FALLBACK, "behavior") != "scalingModifiers":
        draft.map(source, _FALLBACK, "algorithm.keda.fallback", source.get(*_FALLBACK), "word for word")
    else:
        source.ineffective(_FALLBACK, "a count that is missing is unknown here, and the number is held")


def map_cooldown(draft: Draft, path: KeyPath, options: Options) -> None:
    """Map the delay before the last replica goes."""
    key = "algorithm.keda.cooldownPeriod" if options.algorithm == "same" else "scaleDown.toZeroDelay"
    never = draft.spec.get("minReplicas", 0) > 0 and draft.source.get("spec", "idleReplicaCount") is None
    map_seconds(draft, path, key, COOLDOWNS_S, "no effect above zero" if never else "")
    if draft.source.get(*path) is None and options.algorithm == "concurrency":
        draft.default(key, format_duration(_COOLDOWN_S), "KEDA's default; ours is 30s")


def map_seconds(draft: Draft, path: KeyPath, key: str, range_s: tuple[int, int], note: str = "") -> None:
    """Map a number of seconds to a duration, as far as a policy allows it."""
    given = draft.source.whole(*path)
    if given is None:
        return
    least_s, most_s = range_s
    seconds = min(max(given, least_s), most_s)
    if seconds != given:
        note = f"a policy allows {format_duration(least_s)} to {format_duration(most_s)}"
    draft.map(draft.source, path, key, format_duration(seconds), note)


def _map_advanced(draft: Draft, options: Options) -> None:
    source = draft.source
    if options.algorithm == "same" and "algorithm" not in draft.spec:
        draft.set("algorithm", {"keda": {}})
    map_behavior(draft, source, (*_HPA, "behavior"), "keda" if options.algorithm == "same" else "concurrency")
    if source.get(*_HPA, "name") is not None:
        source.note(
            (*_HPA, "name"), Effect.LEFT_OUT, "there is no HPA here; KEDA deletes this one with the ScaledObject"
        )
    if source.get(*_RESTORE) is True:
        source.ineffective(_RESTORE, "a policy that is deleted leaves the replicas as they are")
    elif source.get(*_RESTORE) is False:
        source.mapped(_RESTORE, "a policy that is deleted leaves the replicas as they are, too")


def _map_annotations(draft: Draft, options: Options) -> None:
    source = draft.source
    switches = [_PREFIX + name for name in _SWITCHES]
    for key in map_metadata(draft, [*switches, *_OWNERSHIP]):
        if key in _OWNERSHIP:
            text = "there is no HPA here that anybody must own"
            source.note(("metadata", "annotations", key), Effect.LEFT_OUT, text)
        else:
            _map_switch(draft, key, options)


def map_metadata(draft: Draft, known: Sequence[str]) -> list[str]:
    """Keep the annotations of other programs in the policy, and name those that KEDA does not know.

    Args:
        draft: the service.
        known: the annotations that KEDA reads of this kind.

    Returns:
        Those of them that are there; the caller accounts for them.
    """
    source = draft.source
    of_keda = [key for key in source.mapping("metadata", "annotations") if key.partition("/")[0].endswith("keda.sh")]
    draft.annotations |= sift(source, ("metadata", "annotations"), "in the policy", of_keda)
    for key in of_keda:
        if key not in known:
            source.ineffective(("metadata", "annotations", key), unknown(key, known, "KEDA"))
    if source.get("metadata", "labels") is not None:
        source.note(("metadata", "labels"), Effect.LEFT_OUT, "labels of the object; a policy's are not read")
    return [key for key in of_keda if key in known]


def _map_switch(draft: Draft, key: str, options: Options) -> None:
    source, name = draft.source, key.removeprefix(_PREFIX)
    path: KeyPath = ("metadata", "annotations", key)
    if not is_on(source, name):
        source.note(path, Effect.LEFT_OUT, "is off, which is the default")
    elif options.algorithm == "same":
        draft.annotations[key] = source.text(*path)
        source.note(path, Effect.KEPT, "as an annotation of the policy, which means the same there")
    elif name in {"paused", "paused-replicas"}:
        source.decide(path, "is no pause here: the default algorithm has inflight.dev/paused-until, with a time")
    else:
        source.ineffective(path, _NONE_BY_DEFAULT)


def _use_keda_parts(draft: Draft, sources: Sources, triggers: list[Trigger]) -> None:
    """Account for what belongs to the ScaledObject and has no part here: its HPA, its credentials."""
    name = draft.source.get(*_HPA, "name", default=f"keda-hpa-{draft.source.name}")
    for part in sources.find("autoscaling", "HorizontalPodAutoscaler", draft.namespace, lambda each: each.name == name):
        leave_out(draft, part, "KEDA made it and deletes it with the ScaledObject")
    refs = [trigger.get("authenticationRef", "name") for trigger in triggers]
    for kind in ("TriggerAuthentication", "ClusterTriggerAuthentication"):
        for part in sources.find("keda.sh", kind, None, lambda each: each.name in refs):
            leave_out(draft, part, "is not copied: the gateway counts, and credentials are the controller's")
            _leave_out_secrets(draft, sources, part)


def _leave_out_secrets(draft: Draft, sources: Sources, authentication: Source) -> None:
    names = [each.get("name") for each in authentication.items("spec", "secretTargetRef")]
    for secret in sources.find("", "Secret", draft.namespace, lambda each: each.name in names):
        leave_out(draft, secret, "is not copied: the credentials of a trigger are not needed")


def leave_out(draft: Draft, part: Source, why: str) -> None:
    """Account for a document that belongs to the service and has no part in the output."""
    if not part.used:
        draft.use(part)
        for key in sorted({*part.document.value} - {"apiVersion", "kind"}):
            part.note((key,), Effect.LEFT_OUT, why)


def _hand_over(draft: Draft, route: Source | None) -> None:
    source = draft.source
    named = f"scaledobject {source.name}{within(draft)}"
    hpa = source.get(*_HPA, "name", default=f"keda-hpa-{source.name}")
    restores = (
        "let KEDA leave the number as it is when it goes: "
        f"kubectl patch {named} --type merge "
        '--patch \'{"spec": {"advanced": {"restoreToOriginalReplicaCount": false}}}\''
    )
    hand_over(
        draft,
        "KEDA",
        before=[restores] if source.get(*_RESTORE) is True else [],
        stop=f"pause KEDA: kubectl annotate {named} {_PREFIX}paused=true --overwrite; "
        f"then kubectl get hpa {hpa}{within(draft)} must say NotFound",
        remove=f"kubectl delete {named}"
        + (f"; kubectl delete {route.kind.lower()} {route.name}{within(draft)}" if route else ""),
    )
