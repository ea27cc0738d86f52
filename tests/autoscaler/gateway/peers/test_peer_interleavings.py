"""All orders in which events can come to two gateways keep the promises: see `peer_world` for what can happen."""

import pytest
from peer_explorer import explore
from peer_scopes import SMALL

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scope", SMALL, ids=lambda scope: scope.name)
def test_two_gateways_keep_their_promises_in_all_orders_of_events(scope):
    seen = explore(scope)
    print(seen)  # noqa: T201 - how much was seen
    assert not seen.finding, str(seen.finding)
    assert seen.exhausted
