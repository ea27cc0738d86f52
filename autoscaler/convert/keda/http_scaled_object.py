"""Reads an HTTPScaledObject or an InterceptorRoute of KEDA's HTTP add-on where no ScaledObject of a user names it."""

from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.hand_over import hand_over, within
from autoscaler.convert.keda import scaled_object
from autoscaler.convert.keda.route import map_route, port_of, say_how_it_wakes, service_of
from autoscaler.convert.keda.triggers import TRIGGERS
from autoscaler.convert.served import find_beside, lead_traffic, map_target, write_beside
from autoscaler.convert.source import Source, Sources
from autoscaler.documents.document import DocumentError

_POLLING = "15s"
"""The add-on writes it into the ScaledObject that it makes."""
_SKIP = "httpscaledobject.keda.sh/skip-scaledobject-creation"
_ORPHAN = "httpscaledobject.keda.sh/orphan-scaledobject"


def read(source: Source, sources: Sources, options: Options) -> Draft:
    """Make a draft of an HTTPScaledObject.

    Raises:
        DocumentError: a value cannot be read, or a ScaledObject of the user is missing.
    """
    made = _scaled_object(source, sources)
    if _is_on(source, _SKIP):
        if made is None:
            raise DocumentError(
                [
                    source.problem(
                        ("metadata", "annotations", _SKIP),
                        "the ScaledObject that you wrote says how far to scale and must be in the input too: "
                        "kubectl get scaledobject -o yaml",
                    )
                ]
            )
        return scaled_object.read(made, sources, options)
    draft = Draft(source, source.name, source.namespace)
    map_target(draft, ("spec", "scaleTargetRef"))
    beside = find_beside(draft, sources, source.mapping("spec", "scaleTargetRef"), service_of(source))
    _map_replicas(draft, options)
    _map_annotations(draft)
    map_route(draft, source)
    say_how_it_wakes(draft)
    lead_traffic(draft, sources, beside, options, port_of(source))
    write_beside(draft, beside)
    if made is not None:
        scaled_object.leave_out(draft, made, "the add-on made it of the HTTPScaledObject")
    _hand_over(draft)
    return draft


def _map_replicas(draft: Draft, options: Options) -> None:
    source = draft.source
    least = source.whole("spec", "replicas", "min")
    if least is not None:
        draft.map(source, ("spec", "replicas", "min"), "minReplicas", least)
    scaled_object.limit_replicas(draft, ("spec", "replicas", "max"), options)
    scaled_object.map_cooldown(draft, ("spec", "scaledownPeriod"), options)
    initial = ("spec", "initialCooldownPeriod")
    if options.algorithm == "same":
        scaled_object.map_seconds(draft, initial, "algorithm.keda.initialCooldownPeriod", scaled_object.COOLDOWNS_S)
        draft.default("algorithm.keda.pollingInterval", _POLLING, "which the add-on sets; ours is 30s")
    elif source.get(*initial) is not None:
        source.ineffective(initial, "the default algorithm has no such setting")


def _map_annotations(draft: Draft) -> None:
    texts = {_SKIP: "is off, which is the default", _ORPHAN: "the ScaledObject must go: see the hand-over"}
    for key in scaled_object.map_metadata(draft, list(texts)):
        draft.source.note(("metadata", "annotations", key), Effect.LEFT_OUT, texts[key])


def _is_on(source: Source, annotation: str) -> bool:
    return str(source.get("metadata", "annotations", annotation)).lower() == "true"


def _scaled_object(source: Source, sources: Sources) -> Source | None:
    """Find the ScaledObject of an HTTPScaledObject: it names it in a trigger or as its owner."""

    def belongs(each: Source) -> bool:
        triggers = each.get(*TRIGGERS, default=[])
        named = any((trigger.get("metadata") or {}).get("httpScaledObject") == source.name for trigger in triggers)
        owners = each.get("metadata", "ownerReferences", default=[])
        return named or any((owner.get("kind"), owner.get("name")) == (source.kind, source.name) for owner in owners)

    return next(iter(sources.find("keda.sh", "ScaledObject", source.namespace, belongs)), None)


def _hand_over(draft: Draft) -> None:
    """The object owns a ScaledObject, which must go first, while the add-on still leads requests."""
    named = f"httpscaledobject {draft.name}{within(draft)}"
    hand_over(
        draft,
        "KEDA",
        stop=f"let the ScaledObject go that it owns: kubectl annotate {named} {_SKIP}=true --overwrite; "
        f"then kubectl get scaledobject {draft.name}{within(draft)} must say NotFound",
        remove=f"kubectl delete {named}",
    )


def refuse_route(source: Source, _sources: Sources, _options: Options) -> Draft:
    """Refuse an InterceptorRoute that no ScaledObject of the input names.

    Raises:
        DocumentError: always.
    """
    text = (
        "says where requests go, and not what is scaled: the ScaledObject that names it in a trigger must be in the "
        "input too: kubectl get scaledobject -o yaml"
    )
    raise DocumentError([source.problem(("metadata", "name"), text)])


def refuse_job(source: Source, _sources: Sources, _options: Options) -> Draft:
    """Refuse a ScaledJob.

    Raises:
        DocumentError: always.
    """
    text = "starts jobs that fetch their work, and no requests are sent to them: KEDA stays right for it"
    raise DocumentError([source.problem(("metadata", "name"), text)])
