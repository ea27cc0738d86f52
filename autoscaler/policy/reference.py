"""The reference pages of the documents, generated from the models: every field with its meaning, default and range."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from autoscaler.documents.fields import DURATION_PATTERN, PERCENT_PATTERN, RULES, format_duration
from autoscaler.documents.promql import SELECTOR
from autoscaler.policy.budget import GpuBudget
from autoscaler.policy.decider_factory import ALGORITHMS, lookback_s
from autoscaler.policy.hpa_keda import QUANTITY_PATTERN
from autoscaler.policy.schedule.cron import PATTERN as CRON_PATTERN
from autoscaler.policy.schedule.windows import ZONE_PATTERN
from autoscaler.policy.schema import Schema, resolved
from autoscaler.policy.spec import API_VERSION, ScalingPolicy

_HEAD = """\
# The policy, field by field

This page is generated from `autoscaler/policy/spec.py` by `tools/generated.py`. A `ScalingPolicy` is the same document
as a custom resource, in a file, and in a scenario. `autoscaler validate FILE` checks it. `autoscaler explain-policy
FILE` shows all values in force. `autoscaler schema` prints the JSON Schema for editors.

- A duration is a number with a unit, or several: `90s`, `1h30m`, `250ms`. A percentage has its sign: `70%`. In JSON
  both are in quotes.
- `null` is the same as absent. The API server stores no defaults: it shows what was written.
- A file may contain documents of other kinds, which are ignored, and a `List` as `kubectl get -o yaml` writes it. Merge
  keys (`<<`) are applied. A number like `010` is refused, because YAML 1.2 and kubectl read it differently.
- Unknown keys are refused in files, and by kubectl (`--validate=strict`, its default). For other clients the API server
  **drops them with a warning**: a misspelled key is then an absent key. Ask the API server for
  `fieldValidation=Strict`.
"""
_ONLY_IN_THE_MODEL = """\
## What only the model checks

- Two policies with one name in a set of files are refused. A cluster cannot have them.
- A whole number that is written `1.0` is refused in a file. To JSON Schema, and to the API server if no rule reads the
  number, it is the whole number 1.
- The values of annotations are checked. The API server takes any text.
- A `start` or `end` that never comes, such as 30 February, is refused, and so are two texts for the same times.
- Metadata that Kubernetes adds (uid, resourceVersion, managedFields ...) is refused in a file.

The settings of `kpa` are also read as Knative reads its annotations. The rules above refuse all that Knative refuses.
"""
_BUDGET_HEAD = """\
# The budget, field by field

This page is generated from `autoscaler/policy/budget.py` by `tools/generated.py`. A `GpuBudget` is the same document as
a custom resource of the whole cluster, in a file beside policies, and in a scenario. [Share GPUs between
services](../how-to/gpu-budget.md) shows how to use it. `autoscaler validate FILE` checks it, and `autoscaler schema
--kind GpuBudget` prints the JSON Schema for editors.
"""
_ONLY_IN_THE_MODEL_OF_A_BUDGET = """\
## What only the model checks

- Two budgets with one name in a set of files are refused. Of a resource and a file with one name, the resource counts.
- Metadata that Kubernetes adds (uid, resourceVersion, managedFields ...) is left out when a file is read.

## The status

`kubectl get gpubudgets` shows the numbers. The leading controller writes them when they change, at most every two
seconds.

| key | meaning |
|---|---|
| `used` | what the services occupy, in GPUs or in money an hour, replicas that are being removed included |
| `wanted` | what they would ask for without the budget |
| `limited` | how many services may ask for less than they want |
| `services` | for each service `wanted` and `allowed` replicas, and what it `used`; at most 100, the largest first |
"""
_ALGORITHMS_HEAD = """\
## The algorithms

`spec.algorithm` names exactly one; without it a policy has `concurrency`. After a restart the controller reads as much
history from Prometheus as the algorithm looks back. The last column gives that time with default settings.

| algorithm | what it does | looks back |
|---|---|---|
"""
_CANDIDATES, _WITH_CANDIDATES = "spec.candidates[]", "candidates: "
_FORMS = {
    DURATION_PATTERN: "duration",
    PERCENT_PATTERN: "percentage",
    QUANTITY_PATTERN: 'quantity, such as `"0.05"` or `"50m"`',
    f"^({CRON_PATTERN})$": "minute, hour, day of the month, month and day of the week, such as `30 7 * * MON-FRI`",
    ZONE_PATTERN: "IANA name",
    f"^({SELECTOR})$": 'selector, such as `name{label="value"}`',
}


def reference() -> str:
    """Give the whole page of the policy."""
    sections, rules = _fields(ScalingPolicy)
    return f"{_HEAD}\n{_algorithms()}\n{sections}\n{rules}\n\n{_ONLY_IN_THE_MODEL}"


def budget_reference() -> str:
    """Give the whole page of the budget."""
    sections, rules = _fields(GpuBudget)
    return f"{_BUDGET_HEAD}\n{sections}\n{rules}\n\n{_ONLY_IN_THE_MODEL_OF_A_BUDGET}"


def _fields(model: type[BaseModel]) -> tuple[str, str]:
    """Give the chapters on all fields of a document, and the one on rules across fields."""
    schema = model.model_json_schema()
    definitions = schema["$defs"]
    sections = "\n".join(_section(path, each, definitions) for path, each in _objects("", schema, definitions))
    rules = "\n\n".join(
        f"`{path or 'document'}`: {each['message']}\n\n```cel\n{each['rule']}\n```"
        for path, found in _objects("", schema, definitions)
        for each in found.get(RULES, [])
        if not each["message"].startswith(_WITH_CANDIDATES)
    )
    head = "## Rules across fields\n\nThe definition has each rule in CEL. `self` is the object named."
    return sections, f"{head}{_rules_of_candidates(schema, definitions)}\n\n{rules}"


def _rules_of_candidates(schema: Schema, definitions: Schema) -> str:
    """Say that candidates keep the same rules; the definition has them once more, and they are long."""
    rules = [each["message"] for _, found in _objects("", schema, definitions) for each in found.get(RULES, [])]
    if not any(message.startswith(_WITH_CANDIDATES) for message in rules):
        return ""
    return " It has the rules on fields of a candidate a second time, for the policy with each of its candidates."


def _algorithms() -> str:
    rows = (
        f"| `{name}` | {row.summary} | `{format_duration(lookback_s(_smallest(name)))}` |\n"
        for name, row in ALGORITHMS.items()
    )
    return _ALGORITHMS_HEAD + "".join(rows)


def _smallest(algorithm: str) -> ScalingPolicy:
    """Give a policy with nothing but its algorithm."""
    return ScalingPolicy.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "ScalingPolicy",
            "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"name": "web"}, "algorithm": {algorithm: {}}},
        }
    )


def _objects(path: str, schema: Schema, definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """Give every object of the document with its path, outer objects first; objects in a candidate are the policy's."""
    schema = resolved(schema, definitions)
    if schema.get("type") == "array":
        yield from _objects(f"{path}[]", schema["items"], definitions)
    if schema.get("type") != "object" or "properties" not in schema:
        return
    yield path, schema
    inside = {} if path == _CANDIDATES else schema["properties"]
    for key, inner in inside.items():
        yield from _objects(f"{path}.{key}".lstrip("."), inner, definitions)


def _section(path: str, schema: Schema, definitions: Schema) -> str:
    required = schema.get("required", [])
    rows = [
        _row(key, resolved(inner, definitions), definitions, needed=key in required)
        for key, inner in schema["properties"].items()
    ]
    table = "\n".join(["| key | meaning | default | legal |", "|---|---|---|---|", *rows])
    return f"## {f'`{path}`' if path else 'The document'}\n\n{schema['description']}\n" + (
        f"\n{table}\n" if rows else ""
    )


def _row(key: str, schema: Schema, definitions: Schema, *, needed: bool) -> str:
    default = "required" if needed else _default(schema)
    meaning = " ".join(schema.get("description", "").split())  # a row of a table is one line
    cells = [f"`{key}`", meaning, default, _legal(schema, definitions)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(schema: Schema) -> str:
    if "default" not in schema or schema.get("type") == "object":
        return ""
    return f"`{schema['default'] if isinstance(schema['default'], str) else json.dumps(schema['default'])}`"


def _legal(schema: Schema, definitions: Schema) -> str:
    match schema:
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"type": "array", "items": items}:
            return f"list{_length(schema)} of: {_legal(resolved(items, definitions), definitions)}"
    return ", ".join([_kind(schema), *_ranges(schema)])


def _kind(schema: Schema) -> str:
    match schema:
        case {"type": "object"}:
            return "see below" if "properties" in schema else "texts by key"
        case {"type": "boolean"}:
            return "`true`, `false`"
        case {"type": "string"}:
            pattern = schema.get("pattern", "")
            return _FORMS.get(pattern) or (f"`{pattern}`" if pattern else "text")
    return _range(schema)


def _length(schema: Schema) -> str:
    return f" of at least {schema['minItems']}" if "minItems" in schema else ""


def _ranges(schema: Schema) -> list[str]:
    """Give the ranges in the rules of a field; the rules of objects have a section of their own."""
    if schema.get("type") == "object":
        return []
    return [each["message"].removeprefix("must be ") for each in schema.get(RULES, [])]


def _range(schema: Schema) -> str:
    kind = {"integer": "whole number"}.get(schema["type"], "number")
    if "minimum" in schema and "maximum" in schema:
        return f"{kind}, {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    if "minimum" in schema:
        return f"{kind}, at least {_number(schema['minimum'])}"
    return f"{kind}, above {_number(schema['exclusiveMinimum'])}" if "exclusiveMinimum" in schema else kind


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
