"""A short run of everything that can happen to several gateways, at random: the books of `make soak-gateways` close."""

import pytest
from gateways_soak import gateways_soak

pytestmark = [pytest.mark.program, pytest.mark.real_time]


async def test_after_random_faults_of_several_gateways_each_request_is_accounted_for(tmp_path):
    told = await gateways_soak(tmp_path, seconds=15, seed=1)
    assert "lost                      0\n" in told
    assert "ran twice                 0\n" in told
    assert told.endswith("overlaps at a pod           0")
