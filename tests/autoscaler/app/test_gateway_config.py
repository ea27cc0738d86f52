"""From a policy to the gateway's configuration, key by key."""

from pathlib import Path

from autoscaler.app.gateway_config import gateway_service, gateway_services
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
)
from autoscaler.gateway.cors import Cors
from autoscaler.gateway.dispatch.dispatcher import EjectionRules, Limits, LoadBalancing, SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule
from autoscaler.gateway.dispatch.turn_rules import ClassMatch, Fairness, Identity, PriorityClass
from autoscaler.gateway.dispatch.types import FailureKind, QueueLimits
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.testing import policy

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
TRAFFIC = {"hosts": ["sd.example.com"]}


def test_the_gateway_is_told_all_that_the_reference_policy_says():
    (reference,) = read_policies([EXAMPLES / "stable-diffusion" / "policy.yaml"])
    ((name, told),) = gateway_services([reference]).items()
    assert name == told.name == "default/knative-sd-demo"
    assert told.hosts == ("knative-sd-demo.default.example.com",)
    assert told.limits == Limits(1, 100, 600.0, float("inf"))
    assert told.timeouts == Timeouts(request_s=300.0)
    assert (told.on_abort, told.interrupt_path) == (OnAbort.INTERRUPT, "/sdapi/v1/interrupt")
    assert told.affinity == Affinity("sd", 1800.0)
    assert told.backends is None
    assert told.paths[2:] == (
        PathRule(("/favicon.ico", "/robots.txt"), SlotUse.PASS, wake=False, max_per_pod=64),
        PathRule(("/*",), SlotUse.PASS, wake=True, max_per_pod=64),
    )
    assert {rule.kind for rule in told.paths[:2]} == {SlotUse.COUNT}


def test_a_policy_without_traffic_is_none_of_the_gateways_business():
    assert gateway_services([policy("a"), policy("b", traffic=TRAFFIC)]).keys() == {"default/b"}


def test_a_request_spills_after_a_time_only_where_the_policy_says_so():
    waits = policy(traffic=TRAFFIC | {"affinity": {"spillAfter": "5s"}})
    spills = policy(traffic=TRAFFIC | {"affinity": {"whenBusy": "Spill", "spillAfter": "5s"}})
    limits = [gateway_services([each])["default/sd"].limits for each in (waits, spills)]
    assert limits == [Limits(1, 100, 600.0, float("inf")), Limits(1, 100, 600.0, 5.0)]


def test_every_other_key_of_traffic_reaches_the_gateway_too():
    timeouts = {"responseStart": 1, "connect": 2, "bodyIdle": 3, "stalledClient": 4, "streamIdle": 5, "tunnelIdle": 6}
    keys = {
        "timeouts": {key: f"{seconds}s" for key, seconds in timeouts.items()},
        "requestTimeout": "7s",
        "maxBodyBytes": 8,
        "minBodyBytesPerSecond": 10,
        "cors": {"origins": ["https://App.example.com"], "methods": ["PUT"], "headers": ["X-A"], "maxAge": "11s"},
        "probes": ["monitor/"],
        "halfClose": "Allow",
        "takeover": "Immediate",
        "queue": {"noneReady": {"timeout": "17s"}, "allBusy": {}},
        "waiting": {"headers": True, "deadlines": True, "events": {"after": "18s", "every": "19s"}},
        "coldStart": {"page": True, "keepPlace": "20s"},
        "errors": "Problem",
        "loadBalancing": "LeastRequest",
        "busy": {"path": "/queue", "jsonPointers": ["/a", "/b"], "interval": "14s", "timeout": "15s", "port": 16},
        "health": {
            "readyPath": "/ready",
            "readyTimeout": "13s",
            "consecutiveFailures": 9,
            "failures": ["ServerError"],
            "baseEjectionTime": "10s",
            "maxEjectionTime": "11s",
            "maxEjectionPercent": "12%",
        },
        "interruptPath": "/stop",
        "onAbort": "Close",
        "paths": [{"match": ["/*"], "class": "Count", "requestTimeout": "9s"}],
    }
    told = gateway_services([policy(traffic=TRAFFIC | keys)])["default/sd"]
    assert told.timeouts == Timeouts(7, 1, 2, 3, 4, tunnel_idle_s=6, stream_idle_s=5)
    assert (told.max_body_bytes, told.min_body_bytes_per_s) == (8, 10)
    assert (told.half_close, told.interrupt_path) == (True, "/stop")
    assert (told.limits.none_ready, told.limits.all_busy) == (QueueLimits(100, 17), QueueLimits(100, 600))
    assert told.errors is ErrorFormat.PROBLEM
    assert told.waiting == WaitingOptions(headers=True, deadlines=True, events=EventOptions(18, 19), page_keeps_s=20)
    assert told.takeover is Takeover.IMMEDIATE
    assert told.cors == Cors(("https://app.example.com",), ("PUT",), ("X-A",), 11)
    assert told.probes == ("monitor/",)
    assert told.on_abort is OnAbort.CLOSE
    assert told.paths[0].request_timeout_s == 9
    assert (told.classes, told.fairness, told.limits.shares) == ((), None, ())
    assert told.limits.load_balancing is LoadBalancing.LEAST_REQUEST
    assert told.busy == BusyPoll("/queue", ("/a", "/b"), (), 14, 15, 16)
    assert (told.ready_path, told.ready_timeout_s) == ("/ready", 13)
    assert (told.limits.ejection, told.failures) == (EjectionRules(9, 10, 11, 0.12), {FailureKind.SERVER_ERROR})


def test_a_policy_and_a_gateway_that_are_told_nothing_have_the_same_defaults():
    told = gateway_services([policy(traffic=TRAFFIC)])["default/sd"]
    assert told == GatewayService(told.name, told.hosts, told.limits)


def test_backends_of_a_file_are_pods_of_their_own_name():
    document = policy(traffic=TRAFFIC).model_dump(mode="json", exclude_none=True)
    del document["spec"]["scaleTargetRef"]
    document["spec"]["backends"] = ["10.0.0.1:7860", "[::1]:7860"]
    told = gateway_services([ScalingPolicy.model_validate(document)])["default/sd"]
    assert told.backends == {"10.0.0.1:7860": "10.0.0.1:7860", "[::1]:7860": "[::1]:7860"}
    assert told.affinity is None


def test_a_service_without_traffic_is_simulated_with_the_gateways_defaults():
    bare, default = gateway_service(policy()), gateway_service(policy(traffic=TRAFFIC))
    assert bare == GatewayService(bare.name, bare.hosts, default.limits)


def test_classes_and_fairness_reach_the_gateway():
    matches = [{"header": {"name": "X-Tier", "value": "gold"}, "hosts": ["a"]}, {"paths": ["/v1/*"]}]
    keys = {
        "priority": {"classes": [{"name": "gold", "match": matches, "share": "50%"}, {"name": "rest"}]},
        "fairness": {"by": "header", "name": "X-Tenant"},
    }
    told = gateway_services([policy(traffic=TRAFFIC | keys)])["default/sd"]
    gold = (ClassMatch(("X-Tier", "gold"), (), ("a",)), ClassMatch(None, ("/v1/*",), ()))
    assert told.classes == (PriorityClass("gold", gold), PriorityClass("rest"))
    assert told.limits.shares == (0.5, 0.1)
    assert told.fairness == Fairness(Identity.HEADER, "X-Tenant")
    by_address = policy(traffic=TRAFFIC | {"fairness": {"by": "address"}})
    assert gateway_services([by_address])["default/sd"].fairness == Fairness(Identity.ADDRESS)
