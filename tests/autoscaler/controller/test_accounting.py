"""What services use: GPU time by state, cost, and cold starts; what nobody saw is unknown."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.observation import Observation
from autoscaler.accounts import STATES, Start, Starts, StartTimes
from autoscaler.controller.accounting import TOTAL, Accounting
from autoscaler.policy.cost import Prices
from autoscaler.ports import Fleet, Replica

SD, DAY_S, NOON_S = "default/sd", 86_400.0, 86_400.0 * 365 + 43_200.0
EUR = Prices("EUR", 2.4)


def pod(name, *, ready=True, running=0, age_s=1e6, **known):
    return Replica(name, ready, running, age_s, **known)


class Watched:
    """An accounting of one service, over time."""

    def __init__(self, prices=EUR, tick_s=2.0):
        self.services = {SD: SimpleNamespace(prices=prices)}
        self.accounting = Accounting(self.services, lambda at_s: at_s // DAY_S * DAY_S, tick_s=tick_s)
        self.now_s = NOON_S

    def saw(self, *pods, after_s=0.0, **fleet):
        """Observe these pods some seconds after the observation before."""
        self.now_s += after_s
        observed = Observation(self.now_s, self.now_s, 0.0, replicas=len(pods), ready=0)
        self.accounting.saw({SD: (observed, Fleet(len(pods), pods, **fleet))})
        return self

    def account(self, after_s=0.0):
        return self.accounting.account(SD, self.now_s + after_s)

    def starts(self):
        return self.accounting.starts(SD).newest


def test_gpu_time_is_counted_by_what_each_replica_did():
    fleet = [pod("a", running=1), pod("b"), pod("c", ready=False), pod("d", ready=False, placed=False)]
    used = Watched().saw(*fleet, leaving=2).saw(after_s=10.0).account().gpu_seconds
    assert used == {"starting": 10.0, "busy": 10.0, "idle": 10.0, "draining": 20.0}


def test_a_replica_counts_as_the_gpus_that_it_holds_also_while_it_drains():
    watched = Watched().saw(pod("a", gpus=4)).saw(leaving=1, after_s=10.0).saw(after_s=5.0)
    assert watched.account().gpu_seconds == {"starting": 0.0, "busy": 0.0, "idle": 40.0, "draining": 20.0}
    assert not watched.account().gpus_assumed


def test_gpus_that_nobody_states_are_counted_as_one_and_the_account_says_so():
    assert Watched().saw(pod("a")).saw(after_s=1.0).account().gpus_assumed


def test_the_cost_is_that_of_all_replicas_and_the_peak_is_without_those_that_drain():
    watched = Watched().saw(pod("a"), pod("b"), leaving=3).saw(pod("a"), after_s=1800.0 / 60)
    watched.saw(pod("a"), after_s=30.0)
    account = watched.account()
    assert account.currency == "EUR"
    assert account.cost == pytest.approx(2.4 * (5 * 30 + 30) / 3600)
    assert account.peak_replicas == 2
    assert account.peak_cost == pytest.approx(2.4 * 2 * 60 / 3600)


def test_a_replica_costs_what_its_pool_does():
    prices = Prices("EUR", 2.0, {"p4": 0.5})
    watched = Watched(prices).saw(pod("a", pool="p100"), pod("b", pool="p4"), leaving=2, leaving_from={"p4": 2})
    assert watched.saw(after_s=36.0).account().cost == pytest.approx((2.0 + 0.5 + 2 * 0.5) / 100)


def test_without_a_price_the_cost_is_unknown_and_not_zero():
    account = Watched(prices=None).saw(pod("a")).saw(after_s=36.0).account()
    assert (account.currency, account.cost, account.peak_cost) == (None, None, None)
    assert account.gpu_seconds["idle"] == 36.0


def test_the_cost_begins_again_with_another_currency():
    watched = Watched().saw(pod("a")).saw(pod("a"), after_s=36.0)
    watched.services[SD] = SimpleNamespace(prices=Prices("USD", 1.0))
    account = watched.saw(pod("a"), after_s=0.0).saw(after_s=36.0).account()
    assert (account.currency, account.cost) == ("USD", pytest.approx(0.01))


def test_a_time_in_which_nothing_was_observed_is_unknown():
    watched = Watched().saw(pod("a")).saw(pod("a"), after_s=61.0).saw(after_s=10.0)
    account = watched.account()
    assert account.gpu_seconds["idle"] == 10.0
    assert account.unknown_s == 61.0
    assert account.peak_cost == pytest.approx(2.4 * 10 / 3600)


def test_an_observation_holds_for_three_long_ticks():
    assert Watched(tick_s=60.0).saw(pod("a")).saw(after_s=179.0).account().gpu_seconds["idle"] == 179.0


def test_a_service_of_which_nothing_runs_is_known_to_use_nothing_although_it_is_not_observed():
    account = Watched().saw().saw(after_s=3600.0).account(after_s=3600.0)
    assert account.unknown_s == 0.0
    assert account.until_s - account.since_s == 7200.0
    assert account.cost == 0.0


def test_a_day_begins_at_midnight_and_the_counters_go_on():
    watched = Watched(tick_s=DAY_S).saw(pod("a")).saw(after_s=43_200.0 + 100.0)
    account = watched.account()
    assert account.since_s == NOON_S + 43_200.0
    assert account.gpu_seconds["idle"] == 100.0
    assert watched.accounting.accounts()[SD].gpu_seconds["idle"] == 43_300.0


def test_the_account_of_an_idle_service_is_that_of_today():
    account = Watched().saw(pod("a")).saw(after_s=30.0).account(after_s=DAY_S)
    assert account.since_s == NOON_S + 43_200.0
    assert account.cost == 0.0


def test_a_start_is_measured_with_its_stages():
    stages = (("scheduled", 1.0), ("model", 19.0))
    watched = Watched().saw().saw(pod("a", ready=False, age_s=1.0), after_s=2.0)
    watched.saw(pod("a", age_s=23.0, start=StartTimes(stages, 20.0)), after_s=22.0)
    assert watched.starts() == (Start("a", watched.now_s - 3.0, stages, 20.0),)
    histograms = watched.accounting.accounts()[SD].stages
    assert {name: (sum(each.counts), each.sums[0]) for name, each in histograms.items()} == {
        "scheduled": (1, 1.0),
        "model": (1, 19.0),
        TOTAL: (1, 20.0),
    }


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="the controller was not there yet"),
        pytest.param([pod("a", ready=False, age_s=500.0)], id="it may have been ready before the controller came"),
        pytest.param([pod("b")], id="it is of another target: older than what was seen before"),
    ],
)
def test_a_start_that_was_not_seen_from_its_beginning_is_unknown(before):
    watched = Watched()
    if before:
        watched.saw(*before)
    watched.saw(pod("a", age_s=502.0, start=StartTimes((), 501.0)), after_s=2.0).saw(after_s=2.0)
    assert watched.starts() == ()


def test_a_pod_that_is_ready_again_has_started_once():
    watched, ready = Watched().saw(), pod("a", age_s=2.0, start=StartTimes((), 1.0))
    watched.saw(ready, after_s=2.0).saw(ready._replace(ready=False), after_s=2.0).saw(ready, after_s=2.0)
    assert len(watched.starts()) == 1


def test_the_newest_starts_are_kept_and_have_a_median_and_a_ninth_decile():
    watched = Watched().saw()
    for number in range(60):
        watched.saw(pod(f"p-{number}", age_s=1.0, start=StartTimes((), float(number))), after_s=2.0)
    starts = watched.accounting.starts(SD)
    assert [starts.newest[0].total_s, starts.newest[-1].total_s] == [10.0, 59.0]
    assert (starts.median_s, starts.p90_s) == (34.0, 54.0)
    assert (Starts().median_s, Starts().p90_s) == (None, None)


def test_nothing_is_kept_of_a_service_that_is_gone():
    watched = Watched().saw(pod("a"))
    del watched.services[SD]
    assert watched.accounting.accounts() == {}
    watched.accounting.forget(SD)
    assert watched.account() is None


pods = st.lists(
    st.builds(
        pod,
        st.sampled_from("abcd"),
        ready=st.booleans(),
        running=st.integers(0, 2),
        age_s=st.floats(0, 100),
        placed=st.booleans(),
        gpus=st.none() | st.integers(1, 8),
        start=st.builds(StartTimes, st.just((("model", 1.0),)), st.none() | st.floats(0, 1000)),
    ),
    max_size=4,
    unique_by=lambda replica: replica.name,
)
steps = st.lists(st.tuples(pods, st.integers(0, 2), st.floats(0, 2 * DAY_S)), min_size=2, max_size=12)


@given(steps)
def test_whatever_happens_the_counters_never_fall_and_the_day_is_whole(history):
    watched, before = Watched(), (dict.fromkeys(STATES, 0.0), 0.0)
    for fleet, leaving, after_s in history:
        watched.saw(*fleet, leaving=leaving, after_s=after_s)
        account, kept = watched.account(), watched.accounting.accounts()[SD]
        now = dict(kept.gpu_seconds), sum(kept.cost.values())
        assert all(now[0][state] >= before[0][state] for state in STATES)
        assert now[1] >= before[1]
        assert account.until_s - account.since_s <= DAY_S
        assert 0.0 <= account.unknown_s <= account.until_s - account.since_s + 1e-6
        assert account.cost <= now[1] + 1e-6
        before = now
    lengths = [start.total_s for start in watched.starts()]
    assert sum(kept.stages[TOTAL].counts) == len(lengths) if lengths else TOTAL not in kept.stages
