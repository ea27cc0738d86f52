"""Good and bad documents, for whoever has to tell them apart: by a table, and by changing good ones in a few places."""

import copy

from hypothesis import strategies as st

from autoscaler.documents.fields import DURATION_PATTERN, PERCENT_PATTERN
from autoscaler.documents.prometheus_address import PATTERN as SERVER_PATTERN
from autoscaler.policy.hpa_keda import QUANTITY_PATTERN
from autoscaler.policy.schedule.cron import PATTERN as CRON_PATTERN
from autoscaler.policy.schedule.windows import ZONE_PATTERN
from autoscaler.policy.schema import structural_model
from autoscaler.policy.spec import API_VERSION, PolicySpec

TARGET = {"scaleTargetRef": {"name": "web"}}
TRAFFIC = {"hosts": ["web.example.com"]}
QUERY = "sum by (namespace, service) (inflight_requests)"


def document(spec=None, **metadata):
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingPolicy",
        "metadata": {"name": "web", **metadata},
        "spec": TARGET if spec is None else spec,
    }


def algorithm(name, settings=None, **spec):
    return document({**TARGET, "algorithm": {name: settings or {}}, **spec})


def traffic(**settings):
    return document({**TARGET, "traffic": TRAFFIC | settings})


def pooled(*pools, **spec):
    own_targets = any(pool and "scaleTargetRef" in pool for pool in pools)
    return document({**({} if own_targets else TARGET), "pools": list(pools), **spec})


def on_nodes(operator, *values):
    term = {"matchExpressions": [{"key": "example.com/gpu", "operator": operator, "values": list(values)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return pooled({"name": "a", "affinity": {"nodeAffinity": required}})


OWN = [{"name": name, "scaleTargetRef": {"name": f"web-{name}"}} for name in ("a", "b")]


def window(**changes):
    given = {
        "name": "w",
        "timeZone": "Europe/Berlin",
        "start": "0 8 * * MON-FRI",
        "end": "0 18 * * *",
        "minReplicas": 2,
    }
    return {key: value for key, value in (given | changes).items() if value is not None}


def schedule(*windows, **spec):
    return document({**TARGET, "schedule": list(windows), **spec})


def candidates(*given, **spec):
    return document({**TARGET, "candidates": list(given), **spec})


def prometheus(**settings):
    return document({**TARGET, "metrics": {"prometheus": settings}})


EVERYTHING = document(
    {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web.v2"},
        "minReplicas": 1,
        "maxReplicas": 10,
        "containerConcurrency": 0,
        "targetPerReplica": 150.5,
        "targetUtilization": "70.5%",
        "algorithm": {
            "concurrency": {
                "stableWindow": "1m30s",
                "panicWindow": "10%",
                "panicThreshold": "200%",
                "maxScaleUpRate": 1.5,
                "maxScaleDownRate": 2,
                "safety": {"fromZero": False, "goodTime": True, "partialCount": True, "firstWindow": False},
            }
        },
        "scaleDown": {"delay": "250ms", "toZeroDelay": "1.5h"},
        "metrics": {
            "prometheus": {"serverAddress": "http://p:9090", "query": "a", "series": "b", "maxSampleAge": "15s"}
        },
        "traffic": {
            "hosts": ["web.example.com", "*.web.example.com"],
            "port": 7860,
            "queue": {"maxLength": 0, "timeout": "10m"},
            "requestTimeout": "5m",
            "timeouts": {
                "responseStart": "1m",
                "connect": "500ms",
                "bodyIdle": "10s",
                "stalledClient": "10s",
                "streamIdle": "1h",
                "tunnelIdle": "10m",
            },
            "loadBalancing": "LeastRequest",
            "warmUp": {"method": "PUT", "path": "/warm?up=1", "body": '{"steps": 1}', "timeout": "90s"},
            "busy": {
                "path": "/queue",
                "port": 8188,
                "jsonPointers": ["/a~1b", ""],
                "interval": "1s",
                "timeout": "500ms",
            },
            "health": {
                "readyPath": "/health",
                "readyTimeout": "500ms",
                "consecutiveFailures": 5,
                "failures": ["Reset", "Timeout", "ServerError"],
                "baseEjectionTime": "10s",
                "maxEjectionTime": "2m",
                "maxEjectionPercent": "34%",
            },
            "maxBodyBytes": 67108864,
            "minBodyBytesPerSecond": 1024,
            "probes": ["kube-probe/", "our monitor"],
            "cors": {
                "origins": ["https://app.example.com", "http://localhost:3000", "*"],
                "methods": ["GET", "POST", "PUT"],
                "headers": ["Content-Type", "*"],
                "maxAge": "1h",
            },
            "onAbort": "Close",
            "interruptPath": "/sdapi/v1/interrupt",
            "halfClose": "Allow",
            "takeover": "Immediate",
            "affinity": {"cookie": {"name": "sd", "timeout": "1800s"}, "whenBusy": "Spill", "spillAfter": "30s"},
            "paths": [
                {"match": ["/a", "/b-*"], "class": "Count", "requestTimeout": "1h"},
                {"match": ["/*"], "class": "Pass", "wake": False},
            ],
        },
        "mode": "DryRun",
    }
)
KPA = algorithm(
    "kpa",
    {
        "target": 0.5,
        "window": "6s",
        "targetBurstCapacity": -1,
        "minScale": 2,
        "maxScale": 0,
        "activationScale": 3,
        "initialScale": 0,
        "allowZeroInitialScale": True,
        "metricAggregationAlgorithm": "weighted-exponential",
    },
)
RULES = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}], "tolerance": "50m"}
HPA = algorithm(
    "hpa",
    {
        "behavior": {"scaleUp": RULES},
        "kubernetes": "1.37",
        "scaleToZero": True,
        "controllerManager": {"tolerance": 0.1},
    },
)
KEDA = algorithm(
    "keda", {"idleReplicaCount": 0, "fallback": {"failureThreshold": 3, "replicas": 2}}, minReplicas=1, maxReplicas=5
)

INTERRUPTS = {"hosts": ["web.example.com"], "onAbort": "Interrupt"}

POOLS = pooled(
    {
        "name": "p100",
        "nodeSelector": {"example.com/gpu": "p100"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 10,
                        "preference": {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}]},
                    }
                ],
            }
        },
        "instanceTypes": ["ecs.gn5-c4g1.xlarge"],
        "pricePerHour": 1.5,
        "speed": 2,
        "minReplicas": 1,
        "maxReplicas": 4,
        "coldStart": "90s",
    },
    {"name": "p4"},
    spillAfter="2m",
    algorithm={"mpa": {}},
)

OTHERS = {"name": "others"}
GOLD = {"name": "gold", "match": [{"header": {"name": "X-Tier", "value": "gold"}}]}


def classes(*given):
    return traffic(priority={"classes": list(given)})


SHORT = {"name": "short-window", "algorithm": {"concurrency": {"stableWindow": "30s"}}}
NARROW = {"name": "narrow", "minReplicas": 3, "maxReplicas": 3}

GOOD = {
    "a candidate of another window": candidates(SHORT),
    "a candidate of each field": candidates(
        {
            **SHORT,
            "minReplicas": 1,
            "maxReplicas": 4,
            "schedule": [window()],
            "standby": 1,
            "maxCold": 2,
            "targetPerReplica": 0.5,
            "targetUtilization": "70%",
            "scaleDown": {"delay": "1m"},
        }
    ),
    "hints": document({**TARGET, "traffic": TRAFFIC, "hints": {"max": 1000, "maxPerSender": 1, "leadTime": "0s"}}),
    "hints of pages": document(
        {**TARGET, "traffic": TRAFFIC | {"paths": [{"match": ["/"], "hint": {"within": "1h"}}]}, "hints": {}}
    ),
    "hints with mpa": algorithm("mpa", traffic=TRAFFIC, hints={}),
    "a candidate that takes no hints": candidates({"name": "a", "algorithm": {"kpa": {}}}, traffic=TRAFFIC, hints={}),
    "as many candidates as there may be": candidates(*({"name": f"c-{n}", "standby": n} for n in range(8))),
    "a candidate without the policy's schedule": candidates(
        {"name": "a", "schedule": [], "maxReplicas": 1}, schedule=[window()]
    ),
    "a candidate without the policy's spare replica": candidates(
        {"name": "a", "algorithm": {"kpa": {}}, "standby": 0}, standby=1
    ),
    "a candidate whose algorithm frees it of the policy's": candidates(
        {"name": "a", "algorithm": {"mpa": {}}, "maxReplicas": 2}, algorithm={"kpa": {"minScale": 3}}
    ),
    "a candidate with pools": document(POOLS["spec"] | {"candidates": [{"name": "a", "minReplicas": 2}]}),
    "no candidates": candidates(),
    "pools that are copies": POOLS,
    "pools with targets of their own": pooled(*OWN, {"name": "c", "scaleTargetRef": {"name": "web-a", "kind": "Job"}}),
    "pools with just enough room": pooled(
        {"name": "a", "maxReplicas": 2}, {"name": "b", "maxReplicas": 1}, minReplicas=3
    ),
    "a reserve of all there may be": pooled({"name": "a", "minReplicas": 4}, {"name": "b", "minReplicas": 6}),
    "nodes by a label that exists": on_nodes("Exists"),
    "a time to wait for pools that are not there": document({**TARGET, "spillAfter": "1s"}),
    "a price for each replica": document({**TARGET, "cost": {"perReplicaHour": 2.4, "currency": "EUR"}}),
    "a price for each pool": pooled({"name": "a", "pricePerHour": 0}, cost={}),
    "the minimal one": document(),
    "everything at once": EVERYTHING,
    "null for what is absent": document({**TARGET, "backends": None, "algorithm": {"kpa": None, "mpa": {}}}),
    "an empty choice": document({**TARGET, "algorithm": None, "traffic": None}),
    "as many at least as at most": document({**TARGET, "minReplicas": 10}),
    "all of Knative's settings": KPA,
    "Knative without an upper bound": algorithm("kpa", {"maxScale": 0, "minScale": 10}),
    "Knative's bounds in place of ours": algorithm("kpa", {"minScale": 3}, maxReplicas=3),
    "the HPA's behavior": HPA,
    "a ScaledObject's settings": KEDA,
    "a duration of several parts": document({**TARGET, "scaleDown": {"delay": "59m59s999.5ms"}}),
    "parts of a second that are whole together": algorithm("concurrency", {"stableWindow": "9.1s0.2s0.7s"}),
    "a target at the limit": document({**TARGET, "containerConcurrency": 4, "targetPerReplica": 4}),
    "a target far above any limit": document({**TARGET, "containerConcurrency": 0, "targetPerReplica": 1_000_000}),
    "a hundred per cent, at length": document({**TARGET, "targetUtilization": "100.000%"}),
    "a sum over several lines": prometheus(query="sum by (namespace,service) (\n  inflight_requests{a=~'b.*'}\n)\n"),
    "a query whose series is named": prometheus(query="max(a)", series="a"),
    "a series alone": prometheus(series="a"),
    "a query for pods without traffic": prometheus(podQuery="sum by (pod) (a)"),
    "classes with shares of all there is": classes({**GOLD, "share": "33.3%"}, {**OTHERS, "share": "66.7%"}),
    "classes by each condition": classes(
        {"name": "a", "match": [{"paths": ["/v1/*"], "hosts": ["*.example.com"], **GOLD["match"][0]}]}, OTHERS, GOLD
    ),
    "turns by address": traffic(fairness={"by": "address"}),
    "turns by cookie": traffic(fairness={"by": "cookie", "name": "session"}),
    "turns by header": traffic(fairness={"by": "header", "name": "X-Tenant"}),
    "jobs in metrics": traffic(busy={"path": "/metrics", "metrics": ["vllm:num_requests_running"]}),
    "pods that are never ejected": traffic(health={"failures": []}),
    "an ejection that does not grow": traffic(health={"baseEjectionTime": "5m"}),
    "the first of many": traffic(loadBalancing="FirstAvailable"),
    "a series with every kind of string": prometheus(series="a:b{c='it\\'s', d!=\"\\\\.\", e =~ `f\\.\n`, g!~'',}"),
    "a series without a name": prometheus(series="{__name__=~'a|b'}"),
    "any host, names of Docker's and an address": traffic(
        hosts=["*", "*.a_b.c", "sd_webui.local", "[::1]", "10.0.0.1"]
    ),
    "as many patterns as there may be": traffic(paths=[{"match": ["/********"] * 64, "class": "Count"}] * 4),
    "a window that lowers both bounds": schedule(window(minReplicas=0, maxReplicas=1), minReplicas=2),
    "a window of Knative's that raises": schedule(window(minReplicas=3), algorithm={"kpa": {"minScale": 3}}),
    "as many windows as there may be": schedule(*(window(name=f"w-{n}") for n in range(16))),
    "a zone of three parts": schedule(window(timeZone="America/Argentina/Ushuaia")),
    "an interrupt of one at a time": document({**TARGET, "traffic": INTERRUPTS}),
}

BAD = {
    "a cost without a price": document({**TARGET, "cost": {"currency": "EUR"}}),
    "a cost without a price for one of the pools": pooled({"name": "a", "pricePerHour": 1}, {"name": "b"}, cost={}),
    "a negative price": document({**TARGET, "cost": {"perReplicaHour": -1}}),
    "a currency that is no code": document({**TARGET, "cost": {"perReplicaHour": 1, "currency": "euro"}}),
    "hints without a gateway": document({**TARGET, "hints": {}}),
    "hints of an algorithm of another controller": algorithm("kpa", traffic=TRAFFIC, hints={}),
    "a page that announces without hints": traffic(paths=[{"match": ["/"], "hint": {}}]),
    "no hint at all": document({**TARGET, "traffic": TRAFFIC, "hints": {"max": 0}}),
    "a hint for ever": traffic(paths=[{"match": ["/"], "hint": {"within": "2h"}}]),
    "a hint for later than an hour": document({**TARGET, "traffic": TRAFFIC, "hints": {"leadTime": "61m"}}),
    "a candidate that is the policy itself": candidates({"name": "a"}),
    "a candidate without a name": candidates({"standby": 1}),
    "two candidates of one name": candidates(SHORT, SHORT),
    "more candidates than there may be": candidates(*({"name": f"c-{n}", "standby": n} for n in range(9))),
    "a candidate with a name that is no label": candidates({"name": "Short", "standby": 1}),
    "a candidate with candidates": candidates({**SHORT, "candidates": [NARROW]}),
    "a candidate that routes": candidates({**SHORT, "traffic": TRAFFIC}),
    "a candidate that has a limit of its own": candidates({**SHORT, "containerConcurrency": 2}),
    "a candidate of two algorithms": candidates({"name": "a", "algorithm": {"mpa": {}, "kpa": {}}}),
    "a candidate with more at least than the policy's most": candidates({"name": "a", "minReplicas": 11}),
    "a candidate with less at most than the policy's least": candidates({"name": "a", "maxReplicas": 1}, minReplicas=2),
    "a candidate whose target is above the policy's limit": candidates({"name": "a", "targetPerReplica": 1.5}),
    "a candidate with spare replicas of the policy and another algorithm": candidates(
        {"name": "a", "algorithm": {"hpa": {}}}, standby=1
    ),
    "a candidate with spare replicas and the policy's algorithm": candidates(
        {"name": "a", "standby": 1}, algorithm={"keda": {}}
    ),
    "a candidate of KEDA's that idles above its minimum": candidates(
        {"name": "a", "algorithm": {"keda": {"idleReplicaCount": 1}}}, minReplicas=1
    ),
    "a candidate below the policy's idle replicas": candidates(
        {"name": "a", "minReplicas": 1}, algorithm={"keda": {"idleReplicaCount": 1}}, minReplicas=2
    ),
    "a candidate of Knative's above the policy's most": candidates(
        {"name": "a", "algorithm": {"kpa": {"minScale": 11}}}
    ),
    "a candidate below Knative's least of the policy": candidates(
        {"name": "a", "maxReplicas": 2}, algorithm={"kpa": {"minScale": 3}}
    ),
    "a candidate of Knative's that wakes with too few": candidates(
        {"name": "a", "algorithm": {"kpa": {"activationScale": 2}}}, minReplicas=3
    ),
    "a candidate whose most is below a window's least": candidates(
        {"name": "a", "maxReplicas": 1}, schedule=[window()]
    ),
    "a candidate whose window is below what its algorithm keeps": candidates(
        {"name": "a", "schedule": [window(minReplicas=1)], "algorithm": {"hpa": {}}}, minReplicas=2
    ),
    "a candidate that pools have no room for": pooled(
        {"name": "a", "maxReplicas": 2}, candidates=[{"name": "a", "minReplicas": 3}]
    ),
    "a candidate with less than the pools' reserve": pooled(
        {"name": "a", "minReplicas": 2}, candidates=[{"name": "a", "maxReplicas": 1}]
    ),
    "a candidate's window that pools have no room for": pooled(
        {"name": "a", "maxReplicas": 2}, candidates=[{"name": "a", "schedule": [window(minReplicas=3)]}]
    ),
    "no pool": pooled(),
    "a pool without a name": pooled({}),
    "a pool that is null": pooled(None),
    "two pools of one name": pooled({"name": "a"}, {"name": "a"}),
    "a pool with a name for no label": pooled({"name": "P100"}),
    "pools of which one is no copy": document({**TARGET, "pools": [OWN[0], {"name": "c"}]}),
    "pools of which one has no target": pooled(OWN[0], {"name": "c"}),
    "a target beside those of the pools": document({**TARGET, "pools": OWN}),
    "pools with one target": pooled(OWN[0], {**OWN[0], "name": "b"}),
    "pools with one target that is written in two ways": pooled(
        OWN[0], {"name": "b", "scaleTargetRef": {"name": "web-a", "kind": "Deployment"}}
    ),
    "pools without a target": document({"pools": [{"name": "a"}]}),
    "copies of what is no Deployment": document(
        {"scaleTargetRef": {"name": "web", "kind": "StatefulSet"}, "pools": [{"name": "a"}]}
    ),
    "nodes for a target that says itself where it runs": pooled({**OWN[0], "nodeSelector": {"a": "b"}}),
    "too little room in all pools": pooled({"name": "a", "maxReplicas": 2}, minReplicas=3),
    "more in reserve than there may be": pooled({"name": "a", "minReplicas": 6}, {"name": "b", "minReplicas": 5}),
    "more in the reserve of a pool than it may have": pooled({"name": "a", "minReplicas": 3, "maxReplicas": 2}),
    "a label of nodes that is none": pooled({"name": "a", "nodeSelector": {"a b": "c"}}),
    "a value of a label of nodes that is none": pooled({"name": "a", "nodeSelector": {"a": "c d"}}),
    "a speed of nothing": pooled({"name": "a", "speed": 0}),
    "nodes by a label that is in nothing": on_nodes("In"),
    "nodes by a label that exists with a value": on_nodes("Exists", "a"),
    "nodes by a label that is above two numbers": on_nodes("Gt", "1", "2"),
    "pools that need no time to spill": pooled({"name": "a"}, spillAfter="999ms"),
    "nothing to scale": document({}),
    "two things to scale": document({**TARGET, "backends": ["web:80"]}),
    "an unknown key": document({**TARGET, "replicas": 3}),
    "an unknown key, deep down": traffic(paths=[{"match": ["/"], "class": "Count", "weight": 1}]),
    "no spec": {key: value for key, value in document().items() if key != "spec"},
    "another version": document() | {"apiVersion": "inflight.dev/v1"},
    "a name with two dots": document({"scaleTargetRef": {"name": "a..b"}}),
    "more at least than at most": document({**TARGET, "minReplicas": 11}),
    "two algorithms": document({**TARGET, "algorithm": {"kpa": {}, "mpa": {}}}),
    "a choice of none": document({**TARGET, "algorithm": {}}),
    "a number in quotes": document({**TARGET, "maxReplicas": "5"}),
    "yes for true": algorithm("hpa", {"scaleToZero": "yes"}),
    "one for true": algorithm("hpa", {"scaleToZero": 1}),
    "true for one": document({**TARGET, "maxReplicas": True}),
    "a number for a duration": document({**TARGET, "scaleDown": {"delay": 30}}),
    "a duration in words": document({**TARGET, "scaleDown": {"delay": "3 days"}}),
    "a duration that ends in a new line": document({**TARGET, "scaleDown": {"delay": "30s\n"}}),
    "a duration beyond any calendar": document({**TARGET, "scaleDown": {"delay": "99999999999h"}}),
    "a window below 6 s": algorithm("concurrency", {"stableWindow": "5.999s"}),
    "a window above 1 h": algorithm("concurrency", {"stableWindow": "1h1s"}),
    "a window with a part of a second": algorithm("concurrency", {"stableWindow": "6.5s"}),
    "a percentage without its sign": document({**TARGET, "targetUtilization": "70"}),
    "more than a hundred per cent": document({**TARGET, "targetUtilization": "100.1%"}),
    "a target above the limit": document({**TARGET, "containerConcurrency": 4, "targetPerReplica": 4.01}),
    "a target above the limit of one that is absent": document({**TARGET, "targetPerReplica": 2}),
    "a target of next to nothing": document({**TARGET, "targetPerReplica": 0.009}),
    "a rate of one": algorithm("concurrency", {"maxScaleUpRate": 1}),
    "a rate beyond all numbers of replicas": algorithm("concurrency", {"maxScaleUpRate": 1e308}),
    "Knative's rate beyond all numbers of replicas": algorithm("kpa", {"maxScaleDownRate": 1e7}),
    "Knative's target beyond all numbers of requests": algorithm("kpa", {"target": 1e308}),
    "a burst capacity beyond all numbers of requests": algorithm("kpa", {"targetBurstCapacity": 1e308}),
    "Knative's lower bound above ours": algorithm("kpa", {"maxScale": 0, "minScale": 50}),
    "a threshold beyond all numbers of requests": algorithm("keda", {"activationThreshold": 1e308}),
    "a tolerance of many digits": algorithm("hpa", {"behavior": {"scaleUp": {"tolerance": "1" * 32}}}),
    "a burst capacity between -1 and 0": algorithm("kpa", {"targetBurstCapacity": -0.5}),
    "Knative's bounds the wrong way round": algorithm("kpa", {"minScale": 3}, maxReplicas=2),
    "an activation above the upper bound": algorithm("kpa", {"activationScale": 11}),
    "an activation below the lower bound": algorithm("kpa", {"activationScale": 2}, minReplicas=3),
    "a beginning at zero": algorithm("kpa", {"initialScale": 0}),
    "Knative's own longest window": algorithm("kpa", {"window": "2h"}),
    "idle as many as at least": algorithm("keda", {"idleReplicaCount": 0}),
    "a direction with no policy": algorithm("hpa", {"behavior": {"scaleUp": {"policies": []}}}),
    "a version of Kubernetes that is a number": algorithm("hpa", {"kubernetes": 1.37}),
    "a version of Kubernetes that is to come": algorithm("hpa", {"kubernetes": "1.99"}),
    "a tolerance that is a number": algorithm("hpa", {"behavior": {"scaleUp": {"tolerance": 0.1}}}),
    "a query for pods beside traffic": document(
        {**TARGET, "traffic": {"hosts": ["a.example.com"]}, "metrics": {"prometheus": {"podQuery": "a"}}}
    ),
    "an empty query for pods": prometheus(podQuery=""),
    "a query whose series is not known": prometheus(query="max(a)"),
    "an address with a query": prometheus(serverAddress="http://thanos:9092/?namespace=a"),
    "an address with a password": prometheus(serverAddress="http://me:secret@thanos:9092"),
    "a series that is computed": prometheus(series="label_replace(a, 'service', '$1', 'model_name', '(.*)')"),
    "a series of another time": prometheus(series="a offset 5m"),
    "a series with an escape that is none": prometheus(series='a{b="c\\."}'),
    "a series without anything": prometheus(series="{}"),
    "a sum over a sum": prometheus(query="sum by (namespace, service) (sum(a))"),
    "no host": traffic(hosts=[]),
    "a host with an empty label": traffic(hosts=["a..b"]),
    "a host with a port": traffic(hosts=["a:80"]),
    "a label of 64 characters": traffic(hosts=["x" * 64]),
    "65 hosts": traffic(hosts=[f"h{n}" for n in range(65)]),
    "nine stars": traffic(paths=[{"match": ["/*********"], "class": "Count"}]),
    "a pattern of 257 characters": traffic(paths=[{"match": ["/" + "x" * 256], "class": "Count"}]),
    "65 rules": traffic(paths=[{"match": ["/"], "class": "Count"}] * 65),
    "65 patterns of a rule": traffic(paths=[{"match": ["/"] * 65, "class": "Count"}]),
    "257 patterns in all": traffic(
        paths=[{"match": ["/"] * 64, "class": "Count"}] * 4 + [{"match": ["/"], "class": "Count"}]
    ),
    "a cookie with a name of 129 characters": traffic(affinity={"cookie": {"name": "x" * 129}}),
    "a host that is null": traffic(hosts=[None]),
    "a path that is none": traffic(paths=[{"match": ["txt2img"], "class": "Count"}]),
    "an interrupt of one of two": document({**TARGET, "containerConcurrency": 2, "traffic": INTERRUPTS}),
    "an interrupt of no path": traffic(interruptPath="interrupt now"),
    "a body of less than nothing": traffic(maxBodyBytes=-1),
    "a connection that may take hours": traffic(timeouts={"connect": "1h"}),
    "everything to one of many": document(
        {**TARGET, "containerConcurrency": 0, "traffic": {**TRAFFIC, "loadBalancing": "FirstAvailable"}}
    ),
    "a window of no bounds": schedule(window(minReplicas=None)),
    "a window that opens when it closes": schedule(window(end="0 8 * * MON-FRI")),
    "a window in no zone": schedule(window(timeZone="Europe/Atlantis")),
    "a window in a part of the world": schedule(window(timeZone="America/Argentina")),
    "a window in a zone of this machine": schedule(window(timeZone="Local")),
    "a window at 24 hours": schedule(window(start="0 24 * * *")),
    "a window with a word of Quartz": schedule(window(start="0 8 ? * *")),
    "a window with more at least than at most": schedule(window(minReplicas=3, maxReplicas=2)),
    "a window with more at least than the policy": schedule(window(minReplicas=11)),
    "a window with less at most than the policy at least": schedule(
        window(minReplicas=None, maxReplicas=1), minReplicas=2
    ),
    "two windows of one name": schedule(window(), window()),
    "17 windows": schedule(*(window(name=f"w-{n}") for n in range(17))),
    "a window of the HPA that lowers": schedule(window(minReplicas=1), minReplicas=2, algorithm={"hpa": {}}),
    "a window below Knative's minimum": schedule(window(), algorithm={"kpa": {"minScale": 3}}),
    "pools without room for a window": schedule(window(minReplicas=3), pools=[{"name": "a", "maxReplicas": 2}]),
    "pools with a reserve above a window": schedule(window(maxReplicas=2), pools=[{"name": "a", "minReplicas": 3}]),
    "spare replicas of KEDA": algorithm("keda", standby=1),
    "starts that KEDA does not weigh": algorithm("keda", scaleUp={"worthAStart": "25%"}),
    "starts that are worth nothing": algorithm("mpa", scaleUp={"worthAStart": "0%"}),
    "no replica that may start": document({**TARGET, "maxCold": 0}),
    "one class": classes(OTHERS),
    "no class for the others": classes(GOLD, {**GOLD, "name": "b"}),
    "two classes for the others": classes(OTHERS, {"name": "b"}),
    "two classes of one name": classes(GOLD, {"name": "gold"}),
    "shares of more than all": classes({**GOLD, "share": "91%"}, OTHERS),
    "a share of more than all": classes({**GOLD, "share": "101%"}, {**OTHERS, "share": "0%"}),
    "a class of no condition": classes({**GOLD, "match": [{}]}, OTHERS),
    "a class of a header without a value": classes({**GOLD, "match": [{"header": {"name": "x"}}]}, OTHERS),
    "nine classes": classes(OTHERS, *({**GOLD, "name": f"c{number}"} for number in range(8))),
    "turns by a cookie of no name": traffic(fairness={"by": "cookie"}),
    "turns by an address with a name": traffic(fairness={"by": "address", "name": "a"}),
    "turns by luck": traffic(fairness={"by": "luck"}),
    "turns by nothing": traffic(fairness={"name": "a"}),
    "jobs in two ways": traffic(busy={"path": "/", "jsonPointers": ["/a"], "metrics": ["a"]}),
    "jobs in no way": traffic(busy={"path": "/"}),
    "a warm-up of no path": traffic(warmUp={"method": "POST"}),
    "a warm-up that gets something with a body": traffic(warmUp={"method": "GET", "path": "/", "body": "{}"}),
    "a warm-up that deletes": traffic(warmUp={"method": "DELETE", "path": "/"}),
    "a warm-up of a day": traffic(warmUp={"path": "/", "timeout": "24h"}),
    "a pointer that points nowhere": traffic(busy={"path": "/", "jsonPointers": ["a"]}),
    "a metric with a label": traffic(busy={"path": "/", "metrics": ["a{b='c'}"]}),
    "a failure that nobody knows": traffic(health={"failures": ["Refused"]}),
    "no failure at all in a row": traffic(health={"consecutiveFailures": 0}),
    "an ejection that shrinks": traffic(health={"baseEjectionTime": "6m"}),
    "an address without a port": document({"backends": ["web"]}),
    "addresses in place of a target": document({"backends": ["10.0.0.1:7860", "[fd00::1]:80", "web:80"]}),
}

_TEXTS = {
    DURATION_PATTERN: (
        *("0s", "1ms", "999ms", "1s", "5.999s", "6s", "60s", "59.5s", "0.1s0.2s0.7s", "10m", "1h", "1h1ms"),
        *("24h", "24h1ms", "720h", "720h1s", "60", "-1s", "1H", "1 h", "1s ", "0." + "0" * 40 + "1s"),
    ),
    PERCENT_PATTERN: ("0%", "0.9%", "1%", "10.5%", "100%", "100.5%", "109.9%", "110%", "1000%", "1001%", "1", "-1%"),
    SERVER_PATTERN: (
        *("http://p", "https://p:9090/a/b", "http://[::1]:9090", "http://p:65536", "http://p?", "http://p/#", "p:9090"),
        *("http://me@p", "http://me:secret@p", "http://p/a@b", "http://p\n", "http://p/\x7f", "http://p/" + "a" * 2048),
    ),
    ZONE_PATTERN: (
        "UTC",
        "Europe/Berlin",
        "America/Argentina/Ushuaia",
        "Europe/Atlantis",
        "America",
        "",
        "Local",
        "utc",
    ),
    f"^({CRON_PATTERN})$": ("0 8 * * MON-FRI", "* * * * *", "0 0 29 2 *", "60 * * * *", "0 8 * *", "a", "0 8 * * 7"),
    QUANTITY_PATTERN: ("0", "50m", "0.05", "1.5m", "1k", "-1", ".5", "1" * 33),
}
_OTHER_TEXTS = (
    "",
    "a",
    "A",
    "v1",
    "apps/v1",
    "Kind",
    "web.example.com",
    "/a",
    "/a b",
    "a b",
    "a\n",
    "ä",
    "x" * 300,
    QUERY,
)
_WRONG_TYPES = (None, True, 0, "1", [], {}, {"unknown": 1})


def _values(schema):
    match schema:
        case {"enum": values}:
            return (*values, "Other")
        case {"type": "string", "pattern": pattern}:
            return _TEXTS.get(pattern, _OTHER_TEXTS)
        case {"type": "string"}:
            return _OTHER_TEXTS
        case {"type": "integer" | "number"}:
            ends = [schema[end] for end in ("minimum", "maximum") if end in schema]
            near = [end + step for end in ends for step in (-1, 0, 1)]
            return (*near, 0.5, 2, 3, 2**31 - 1, 2**31)
        case {"type": "boolean"}:
            return (True, False)
    return ()


def _places(schema, path=()):
    """Give each place of a document, and what may be right there."""
    yield path, _values(schema)
    for key, inner in schema.get("properties", {}).items():
        yield from _places(inner, (*path, key))
    if "items" in schema:
        yield from _places(schema["items"], (*path, 0))


def _changes_of(base):
    """Give changes of what a document has, one in five to a value of the wrong type."""
    places = [place for place in _places(structural_model(PolicySpec), ("spec",)) if _concerns(place[0], base)]
    right = [(path, value) for path, values in places for value in values]
    wrong = [(path, value) for path, _ in places for value in _WRONG_TYPES]
    return st.integers(1, 5).flatmap(lambda random_streams: st.sampled_from(wrong if random_streams == 1 else right))


def _concerns(path, base):
    if path[:2] == ("spec", "algorithm"):
        return len(path) > 2 and path[2] in base["spec"]["algorithm"]
    if path[:3] == ("spec", "candidates", 0):
        (candidate,) = base["spec"].get("candidates") or ({},)
        return bool(candidate) and (path[3:4] != ("algorithm",) or path[4:5] == tuple(candidate["algorithm"]))
    return path != ("spec",) and (path[:2] != ("spec", "pools") or "pools" in base["spec"])


def changed(base, changes):
    """Put values at places of a document; where there is no way to the place, the document stays as it is."""
    whole = copy.deepcopy(base)
    for (*way, last), value in changes:
        at = whole
        for key in way:
            at = _step(at, key)
        _put(at, last, copy.deepcopy(value))
    return whole


def _step(at, key):
    if isinstance(at, dict):
        return at.setdefault(key, {})
    if isinstance(at, list) and at and isinstance(key, int):
        return at[key]
    return None


def _put(at, key, value):
    if isinstance(at, dict) and isinstance(key, str):
        at[key] = value
    elif isinstance(at, list) and isinstance(key, int):
        at[:1] = [value]


_BASES = [
    EVERYTHING,
    POOLS,
    *(
        document(
            {
                **EVERYTHING["spec"],
                "schedule": [window(maxReplicas=5)],
                "candidates": [
                    {"name": "a", "minReplicas": 2, "maxReplicas": 5, "algorithm": base["spec"]["algorithm"]}
                ],
            }
        )
        for base in (EVERYTHING, KPA, KEDA)
    ),
] + [
    document(
        {
            **EVERYTHING["spec"],
            "minReplicas": 1,
            "maxReplicas": 5,
            "standby": 0,
            "schedule": [window(maxReplicas=5)],
            "algorithm": base["spec"]["algorithm"],
        }
    )
    for base in (KPA, HPA, KEDA)
]

changed_documents = st.sampled_from(_BASES).flatmap(
    lambda base: st.builds(changed, st.just(base), st.lists(_changes_of(base), min_size=1, max_size=3))
)
