"""The triggers of a ScaledObject: which of them counts requests, and why the others cannot be had here."""

from typing import Any, NamedTuple

from autoscaler.convert.draft import Draft, Options
from autoscaler.convert.findings import Effect
from autoscaler.convert.keda.windows import map_window
from autoscaler.convert.measures import Measure, ServerLimit, ask_for_a_target, measure_of_query
from autoscaler.convert.source import Source
from autoscaler.documents.document import DocumentError, KeyPath

TRIGGERS: KeyPath = ("spec", "triggers")
_FORMULA: KeyPath = ("spec", "advanced", "scalingModifiers")
_CREDENTIALS = "the gateway counts, and no credentials are needed; for a Prometheus of metrics.prometheus they are the "
_CREDENTIALS += "controller's, in its file --prometheus-credentials"
_QUEUES = (
    *("activemq", "apache-kafka", "arangodb", "artemis-queue", "aws-dynamodb-streams", "aws-kinesis-stream"),
    *("aws-sqs-queue", "azure-eventhub", "azure-pipelines", "azure-queue", "azure-servicebus", "beanstalkd"),
    *("etcd", "gcp-pubsub", "gcp-cloudtasks", "github-runner", "forgejo-runner", "huawei-cloudeye", "ibmmq", "kafka"),
    *("liiklus", "nats-jetstream", "pulsar", "rabbitmq", "redis", "redis-cluster", "redis-sentinel"),
    *("redis-streams", "redis-cluster-streams", "redis-sentinel-streams", "selenium-grid", "solace-event-queue"),
    *("stan", "temporal", "sumologic"),
)
_WHY = {
    "cpu": "the load of CPUs is not measured here",
    "memory": "the use of memory is not measured here",
    "cron": "a time is no count of requests",
    "kubernetes-workload": "the pods of another workload are not counted here",
    "external": "the number of that program is not read here",
    "external-push": "the number of that program is not read here",
    **dict.fromkeys(_QUEUES, "the length of a queue is no count of requests in flight"),
}
_IN_PROMETHEUS = {
    "serverAddress": (Effect.MAPPED, "the gateway's own count takes the place of the query"),
    "metricName": (Effect.LEFT_OUT, "KEDA itself no longer reads it"),
    "ignoreNullValues": (
        Effect.NONE,
        "an empty answer was zero there; here a count that is missing is unknown, and the number is held",
    ),
    "authModes": (Effect.NONE, _CREDENTIALS),
    "unsafeSsl": (Effect.NONE, _CREDENTIALS),
    "customHeaders": (Effect.NONE, _CREDENTIALS),
    "namespace": (Effect.NONE, "a query to Prometheus is no longer made"),
    "queryParameters": (Effect.NONE, "a query to Prometheus is no longer made"),
    "timeout": (Effect.NONE, "a query to Prometheus is no longer made"),
}
"""What becomes of the keys of a Prometheus trigger besides its query and its thresholds."""
_IN_EACH = {
    "name": (Effect.LEFT_OUT, "only a formula and the status use it"),
    "useCachedMetrics": (Effect.NONE, "the gateway pushes its counts; nothing is cached"),
    "authenticationRef": (Effect.NONE, _CREDENTIALS),
}
"""What becomes of the keys beside the `metadata` of any trigger."""


class Trigger(NamedTuple):
    """One trigger."""

    source: Source
    path: KeyPath
    type: str
    title: str
    """Type and name, for a sentence."""
    measure: Measure | None
    """What its query counts; None if it has none."""

    def get(self, *path: str) -> Any:
        """Give a value below."""
        return self.source.get(*self.path, *path)

    @property
    def why(self) -> str:
        """Why its number is none of requests in flight, or that it is."""
        if self.measure is not None:
            return f"the query of {self.title} {self.measure.value}"
        return f"{self.title}: {_WHY.get(self.type, 'no such number is read here')}"

    @property
    def is_average(self) -> bool:
        """Whether its threshold is one for each replica."""
        return self.get("metricType") in {None, "AverageValue"}

    @property
    def is_of_requests(self) -> bool:
        """Whether its threshold is a target of requests in flight for each replica."""
        return self.measure is not None and self.measure.is_of_requests and self.is_average


def triggers_of(source: Source) -> list[Trigger]:
    """Give the triggers of a ScaledObject."""
    return [_trigger(source, number) for number in range(len(source.items(*TRIGGERS)))]


def _trigger(source: Source, number: int) -> Trigger:
    path = (*TRIGGERS, number)
    kind, name, query = (source.get(*path, *key) for key in (("type",), ("name",), ("metadata", "query")))
    title = f'trigger "{name}" ({kind})' if name else f"trigger {number + 1} ({kind})"
    measure = measure_of_query(str(query)) if kind == "prometheus" and query else None
    return Trigger(source, path, str(kind), title, measure)


def are_queues_only(triggers: list[Trigger]) -> bool:
    """Tell whether all triggers watch queues, so that the workload fetches its work."""
    return bool(triggers) and all(trigger.type in _QUEUES for trigger in triggers)


def map_triggers(draft: Draft, triggers: list[Trigger], limit: ServerLimit | None, options: Options) -> None:
    """Map the trigger that counts requests, if exactly one does and no formula stands above; name the others."""
    source = draft.source
    has_formula = source.get(*_FORMULA, "formula") is not None
    if has_formula:
        source.ineffective(_FORMULA, "a formula has no equal; write one in PromQL, in metrics.prometheus.query")
    of_requests = [trigger for trigger in triggers if trigger.is_of_requests]
    chosen = of_requests[0] if len(of_requests) == 1 and not has_formula else None
    draft.set("containerConcurrency", 0)
    for trigger in triggers:
        if trigger is chosen:
            _map_prometheus(draft, trigger, options)
        elif trigger.type == "cron":
            map_window(draft, trigger.path, trigger.title)
        else:
            _name(trigger, of_requests)
        _map_rest(trigger)
    if chosen is None:
        ask_for_a_target(source, _place_of_the_number(triggers), limit)


def _place_of_the_number(triggers: list[Trigger]) -> KeyPath:
    if len(triggers) == 1 and triggers[0].get("metadata", "threshold") is not None:
        return (*triggers[0].path, "metadata", "threshold")
    return TRIGGERS


def _map_prometheus(draft: Draft, trigger: Trigger, options: Options) -> None:
    """Let the threshold be the target."""
    source, path = trigger.source, (*trigger.path, "metadata")
    source.mapped((*trigger.path, "type"), "the gateway counts the requests")
    source.mapped((*path, "query"), trigger.why)
    threshold = number_at(source, (*path, "threshold"))
    draft.map(source, (*path, "threshold"), "targetPerReplica", threshold, "a target and no limit, as there")
    activation = (*path, "activationThreshold")
    if source.get(*activation) is not None and options.algorithm == "same":
        draft.map(source, activation, "algorithm.keda.activationThreshold", number_at(source, activation))
    elif source.get(*activation) is not None:
        source.ineffective(activation, "with the default algorithm one request is enough")
    if trigger.get("metricType") is not None:
        source.mapped((*trigger.path, "metricType"), "each target of a policy is one for each replica")


def _name(trigger: Trigger, of_requests: list[Trigger]) -> None:
    """Say why a trigger has no effect here."""
    several = f"; {len(of_requests)} triggers count them, and a policy has one target" if len(of_requests) > 1 else ""
    trigger.source.ineffective(trigger.path, trigger.why + several * trigger.is_of_requests)
    if not trigger.is_average:
        trigger.source.ineffective((*trigger.path, "metricType"), "has no equal: a target here is one for each replica")


def _map_rest(trigger: Trigger) -> None:
    """Account for what a trigger has besides its number."""
    source = trigger.source
    for key, (effect, text) in _IN_PROMETHEUS.items() if trigger.type == "prometheus" else ():
        if key == "ignoreNullValues" and str(trigger.get("metadata", key)).lower() == "false":
            source.mapped((*trigger.path, "metadata", key), "an empty answer is a failed read, here too")
        elif trigger.get("metadata", key) is not None:
            source.note((*trigger.path, "metadata", key), effect, text)
    for key, (effect, text) in _IN_EACH.items():
        if trigger.get(key) is not None:
            source.note((*trigger.path, key), effect, text)


def number_at(source: Source, path: KeyPath) -> float:
    """Read a number, which a trigger writes as text.

    Raises:
        DocumentError: it is none.
    """
    value = source.get(*path)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise DocumentError([source.problem(path, "must be a number")]) from error
    return int(number) if number.is_integer() else number
