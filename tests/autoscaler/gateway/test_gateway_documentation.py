import re
from pathlib import Path

import pytest
import yaml

from autoscaler.app.gateway_config import gateway_services
from autoscaler.host_claims import HostGrants
from autoscaler.policy.host_claims_file import read_host_claims
from autoscaler.policy.loading import read_policies
from autoscaler.policy.spec import ScalingPolicy

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "gateway.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
EXAMPLES = [block for block in BLOCKS if "spec:" in block]
"""A whole policy first, then parts of policies."""


def test_the_documented_example_is_a_configuration(tmp_path):
    example, *_ = EXAMPLES
    file = tmp_path / "gateway.yaml"
    file.write_text(example)
    (service,) = gateway_services(read_policies([file])).values()
    assert service.name == "default/web-ui"
    assert set(service.backends) == {"127.0.0.1:7860", "127.0.0.1:7861"}
    assert service.limits.concurrency == 1


def in_the_example(part):
    """Put a part of a policy into the whole one."""
    whole = yaml.safe_load(EXAMPLES[0])
    whole["spec"]["traffic"] |= yaml.safe_load(part)["spec"]["traffic"]
    return ScalingPolicy.model_validate(whole)


@pytest.mark.parametrize("part", EXAMPLES[1:])
def test_each_documented_part_of_a_policy_is_legal_in_the_example(part):
    assert in_the_example(part).spec.traffic is not None


def test_the_documented_claims_are_legal(tmp_path):
    (claims,) = [block for block in BLOCKS if block not in EXAMPLES]
    file = tmp_path / "claims.yaml"
    file.write_text(claims)
    assert read_host_claims(file) == HostGrants(
        {"shop": ("shop.example.com", "*.shop.example.com"), "payments": ("pay.shop.example.com",)}
    )
