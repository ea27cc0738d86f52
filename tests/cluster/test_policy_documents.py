"""The same documents are good and bad to the model and to the API server, which has its schema generated from it."""

import pytest
from control_plane import RefusedError
from hypothesis import HealthCheck, given, settings
from policy_documents import BAD, GOOD, changed_documents, document
from pydantic import ValidationError

from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.schema import custom_resource_definition
from autoscaler.policy.spec import NO_BACKENDS, ScalingPolicy
from autoscaler.testing import budget_document

pytestmark = [pytest.mark.program, pytest.mark.real_time]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/inflight.dev/v1alpha1/namespaces/default/scalingpolicies"
CLUSTER_BUDGETS = "/apis/inflight.dev/v1alpha1/gpubudgets"
BUDGETS = [
    {"gpus": 0},
    {"gpus": 8, "namespaces": ["a"], "services": [{"name": "sd-*", "priority": -1, "weight": 2, "guaranteed": 3}]},
    {"gpus": 8, "services": [{"namespace": "a", "gpusPerReplica": 4}, {}]},
    {"costPerHour": 1.5, "services": [{"pricePerHour": 0.25}]},
    {},
    {"gpus": 1, "costPerHour": 1},
    {"costPerHour": 1},
    {"costPerHour": 1, "services": [{"pricePerHour": 1}, {}]},
    {"costPerHour": 1, "services": [{"pricePerHour": 1, "gpusPerReplica": 1}]},
    {"costPerHour": 1, "services": [{"pricePerHour": 0}]},
    {"gpus": 1, "services": [{"pricePerHour": 1}]},
    {"gpus": -1},
    {"gpus": 1.5},
    {"gpus": 1, "services": []},
    {"gpus": 1, "namespaces": []},
    {"gpus": 1, "services": [{"name": "SD"}]},
    {"gpus": 1, "services": [{"weight": 0}]},
    {"gpus": 1, "surplus": 1},
]
STRICT = "?dryRun=All&fieldValidation=Strict"


@pytest.fixture(scope="module")
def definition(control_plane):
    """The definition, established, as the generator gives it."""
    body = custom_resource_definition()
    path = f"{DEFINITIONS}/{body['metadata']['name']}?fieldManager=tests&force=true"
    control_plane.patch(path, body, "application/apply-patch+yaml")
    control_plane.wait_established(body["metadata"]["name"])
    return body


def refusal_of_the_model(body):
    """Say why a document cannot be a resource; in a file it may be, if it has backends."""
    try:
        policy = ScalingPolicy.model_validate(body)
    except ValidationError as error:
        return str(error)
    return NO_BACKENDS if policy.spec.backends is not None else None


def refusal_of_the_server(control_plane, body):
    try:
        control_plane.create(POLICIES + STRICT, body)
    except RefusedError as error:
        if error.status not in {400, 422}:
            raise
        return str(error)
    return None


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_a_good_document_is_good_to_both(control_plane, definition, body):
    assert (refusal_of_the_model(body), refusal_of_the_server(control_plane, body)) == (None, None)


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_a_bad_document_is_bad_to_both(control_plane, definition, body):
    assert refusal_of_the_model(body)
    assert refusal_of_the_server(control_plane, body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=changed_documents)
def test_no_document_is_good_to_one_and_bad_to_the_other(control_plane, definition, body):
    model, server = refusal_of_the_model(body), refusal_of_the_server(control_plane, body)
    assert (model is None) == (server is None), f"model: {model}\nserver: {server}"


@pytest.mark.parametrize("name", ["web", "a.b-c", "a..b", "-a", "A", "a" * 253, "a" * 254])
def test_what_kubernetes_calls_a_name_is_a_name_to_the_model(control_plane, definition, name):
    body = document(name=name)
    assert bool(refusal_of_the_model(body)) == bool(refusal_of_the_server(control_plane, body))


def test_the_definition_has_nothing_that_the_server_would_change(control_plane, definition):
    stored = control_plane.get(f"{DEFINITIONS}/{definition['metadata']['name']}")["spec"]
    assert stored["versions"] == definition["spec"]["versions"]
    assert stored["names"] == definition["spec"]["names"]


def test_what_is_absent_stays_absent_in_the_api(control_plane, definition):
    assert control_plane.create(POLICIES + STRICT, document())["spec"] == {"scaleTargetRef": {"name": "web"}}


def test_a_client_that_is_not_strict_loses_an_unknown_key_with_a_warning(control_plane, definition):
    body = document({"scaleTargetRef": {"name": "web"}, "replicas": 3})
    stored = control_plane.create(f"{POLICIES}?dryRun=All&fieldValidation=Warn", body)
    assert "replicas" not in stored["spec"]


def test_a_whole_number_with_a_point_is_one_to_both(control_plane, definition):
    body = document({"scaleTargetRef": {"name": "web"}, "containerConcurrency": 5.0})
    assert refusal_of_the_model(body) is None
    assert refusal_of_the_server(control_plane, body) is None


def test_a_refusal_says_what_is_legal(control_plane, definition):
    told = refusal_of_the_server(control_plane, BAD["a window above 1 h"])
    assert 'spec.algorithm.concurrency.stableWindow: Invalid value: "1h1s": must be 6s to 1h' in told


@pytest.fixture(scope="module")
def budget_definition(control_plane):
    body = custom_resource_definition("GpuBudget")
    path = f"{DEFINITIONS}/{body['metadata']['name']}?fieldManager=tests&force=true"
    control_plane.patch(path, body, "application/apply-patch+yaml")
    control_plane.wait_established(body["metadata"]["name"])


@pytest.mark.parametrize("spec", BUDGETS, ids=str)
def test_a_budget_is_as_good_or_bad_to_the_server_as_to_the_model(control_plane, budget_definition, spec):
    body = budget_document(**spec)
    try:
        GpuBudget.model_validate(body)
    except ValidationError:
        with pytest.raises(RefusedError):
            control_plane.create(CLUSTER_BUDGETS + STRICT, body)
    else:
        assert control_plane.create(CLUSTER_BUDGETS + STRICT, body)["spec"] == spec
