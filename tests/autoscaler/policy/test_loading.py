"""Malformed policies: each problem is told with file, line, key, value and what is legal, in the order of the file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from autoscaler.documents.document import DocumentError
from autoscaler.documents.prometheus_address import LEGAL, NO_CREDENTIALS
from autoscaler.host_claims import HostGrants
from autoscaler.policy.http_texts import Host
from autoscaler.policy.loading import read_alternatives, read_policies
from autoscaler.policy.spec import Backend
from autoscaler.testing import policy_document

HEAD = """\
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata:
  name: sd
spec:
  scaleTargetRef: {name: sd}
"""
SPEC_KEYS = (
    "displayName, scaleTargetRef, backends, minReplicas, maxReplicas, schedule, standby, maxCold, pools, spillAfter, "
    "containerConcurrency, targetPerReplica, targetUtilization, algorithm, scaleUp, scaleDown, metrics, traffic, "
    "hints, cost, mode, candidates"
)
ONE_TARGET = "must have exactly one of scaleTargetRef, backends, pools with a scaleTargetRef each"
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


@pytest.fixture
def problems(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def problems_of(**files):
        paths = []
        for name, text in files.items():
            path = tmp_path / f"{name}.yaml"
            path.write_text(text)
            paths.append(path.relative_to(tmp_path))
        with pytest.raises(DocumentError) as caught:
            read_policies(paths)
        return caught.value.problems

    return problems_of


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        # Unknown keys, at every level.
        ("  scaleDwn: {}", f"scaleDwn: unknown key; legal here: {SPEC_KEYS}"),
        (
            "  scaleDown: {dealy: 1s}",
            "scaleDown.dealy: unknown key; legal here: delay, toZeroDelay",
        ),
        (
            "  algorithm: {concurrency: {window: 60s}}",
            (
                "algorithm.concurrency.window: unknown key; legal here: stableWindow, panicWindow, panicThreshold, "
                "maxScaleUpRate, maxScaleDownRate, safety"
            ),
        ),
        ("  algorithm: {mpa: {a: 1}}", "algorithm.mpa.a: unknown key; legal here: "),
        (
            "  traffic: {hosts: [a], queue: {length: 1}}",
            "traffic.queue.length: unknown key; legal here: maxLength, timeout, noneReady, allBusy",
        ),
        (
            "  traffic: {hosts: [a], paths: [{match: [/], class: Pass, max: 1}]}",
            "traffic.paths[0].max: unknown key; legal here: match, class, wake, maxPerPod, requestTimeout, hint",
        ),
        (
            "  traffic: {hosts: [a], affinity: {cookie: {ttl: 1s}}}",
            "traffic.affinity.cookie.ttl: unknown key; legal here: name, timeout",
        ),
        # Wrong types.
        ("  minReplicas: three", 'minReplicas: "three": must be a valid integer'),
        ('  maxReplicas: "3"', 'maxReplicas: "3": must be a valid integer'),
        ("  maxReplicas: true", "maxReplicas: true: must be a valid integer"),
        ("  maxReplicas: 2.5", "maxReplicas: 2.5: must be a valid integer"),
        ("  mode: active", "mode: \"active\": must be 'Active' or 'DryRun'"),
        ("  mode: [Active]", "mode: [\"Active\"]: must be 'Active' or 'DryRun'"),
        ("  scaleDown: 30s", 'scaleDown: "30s": must be a mapping with keys such as: delay, toZeroDelay'),
        (
            "  algorithm: kpa",
            'algorithm: "kpa": must be a mapping with keys such as: concurrency, kpa, mpa, hpa, keda',
        ),
        ("  traffic: {hosts: a.example.com}", 'traffic.hosts: "a.example.com": must be a list'),
        ("  traffic: {hosts: {a: b}}", "traffic.hosts: must be a list"),
        ("  traffic: {hosts: [3]}", "traffic.hosts[0]: 3: must be a valid string"),
        (
            "  traffic: {hosts: [a], paths: [{match: [/], class: Pass, wake: no}]}",
            'traffic.paths[0].wake: "no": must be a valid boolean',
        ),
        ("  metrics: {prometheus: {query: 3}}", "metrics.prometheus.query: 3: must be a valid string"),
        # Ranges.
        ("  minReplicas: -1", "minReplicas: -1: must be 0 to 10000"),
        ("  maxReplicas: 0", "maxReplicas: 0: must be 1 to 10000"),
        ("  maxReplicas: 10001", "maxReplicas: 10001: must be 1 to 10000"),
        ("  containerConcurrency: 1001", "containerConcurrency: 1001: must be 0 to 1000"),
        ("  targetPerReplica: 0", "targetPerReplica: 0: must be 0.01 to 1000000"),
        (
            "  targetPerReplica: 150\n  containerConcurrency: 4",
            "targetPerReplica: 150: must not be above containerConcurrency, which is 4",
        ),
        ("  targetPerReplica: 1.5", "targetPerReplica: 1.5: must not be above containerConcurrency, which is 1"),
        ("  traffic: {hosts: [a], port: 65536}", "traffic.port: 65536: must be 1 to 65535"),
        ("  targetUtilization: 101%", 'targetUtilization: "101%": must be 1% to 100%'),
        ("  targetUtilization: 0.7", "targetUtilization: 0.7: must be a percentage such as 70%"),
        ("  scaleDown: {delay: 61m}", 'scaleDown.delay: "61m": must be 0s to 1h'),
        ("  scaleDown: {delay: 30}", "scaleDown.delay: 30: must be a duration such as 30s, 10m or 1h30m"),
        (
            "  algorithm: {concurrency: {stableWindow: 5s}}",
            'algorithm.concurrency.stableWindow: "5s": must be 6s to 1h',
        ),
        (
            "  algorithm: {concurrency: {stableWindow: 6500ms}}",
            'algorithm.concurrency.stableWindow: "6500ms": must be whole seconds',
        ),
        (
            "  algorithm: {concurrency: {panicThreshold: 109%}}",
            'algorithm.concurrency.panicThreshold: "109%": must be 110% to 1000%',
        ),
        (
            "  algorithm: {concurrency: {maxScaleUpRate: 1}}",
            "algorithm.concurrency.maxScaleUpRate: 1: must be above 1 up to 1000000",
        ),
        (
            "  algorithm: {concurrency: {maxScaleUpRate: 1.0e+308}}",
            "algorithm.concurrency.maxScaleUpRate: 1e+308: must be above 1 up to 1000000",
        ),
        (
            "  algorithm: {concurrency: {maxScaleUpRate: .inf}}",
            "algorithm.concurrency.maxScaleUpRate: Infinity: must be a finite number",
        ),
        (
            f"  scaleDown: {{delay: '{'9' * 400}s'}}",
            f'scaleDown.delay: "{"9" * 59}...: must be a duration such as 30s, 10m or 1h30m',
        ),
        # Patterns.
        (
            "  traffic: {hosts: ['a b']}",
            (
                'traffic.hosts[0]: "a b": must be a name such as sd.example.com, an address such as [::1], '
                "a wildcard such as *.example.com, or * for any, in at most 253 characters"
            ),
        ),
        (
            "  traffic: {hosts: [a], paths: [{match: [x], class: Pass}]}",
            (
                'traffic.paths[0].match[0]: "x": must be a path that begins with / and has no space, ? or #, '
                "with at most 8 stars, in at most 256 characters"
            ),
        ),
        (
            "  traffic: {hosts: [a], paths: [{match: ['/*********'], class: Pass}]}",
            (
                'traffic.paths[0].match[0]: "/*********": must be a path that begins with / and has no space, ? or #, '
                "with at most 8 stars, in at most 256 characters"
            ),
        ),
        (
            f"  traffic: {{hosts: [{', '.join('h' * 65)}]}}",
            f"traffic.hosts: {json.dumps(['h'] * 65)[:60]}...: must have at most 64 and has 65",
        ),
        (
            f"  traffic: {{hosts: [a], paths: [{', '.join(['{match: [/a, /b, /c, /d, /e], class: Pass}'] * 52)}]}}",
            (
                'traffic.paths: [{"match": ["/a", "/b", "/c", "/d", "/e"], "class": "Pass"},...: '
                "must have at most 256 patterns in all"
            ),
        ),
        (
            "  metrics: {prometheus: {serverAddress: prometheus:9090}}",
            f'metrics.prometheus.serverAddress: "prometheus:9090": {LEGAL}',
        ),
        (
            "  metrics: {prometheus: {serverAddress: 'http://thanos:9092/?namespace=a'}}",
            f'metrics.prometheus.serverAddress: "http://thanos:9092/?namespace=a": {LEGAL}',
        ),
        (
            "  metrics: {prometheus: {serverAddress: 'http://me:secret@thanos:9092'}}",
            f"metrics.prometheus.serverAddress: {NO_CREDENTIALS}",
        ),
        # What must be there.
        ("  traffic: {}", "traffic.hosts: is required"),
        ("  traffic: {hosts: null}", "traffic.hosts: is required"),
        ("  traffic: {hosts: []}", "traffic.hosts: []: must have at least 1"),
        ("  traffic: {hosts: [a], paths: [{class: Pass}]}", "traffic.paths[0].match: is required"),
        # Rules across keys.
        ("  minReplicas: 11", "minReplicas: 11: must be at most maxReplicas, which is 10"),
        (
            "  algorithm: {kpa: {}, mpa: {}}",
            "algorithm: must have exactly one of concurrency, kpa, mpa, hpa, keda; has kpa and mpa",
        ),
        ("  algorithm: {}", "algorithm: must have exactly one of concurrency, kpa, mpa, hpa, keda; has none"),
        ("  algorithm: {mpa: }", "algorithm: must have exactly one of concurrency, kpa, mpa, hpa, keda; has none"),
        (
            "  metrics: {prometheus: {query: up}}",
            (
                'metrics.prometheus.query: "up": needs `series` beside it, the raw series behind the query, such as '
                "inflight_requests; only from `sum by (namespace, service) (SELECTOR)` can it be read"
            ),
        ),
        (
            "  algorithm: {kpa: {minScale: 11, maxScale: 0}}",
            "algorithm.kpa.minScale: 11: must not be above maxReplicas, which is 10",
        ),
        # What Knative refuses.
        (
            "  algorithm: {kpa: {window: 5s}}",
            'algorithm.kpa.window: "5s": must be 6s to 1h',
        ),
        (
            "  algorithm: {kpa: {minScale: 5, maxScale: 2}}",
            "algorithm.kpa.minScale: 5: must be at most 2, the max-scale",
        ),
        (
            "  algorithm: {kpa: {activationScale: 11}}",
            "algorithm.kpa.activationScale: 11: must be within min-scale and max-scale",
        ),
        (
            "  algorithm: {kpa: {initialScale: 0}}",
            "algorithm.kpa.initialScale: 0: must be at least 1 unless the cluster allows zero",
        ),
        (
            "  algorithm: {kpa: {maxScaleDownRate: 1}}",
            "algorithm.kpa.maxScaleDownRate: 1: must be above 1 up to 1000000",
        ),
        (
            "  algorithm: {kpa: {targetBurstCapacity: -0.5}}",
            "algorithm.kpa.targetBurstCapacity: -0.5: must be 0 to 1000000, or exactly -1",
        ),
        (
            "  algorithm: {kpa: {scaleDownDelay: 2h}}",
            'algorithm.kpa.scaleDownDelay: "2h": must be 0s to 1h',
        ),
        (
            "  algorithm: {kpa: {progressDeadline: 0s}}",
            'algorithm.kpa.progressDeadline: "0s": must be 1ms to 24h',
        ),
        ("  algorithm: {kpa: {target: 0}}", "algorithm.kpa.target: 0: must be 0.01 to 1000000"),
        # What the HPA and KEDA refuse.
        (
            "  algorithm: {hpa: {behavior: {scaleUp: {policies: []}}}}",
            "algorithm.hpa.behavior.scaleUp.policies: []: must have at least 1",
        ),
        (
            "  algorithm: {hpa: {behavior: {scaleUp: {tolerance: 0.1}}}}",
            'algorithm.hpa.behavior.scaleUp.tolerance: 0.1: must be a quantity in quotes, such as "0.05" or "50m"',
        ),
        (
            "  algorithm: {hpa: {behavior: {scaleDown: {stabilizationWindowSeconds: 3601}}}}",
            "algorithm.hpa.behavior.scaleDown.stabilizationWindowSeconds: 3601: must be 0 to 3600",
        ),
        (
            "  algorithm: {hpa: {behavior: {scaleDown: {policies: [{type: Pod, value: 1, periodSeconds: 1}]}}}}",
            "algorithm.hpa.behavior.scaleDown.policies[0].type: \"Pod\": must be 'Pods' or 'Percent'",
        ),
        ("  algorithm: {hpa: {kubernetes: 1.37}}", "algorithm.hpa.kubernetes: 1.37: must be '1.36' or '1.37'"),
        (
            "  algorithm: {hpa: {behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 1801}]}}}}",
            "algorithm.hpa.behavior.scaleDown.policies[0].periodSeconds: 1801: must be 1 to 1800",
        ),
        (
            "  algorithm: {keda: {idleReplicaCount: 0}}",
            "algorithm.keda.idleReplicaCount: 0: must be below minReplicas, which is 0",
        ),
        (
            "  algorithm: {keda: {pollingInterval: 500ms}}",
            'algorithm.keda.pollingInterval: "500ms": must be 1s to 1h',
        ),
        (
            "  algorithm: {keda: {fallback: {replicas: 3}}}",
            "algorithm.keda.fallback.failureThreshold: is required",
        ),
    ],
)
def test_a_malformed_spec_is_told_in_one_line(problems, line, problem):
    assert problems(policy=f"{HEAD}{line}\n") == [f"policy.yaml:7: spec.{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "- a\n",
            'policy.yaml:1: document: ["a"]: must be a mapping with keys such as: apiVersion, kind, metadata, spec',
        ),
        (
            "hello\n",
            'policy.yaml:1: document: "hello": must be a mapping with keys such as: apiVersion, kind, metadata, spec',
        ),
        ("", "policy.yaml: has no document"),
        ("# nothing\n---\n", "policy.yaml: has no document"),
        ("a: [\n", "policy.yaml:2: this is no YAML: expected the node content, but found '<stream end>'"),
        (HEAD + HEAD[:34], "policy.yaml:7: apiVersion: said twice, first on line 1"),
        (
            HEAD.replace("v1alpha1", "v2"),
            "policy.yaml:1: apiVersion: \"inflight.dev/v2\": must be 'inflight.dev/v1alpha1'",
        ),
        (HEAD.replace("ScalingPolicy", "Deployment"), "policy.yaml:2: kind: \"Deployment\": must be 'ScalingPolicy'"),
        (HEAD.replace("kind: ScalingPolicy\n", ""), "policy.yaml:1: kind: is required"),
        (
            HEAD.replace("  name: sd\n", "  name: Sd_1\n"),
            rf'policy.yaml:4: metadata.name: "Sd_1": must match ^{LABEL}(\.{LABEL})*$',
        ),
        (HEAD.replace("  name: sd\n", "  name: 3\n"), "policy.yaml:4: metadata.name: 3: must be a valid string"),
        (
            HEAD.replace("  name: sd\n", "  name: sd\n  annotations: {a: 3}\n"),
            "policy.yaml:5: metadata.annotations.a: 3: must be a valid string",
        ),
        (
            HEAD.replace("  name: sd\n", "  name: sd\n  annotations: [a]\n"),
            'policy.yaml:5: metadata.annotations: ["a"]: must be a mapping',
        ),
        (
            HEAD.replace("  name: sd\n", "  name: sd\n  uuid: 3\n"),
            "policy.yaml:5: metadata.uuid: unknown key; legal here: name, namespace, annotations, labels",
        ),
        (HEAD + "  1: {}\n", "policy.yaml:5: spec[1]: unknown key; keys are strings"),
        (
            HEAD + "  backends: ['a:1']\n",
            f"policy.yaml:5: spec: {ONE_TARGET}; has scaleTargetRef and backends",
        ),
        (
            HEAD.replace("  scaleTargetRef: {name: sd}\n", "  maxReplicas: 3\n"),
            f"policy.yaml:5: spec: {ONE_TARGET}; has none",
        ),
        (HEAD.replace("{name: sd}", "{kind: StatefulSet}"), "policy.yaml:6: spec.scaleTargetRef.name: is required"),
        (
            HEAD.replace("  scaleTargetRef: {name: sd}\n", "  backends: ['a']\n"),
            (
                'policy.yaml:6: spec.backends[0]: "a": must be host:port, with a name or [IPv6] and a port of 1 to '
                "65535, in at most 259 characters"
            ),
        ),
    ],
)
def test_what_is_no_policy_is_told_in_one_line(problems, text, problem):
    assert problems(policy=text) == [problem]


def test_all_problems_of_a_document_are_told_in_the_order_of_the_file(problems):
    text = (
        HEAD
        + "  scaleDown:\n    toZeroDelay: 3\n    delay: 2h\n  mode: on\n  traffic:\n    port: 0\n    hosts: [a, '']\n"
    )
    told = [problem.partition(" ")[0] + problem.split(" ")[1] for problem in problems(policy=text)]
    assert told == [
        "policy.yaml:8:spec.scaleDown.toZeroDelay:",
        "policy.yaml:9:spec.scaleDown.delay:",
        "policy.yaml:10:spec.mode:",
        "policy.yaml:12:spec.traffic.port:",
        "policy.yaml:13:spec.traffic.hosts[1]:",
    ]


def test_all_problems_of_all_files_and_documents_are_told(problems):
    told = problems(first="a: [\n", second=HEAD + "  mode: a\n---\n" + HEAD + "  mode: b\n", third="")
    assert [problem.partition(" ")[0] for problem in told] == [
        "first.yaml:2:",
        "second.yaml:7:",
        "second.yaml:15:",
        "third.yaml:",
    ]


def test_a_policy_that_is_there_already_is_told_with_both_places(problems):
    assert problems(first="\n" + HEAD, second=HEAD) == [
        "second.yaml:4: metadata.name: the policy default/sd is there already, at first.yaml:5",
    ]
    assert problems(both=HEAD + "---\n" + HEAD) == [
        "both.yaml:11: metadata.name: the policy default/sd is there already, at both.yaml:4",
    ]


def test_policies_of_several_documents_and_files_come_in_their_order(tmp_path):
    named = [HEAD.replace("  name: sd\n", f"  name: {name}\n") for name in ("c", "a", "b")]
    (tmp_path / "1.yaml").write_text("---\n".join(named[:2]))
    (tmp_path / "2.yaml").write_text(named[2])
    policies = read_policies([tmp_path / "1.yaml", tmp_path / "2.yaml"])
    assert [policy.service for policy in policies] == ["default/c", "default/a", "default/b"]


DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: sd}\nspec: {replicas: 1}\n"


def test_documents_of_other_kinds_in_the_file_are_left_out_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "all.yaml"
    path.write_text(f"{DEPLOYMENT}---\n{HEAD}---\napiVersion: v1\nkind: Service\n")
    assert [policy.service for policy in read_policies([path])] == ["default/sd"]
    assert caplog.messages == [
        f"{path}:2: a Deployment is no ScalingPolicy and is left out",
        f"{path}:14: a Service is no ScalingPolicy and is left out",
    ]


ODD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: sd, name: other}
spec: {defaultMode: 0644, key: !!binary aGVsbG8=, when: !!timestamp 2026-11-30, other: !mine [1], 1: 2}
"""


def test_what_is_odd_in_a_document_of_another_kind_is_for_others_to_find(tmp_path):
    (tmp_path / "a.yaml").write_text(f"{ODD}---\n{HEAD}")
    items = "".join(f"-\n{indented(item, '  ')}" for item in (ODD, HEAD))
    (tmp_path / "list.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n{items}")
    for name in ("a.yaml", "list.yaml"):
        assert [policy.service for policy in read_policies([tmp_path / name])] == ["default/sd"]


def test_what_is_odd_in_a_policy_is_told_where_it_stands_in_a_list(problems):
    items = "".join(f"-\n{indented(item, '  ')}" for item in (ODD, HEAD + "  maxReplicas: 010\n"))
    (problem,) = problems(a=f"apiVersion: v1\nkind: List\nitems:\n{items}")
    assert problem.startswith("a.yaml:16: spec.maxReplicas: 010 is octal to kubectl")


@pytest.mark.parametrize("text", [HEAD + DEPLOYMENT, DEPLOYMENT + HEAD])
def test_a_policy_without_a_mark_before_the_next_document_is_not_left_out(problems, text):
    assert any(": kind: said twice, first on line 2" in problem for problem in problems(a=text))


def test_a_list_that_says_its_items_twice_loses_none(problems):
    items = f"items:\n-\n{indented(HEAD, '  ')}"
    (problem,) = problems(a=f"apiVersion: v1\nkind: List\n{items}{items}")
    assert problem.startswith("a.yaml:")
    assert problem.endswith(": items: said twice, first on line 3")


@pytest.mark.parametrize("number", ["10.0", "1e1", "10."])
def test_a_whole_number_may_be_written_as_json_may_have_it(tmp_path, number):
    (tmp_path / "a.yaml").write_text(HEAD + f"  maxReplicas: {number}\n")
    (policy,) = read_policies([tmp_path / "a.yaml"])
    assert policy.spec.max_replicas == 10


@pytest.mark.parametrize("number", ["10.5", "1e400", "-.inf", ".nan", "true", '"10"', "1e308"])
def test_what_is_no_whole_number_is_refused(problems, number):
    (problem,) = problems(a=HEAD + f"  maxReplicas: {number}\n")
    assert problem.startswith("a.yaml:7: spec.maxReplicas: ")


def test_a_policy_may_name_a_host_twice(tmp_path):
    (tmp_path / "a.yaml").write_text(HEAD + "  traffic: {hosts: [sd.example.com, SD.example.com]}\n")
    assert [policy.service for policy in read_policies([tmp_path / "a.yaml"])] == ["default/sd"]


def test_a_file_without_a_policy_is_refused(problems):
    assert problems(a=DEPLOYMENT) == ["a.yaml: has no ScalingPolicy"]


@pytest.mark.parametrize(
    ("head", "key"),
    [
        ("apiVersion: inflight.dev/v1alpha1\nkind: ScalingPolcy\n", "kind"),
        ("apiVersion: inflight.dve/v1alpha1\nkind: ScalingPolicy\n", "apiVersion"),
        ("kind: Deployment\n", "kind"),
        ("apiVersion: apps/v1\n", "apiVersion"),
        ("apiVersion: apps/v1\nkind: [Deployment]\n", "apiVersion"),
    ],
)
def test_a_slip_of_the_pen_is_no_other_kind(problems, head, key):
    text = HEAD.replace("apiVersion: inflight.dev/v1alpha1\nkind: ScalingPolicy\n", head)
    assert any(f": {key}: " in problem for problem in problems(a=text))


def indented(text, by):
    return "".join(f"{by}{line}\n" for line in text.splitlines())


@pytest.mark.parametrize("kind", ["List", "ScalingPolicyList"])
def test_a_list_is_searched_and_each_problem_has_its_own_line(problems, tmp_path, kind):
    items = [HEAD, DEPLOYMENT, HEAD.replace("name: sd\n", "name: other\n", 1) + "  maxReplicas: many\n"]
    text = f"apiVersion: v1\nkind: {kind}\nitems:\n" + "".join(f"-\n{indented(item, '  ')}" for item in items)
    (problem,) = problems(a=text)
    assert problem.startswith("a.yaml:23: spec.maxReplicas: ")
    (tmp_path / "a.yaml").write_text(text.replace("many", "3"))
    assert [policy.service for policy in read_policies([tmp_path / "a.yaml"])] == ["default/sd", "default/other"]


def test_what_kubectl_prints_of_a_policy_is_one(tmp_path):
    kept = """\
  creationTimestamp: "2026-11-30T10:00:00Z"
  generation: 2
  resourceVersion: "314"
  uid: 0f0e5f4e-6f0a-4a0e-9d8d-000000000000
  managedFields: [{manager: kubectl}]
  ownerReferences: []
  finalizers: [a/b]
  selfLink: /x
  generateName: sd-
"""
    text = HEAD.replace("  name: sd\n", f"  name: sd\n{kept}", 1) + "status: {conditions: []}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert [policy.service for policy in read_policies([tmp_path / "a.yaml"])] == ["default/sd"]


def test_the_same_name_in_two_namespaces_is_two_policies(tmp_path):
    elsewhere = HEAD.replace("  name: sd\n", "  name: sd\n  namespace: gpu\n")
    (tmp_path / "1.yaml").write_text(HEAD + "---\n" + elsewhere)
    assert [policy.service for policy in read_policies([tmp_path / "1.yaml"])] == ["default/sd", "gpu/sd"]


def test_null_reads_as_absent_wherever_it_stands(tmp_path):
    text = HEAD + "  maxReplicas: null\n  traffic: ~\n  algorithm: {mpa: {}, kpa: null}\n"
    (tmp_path / "1.yaml").write_text(text)
    (policy,) = read_policies([tmp_path / "1.yaml"])
    assert (policy.spec.max_replicas, policy.spec.traffic, policy.spec.algorithm.kpa) == (10, None, None)


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(DocumentError) as caught:
        read_policies([tmp_path / "none.yaml", tmp_path / "binary.yaml", tmp_path])
    assert ["cannot be read" in problem for problem in caught.value.problems] == [True, True, True]


@pytest.mark.parametrize(
    "host", ["*", "*.a_b.example", "sd_webui.local", "[::1]", "127.0.0.1", "A", "x" * 63, "_dmarc.x"]
)
def test_a_legal_host_is_taken(host):
    assert TypeAdapter(Host).validate_python(host) == host


@pytest.mark.parametrize(
    "host", ["", "**", "a*", "*.", "a..b", "-a", "a-", "x" * 64, "a:80", "::1", "[::1", "a/b", "a\n", "é"]
)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ValidationError):
        TypeAdapter(Host).validate_python(host)


@pytest.mark.parametrize("backend", ["stable_diffusion:7860", "[::1]:1", "10.0.0.1:65535", "pod-0.svc.default:80"])
def test_a_legal_backend_is_taken(backend):
    assert TypeAdapter(Backend).validate_python(backend) == backend


@pytest.mark.parametrize(
    "backend", ["pod..svc:80", "a:0", "a:65536", "a:080", f"{'x' * 64}:80", ":80", "a", "a:b", "*:80"]
)
def test_what_is_no_backend_is_refused(backend):
    with pytest.raises(ValidationError):
        TypeAdapter(Backend).validate_python(backend)


def named(name, namespace, **spec):
    lines = "".join(f"  {key}: {value}\n" for key, value in spec.items())
    head = HEAD.replace("  name: sd\n", f"  name: {name}\n  namespace: {namespace}\n")
    return head.replace("  scaleTargetRef: {name: sd}\n", "") + lines


def hosted(name, namespace, *hosts):
    return named(name, namespace, scaleTargetRef="{name: sd}", traffic=f"{{hosts: [{', '.join(hosts)}]}}")


def test_two_policies_with_one_host_are_told_with_both_places(problems):
    files = {"a": hosted("shop", "team-a", "x", "sd.example.com"), "b": hosted("other", "team-b", "SD.Example.com")}
    assert problems(**files) == [
        (
            'b.yaml:8: spec.traffic.hosts[0]: "SD.Example.com": the policy team-b/other cannot have it: '
            "sd.example.com belongs to the policy team-a/shop (team-a/shop: a.yaml:8)"
        )
    ]


@pytest.mark.parametrize("namespaces", [("a", "b"), ("b", "a")])
def test_a_name_below_the_wildcard_of_another_namespace_is_refused_whatever_they_are_called(problems, namespaces):
    exact, wide = namespaces
    (told,) = problems(exact=hosted("p", exact, "pay.example.com"), wide=hosted("q", wide, "'*.example.com'"))
    assert told.startswith(
        f'exact.yaml:8: spec.traffic.hosts[0]: "pay.example.com": the policy {exact}/p cannot have it'
    )
    assert told.endswith(f"({wide}/q: wide.yaml:8)")


def test_a_name_below_a_wildcard_of_the_same_namespace_is_fine(tmp_path):
    (tmp_path / "1.yaml").write_text(
        hosted("p", "a", "pay.example.com") + "---\n" + hosted("q", "a", "'*.example.com'")
    )
    assert len(read_policies([tmp_path / "1.yaml"])) == 2


def test_what_grants_do_not_cover_is_refused(tmp_path):
    (tmp_path / "1.yaml").write_text(hosted("p", "a", "'*.com'"))
    grants = HostGrants({"a": ("*.example.com",)})
    with pytest.raises(DocumentError, match=r"\*\.com: --host-claims lets the namespace a claim: \*\.example\.com$"):
        read_policies([tmp_path / "1.yaml"], grants)


@pytest.mark.parametrize(
    ("one", "other"),
    [("web:80", "WEB:80"), ("[::1]:80", "[0:0::1]:80"), ("[fd00::1]:80", "[FD00::1]:80")],
)
def test_a_backend_belongs_to_one_service_and_is_there_once(problems, one, other):
    files = {name: named(name, "n", backends=f"['{backend}']") for name, backend in {"a": one, "b": other}.items()}
    assert problems(**files) == [
        (
            f'b.yaml:7: spec.backends[0]: "{other}": the policy n/b cannot have it: '
            "it is a backend of the policy n/a, at a.yaml:7"
        )
    ]
    (told,) = problems(c=named("c", "n", backends=f"['{one}', '{other}']"))
    assert told.startswith("c.yaml:7: spec.backends: ")
    assert told.endswith("twice")


def test_alternatives_may_have_one_host(tmp_path):
    (tmp_path / "1.yaml").write_text(hosted("p", "a", "x") + "---\n" + hosted("q", "a", "x"))
    assert [policy.metadata.name for policy in read_alternatives([tmp_path / "1.yaml"])] == ["p", "q"]


# Credentials.

PLANTED = "PLANTED"
addresses = st.builds(
    "{}{}{}@{}".format,
    st.sampled_from(["http://me:", "https://", "HTTP://a:b:", "ftp://me:", "http://me/", "http:///"]),
    st.text(alphabet="/ :@?#\\'\n\t", max_size=4),
    st.sampled_from([PLANTED, f"{PLANTED}/", f"{PLANTED}?x", f"{PLANTED} x"]),
    st.sampled_from(["prometheus:9090", "h/p", "", "[::1]", "h?a#b", "h h"]),
)


@given(addresses | st.sampled_from([f"me:{PLANTED}@h", f"{PLANTED}@h:9090"]), st.booleans())
def test_a_password_in_an_address_is_in_no_problem_whatever_else_is_wrong_with_it(tmp_path_factory, address, as_list):
    spec = {"scaleTargetRef": {"name": "a"}, "metrics": {"prometheus": {"serverAddress": address}}}
    if as_list and "//" in address:
        spec["metrics"]["prometheus"]["serverAddress"] = [address]
    document = policy_document("a", **spec)
    path = tmp_path_factory.getbasetemp() / "policy.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DocumentError) as caught:
        read_policies([path])
    assert "serverAddress" in str(caught.value)
    assert PLANTED not in str(caught.value)


@given(addresses, st.sampled_from(["query", "series", "maxSampleAge"]))
def test_a_password_in_an_address_that_stands_in_the_wrong_place_is_not_shown_either(tmp_path_factory, address, key):
    spec = {"scaleTargetRef": {"name": "a"}, "metrics": {"prometheus": {key: address}}}
    document = policy_document("a", **spec)
    path = tmp_path_factory.getbasetemp() / "policy.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DocumentError) as caught:
        read_policies([path])
    assert PLANTED not in str(caught.value)


def test_an_annotation_of_ours_that_is_none_is_told_with_its_line_and_the_legal_ones(problems):
    annotated = HEAD.replace("  name: sd\n", '  name: sd\n  annotations:\n    a: b\n    inflight.dev/paused: "true"\n')
    legal = "legal here: inflight.dev/paused-until, inflight.dev/replicas, inflight.dev/replicas-until"
    meant = "did you mean inflight.dev/paused-until?"
    assert problems(policy=annotated) == [
        f"policy.yaml:7: metadata.annotations.inflight.dev/paused: unknown key; {legal}; {meant}"
    ]
