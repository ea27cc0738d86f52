"""What is generated from the model, without an API server; tests/cluster shows it to one."""

import json
import runpy
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, Field, TypeAdapter

from autoscaler.commands import schema as command
from autoscaler.documents.fields import (
    DURATION_PATTERN,
    PERCENT_PATTERN,
    RULES,
    Duration,
    Percent,
    WholeSeconds,
    between,
    lasting,
)
from autoscaler.policy.budget import BudgetSpec
from autoscaler.policy.reference import budget_reference, reference
from autoscaler.policy.schema import KINDS, custom_resource_definition, json_schema, structural, structural_model
from autoscaler.policy.spec import GROUP, PolicySpec

ROOT = Path(__file__).parents[3]


def said(annotation):
    return structural(TypeAdapter(annotation).json_schema(), {})


def keys(schema):
    """Give every keyword of a structural schema, in whatever depth."""
    yield from schema
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield from keys(inner)


@pytest.mark.parametrize(
    ("annotation", "structure"),
    [
        (int, {"type": "integer"}),
        (int | None, {"type": "integer"}),
        (Literal["a"], {"type": "string", "enum": ["a"]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Annotated[float, Field(gt=1)], {"type": "number", "minimum": 1, "exclusiveMinimum": True}),
        (Annotated[float, Field(lt=1)], {"type": "number", "maximum": 1, "exclusiveMaximum": True}),
        (Annotated[int, Field(ge=0, le=5)], {"type": "integer", "minimum": 0, "maximum": 5}),
        (tuple[str, ...], {"type": "array", "items": {"type": "string"}}),
        (dict[str, str], {"type": "object", "additionalProperties": {"type": "string"}}),
    ],
    ids=str,
)
def test_a_type_is_said_as_kubernetes_says_it(annotation, structure):
    assert said(annotation) == structure


@pytest.mark.parametrize(
    "annotation",
    [int | str, int | str | None, tuple[int, str], Annotated[int, Field(multiple_of=2)], set[int]],
    ids=str,
)
def test_what_a_structural_schema_cannot_say_is_an_error(annotation):
    with pytest.raises(ValueError, match="a structural schema cannot express"):
        said(annotation)


class Inner(BaseModel):
    """What it is in general."""

    number: int = 5


class Outer(BaseModel):
    """What has one."""

    given: Inner
    perhaps: Inner | None = Field(None, description="What it is here.")


def test_references_are_put_in_place_and_what_is_said_beside_them_wins():
    inner = {"type": "object", "properties": {"number": {"type": "integer"}}}
    assert structural_model(Outer)["properties"] == {
        "given": {**inner, "description": "What it is in general."},
        "perhaps": {**inner, "description": "What it is here."},
    }
    assert structural_model(Outer)["required"] == ["given"]


def test_a_range_of_durations_and_one_of_percentages_are_rules():
    assert said(Annotated[Duration, lasting("6s", "1h")])[RULES] == [
        {"rule": "duration(self) >= duration('6s') && duration(self) <= duration('1h')", "message": "must be 6s to 1h"}
    ]
    (rule,) = said(Annotated[Percent, between("1%", "100%")])[RULES]
    assert rule["message"] == "must be 1% to 100%"
    messages = [each["message"] for each in said(Annotated[WholeSeconds, lasting("1s", "5s")])[RULES]]
    assert messages == ["must be whole seconds", "must be 1s to 5s"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_definition_has_neither_defaults_nor_titles(kind):
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    found = set(keys(version["schema"]["openAPIV3Schema"]))
    assert not found & {"default", "title", "anyOf", "$ref", "$defs", "const"}


@pytest.mark.parametrize("kind", KINDS)
def test_kubectl_apply_can_store_a_definition_of_twice_the_length_in_its_annotation(kind):
    most = 256 << 10  # of all annotations of an object
    assert len(json.dumps(custom_resource_definition(kind), separators=(",", ":"))) < most / 2


def test_a_candidate_is_described_by_what_it_is_and_its_parts_by_the_policy():
    (version,) = custom_resource_definition()["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields = spec["candidates"]["items"]["properties"]
    assert all(field["description"] for field in fields.values())
    assert "description" not in fields["algorithm"]["properties"]["concurrency"]["properties"]["stableWindow"]
    assert spec["algorithm"]["properties"]["concurrency"]["properties"]["stableWindow"]["description"]


def test_the_definition_is_named_after_the_group():
    definition = custom_resource_definition()
    assert definition["metadata"]["name"] == f"scalingpolicies.{GROUP}"
    assert definition["spec"]["names"]["shortNames"] == ["spol"]
    columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
    names = [each["name"].upper() for each in columns]
    assert names == ["MIN", "MAX", "DESIRED", "READY", "INFLIGHT", "REASON", "POOLS", "AGE"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_shows_something_that_is_there(kind):
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    for column in version["additionalPrinterColumns"]:
        at = version["schema"]["openAPIV3Schema"]
        for key in column["jsonPath"].lstrip(".").partition("[")[0].split("."):
            at = at["properties"][key] if key != "creationTimestamp" else {"type": "date"}
        assert at["type"] in {column["type"], "array"}, column


def test_editors_get_defaults_as_they_are_written():
    defaults = {key: each["default"] for key, each in spec_for_editors().items() if "default" in each}
    assert defaults["targetUtilization"] == "100%"
    assert defaults["scaleDown"] == {"delay": "0s", "toZeroDelay": "30s"}
    assert "algorithm" in defaults
    assert "traffic" not in defaults


def spec_for_editors():
    return json_schema()["$defs"]["PolicySpec"]["properties"]


def test_editors_are_shown_the_key_and_not_a_generated_title():
    assert all("title" not in each for each in spec_for_editors().values())
    assert RULES not in json.dumps(json_schema())


def test_a_default_for_editors_can_be_given_and_changes_nothing():
    target = {"scaleTargetRef": {"name": "web"}}
    given = {key: each["default"] for key, each in spec_for_editors().items() if "default" in each}
    assert PolicySpec.model_validate(target | given) == PolicySpec.model_validate(target)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("crd", [False, True])
def test_the_command_prints_what_can_be_read_again(capsys, crd, kind):
    assert command.run(command.argparse.Namespace(crd=crd, kind=kind)) == 0
    told = yaml.safe_load(capsys.readouterr().out)
    assert told == (custom_resource_definition(kind) if crd else json_schema(kind))


def test_the_generated_files_are_those_of_this_model():
    for file, content in runpy.run_path(ROOT / "tools" / "generated.py")["generated"]().items():
        assert file.read_text() == content, f"{file.relative_to(ROOT)}: run tools/generated.py"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_says_what_it_means(kind):
    schema = KINDS[kind].model.model_json_schema()
    silent = [
        f"{name}.{key}"
        for name, model in schema["$defs"].items()
        for key, field in model.get("properties", {}).items()
        if "description" not in field and "$ref" not in json.dumps(field)
    ]
    assert silent == []


@pytest.mark.parametrize(("kind", "page"), [("ScalingPolicy", reference), ("GpuBudget", budget_reference)])
def test_the_reference_has_every_field_of_every_object(kind, page):
    text = page()
    for model in KINDS[kind].model.model_json_schema()["$defs"].values():
        for key in model.get("properties", {}):
            assert f"\n| `{key}` | " in text, key


def test_each_line_of_a_table_in_the_reference_is_a_whole_row():
    tables = [block for block in reference().split("\n\n") if block.startswith("| ")]
    assert len(tables) > 10
    for line in "\n".join(tables).splitlines():
        assert line.startswith(("| ", "|---")), line
        assert line.endswith("|"), line


def test_the_reference_tells_default_and_range():
    assert "| `toZeroDelay` | The last replica is removed after the recommendation has been zero for" in reference()
    assert "| `30s` | duration, 0s to 24h |" in reference()
    assert "| `maxScaleUpRate` |" in reference()
    assert "| `1000.0` | number, above 1 |" in reference()


@pytest.mark.parametrize(("kind", "page"), [("ScalingPolicy", reference), ("GpuBudget", budget_reference)])
def test_the_reference_lists_every_rule_across_fields(kind, page):
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    text = page()
    for each in version["schema"]["openAPIV3Schema"]["properties"]["spec"][RULES]:
        assert each["rule"] in text or each["message"].startswith("candidates: "), each["message"]


def test_the_definition_has_each_rule_of_a_candidate_a_second_time_and_the_reference_says_so():
    messages = {each["message"] for each in structural_model(PolicySpec)[RULES]}
    repeated = {message.removeprefix("candidates: ") for message in messages if message.startswith("candidates: ")}
    assert len(repeated) == 12
    assert repeated <= messages
    assert "It has the rules on fields of a candidate a second time" in reference()


def _numbers(schema, path="spec"):
    """Give each number of a schema, durations and percentages included, with where it stands."""
    if schema.get("type") in {"integer", "number"} or schema.get("pattern") in {DURATION_PATTERN, PERCENT_PATTERN}:
        yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from _numbers(inner, f"{path}.{key}")
    if "items" in schema:
        yield from _numbers(schema["items"], f"{path}[]")


@pytest.mark.parametrize("model", [PolicySpec, BudgetSpec])
def test_every_number_of_a_document_has_a_finite_least_and_most(model):
    found = dict(_numbers(structural_model(model)))
    assert (
        model is BudgetSpec
        or {"spec.maxReplicas", "spec.algorithm.kpa.maxScaleUpRate", "spec.scaleDown.delay"} <= found.keys()
    )
    endless = {
        path
        for path, schema in found.items()
        if not {"minimum", "maximum"} <= schema.keys()
        and not any(">=" in each["rule"] and "<=" in each["rule"] for each in schema.get(RULES, ()))
    }
    assert endless == set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_for_editors_names_no_module_of_ours(kind):
    assert [name for name in json_schema(kind)["$defs"] if not name.isidentifier() or "__" in name] == []
