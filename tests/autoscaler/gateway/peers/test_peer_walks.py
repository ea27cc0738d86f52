"""Random schedules of two, three and four gateways keep the promises, with faults of all kinds, joins and leaves."""

import pytest
from peer_explorer import shortened, walk
from peer_scopes import WALKS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scope", WALKS, ids=lambda scope: scope.name)
@pytest.mark.parametrize("fault_rate", [0.01, 0.04, 0.1])
def test_gateways_keep_their_promises_on_random_walks(scope, fault_rate):
    for seed in range(3):
        walked = walk(scope, seed, 1000, fault_rate)
        assert not walked.finding, f"seed {seed}: {shortened(scope, walked.finding)}"
