"""Whatever the input has is in the output or in the report."""

import copy
import json

import pytest
from convert_kit import READABLE, conversion_of, lost, said
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.convert.findings import Effect
from autoscaler.convert.report import manifest, report
from autoscaler.documents.document import DocumentError, mixed_documents, read_text, to_yaml
from autoscaler.policy.loading import unlisted
from autoscaler.policy.spec import ScalingPolicy

TEXTS = [path.read_text() for path in READABLE]
NAMED = [pytest.param(text, id=path.stem) for path, text in zip(READABLE, TEXTS, strict=True)]
KEYS = st.sampled_from(["zz", "window", "autoscaling.knative.dev/minscale", "name", "ports", "percent", "a b"])
VALUES = st.sampled_from(["1", "text", 7, True, None, [], {}, ["x", 2], {"inner": {"value": 3}}])


def documents_of(text):
    return [document.value for document in unlisted(mixed_documents(text, "in.yaml"))]


def places(value, path=()):
    """Give the paths of all mappings."""
    if isinstance(value, dict):
        yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(each, (*path, key))


@st.composite
def changed_texts(draw):
    """Draw a file with a few keys more, anywhere, or with other values."""
    documents = copy.deepcopy(documents_of(draw(st.sampled_from(TEXTS))))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(documents))
        for key in draw(st.sampled_from(sorted(places(place), key=str))):
            place = place[key]
        place[draw(KEYS | st.sampled_from(sorted(place) or ["new"]))] = copy.deepcopy(draw(VALUES))
    return "---\n".join(map(to_yaml, documents))


@pytest.mark.parametrize("algorithm", ["same", "concurrency"])
@pytest.mark.parametrize("text", NAMED)
def test_no_value_is_lost_silently(text, algorithm):
    assert lost(text, conversion_of(text, algorithm=algorithm)) == []


@given(text=changed_texts())
@settings(max_examples=60, deadline=None)
def test_whatever_a_file_has_it_is_refused_with_a_place_or_nothing_of_it_is_lost(text):
    try:
        found = conversion_of(text)
    except DocumentError as error:
        problems = error.problems
    else:
        problems = lost(text, found)
    assert [problem for problem in problems if not problem.startswith("in.yaml:")] == []


@pytest.mark.parametrize("text", NAMED)
def test_what_comes_out_is_a_valid_policy_and_has_no_number_of_replicas(text):
    for service in conversion_of(text).services:
        written = [document.value for document in read_text(manifest(service), "out.yaml")]
        assert written == [json.loads(json.dumps(each)) for each in service.objects]
        for each in written:
            if each["kind"] == "ScalingPolicy":
                ScalingPolicy.model_validate(each)
            elif each["kind"] in {"Deployment", "StatefulSet"}:
                assert "replicas" not in each["spec"]


@pytest.mark.parametrize("text", NAMED)
def test_the_output_has_the_report_as_comments(text):
    found = conversion_of(text)
    told = report(found)
    for service in found.services:
        comments = [line[2:] for line in manifest(service).splitlines() if line.startswith("# ")]
        assert comments
        assert set(comments) <= set(told.splitlines())
        assert comments[-1].lstrip().split(".")[0].isdecimal(), "the last lines are the steps of the hand-over"


@pytest.mark.parametrize("text", NAMED)
def test_what_kubectl_prints_is_read_as_what_was_applied(text):
    plain = [service.objects for service in conversion_of(text).services]
    written = [copy.deepcopy(document) for document in documents_of(text)]
    for document in written:
        annotations = document["metadata"].setdefault("annotations", {})
        annotations["kubectl.kubernetes.io/last-applied-configuration"] = json.dumps({"spec": {"a": "{{"}})
        document["metadata"] |= {
            "uid": "0b0f5a4e-31d5-4d57-9a1c-7d3a3c1f2b10",
            "resourceVersion": "881",
            "generation": 3,
            "creationTimestamp": "2026-11-01T10:11:12Z",
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        }
        document.setdefault("status", {"observedGeneration": 3})
    printed = to_yaml({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": written})
    found = conversion_of(printed)
    assert [service.objects for service in found.services] == plain
    assert lost(printed, found) == []
    assert "managedFields" in said(found, Effect.LEFT_OUT)


def test_an_object_that_another_one_made_is_left_out_and_one_that_stands_alone_is_named():
    (text,) = [text for path, text in zip(READABLE, TEXTS, strict=True) if path.name.startswith("reference")]
    revision = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {"name": "a-00001", "ownerReferences": [{"kind": "Configuration", "name": "a"}]},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}}
    found = conversion_of("---\n".join([text, to_yaml(revision), to_yaml(secret)]))
    told = [(each.effect, each.text) for each in found.unused]
    assert told == [
        (Effect.LEFT_OUT, "the Revision a-00001 is not read: the Configuration a made it"),
        (Effect.NONE, "the Secret keys is not read: it belongs to no service of the input"),
    ]
    assert "the Secret keys is not read" in report(found)
    assert not found.is_strict


def test_a_file_without_anything_that_says_how_to_scale_is_refused():
    for text, part in (("kind: Pod\n", "nothing says how a service is scaled"), ("a: 1\n", "it has no kind")):
        with pytest.raises(DocumentError, match=part):
            conversion_of(text)
    with pytest.raises(DocumentError, match="no document"):
        conversion_of("")
