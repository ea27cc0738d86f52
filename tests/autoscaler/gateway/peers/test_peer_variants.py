"""Protocols that look right and are not break a promise where the shipped one does not: the walks would see it."""

import pytest
from peer_explorer import walk
from peer_variants import VARIANTS

pytestmark = pytest.mark.slow

WALKS, STEPS, FAULT_RATE = 300, 80, 0.1


def finding(variant, walks):
    """Return how the code as it is now breaks a promise in the scope of a variant, None if it does not."""
    return next(filter(None, (walk(variant.scope, seed, STEPS, FAULT_RATE).finding for seed in range(walks))), None)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.sentence)
def test_a_protocol_that_looks_right_breaks_a_promise(variant):
    with variant.shipped():
        assert finding(variant, WALKS)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.sentence)
def test_the_shipped_protocol_keeps_its_promises_where_a_variant_breaks_them(variant):
    found = finding(variant, WALKS // 10)
    assert not found, str(found)
