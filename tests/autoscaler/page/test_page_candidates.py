"""What the page says of a candidate: only what differs from the policy."""

from pathlib import Path

import autoscaler
from autoscaler.page.candidates import changes
from autoscaler.policy.loading import read_policies


def test_a_candidate_is_described_by_what_differs_from_the_policy():
    (policy,) = read_policies([Path(autoscaler.__file__).parent / "demo" / "policy.yaml"])
    described = {each.name: changes(each, policy.spec) for each in policy.spec.candidates}
    assert described == {"short-window": "stableWindow 30s", "no-window": "algorithm mpa"}
