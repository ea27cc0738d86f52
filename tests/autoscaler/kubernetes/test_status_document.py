"""docs/reference/status.md names each reason that a condition can have, and each column."""

import re
from pathlib import Path

from autoscaler.kubernetes import policy_status, pool_status
from autoscaler.policy.schema import custom_resource_definition

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "status.md").read_text()
TYPES = {"AbleToScale", "ScalingLimited", "PodsReady"}
KINDS = {"HorizontalPodAutoscaler", "ScaledObject"}


def test_each_reason_is_explained():
    code = "".join(Path(module.__file__).read_text() for module in (policy_status, pool_status))
    reasons = set(re.findall(r'"((?:[A-Z][a-z]+){2,})"', code)) - TYPES - KINDS
    assert "ForeignWriter" in reasons
    assert {reason for reason in reasons if f"`{reason}`" not in PAGE} == set()


def test_each_column_is_explained():
    columns = custom_resource_definition()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert {each["name"] for each in columns if f"`{each['name'].upper()}`" not in PAGE} == {"Age"}
