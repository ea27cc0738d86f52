"""What a number counts is read from its name, and a name that says nothing is not interpreted."""

import pytest
from convert_kit import conversion_of, said

from autoscaler.convert.measures import Measure, measure_of_name, measure_of_query


@pytest.mark.parametrize(
    ("query", "measure"),
    [
        ('sum(my_proxy_requests_in_flight{service="web-ui"})', Measure.IN_FLIGHT),
        ('sum(envoy_cluster_upstream_rq_active{cluster="a"})', Measure.IN_FLIGHT),
        ('sum(vllm:num_requests_running{a="}"}) + sum(vllm:num_requests_waiting)', Measure.IN_FLIGHT),
        ("sum(vllm:num_requests_running) or vector(0)", Measure.RUNNING),
        ('sum({__name__="vllm:num_requests_running"})', Measure.RUNNING),
        ("sum by (namespace, service) (tgi_batch_current_size)", Measure.RUNNING),
        ('sum(vllm:num_requests_waiting{namespace="llm"})', Measure.WAITING),
        ("sum(tgi_queue_size)", Measure.WAITING),
        ("avg(vllm:num_requests_waiting{\n  deployment='a'\n})", Measure.WAITING),
        ("sum(llamacpp:requests_processing) + sum(llamacpp:requests_deferred)", Measure.IN_FLIGHT),
        ("sum(ray_serve_num_ongoing_http_requests)", Measure.IN_FLIGHT),
        ("sum(rate(http_requests_total[2m]))", Measure.RATE),
        ("avg(vllm:num_requests_running)", Measure.COMPUTED),
        ("sum(vllm:num_requests_running) / 4", Measure.COMPUTED),
        ('sum(load{job="a"}) / count(load{job="a"})', Measure.COMPUTED),
        ("avg(DCGM_FI_DEV_GPU_UTIL)", Measure.LOAD),
        ("max(vllm:gpu_cache_usage_perc)", Measure.LOAD),
        ("sum(rate(container_cpu_usage_seconds_total[1m]))", Measure.TIME),
        ("histogram_quantile(0.95, sum by (le) (rate(vllm:e2e_request_latency_seconds_bucket[5m])))", Measure.TIME),
        ("sum(my_app_things)", Measure.UNKNOWN),
        ("", Measure.UNKNOWN),
    ],
)
def test_a_query_is_read_by_its_names_and_functions(query, measure):
    assert measure_of_query(query) is measure


def test_a_name_of_another_system_may_have_pipes_and_slashes():
    assert measure_of_name("prometheus.googleapis.com|vllm:num_requests_running|gauge") is Measure.RUNNING
    assert measure_of_name("kubernetes.io|node|accelerator|duty_cycle") is Measure.UNKNOWN


@pytest.mark.parametrize(
    ("container", "said_limit"),
    [
        ('args: ["--max-num-seqs", "64"]', "64 at a time by its --max-num-seqs"),
        ("command: [sh, -c, vllm serve --max-num-seqs=48]", "48 at a time by its --max-num-seqs"),
        ("env: [{name: OLLAMA_NUM_PARALLEL, value: '4'}]", "4 at a time by its OLLAMA_NUM_PARALLEL"),
    ],
)
def test_what_a_server_says_it_takes_is_named_where_a_number_is_asked_for(container, said_limit):
    conversion = conversion_of(
        f"""
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: a}}
spec:
  scaleTargetRef: {{name: a}}
  triggers: [{{type: prometheus, metadata: {{query: sum(queue), threshold: "3", serverAddress: "http://p"}}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: a}}
spec:
  selector: {{matchLabels: {{app: a}}}}
  template:
    metadata: {{labels: {{app: a}}}}
    spec:
      containers:
      - name: server
        ports: [{{containerPort: 8000}}]
        {container}
"""
    )
    assert said_limit in said(conversion)
