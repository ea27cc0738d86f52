"""How many jobs a pod works on, in answers as servers write them."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.busy_response import BusyPoll, UnknownJobsError, jobs_in

COMFYUI_QUEUE = {
    "queue_running": [[3, "7b1f", {"3": {"class_type": "KSampler"}}, {"client_id": "a"}, ["9"]]],
    "queue_pending": [[4, "8c2a", {}, {}, ["9"]], [5, "9d3b", {}, {}, ["9"]]],
}
COMFYUI_PROMPT = {"exec_info": {"queue_remaining": 3}}
VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B"} 2.0
vllm:num_requests_running{engine="1",model_name="a \\"quoted\\" {name}"} 1.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 100.0
"""
TRITON = """\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution per-model.
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="sd",version="1"} 5 1764100000000
nv_inference_pending_request_count{model="clip",version="2"} 0
nv_inference_pending_request_count_total 77
"""


def read(document, *pointers):
    return jobs_in(json.dumps(document).encode(), BusyPoll("/queue", json_pointers=pointers))


def test_comfyui_reports_by_the_length_of_its_lists_or_by_a_number():
    assert read(COMFYUI_QUEUE, "/queue_running", "/queue_pending") == 3
    assert read(COMFYUI_PROMPT, "/exec_info/queue_remaining") == 3


def test_vllm_and_triton_tell_by_samples_of_several_models():
    vllm = BusyPoll("/metrics", metrics=("vllm:num_requests_running", "vllm:num_requests_waiting"))
    assert jobs_in(VLLM.encode(), vllm) == 7
    assert jobs_in(TRITON.encode(), BusyPoll("/metrics", metrics=("nv_inference_pending_request_count",))) == 5
    assert jobs_in(b"jobs 3", BusyPoll("/", metrics=("jobs",))) == 3


def test_a_pointer_is_one_of_rfc_6901():
    document = {"a/b": {"m~n": [{"": 4}, 5]}, "0": 6}
    assert [read(document, pointer) for pointer in ("/a~1b/m~0n/0/", "/a~1b/m~0n/1", "/0")] == [4, 5, 6]
    assert read([1, 2, 3], "") == 3
    assert read(0.5, "") == 1


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({}, "/jobs"),
        ({"jobs": None}, "/jobs"),
        ({"jobs": "3"}, "/jobs"),
        ({"jobs": -1}, "/jobs"),
        ({"jobs": 1e308}, "/jobs"),
        ({"jobs": {}}, "/jobs"),
        ([1], "/1"),
        ([1], "/-"),
        ([1], "/x"),
        (3, "/jobs"),
        (float("nan"), ""),
        (float("inf"), ""),
    ],
)
def test_what_is_not_said_is_unknown_and_never_zero(document, pointer):
    with pytest.raises(UnknownJobsError):
        read(document, pointer)


@pytest.mark.parametrize("text", ["", "other 1", "jobs", "jobs many", "jobs NaN", "jobs -1", "jobs +Inf", "# jobs 1"])
def test_a_metric_that_is_not_there_is_unknown(text):
    with pytest.raises(UnknownJobsError):
        jobs_in(text.encode(), BusyPoll("/metrics", metrics=("jobs",)))


DOCUMENTS = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists)


@given(st.binary() | st.text().map(str.encode) | DOCUMENTS.map(json.dumps).map(str.encode))
def test_any_answer_of_a_pod_is_a_number_or_unknown(body):
    for poll in (BusyPoll("/", json_pointers=("", "/0")), BusyPoll("/", metrics=("a",))):
        with contextlib.suppress(UnknownJobsError):
            assert jobs_in(body, poll) >= 0


def test_a_deep_answer_is_unknown():
    with pytest.raises(UnknownJobsError):
        jobs_in(b"[" * 100_000, BusyPoll("/", json_pointers=("",)))
