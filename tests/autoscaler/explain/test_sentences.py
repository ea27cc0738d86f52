"""The answer for a service: the situations of the design, word for word where the data is known."""

from seen import at, fleet, record, stable, view

from algorithms.observation import PoolState
from autoscaler.explain.forecast import Forecast, Point
from autoscaler.explain.sentences import answer
from autoscaler.explain.states import State
from autoscaler.explain.view import ServiceFigures
from autoscaler.ports import Override

STARTS = (27.9, 32.3, 34.5, 40.6, 44.5)


def falls(first, last, remaining=0):
    return Forecast((Point(at("14:35:02"), 5, 4.39), Point(at(last), remaining, 0.0)), at(first), at(last))


def test_falling_load():
    now = record(recommendation=stable(4.39))
    found = answer(view(now, forecast=falls("14:35:08", "14:36:34"), fleet=fleet(0, 0, 0, 0, 1)))
    assert found.first == (
        "5 replicas, because 4.39 requests were in flight on average over the last 60 s "
        "and a replica takes 1 at a time."
    )
    assert found.second == (
        "Only 1 is in flight now. If nothing more arrives, the first replica goes in 6 s (14:35:08) "
        "and the last in 92 s (14:36:34)."
    )
    assert found.short == "5: 4.39 in flight on average over 60 s. First goes in 6 s if nothing more arrives."
    assert (found.number, found.state, found.attention) == (5, State.HOLDING, False)


def test_at_zero():
    quiet = record("14:35:04", replicas=1, inflight=0.0, recommendation=stable(0.4, replicas=1))
    zero = record("14:36:04", replicas=1, inflight=0.0, recommendation=stable(0.0), desired=1)
    gone = record("14:36:34", replicas=1, inflight=0.0, recommendation=stable(0.0), written=True)
    now = record("14:36:52", replicas=0, inflight=0.0, recommendation=stable(0.0))
    found = answer(view(quiet, zero, gone, now, now="14:36:52", starts=STARTS))
    assert found.first == (
        "0 replicas, because nothing has been in flight since 14:35:02 and zero was recommended for 30 s."
    )
    assert found.second == "The next request would wait about 35 s (half of the starts), 45 s (9 of 10)."
    assert found.short == "0 since 14:36:34: nothing is in flight."
    assert found.state is State.AT_ZERO


def test_waking():
    now = record(
        "14:31:07",
        replicas=0,
        inflight=5.0,
        recommendation=stable(2.5, known=2.0, panic=True),
        reasons=[("fromZero", 3, 5, "no replica is ready and 5 requests are in flight")],
        written=True,
        queued=5.0,
        running=0.0,
    )
    found = answer(view(now, now="14:31:07", starts=STARTS))
    assert found.first == "5 replicas, because 5 requests wait and no replica is ready."
    assert found.second == "The first is expected in 28 s (14:31:34), the last in 45 s."
    assert found.short == "5 asked: 5 requests wait and no replica is ready. The first is expected at 14:31:34."
    assert found.state is State.WAKING


def test_scaling_up():
    now = record(replicas=7, ready=5, inflight=50.0, recommendation=stable(49.6, 8.0))
    spec = {"containerConcurrency": 8}
    found = answer(view(now, spec=spec, starts=[28.0], fleet=fleet(8, 8, 8, 8, 8, "10", "2")))
    assert found.first == (
        "7 replicas, because 49.6 requests were in flight on average over the last 60 s and a replica takes 8."
    )
    assert found.second == "5 are ready, 2 start; the next is expected in 18 s."
    assert found.short == "7 asked, 5 ready: 49.6 in flight on average over 60 s, 8 for each replica."
    assert found.state is State.SCALING_UP


def test_held_while_the_count_is_unknown():
    problem = "gateway gw-1 does not report: it went silent"
    first = record("14:33:41", inflight=None, recommendation=stable(4.0)._replace(replicas=None), problem=problem)
    now = first._replace(observation=first.observation._replace(now_s=at("14:35:02")))
    found = answer(view(first, now))
    assert found.first == "5 replicas, held because the count has been unknown for 1 min 21 s."
    assert found.second == (
        "Gateway gw-1 does not report: it went silent. Until a count is known, windows and delays stand still."
    )
    assert found.short == f"Held at 5: the count is unknown since 14:33:41, {problem}."
    assert (found.state, found.attention) == (State.UNKNOWN, True)


def test_limited_by_the_maximum():
    now = record(
        replicas=4,
        inflight=11.0,
        recommendation=stable(11.0),
        reasons=[("maxReplicas", 11, 4, "at most 4")],
        queued=7.0,
        running=4.0,
    )
    found = answer(view(now, figures=ServiceFigures(7, 4, 158.0), fleet=fleet(1, 1, 1, 1)))
    assert found.first == "4 replicas, the maximum, though 11 requests in flight would need 11."
    assert found.second == "7 wait, the oldest for 2 min 38 s. Raise maxReplicas to serve them sooner."
    assert found.short == "4, the maximum: 11 requests in flight would need 11."
    assert (found.state, found.attention) == (State.AT_MAX, True)
    assert not answer(view(now, figures=ServiceFigures(0, 4))).attention


def test_waiting_for_stock():
    why = "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    pool = PoolState("a100", 6, 3, 3, unplaced=3, why=why)
    first = record(
        "14:30:50", replicas=6, ready=3, inflight=14.0, recommendation=stable(14.0), desired=6, pools=(pool,)
    )
    now = first._replace(observation=first.observation._replace(now_s=at("14:35:02")))
    found = answer(view(first, now, figures=ServiceFigures(11, 3, service_s=98.4)))
    assert found.first == "6 replicas asked, 3 ready: no node has had a free nvidia.com/gpu for 3 pods since 14:30:50."
    assert found.second == "11 requests wait; with 3 replicas the last of them is expected in 6 min 1 s."
    assert (found.state, found.attention) == (State.NO_STOCK, True)


def test_delay_of_scale_down():
    now = record(
        inflight=2.0,
        recommendation=stable(2.0),
        reasons=[("scaleDown.delay", 2, 5, "the highest recommendation within the last 120 s")],
    )
    found = answer(view(now, forecast=falls("14:36:16", "14:36:16", 4)))
    assert found.first == "5 replicas, because 5 were recommended within the last 2 min; now it would be 2."
    assert found.second == (
        "Only 2 are in flight now. If nothing more arrives, the first replica goes in 1 min 14 s (14:36:16); 4 stay."
    )


def test_first_window():
    now = record(
        replicas=3,
        inflight=1.0,
        recommendation=stable(1.0, known=22.0),
        reasons=[("firstWindow", 1, 3, "22.0 of 60 s are known since the start")],
    )
    found = answer(view(now))
    assert found.first == "3 replicas, held because 22 s of the 60 s window are known since the start at 14:34:40."
    assert found.second == "Until 14:35:40 the number may rise and does not fall."


def test_a_foreign_writer():
    why = "kubectl-scale has written 3; holding until it is quiet for 300 s"
    first = record("14:33:20", replicas=3, recommendation=stable(5.0), reasons=[("foreignWriter", 5, 3, why)])
    now = first._replace(observation=first.observation._replace(now_s=at("14:35:02")))
    found = answer(view(first, now))
    assert found.first == "3 replicas, set by kubectl-scale at 14:33:20, though this policy wants 5."
    assert found.second == "It takes the number back at 14:38:20 if nobody else writes."
    assert (found.state, found.attention) == (State.FOREIGN, True)
    override = Override("foreignWriter", at("14:39:00"), why)
    assert "at 14:39:00" in answer(view(first, now, fleet=fleet(0, 0, 0, override=override))).second


def test_dry_run():
    now = record(replicas=2, recommendation=stable(4.39), unwritten="dryRun")
    found = answer(view(now, spec={"mode": "DryRun"}))
    assert found.first == "2 replicas, and this policy does not write: in mode DryRun it would ask for 5."
    assert found.second == (
        "4.39 requests were in flight on average over the last 60 s and a replica takes 1 at a time."
    )
    assert found.state is State.DRY_RUN


def test_pause():
    until = "2026-12-01T18:00:00+01:00"
    now = record(recommendation=stable(2.0), reasons=[("paused", 2, 5, f"paused until {until}")])
    found = answer(view(now, annotations={"inflight.dev/paused-until": until}))
    assert found.first == "5 replicas, held because the policy is paused until 18:00 CET, though 2 are recommended."
    assert found.second == "Then it goes on from what is there."
    assert found.state is State.PAUSED


def test_a_number_that_is_refused():
    error = 'deployments.apps "x" is forbidden: the account inflight-controller cannot patch deployments/scale'
    tries = [record(clock, replicas=4, recommendation=stable(5.0), error=error) for clock in ("14:34:40", "14:34:50")]
    found = answer(view(*tries))
    assert found.first == ("4 replicas, though 5 are wanted: the number could not be written 2 times since 14:34:40.")
    assert found.second == f"D{error[1:]}."
    assert (found.state, found.attention) == (State.REFUSED, True)


def test_standing_by():
    now = record(replicas=5, recommendation=stable(5.0), unwritten="standby")
    found = answer(view(now, leader="inflight-controller-x2lvb", leads_since_s=at("09:02:11")))
    assert found.first == "5 replicas, decided by inflight-controller-x2lvb, which has led since 09:02:11."
    assert "writes nothing" in found.second
    assert found.state is State.STANDBY


def test_a_gateway_knows_requests_and_no_replicas():
    found = answer(view(role="gateway", figures=ServiceFigures(2, 1)))
    assert found.first == "3 requests are in flight: 1 running, 2 queued."
    assert found.number is None
    assert "controller" in found.second
    unknown = answer(view(role="gateway"))
    assert (unknown.state, unknown.attention) == (State.UNKNOWN, True)


def test_a_service_that_was_not_decided_on_yet_has_no_number():
    found = answer(view())
    assert found.number is None
    assert found.first == "No decision on this service is known yet."
