"""The tables: decisions in rows, one opened to its steps, and the pods in the order in which they leave."""

import pytest
from seen import at, fleet, record, stable, view

from algorithms.types import Average, Recommendation
from autoscaler.accounts import Start, Starts
from autoscaler.explain.decisions import DecisionTable, row_json
from autoscaler.explain.pods import pod_rows
from autoscaler.explain.steps import steps
from autoscaler.explain.view import PodFigures, ServiceFigures
from autoscaler.ports import Fleet, Replica
from autoscaler.removal_order import removal_order
from autoscaler.testing import policy

WAKING = record(
    "14:31:07",
    replicas=0,
    inflight=0.0,
    recommendation=Recommendation(
        3, "stable 2.5", (Average("panic", 2.5, 6, 6), Average("stable", 2.5, 60, 2)), 1.0, panic=True
    ),
    reasons=[("fromZero", 3, 5, "no replica is ready and 5 requests are in flight")],
    written=True,
    latest=5.0,
    queued=5.0,
    running=0.0,
)


def table(*records):
    found = DecisionTable()
    for each in records:
        found(each)
    return [row_json(row) for row in found.rows]


def texts(record, spec=None):
    return [(step.label, step.number, step.text) for step in steps(record, policy("x", **(spec or {})))]


def test_an_opened_decision_goes_from_the_observation_to_what_was_written():
    last = WAKING._replace(decision=WAKING.decision._replace(unchanged=("passing", "minReplicas", "maxReplicas")))
    assert texts(last) == [
        (
            "Observation",
            None,
            "5 requests in flight now, all queued; 0 on average since the decision before. 0 replicas asked, 0 ready.",
        ),
        (
            "Recommendation",
            3,
            "2.5 in flight on average over 6 s, 2.5 over the 2 s that are known of 60 s; a replica takes 1. In panic.",
        ),
        ("fromZero", 5, "3 → 5: no replica is ready and 5 requests are in flight."),
        ("Other rules", 5, "passing, minReplicas, maxReplicas changed nothing."),
        ("Written", 5, "0 → 5 to Deployment x, accepted."),
    ]


def test_what_was_not_written_says_why():
    assert texts(record(recommendation=stable(5.0), unwritten="unchanged"))[-1] == (
        "Written",
        5,
        "Nothing to write: 5 were asked for already.",
    )
    dry = record(replicas=2, recommendation=stable(5.0), unwritten="dryRun")
    assert texts(dry)[-1][2] == "Not written: in mode DryRun. It would have been 2 → 5."
    standby = record(replicas=2, recommendation=stable(5.0), unwritten="standby")
    assert "another controller leads" in texts(standby)[-1][2]
    failed = record(replicas=2, recommendation=stable(5.0), error="forbidden")
    assert texts(failed)[-1][2] == "2 → 5 failed: forbidden."
    old = record(replicas=2, recommendation=stable(5.0))
    assert texts(old)[-1][2] == "2 → 5 was not written.", "an older log does not say why"


def test_an_unknown_count_is_called_unknown_in_each_cell():
    lost = record(inflight=None, recommendation=Recommendation(None, "silence"), problem="silence")
    assert texts(lost)[0][2] == "The count is unknown: silence. 5 replicas asked, 5 ready."
    assert texts(lost)[1] == ("Recommendation", None, "The number is held. Silence.")
    (row,) = table(lost)
    assert (row["inflight"], row["recommendation"]) == (None, "held: silence")


def test_a_log_of_an_earlier_release_has_fewer_numbers_and_no_wrong_ones():
    old = record(recommendation=Recommendation(5, "stable 4.39, panic 1 in flight"), queued=None, running=None)
    assert texts(old)[0][2] == "1 request in flight; 1 on average since the decision before. 5 replicas asked, 5 ready."
    assert texts(old)[1][2] == "Stable 4.39, panic 1 in flight."
    assert table(old)[0]["recommendation"] == "5: stable 4.39, panic 1 in flight"


def test_decisions_that_changed_nothing_are_gathered():
    held = [
        record(
            f"14:31:{second:02}",
            inflight=float(3 + second % 3),
            ready=second % 6,
            recommendation=stable(4.0 + second % 2),
            reasons=[("scaleDown.delay", 4, 5, "the highest recommendation within the last 90 s")] * (1 - second % 2),
        )
        for second in range(8, 58, 2)
    ]
    newest = record("14:35:08", replicas=5, inflight=0.0, recommendation=stable(3.88), written=True)
    rows = table(WAKING, *held, newest)
    assert [(row["before"], row["after"], row["count"], row["result"]) for row in rows] == [
        (5, 4, 1, "written"),
        (5, 5, 25, "unchanged"),
        (0, 5, 1, "written"),
    ]
    assert rows[0]["recommendation"] == "4: average 3.88 over 60 s"
    gathered = rows[1]
    assert (gathered["from"], gathered["to"]) == (at("14:31:08"), at("14:31:56"))
    assert (gathered["inflight"], gathered["ready"]) == ([3, 5], [0, 4])
    assert (gathered["recommendation"], gathered["rules"]) == ("4, 25 decisions", "scaleDown.delay")
    assert rows[2]["recommendation"] == "3: average 2.5, panic"
    assert (rows[2]["rules"], rows[2]["inflight"]) == ("fromZero 3 → 5", 5)


def test_a_row_keeps_its_name_while_it_grows_and_an_unknown_count_begins_another():
    found = DecisionTable()
    found(record("14:31:08"))
    name = found.rows[0].id
    found(record("14:31:10"))
    assert [row.id for row in found.rows] == [name]
    found(record("14:31:12", inflight=None, recommendation=Recommendation(None, "silence")))
    assert [row.decisions for row in found.rows] == [1, 2]


def test_a_table_forgets_the_oldest_rows():
    found = DecisionTable(3)
    for number in range(9):
        found(record(at("14:31:08") + number, replicas=number, recommendation=stable(float(number + 1)), written=True))
    assert [row.before for row in found.rows] == [8, 7, 6]


def test_pods_stand_in_the_order_in_which_they_leave():
    replicas = tuple(
        Replica(name, ready, running, age)
        for name, ready, running, age in [
            ("a", True, 1, 9.0),
            ("b", True, 0, 50.0),
            ("c", False, 0, 70.0),
            ("d", True, 0, 8.0),
        ]
    )
    replicas = (*replicas[:3], replicas[3]._replace(unchanged_s=4.0))
    starts = Starts((Start("b", 0.0, (), 34.5),))
    figures = ServiceFigures(pods={"b": PodFigures(0, 11, at("14:34:52"))})
    rows = pod_rows(view(record(), fleet=Fleet(4, replicas), starts=(), figures=figures)._replace(starts=starts))
    assert tuple(row.name for row in rows) == removal_order(replicas)
    assert [(row.name, row.state, row.goes) for row in rows] == [
        ("c", "starting", "first: it is not ready"),
        ("d", "idle", "second"),
        ("b", "idle", "third"),
        ("a", "running", "last: it is busy"),
    ]
    assert (rows[2].since_s, rows[2].started_in_s, rows[2].answers) == (at("14:34:52"), 34.5, 11)
    assert (rows[1].since_s, rows[1].started_in_s, rows[1].answers) == (at("14:34:58"), None, None)


@pytest.mark.parametrize(
    ("pods", "first", "last"),
    [
        ([(True, 1, 9.0), (True, 1, 9.0), (True, 1, 9.0)], "first", "last"),
        ([(True, 1, 5.0), (True, 1, 9.0), (True, 1, 12.0)], "first: it is the youngest", "last: it is the oldest"),
        (
            [(True, 1, 9.0), (True, 2, 9.0), (True, 3, 9.0)],
            "first: it has the fewest requests",
            "last: it has the most requests",
        ),
        ([(True, 0, 9.0), (True, 1, 9.0), (True, 1, 9.0)], "first: idle", "last"),
        ([(False, 0, 9.0), (False, 0, 9.0), (True, 0, 9.0)], "first", "last: idle"),
    ],
)
def test_a_reason_names_what_tells_a_pod_apart_from_the_next(pods, first, last):
    replicas = tuple(Replica(f"p{number}", *seen) for number, seen in enumerate(pods))
    rows = pod_rows(view(record(), fleet=Fleet(3, replicas)))
    assert [rows[0].goes, rows[1].goes, rows[2].goes] == [first, "second", last]


def test_pods_with_numbers_leave_from_the_highest_busy_or_not():
    spec = {"scaleTargetRef": {"name": "x", "kind": "StatefulSet"}}
    replicas = (Replica("x-0", ready=True, running=0, age_s=9.0), Replica("x-1", ready=True, running=3, age_s=5.0))
    rows = pod_rows(view(record(), spec=spec, fleet=Fleet(2, replicas)))
    assert [(row.name, row.goes) for row in rows] == [
        ("x-1", "first: it has the highest number"),
        ("x-0", "last: it has the lowest number"),
    ]


def test_without_a_fleet_no_pod_is_known():
    assert pod_rows(view(record())) == ()
    assert [row.goes for row in pod_rows(view(record(), fleet=fleet(1)))] == ["the only one"]
