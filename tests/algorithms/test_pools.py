"""Where replicas run: each rule by itself, and all of them in a cluster whose pools run out at any time."""

import json
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.observation import PoolState
from algorithms.pools import LONGEST_PAUSE_S, Placement, Pool

SPILL_S = 60.0


def placement(*pools, spill_after_s=SPILL_S):
    return Placement([pool if isinstance(pool, Pool) else Pool(pool) for pool in pools], spill_after_s=spill_after_s)


def state(name, asked, ready=None, **more):
    return PoolState(name, asked, asked if ready is None else ready, **more)


@dataclass
class Cluster:
    """Pools with so many GPUs each; a replica that has one is ready after its cold start."""

    stock: dict[str, int]
    places: Placement
    cold_start_s: float = 20.0
    now_s: float = 0.0
    asked: dict[str, int] = field(default_factory=dict)
    placed: dict[str, list[float]] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    refuses: bool = False
    history: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def __post_init__(self):
        for name in self.stock:
            self.asked.setdefault(name, 0)
            self.placed.setdefault(name, [])

    def states(self):
        return [self._state(name) for name in self.stock]

    def _state(self, name):
        placed, asked = self.placed[name], self.asked[name]
        ready = sum(self.now_s - since >= self.cold_start_s for since in placed)
        return PoolState(
            name,
            asked,
            ready,
            min(self.busy.get(name, 0), ready),
            asked - len(placed),
            self.refuses and asked > len(placed),
            "no node has room" if asked > len(placed) else "",
        )

    def ready(self):
        return {each.name: each.ready for each in self.states()}

    def tick(self, total, seconds=2.0):
        self.now_s += seconds
        for name, stock in self.stock.items():
            room = min(self.asked[name], stock) - len(self.placed[name])
            self.placed[name] += [self.now_s] * max(room, 0)
        placed = self.places.place(total, self.states(), self.now_s)
        self.asked = dict(placed.asked)
        for name, asked in self.asked.items():
            del self.placed[name][asked:]
        self.history.append((self.now_s, dict(placed.asked)))
        return placed

    def run(self, total, seconds, step_s=2.0):
        placed = None
        for _ in range(round(seconds / step_s)):
            placed = self.tick(total, step_s)
        return placed


def cluster(**stock):
    return Cluster(stock, placement(*stock))


# Rule 1: the first pool that has room.


def test_replicas_go_to_the_first_pool():
    placed = placement("p100", "p4").place(3, [], 0.0)
    assert placed == ({"p100": 3, "p4": 0}, "")


def test_a_pool_at_its_maximum_gets_no_more():
    placed = placement(Pool("p100", max_replicas=2), "p4").place(3, [], 0.0)
    assert placed.asked == {"p100": 2, "p4": 1}
    assert placed.why == "2 in p100, 1 in p4; p100 has its maximum of 2"


def test_with_a_maximum_in_each_pool_the_rest_is_asked_for_nowhere():
    assert placement(Pool("p100", max_replicas=2), Pool("p4", max_replicas=1)).place(9, [], 0.0).asked == {
        "p100": 2,
        "p4": 1,
    }


# Rules 2 to 4: what has no place.


def test_what_has_no_place_for_spill_after_goes_to_the_next_pool():
    world = cluster(p100=1, p4=9)
    assert world.run(3, 62).asked == {"p100": 3, "p4": 0}
    placed = world.run(3, 2)
    assert placed.asked == {"p100": 1, "p4": 2}
    assert placed.why == "1 in p100, 2 in p4; p100 has no room for more until 00:02:04 at least: no node has room"


def test_what_waits_for_a_place_is_told_with_the_time_since_when():
    world = cluster(p100=1, p4=9)
    assert world.run(3, 10).why == "3 in p100; 2 of 3 in p100 have had no place since 00:00:04: no node has room"


def test_what_kubernetes_refuses_to_create_goes_to_the_next_pool_at_once():
    world = cluster(p100=1, p4=9)
    world.refuses = True
    world.tick(3)
    assert world.tick(3).asked == {"p100": 1, "p4": 2}


def test_two_pools_out_of_stock_are_left_one_after_the_other():
    world = cluster(p100=0, p4=0, t4=9)
    world.run(5, 126)
    assert world.asked == {"p100": 0, "p4": 0, "t4": 5}


def test_a_pool_that_ran_out_gets_nothing_that_is_needed_while_it_is_on_trial():
    world = cluster(p100=0, p4=9)
    world.run(2, 120)
    world.run(3, 10)  # the pause is over, nothing has been tried yet
    assert world.tick(6).asked == {"p100": 0, "p4": 6}


def test_the_pause_doubles_up_to_half_an_hour_while_the_pool_stays_out():
    world = cluster(p100=0, p4=9)
    world.run(1, 4 * 3600, 10.0)
    tries = [
        at_s
        for (at_s, now), (_, before) in zip(world.history[1:], world.history, strict=False)
        if now["p100"] > before["p100"]
    ]
    pauses = [later - sooner for sooner, later in pairwise(tries)]
    assert pauses[:4] == sorted(pauses[:4])
    assert max(pauses) <= LONGEST_PAUSE_S + 3 * SPILL_S
    assert pauses[-1] >= LONGEST_PAUSE_S
    assert len(tries) <= 13


def test_a_pool_whose_trouble_is_long_over_is_the_first_choice_again():
    world = cluster(p100=0, p4=9)
    world.run(1, 64)
    world.run(0, 130)
    assert world.tick(1).asked == {"p100": 1, "p4": 0}


def test_a_replica_that_lost_its_place_in_a_closed_pool_goes_to_the_next_one_too():
    world = cluster(p100=2, p4=9)
    world.run(3, 64)
    world.stock["p100"] = 1
    del world.placed["p100"][1:]
    world.run(3, 64)
    assert world.asked == {"p100": 1, "p4": 2}


# Rule 5: which go first.


@pytest.mark.parametrize(
    ("states", "asked"),
    [
        ([state("p100", 2), state("p4", 2)], {"p100": 2, "p4": 1}),
        ([state("p100", 2, 1), state("p4", 2)], {"p100": 1, "p4": 2}),
        ([state("p100", 2, busy=1), state("p4", 2, busy=2)], {"p100": 1, "p4": 2}),
        ([state("p100", 2, busy=2), state("p4", 2, busy=2)], {"p100": 2, "p4": 1}),
    ],
    ids=["the least wanted pool", "not ready", "idle", "all are busy"],
)
def test_if_the_number_falls_what_serves_nobody_goes_first_then_the_least_wanted_pool(states, asked):
    assert placement("p100", "p4").place(3, states, 0.0).asked == asked


# Rule 6: moving.


def moved_after_a_shortage():
    world = cluster(p100=0, p4=9)
    world.run(2, 64)
    world.stock["p100"] = 9
    return world


def test_replicas_move_back_one_at_a_time_and_the_sum_is_never_below_the_total():
    world = moved_after_a_shortage()
    world.run(2, 300)
    assert world.asked == {"p100": 2, "p4": 0}
    sums = {sum(asked.values()) for _, asked in world.history}
    assert sums == {2, 3}


def test_a_busy_replica_is_not_moved_before_it_is_idle():
    world = moved_after_a_shortage()
    world.busy = {"p4": 2}
    placed = world.run(2, 300)
    assert placed.asked == {"p100": 1, "p4": 2}
    assert "one more starts in p100 before another pool gives one up" in placed.why
    world.busy = {"p4": 1}
    assert world.tick(2).asked == {"p100": 1, "p4": 1}


def test_a_replica_that_gets_a_request_before_it_leaves_is_waited_for_and_the_better_pool_gives_none_up():
    world = moved_after_a_shortage()
    world.run(2, 64)
    while world.tick(2).asked != {"p100": 1, "p4": 1}:
        assert world.asked == {"p100": 1, "p4": 2}

    # The target has found it busy, and wrote nothing.
    for _ in range(5):
        world.asked["p4"], world.placed["p4"], world.busy = 2, [-1e9] * 2, {"p4": 2}
        assert world.tick(2).asked == {"p100": 1, "p4": 2}

    world.busy = {}
    assert world.tick(2).asked == {"p100": 1, "p4": 1}


def test_a_move_into_a_pool_without_room_ends_with_spill_after():
    world = moved_after_a_shortage()
    world.stock["p100"] = 0
    world.run(2, 400)
    assert sum(world.asked.values()) in {2, 3}
    assert world.asked["p4"] == 2


def test_a_replica_that_never_becomes_ready_ends_its_move_after_half_an_hour():
    world = moved_after_a_shortage()
    world.run(2, 70)
    assert world.asked == {"p100": 1, "p4": 2}
    world.cold_start_s = 1e9
    world.placed["p4"] = [-1e9] * 2
    world.run(2, LONGEST_PAUSE_S)
    assert world.asked == {"p100": 0, "p4": 2}


def test_a_move_in_which_the_number_falls_gives_up_what_is_starting():
    world = moved_after_a_shortage()
    world.run(2, 64)
    assert world.asked == {"p100": 1, "p4": 2}
    assert world.tick(1).asked == {"p100": 0, "p4": 1}


def test_the_replica_of_a_move_does_not_count_as_asked_for():
    world = moved_after_a_shortage()
    world.run(2, 64)
    assert world.places.spare(world.states()) == 1
    assert world.places.spare([state("p100", 3), state("p4", 3)]) == 0


def test_nothing_moves_where_the_caller_allows_no_more():
    world = moved_after_a_shortage()
    world.run(2, 4)
    seen = world.states()
    for seconds in range(100):
        assert world.places.place(2, seen, world.now_s + seconds, may_exceed=False).asked == {"p100": 0, "p4": 2}
    assert world.places.is_move_due
    assert world.places.place(2, seen, world.now_s + 100.0).asked == {"p100": 1, "p4": 2}


# Rule 7: nowhere.


def test_if_no_pool_has_room_the_rest_waits_in_the_first_one():
    world = cluster(p100=1, p4=1)
    placed = world.run(5, 400)
    assert sum(placed.asked.values()) == 5
    world.stock["p4"] = 9
    world.run(5, 2000)
    assert sum(world.ready().values()) == 5


# Rule 8: a reserve.


def reserve():
    return Cluster({"p100": 9, "p4": 9}, placement("p100", Pool("p4", min_replicas=1)))


def test_the_reserve_is_what_runs_at_rest():
    world = reserve()
    assert world.tick(1).asked == {"p100": 0, "p4": 1}


def test_the_reserve_answers_first_and_goes_when_the_better_pool_has_taken_over():
    world = reserve()
    world.run(1, 60)
    assert world.tick(3).asked == {"p100": 2, "p4": 1}
    world.run(3, 300)
    assert world.asked == {"p100": 3, "p4": 0}


def test_the_reserve_is_back_before_the_last_of_the_better_pool_goes():
    world = reserve()
    world.run(3, 300)
    assert world.tick(1).asked == {"p100": 1, "p4": 0}
    world.run(1, 64)
    assert world.asked == {"p100": 1, "p4": 1}
    world.run(1, 300)
    assert world.asked == {"p100": 0, "p4": 1}


# State.


def test_what_is_remembered_survives_a_restart():
    world = cluster(p100=0, p4=9)
    world.run(2, 64)
    continued = placement("p100", "p4")
    continued.restore(json.loads(json.dumps(world.places.export())))
    for _ in range(200):
        world.now_s += 2.0
        seen = world.states()
        assert continued.place(2, seen, world.now_s) == world.places.place(2, seen, world.now_s)


def test_a_state_of_other_pools_is_taken_for_those_that_are_left():
    world = cluster(p100=0, p4=9)
    world.run(2, 64)
    continued = placement("p100", "a10")
    continued.restore(world.places.export())
    assert continued.place(2, [], world.now_s).asked == {"p100": 0, "a10": 2}


def test_a_state_of_another_version_is_refused():
    with pytest.raises(ValueError, match="Placement: version 9"):
        placement("p100").restore({"version": 9})


def test_the_time_at_which_a_pool_opens_is_known_before():
    world = cluster(p100=0, p4=9)
    assert world.places.next_change_s(0.0) == float("inf")
    world.run(1, 64)
    assert world.places.next_change_s(64.0) == 64.0 + SPILL_S
    assert world.places.next_change_s(124.0) == 124.0 + SPILL_S
    assert world.places.next_change_s(184.0) == float("inf")


# All together.


@st.composite
def worlds(draw):
    """Draw pools with reserves and maxima, and what happens to them."""
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    least = [draw(st.sampled_from([0, 0, 0, 1])) for _ in names]
    pools = [
        Pool(name, low, draw(st.none() | st.integers(max(low, 1), 4))) for name, low in zip(names, least, strict=True)
    ]
    places = Placement(pools, spill_after_s=draw(st.sampled_from([4.0, 60.0])))
    world = Cluster({name: draw(st.integers(0, 6)) for name in names}, places, draw(st.sampled_from([0.0, 20.0])))
    world.refuses = draw(st.booleans())
    return world, pools


@settings(max_examples=40)
@given(worlds(), st.data())
def test_whatever_runs_out_the_sum_is_the_total_and_no_ready_replica_is_lost_but_for_a_better_one(made, data):
    world, pools = made
    room = sum(10**9 if pool.max_replicas is None else pool.max_replicas for pool in pools)
    moves = 0
    for _ in range(data.draw(st.integers(1, 8))):
        total = data.draw(st.integers(0, 6))
        for name in world.stock:
            world.stock[name] = data.draw(st.sampled_from([0, 2, world.stock[name]]))
        before = sum(world.asked.values())
        for _ in range(data.draw(st.sampled_from([1, 5, 40, 120]))):
            ready = sum(world.ready().values())
            asked = world.tick(total, 4.0).asked
            assert sum(asked.values()) - min(total, room) in (0, 1)
            assert all(asked[p.name] <= (10**9 if p.max_replicas is None else p.max_replicas) for p in pools)
            moves += sum(asked.values()) == total + 1
            if before <= total:
                assert sum(world.ready().values()) >= min(ready, total)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5), st.sampled_from([5, 20, 120])), min_size=1, max_size=6))
def test_no_pool_is_tried_again_before_its_pause_is_over(story):
    world = cluster(p100=0, p4=10**6)
    closed_s, pause_s, kept = None, 0.0, 0
    for stock, total, ticks in story:
        world.stock["p100"] = stock
        for _ in range(ticks):
            before = dict(world.asked)
            world.tick(total, 5.0)
            if closed_s is not None and world.asked["p100"] > max(kept, before["p100"]):
                assert world.now_s >= closed_s + SPILL_S, "tried again within its first pause"
            opens_s = world.places.export()["pools"]["p100"]["opens_s"]
            if opens_s > world.now_s:
                pause = world.places.export()["pools"]["p100"]
                closed_s, pause_s, kept = opens_s - pause["pause_s"], pause["pause_s"], pause["kept"]
                assert world.asked["p100"] <= kept
    assert pause_s <= LONGEST_PAUSE_S
