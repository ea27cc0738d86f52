"""The policies of docs/how-to/fit-your-server.md: work counts, and looking on does not."""

import re

import pytest
import yaml
from documentation import DOCS

from autoscaler.app.gateway_config import gateway_services
from autoscaler.gateway.dispatch.path_rules import PathRules
from autoscaler.policy.spec import ScalingPolicy

PAGE = (DOCS / "how-to" / "fit-your-server.md").read_text()
POLICIES = [ScalingPolicy.model_validate(yaml.safe_load(block)) for block in re.findall(r"(?s)```yaml\n(.*?)```", PAGE)]
SERVICES = {service.name: service for service in gateway_services(POLICIES).values()}

WORK = {
    "web-ui": ["/sdapi/v1/txt2img", "/sdapi/v1/extra-single-image", "/run/predict", "/queue/join"],
    "gradio-app": [
        "/queue/data?session_hash=a",
        "/gradio_api/queue/data?session_hash=a",
        "/call/predict/0a1b",
        "/gradio_api/call/predict/0a1b",
    ],
    "comfyui": ["/prompt", "/api/prompt"],
    "llama": ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"],
    "tgi": ["/", "/generate", "/generate_stream", "/v1/chat/completions"],
    "triton": ["/v2/models/resnet/infer", "/v2/models/resnet/versions/1/infer", "/v2/models/llm/generate_stream"],
}
LOOKING_ON = {
    "web-ui": ["/", "/file=a.css", "/internal/progress", "/sdapi/v1/progress", "/sdapi/v1/interrupt", "/favicon.ico"],
    "gradio-app": [
        "/",
        "/config",
        "/queue/join",
        "/gradio_api/queue/join",
        "/gradio_api/call/predict",
        "/gradio_api/heartbeat/a",
    ],
    "comfyui": ["/", "/ws?clientId=a", "/api/ws", "/history/1", "/view?filename=a.png", "/queue", "/interrupt"],
    "llama": ["/health", "/metrics", "/v1/models", "/v1/models/llama"],
    "tgi": ["/health", "/info", "/metrics"],
    "triton": ["/v2/health/ready", "/v2/models/resnet/ready", "/v2/models/resnet/stats", "/v2/repository/index"],
}


def kind_of(server, target):
    return PathRules(SERVICES[f"default/{server}"].paths).find(target).kind.value


def pairs(of):
    return [(server, target) for server, targets in of.items() for target in targets]


def test_each_server_of_the_page_is_tried_here():
    assert {f"default/{server}" for server in WORK} == SERVICES.keys() == {f"default/{server}" for server in LOOKING_ON}


@pytest.mark.parametrize(("server", "target"), pairs(WORK))
def test_what_costs_the_gpu_counts(server, target):
    assert kind_of(server, target) == "Count"


@pytest.mark.parametrize(("server", "target"), pairs(LOOKING_ON))
def test_pages_progress_and_health_take_no_slot(server, target):
    assert kind_of(server, target) == "Pass"
