"""A minute of everything that can go wrong, at random: the books of `make soak` close."""

import asyncio

import pytest
from control_plane import started
from soak import soak

pytestmark = [pytest.mark.program, pytest.mark.real_time]


def test_after_a_minute_of_random_faults_load_and_edits_everything_has_an_explanation(tmp_path, prometheus_binary):
    (tmp_path / "control-plane").mkdir()
    with started(tmp_path / "control-plane", cold_start_s=1) as own:
        told = asyncio.run(soak(own, tmp_path, prometheus_binary, seconds=60, seed=1))
    assert "lost                      0\n" in told
    assert "ran twice                 0\n" in told
