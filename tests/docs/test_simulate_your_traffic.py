"""docs/how-to/simulate-your-traffic.md, typed word for word against the recording that ships with the simulator."""

import asyncio
import subprocess

import pytest
from documentation import ROOT
from typing_pages import typed

from autoscaler.demo.prometheus import prometheus
from autoscaler.runtime import programs

pytestmark = [pytest.mark.program, pytest.mark.real_time]

RECORDED = ROOT / "simulations" / "examples" / "recorded"
OTHERS = ("pip install", "autoscaler trace export arrivals.csv --service default/sd")
"""Installing is for the tests of the wheel; the recording has no Istio in it."""


@pytest.fixture
def history(tmp_path):
    """The recording as the data of a Prometheus, in its folder."""
    folder, recorded = tmp_path / "prometheus", RECORDED / "prometheus.txt"
    importing = [programs.find("promtool"), "tsdb", "create-blocks-from", "openmetrics", recorded, folder / "data"]
    subprocess.run(importing, check=True, capture_output=True)
    return folder


async def test_the_page_is_true_word_for_word(history, tmp_path):
    async with prometheus(programs.find("prometheus"), history, {"nothing": "127.0.0.1:1"}) as server:
        theirs = {"http://prometheus.monitoring:9090": server}
        await asyncio.to_thread(typed, "how-to/simulate-your-traffic.md", tmp_path, leave_out=OTHERS, instead=theirs)
