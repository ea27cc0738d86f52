"""Each invariant is broken once: a check that cannot fail is none."""

from dataclasses import replace

import numpy as np
import pytest

from simulations.model import invariants
from simulations.model.invariants import BrokenInvariantError


@pytest.fixture
def sound(simulate):
    return simulate((0.0, 5.0), (1.0, 2.0), (9.0, 1.0), initial=1, script=((0.0, 1), (12.0, 0)))


def changed(history, **columns):
    return replace(history, requests=replace(history.requests, **{k: np.array(v) for k, v in columns.items()}))


def test_a_correct_run_passes(sound):
    invariants.check(sound, concurrency=1)


@pytest.mark.parametrize(
    ("columns", "broken"),
    [
        ({"end_s": [5.0, 7.0, 10.5]}, "Little's law"),
        ({"status": [200, 0, 200]}, "every request ended"),
        ({"replica": [0, -1, 0]}, "every request ended"),
        ({"start_s": [0.0, 0.5, 9.0]}, "before it arrived"),
        ({"end_s": [5.0, 4.0, 10.0]}, "before it started"),
        ({"start_s": [5.5, 5.0, 9.0]}, "in the order of their arrival"),
        ({"start_s": [0.0, 4.0, 9.0]}, "more than 1 requests at a time"),
    ],
)
def test_a_run_that_breaks_an_invariant_is_refused_by_its_name(sound, columns, broken):
    with pytest.raises(BrokenInvariantError, match=broken):
        invariants.check(changed(sound, **columns), concurrency=1)


@pytest.mark.parametrize("change", [{"ready_s": [1.0]}, {"leaving_s": [8.0]}, {"gone_s": [8.0]}])
def test_a_request_on_a_replica_that_is_not_ready_is_refused(sound, change):
    replicas = replace(sound.replicas, **{name: np.array(value) for name, value in change.items()})
    with pytest.raises(BrokenInvariantError, match="before it was ready or after it began to drain"):
        invariants.check(replace(sound, replicas=replicas), concurrency=1)


def test_several_replicas_are_counted_each_for_itself(simulate):
    history = simulate((0.0, 5.0), (0.0, 5.0), (1.0, 0.0), initial=2, script=((0.0, 2), (8.0, 0)))
    invariants.check(history, concurrency=1)
    with pytest.raises(BrokenInvariantError, match="more than 1"):
        invariants.check(changed(history, replica=[0, 0, 1]), concurrency=1)


def test_without_a_concurrency_limit_any_number_is_within_it(simulate):
    history = simulate((0.0, 5.0), (0.0, 5.0), (1.0, 0.0), initial=2, script=((0.0, 2), (8.0, 0)))
    invariants.check(changed(history, replica=[0, 0, 1]), concurrency=0)
