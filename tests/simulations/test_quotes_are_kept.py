"""About nine of ten requests start within the P90 that they were quoted, and about half within the P50.

The dispatcher, the quotes and the controller are the shipped ones, in simulated time. `make bench-quotes` shows more.
"""

import pytest

from autoscaler.gateway.quotes.quotes import FRESH_S
from benchmarks.quotes import azure_code, hits, reference_loads, servegen_images
from simulations.run import run_quoted
from simulations.scenario.candidates import candidates_of


def policy_of(scenario, name):
    return next(policy for each, policy in candidates_of(scenario) if each in {name, "knative-sd-demo"})


@pytest.mark.parametrize(
    ("load", "policy", "replications", "promises"),
    [
        (reference_loads, "knative-sd-demo", 5, 200),
        (azure_code, "concurrency", 2, 600),
        (servegen_images, "concurrency", 1, 900),
    ],
)
def test_the_p90_of_nine_in_ten_quotes_is_kept(load, policy, replications, promises):
    scenario = load()
    found = hits(scenario, policy_of(scenario, policy), replications=replications)
    assert found.promises > promises
    assert 0.80 <= found.p90 <= 0.97
    assert 0.40 <= found.p50 <= 0.70
    assert found.unquoted < 0.12 * found.promises, "only before anything was measured"


def test_what_the_gateway_counts_is_what_happened():
    scenario = reference_loads()
    run = run_quoted(scenario, policy_of(scenario, "knative-sd-demo"), after_s=FRESH_S)
    kept = sum(each.waited_s <= each.quote.p90_s for each in run.promises)
    assert run.quotes.grade == (kept, len(run.promises) - kept)
    assert kept
