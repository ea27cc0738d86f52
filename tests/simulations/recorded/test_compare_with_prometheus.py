"""`autoscaler compare` on the history of a real Prometheus: the same requests as in a request log, exact to 15 s."""

import asyncio
import json
import subprocess
import time

import numpy as np
import pytest
import yaml

from autoscaler import cli
from autoscaler.demo.prometheus import prometheus
from autoscaler.testing import policy_document

pytestmark = [pytest.mark.real_time, pytest.mark.program]

SCRAPED_S, SPAN_S, GAP_S, SINCE_S = 15, 5400, 600, 6000
SPEC = {"candidates": [{"name": "warm", "minReplicas": 1}], "cost": {"perReplicaHour": 3.6, "currency": "EUR"}}
COUNTER = 'gateway_arrived_requests_total{namespace="default",service="sd"}'


def made(folder, promtool, first_s, arrivals_s, silent):
    """Put a counter into a Prometheus that has not started: a sample at each scrape, none while nobody scraped."""
    times_s = [first_s + number * SCRAPED_S for number in range(SPAN_S // SCRAPED_S)]
    samples = [f"{COUNTER} {np.sum(arrivals_s <= at_s)} {at_s}" for at_s in times_s if not silent[0] < at_s < silent[1]]
    text = folder / "history.txt"
    text.write_text("\n".join(["# TYPE gateway_arrived_requests counter", *samples, "# EOF", ""]))
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", text, folder / "data"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
async def history(tmp_path, prometheus_binary, promtool_binary):
    """A Prometheus with an hour and a half of one service, ten minutes of them without a scrape; and its requests."""
    first_s = int(time.time()) // SCRAPED_S * SCRAPED_S - SPAN_S - 300
    arrivals_s = first_s + np.cumsum(np.random.default_rng(1).exponential(60.0, 200))
    silent = (first_s + 2000, first_s + 2000 + GAP_S)
    arrivals_s = arrivals_s[arrivals_s < first_s + SPAN_S - SCRAPED_S]
    arrivals_s = arrivals_s[(arrivals_s < silent[0] - SCRAPED_S) | (arrivals_s > silent[1] + SCRAPED_S)]
    folder = tmp_path / "prometheus"
    folder.mkdir()
    await asyncio.to_thread(made, folder, promtool_binary, first_s, arrivals_s, silent)
    async with prometheus(prometheus_binary, folder, {}) as address:
        yield address, arrivals_s


async def test_the_history_of_prometheus_gives_what_the_same_requests_give(history, tmp_path, capsys):
    address, arrivals_s = history
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy_document("sd", **SPEC)))
    served = {"service": "default/sd", "kind": "Count", "outcome": "served", "wait_s": 0.0, "service_s": 10.0}
    log = tmp_path / "requests.jsonl"
    log.write_text("".join(json.dumps({**served, "arrival": at_s}) + "\n" for at_s in arrivals_s.tolist()))

    async def compared(*load):
        options = ["--policy", str(tmp_path / "policy.yaml"), "--cold-start", "20s", "--since", f"{SINCE_S}s", "--json"]
        assert await asyncio.to_thread(cli.main, ["compare", "sd", *options, *load]) == 0
        return json.loads(capsys.readouterr().out)

    found = await compared("--prometheus", address, "--service-time", "10s")
    exact = await compared("--requests", str(log))
    assert found["load"]["requests"] == exact["load"]["requests"] == len(arrivals_s)
    assert found["load"]["source"] == f"{len(arrivals_s)} requests of {address}"
    load = found["load"]
    assert (load["estimated"], load["how"]) == (True, "arrivals are exact to 15 s")
    assert load["unknownSeconds"] == pytest.approx(SINCE_S - (SPAN_S - GAP_S), abs=4 * SCRAPED_S)
    for mine, known in zip(found["policies"], exact["policies"], strict=True):
        hours = (mine["figures"]["gpu_hours"]["value"], known["figures"]["gpu_hours"]["value"])
        # Time of which nothing is known is left out of one, and has no request in the other.
        assert hours[0] == pytest.approx(hours[1], rel=0.2), mine["name"]
    active, warm = (each["figures"] for each in found["policies"])
    assert warm["wait_mean_s"]["value"] < active["wait_mean_s"]["value"]
    assert warm["gpu_hours"]["value"] > active["gpu_hours"]["value"]
    assert active["cost"]["value"] == pytest.approx(3.6 * active["gpu_hours"]["value"])


async def test_a_service_that_prometheus_does_not_know_is_named(history, tmp_path, capsys):
    address, _ = history
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy_document("other", **SPEC)))
    options = ["--policy", str(tmp_path / "policy.yaml"), "--cold-start", "20s", "--service-time", "10s"]
    assert await asyncio.to_thread(cli.main, ["compare", "other", *options, "--prometheus", address]) == 2
    assert "Prometheus has no counter of default/other in this time" in capsys.readouterr().err
