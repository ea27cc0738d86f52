"""The tables of docs/how-to/coming-from-*.md name fields that exist, and leave out no setting that Inflight reads."""

import re
from dataclasses import fields as fields_of

import pytest
import yaml
from documentation import DOCS, ROOT, blocks_of
from pydantic.alias_generators import to_camel

from algorithms.keda import Switches, switches_of
from autoscaler.convert.findings import Effect
from autoscaler.convert.readers import convert
from autoscaler.documents.document import mixed_documents
from autoscaler.policy.hpa_keda import BehaviorSettings, ControllerManager, FallbackSettings, Hpa, Keda, Rules
from autoscaler.policy.knative_settings import ANNOTATIONS, CONFIG_MAP, PROGRESS_DEADLINE
from autoscaler.policy.kpa import Kpa
from autoscaler.policy.spec import PolicySpec, ScalingPolicy

PAGES = ("coming-from-knative", "coming-from-keda", "coming-from-hpa")
ROW = re.compile(r"(?m)^\| (.+?) \|\s(.*?)\s*\|$")
CODE = re.compile(r"`([^`]+)`")
FIELD = re.compile(rf"(?:{'|'.join(map(to_camel, PolicySpec.model_fields))})(?:\.[A-Za-z]+)*")
SCHEMA = ScalingPolicy.model_json_schema()


def text_of(page):
    return (DOCS / "how-to" / f"{page}.md").read_text()


def first_cells(page):
    """What stands in the first column: the settings of the other product."""
    return [cell for cell, _ in ROW.findall(text_of(page))]


def fields_named(page):
    """The fields of a policy that the columns after the first one name."""
    code = [code for _, rest in ROW.findall(text_of(page)) for code in CODE.findall(rest)]
    return sorted({found[0] for text in code if (found := FIELD.match(text))})


def resolved(schema):
    """Follow a reference, the one that is beside null, and a list to its items."""
    while schema.keys() & {"$ref", "anyOf", "items"}:
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
        else:
            schema = schema["anyOf"][0] if "anyOf" in schema else schema["items"]
    return schema


@pytest.mark.parametrize(("page", "field"), [(page, field) for page in PAGES for field in fields_named(page)])
def test_each_field_of_a_policy_that_a_table_names_exists(page, field):
    schema = resolved(SCHEMA["properties"]["spec"])
    for key in field.split("."):
        assert key in schema.get("properties", {}), f"{page}: {field}: there is no {key}"
        schema = resolved(schema["properties"][key])


@pytest.mark.parametrize("setting", [*ANNOTATIONS, PROGRESS_DEADLINE])
def test_each_annotation_of_knative_that_is_understood_has_a_row(setting):
    assert f"`{setting}`" in first_cells("coming-from-knative")


@pytest.mark.parametrize(("key", "default"), [(key, default) for key, (_, default) in CONFIG_MAP.items()])
def test_each_key_of_knatives_config_map_that_is_understood_has_a_row_with_its_default(key, default):
    assert f"`{key}` ({default})" in first_cells("coming-from-knative")


SETTINGS = [
    ("coming-from-knative", "algorithm.kpa", Kpa),
    ("coming-from-keda", "algorithm.keda", Keda),
    ("coming-from-keda", "algorithm.keda.fallback", FallbackSettings),
    ("coming-from-keda", "algorithm.keda.controllerManager", ControllerManager),
    ("coming-from-hpa", "algorithm.hpa", Hpa),
    ("coming-from-hpa", "algorithm.hpa.behavior", BehaviorSettings),
    ("coming-from-hpa", "algorithm.hpa.behavior.scaleUp", Rules),
    ("coming-from-hpa", "algorithm.hpa.behavior.scaleDown", Rules),
    ("coming-from-hpa", "algorithm.hpa.controllerManager", ControllerManager),
]


@pytest.mark.parametrize(
    ("page", "field"),
    [(page, f"{path}.{to_camel(name)}") for page, path, model in SETTINGS for name in model.model_fields],
)
def test_each_setting_of_an_algorithm_that_reproduces_another_product_is_named(page, field):
    named = fields_named(page)
    assert any(name == field or name.startswith(f"{field}.") for name in named)


def test_each_annotation_of_keda_that_is_read_has_a_row_and_changes_something():
    names = [f"autoscaling.keda.sh/{field.name.replace('_', '-')}" for field in fields_of(Switches)]
    assert [cell for cell in first_cells("coming-from-keda") if "autoscaling.keda.sh/" in cell] == [
        f"`{name}`" for name in names
    ]
    assert all(switches_of({name: "1"}) != switches_of({}) for name in names)


DATA = ROOT / "tests" / "data"
SERVED = """
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: {port}}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}}}
spec:
  rules:
  - host: {name}.example.com
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: []}}}}
"""


@pytest.mark.parametrize(
    ("page", "name", "port"), [("coming-from-hpa", "llama", 8000), ("coming-from-keda", "web-ui", 7860)]
)
def test_the_policy_of_the_example_is_what_convert_writes_of_it(page, name, port):
    before, policy, *_ = (block.content for block in blocks_of(f"how-to/{page}.md") if block.language == "yaml")
    (service,) = convert(mixed_documents(before + SERVED.format(name=name, port=port), "before.yaml")).services
    written = {each["kind"]: each for each in service.objects}
    assert written["ScalingPolicy"] == yaml.safe_load(policy)


def test_the_example_is_the_reference_service_and_the_policy_is_what_convert_writes_of_it():
    before, policy, *_ = (
        block.content for block in blocks_of("how-to/coming-from-knative.md") if block.language == "yaml"
    )
    assert yaml.safe_load(before) == yaml.safe_load((DATA / "convert" / "reference-service.yaml").read_text())
    (service,) = convert(mixed_documents(before, "before.yaml")).services
    written = {each["kind"]: each for each in service.objects}
    assert written["ScalingPolicy"] == yaml.safe_load(policy)


def test_each_effect_of_a_report_has_a_row():
    assert [cell for cell in first_cells("coming-from-knative") if cell.strip("`") in set(Effect)] == [
        f"`{effect}`" for effect in Effect
    ]
