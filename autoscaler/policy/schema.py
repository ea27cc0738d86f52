"""The schemas of the documents: a JSON Schema for editors, and the CustomResourceDefinition.

Both are generated from the models. A definition has no defaults, so that a policy in the API is what its author wrote,
and a new version of the controller may have better defaults.
"""

from typing import Any, NamedTuple

from pydantic import BaseModel

from autoscaler.documents.fields import RULES
from autoscaler.policy.budget import BUDGET_COLUMNS, BudgetStatus, GpuBudget
from autoscaler.policy.spec import API_VERSION, GROUP, ScalingPolicy
from autoscaler.policy.status import COLUMNS, PolicyStatus

Schema = dict[str, Any]


class Kind(NamedTuple):
    """One kind of document, as a custom resource."""

    model: type[BaseModel]
    status: type[BaseModel]
    plural: str
    short: str
    """What kubectl calls it too."""
    scope: str
    columns: tuple[tuple[str, str, str], ...]
    """Of `kubectl get`: name, type and path in the object."""


KINDS = {
    "ScalingPolicy": Kind(ScalingPolicy, PolicyStatus, "scalingpolicies", "spol", "Namespaced", COLUMNS),
    "GpuBudget": Kind(GpuBudget, BudgetStatus, "gpubudgets", "gbud", "Cluster", BUDGET_COLUMNS),
}

_SAME_KEYS = {
    *("type", "description", "format", "enum", "required", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties"),
    *(RULES, "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}


def structural(schema: Schema, definitions: Schema) -> Schema:
    """Translate a JSON schema of pydantic to a structural schema of Kubernetes.

    Args:
        schema: the JSON schema.
        definitions: the schemas that it refers to.

    Raises:
        ValueError: a structural schema cannot express it.
    """
    translated: Schema = {}
    for key, value in resolved(schema, definitions).items():
        match key, value:
            case ("title" | "default" | "$defs", _) | ("additionalProperties", False):
                pass
            case "const", _:
                translated["enum"] = [value]
            case (("exclusiveMinimum" | "exclusiveMaximum"), _):
                translated |= {key.removeprefix("exclusive").lower(): value, key: True}
            case (("items" | "additionalProperties"), _):
                translated[key] = structural(value, definitions)
            case "properties", _:
                translated |= (
                    {key: inner} if (inner := _each(value, definitions)) else {}
                )  # the server drops an empty one
            case _ if key in _SAME_KEYS:
                translated[key] = value
            case _:
                raise ValueError(f"a structural schema cannot express {key}: {value!r}")
    return translated


def _each(schemas: Schema, definitions: Schema) -> Schema:
    return {name: structural(schema, definitions) for name, schema in schemas.items()}


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """Replace a reference by its schema, and `X | None` by `X`; raises ValueError on other unions."""
    return _optional(_inlined(schema, definitions), definitions)


def _inlined(schema: Schema, definitions: Schema) -> Schema:
    """Replace a reference by its schema; keys beside the reference win."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].removeprefix("#/$defs/")
    return {**definitions[name], **{key: value for key, value in schema.items() if key != "$ref"}}


def _optional(schema: Schema, definitions: Schema) -> Schema:
    """Replace `X | None` by `X`, because a field that is not required may be absent."""
    if "anyOf" not in schema:
        return schema
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    if len(choices) != 1:
        raise ValueError(f"a structural schema cannot express anyOf: {schema['anyOf']!r}")
    return {**_inlined(choices[0], definitions), **{key: value for key, value in schema.items() if key != "anyOf"}}


def structural_model(model: type[BaseModel]) -> Schema:
    """Translate a model to a structural schema; raises ValueError if that is impossible."""
    schema = model.model_json_schema()
    return structural(schema, schema.get("$defs", {}))


def json_schema(kind: str = "ScalingPolicy") -> Schema:
    """Give the JSON Schema of a document with defaults, for editors that complete and check."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        **_for_editors(KINDS[kind].model.model_json_schema()),
    }


def _for_editors(value: Any) -> Any:
    """Remove generated titles, which editors show instead of the key, and the rules that only Kubernetes reads."""
    if isinstance(value, list):
        return [_for_editors(item) for item in value]
    if not isinstance(value, dict):
        return value
    left_out = {RULES} | ({"title"} if isinstance(value.get("title"), str) else set())
    return {key: _for_editors(item) for key, item in value.items() if key not in left_out}


def custom_resource_definition(kind: str = "ScalingPolicy") -> Schema:
    """Give the CustomResourceDefinition of a kind."""
    of = KINDS[kind]
    version = {
        "name": API_VERSION.removeprefix(f"{GROUP}/"),
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _resource(of)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in of.columns],
    }
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": of.plural,
        "singular": kind.lower(),
        "shortNames": [of.short],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{of.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": of.scope, "versions": [version]},
    }


def _resource(kind: Kind) -> Schema:
    """Leave the metadata to Kubernetes, which has the same rules for names as the model."""
    whole = structural_model(kind.model)
    properties = whole["properties"] | {"metadata": {"type": "object"}, "status": structural_model(kind.status)}
    candidates = properties["spec"]["properties"].get("candidates")
    if candidates is not None:
        fields = candidates["items"]["properties"]
        for name, field in fields.items():  # what is inside of them stands at the policy's own fields
            fields[name] = _without_inner_descriptions(field)
    return {**whole, "properties": properties, "required": ["spec"]}


def _without_inner_descriptions(schema: Schema) -> Schema:
    """Leave out the descriptions of a schema's parts; its own stays."""
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {name: _undescribed(inner) for name, inner in schema["properties"].items()}
    if "items" in schema:
        found["items"] = _undescribed(schema["items"])
    return found


def _undescribed(schema: Schema) -> Schema:
    without = {key: value for key, value in schema.items() if key != "description"}
    return _without_inner_descriptions(without)
