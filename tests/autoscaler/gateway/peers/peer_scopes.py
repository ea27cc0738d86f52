"""What is explored: small scopes to their end in each run of the tests, larger ones by `make explore-gateways`.

The service is the one that `b` owns, of `a` and `b` and of all three. So a request of `a` is claimed.
"""

from dataclasses import replace

from peer_states import Scope

ANYTHING = ("break", "refusal", "crash", "restart", "pause", "cut", "slow", "away", "unanswered", "refuse", "abort")
NETWORK = ("break", "refusal", "cut")

SMALL = (
    Scope("no fault", ticks=4),
    Scope("two pods", ticks=1, pods=("p0", "p1"), requests=("a", "a", "b")),
    Scope("clients and pods", faults=("abort", "refuse"), budget=2, ticks=1),
    Scope("the store", faults=("away", "unanswered"), budget=1, ticks=2),
    Scope("a crash", faults=("crash",), budget=1, ticks=1),
    Scope("a broken connection", faults=("break", "refusal"), budget=1, ticks=1, requests=("a",)),
    Scope("a newcomer", later=("b",), ticks=0),
    Scope("an owner leaves", leavers=("b",), ticks=0),
    Scope("a taker leaves", leavers=("a",), ticks=0),
)
"""Explored to the end."""

LARGE = (
    Scope("no fault, long", ticks=12),
    Scope("three requests", requests=("a", "b", "a"), ticks=4),
    Scope("clients and pods, long", faults=("abort", "refuse"), budget=2, ticks=4),
    Scope("the store, long", faults=("away", "unanswered"), budget=2, ticks=4),
    Scope("a crash, long", faults=("crash",), budget=1, ticks=9),
    Scope("a crash and a restart", faults=("crash", "restart"), in_turn=True, budget=2, ticks=8),
    Scope("the owner is paused", faults=("pause",), budget=1, ticks=8),
    Scope("a broken connection, long", faults=NETWORK, budget=1, ticks=6),
    Scope("two faults of the network", faults=NETWORK, budget=2, ticks=4),
    Scope("a pause and a slow clock", faults=("pause", "slow"), in_turn=True, budget=2, ticks=8),
    Scope("refused, paused, slow", faults=("refusal", "pause", "slow"), in_turn=True, budget=3, ticks=6),
    Scope("a newcomer and a fault", later=("b",), faults=ANYTHING, budget=1, ticks=4),
    Scope("an owner leaves and a fault", leavers=("b",), faults=ANYTHING, budget=1, ticks=4),
    Scope("a taker leaves and a fault", leavers=("a",), faults=ANYTHING, budget=1, ticks=4),
    Scope("any fault", faults=ANYTHING, budget=1, ticks=8),
    Scope("any two faults", faults=ANYTHING, budget=2, ticks=8),
)
"""Explored as far as there is time."""

TWO = Scope(
    "two gateways",
    pods=("p0", "p1"),
    requests=("a", "b") * 30,
    leavers=("a",),
    faults=ANYTHING,
    budget=10**6,
    ticks=10**6,
)
THREE = Scope(
    "three gateways",
    gateways=("a", "b", "c"),
    later=("c",),
    leavers=("a", "b"),
    pods=("p0", "p1"),
    requests=("a", "b", "c") * 30,
    faults=ANYTHING,
    budget=10**6,
    ticks=10**6,
)
FOUR = replace(
    THREE, name="four gateways", gateways=("a", "b", "c", "d"), later=("c", "d"), requests=("a", "b", "c", "d") * 30
)
WALKS = (TWO, THREE, FOUR)
"""Walked at random."""
