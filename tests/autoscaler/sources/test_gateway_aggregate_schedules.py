"""Random schedules of three gateways that join, leave, die, are written out and come back, with lines in any order.

A request is in flight at the gateway of its client. After a gateway is lost, the owner holds the slots of what it ran.
A line has the epoch that its gateway has settled: the one in which the books of its services are whole.
"""

import itertools
import json
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.sources.gateway_aggregate import InflightAggregate

SERVICE = "ns/a"
NAMES = ("a", "b", "c")
PODS = ("p", "q")
SILENT_S = 3.0


class Holder(NamedTuple):
    """One process of a gateway."""

    name: str
    life: int


class Sent(NamedTuple):
    """A line under way: what it says, and the requests that its gateway had in flight then."""

    line: bytes
    holder: Holder
    own: frozenset[int]
    sent_s: float


class World:
    def __init__(self):
        self.now_s = 0.0
        self.epoch = 1
        self.rosters: dict[int, dict[str, Holder]] = {1: {"a": Holder("a", 0)}}
        self.lives = dict.fromkeys(NAMES, 0)
        self.alive = {"a"}
        self.settled = {"a": 1}
        self.running: dict[int, tuple[Holder, str]] = {}
        self.waiting: dict[int, Holder] = {}
        self.number = 0
        self.pipes: dict[str, list[Sent]] = {name: [] for name in NAMES}
        self.was_in_flight: dict[int, list[float]] = {}
        """From when until when a request was in flight; the end is infinite while it is."""
        self.taken: dict[str, Sent] = {}
        self.aggregate = InflightAggregate(SILENT_S, 60)
        for name in NAMES:
            self.aggregate.add(name)
            self.aggregate.connected(name)

    @property
    def members(self):
        return self.rosters[self.epoch]

    def holder(self, name):
        return Holder(name, self.lives[name])

    def write(self, members):
        self.epoch += 1
        self.rosters[self.epoch] = members

    # What happens.

    def arrive(self, name, _pod):
        if name in self.alive:
            self.number += 1
            self.waiting[self.number] = self.holder(name)
            self.was_in_flight[self.number] = [self.now_s, float("inf")]

    def start(self, name, pod):
        """A member starts its oldest waiting request, by a grant in the present epoch."""
        own = [each for each, holder in self.waiting.items() if holder == self.holder(name)]
        if own and name in self.alive and self.settled.get(name) == self.epoch and name in self.members:
            self.running[own[0]] = (self.waiting.pop(own[0]), pod)

    def end(self, name, pod):
        """A running request ends: at its gateway, or for a dead one when the owner releases its slot."""
        for request, (holder, where) in list(self.running.items()):
            if where == pod and holder.name == name:
                del self.running[request]
                self.was_in_flight[request][1] = self.now_s
                return

    def abandon(self, name, _pod):
        for request, holder in list(self.waiting.items()):
            if holder.name == name:
                del self.waiting[request]
                self.was_in_flight[request][1] = self.now_s
                return

    def die(self, name, _pod):
        if name in self.alive:
            self.alive.discard(name)
            self.settled.pop(name, None)
            for request, holder in list(self.waiting.items()):
                if holder == self.holder(name):
                    del self.waiting[request]
                    self.was_in_flight[request][1] = self.now_s

    def come(self, name, _pod):
        """A new process with this name joins."""
        if name not in self.alive:
            self.alive.add(name)
            self.lives[name] += 1
            self.pipes[name].clear()
            self.aggregate.connected(name)
        if self.members.get(name) != self.holder(name):
            self.write({**self.members, name: self.holder(name)})

    def write_out(self, name, _pod):
        """The others write it out: it died, said goodbye, or they only believe that it is lost."""
        if name in self.members and self.alive & (self.members.keys() - {name}):
            self.write({key: holder for key, holder in self.members.items() if key != name})

    def settle(self, name, _pod):
        """It knows the present roster, and the books of its services are whole."""
        if name in self.alive:
            self.settled[name] = self.epoch

    def report(self, name, _pod):
        """Send a line."""
        if name not in self.alive:
            return
        holder, epoch = self.holder(name), self.settled.get(name, 0)
        roster = self.rosters.get(epoch, {})
        own = [request for request, each in self.waiting.items() if each == holder]
        runs = [(request, pod) for request, (each, pod) in self.running.items() if each == holder]
        pods = {pod: sum(where == pod for _, where in runs) for pod in PODS}
        lost = [pod for each, pod in self.running.values() if each not in roster.values()]
        is_owner = roster and name == min(roster)
        count = {
            "queued": len(own),
            "running": len(runs),
            "seconds_total": 0,
            "pods": pods,
            "held": {pod: lost.count(pod) for pod in set(lost)} if is_owner else {},
        }
        line = {
            "gateway": f"{name}-{holder.life}",
            "started": 1.0,
            "at": self.now_s,
            "name": name,
            "epoch": epoch,
            "members": sorted(roster),
            "services": {SERVICE: count},
        }
        in_flight = frozenset([*own, *(request for request, _ in runs)])
        self.pipes[name].append(Sent(json.dumps(line).encode(), holder, in_flight, self.now_s))

    def deliver(self, name, _pod):
        if self.pipes[name]:
            self.taken[name] = sent = self.pipes[name].pop(0)
            self.aggregate.take(name, sent.line, self.now_s)
            self.taken[name] = sent

    def wait(self, _name, _pod):
        self.now_s += 1.0

    # What must hold.

    def check(self):
        reading = self.aggregate.readings([SERVICE], self.now_s)[SERVICE]
        value = reading.value or 0
        oldest_s = min((sent.sent_s for sent in self.taken.values()), default=self.now_s)
        at_some_time = sum(until_s >= oldest_s for _, until_s in self.was_in_flight.values())
        assert value <= at_some_time, "a request counts twice"
        if reading.value is not None and not reading.problem:
            assert value >= len(self.sure()), "a request does not count"

    def sure(self):
        """The requests in flight now that the newest lines of their gateways, or of the owner, must include."""
        own = {request for name, sent in self.taken.items() if name in self.members for request in sent.own}
        lost = {request for request, (holder, _) in self.running.items() if holder not in self.members.values()}
        newest = {name: sent.sent_s for name, sent in self.taken.items()}
        held_since_s = min((newest.get(name, 0.0) for name in self.members), default=0.0)
        running_long = {request for request in lost if self.was_in_flight[request][0] < held_since_s}
        still = self.running.keys() | self.waiting.keys()
        return (own | running_long) & still

    def everybody_reports(self, _name, _pod):
        """Every gateway settles and reports, and every line arrives."""
        for action in (self.settle, self.report):
            for name in NAMES:
                action(name, "")
        self.deliver_all()

    def deliver_all(self):
        for name in NAMES:
            while self.pipes[name]:
                self.deliver(name, "")


ACTIONS = ("end", "abandon", "die", "come", "write_out", "wait", "everybody_reports")
LIKELY = ("arrive", "start", "settle", "report", "deliver", "deliver")
steps = st.tuples(st.sampled_from([*ACTIONS, *LIKELY]), st.sampled_from(NAMES), st.sampled_from(PODS))


def run(schedule):
    """Begin with three members that run requests."""
    world = World()
    for name in NAMES:
        world.come(name, "")
    world.everybody_reports("", "")
    for name, pod in itertools.product(NAMES, PODS):
        world.arrive(name, "")
        world.start(name, pod)
    world.now_s += 0.5
    world.everybody_reports("", "")
    for action, name, pod in schedule:
        getattr(world, action)(name, pod)
        world.check()
    return world


@settings(max_examples=250)
@given(st.lists(steps, max_size=60))
def test_a_whole_sum_lacks_no_request_and_no_sum_counts_one_twice(schedule):
    run(schedule)


@settings(max_examples=250)
@given(st.lists(steps, max_size=60))
def test_a_sum_is_exact_when_all_members_live_and_every_line_has_arrived(schedule):
    world = run(schedule)
    for name in sorted(world.members.keys() - world.alive):
        world.write_out(name, "")
    world.deliver_all()
    world.now_s += SILENT_S + 1
    world.everybody_reports("", "")
    reading = world.aggregate.readings([SERVICE], world.now_s)[SERVICE]
    if world.members.keys() <= world.alive:
        assert reading.problem == ""
        assert reading.value == len(world.running) + len(world.waiting)
        running = [pod for _, pod in world.running.values()]
        counts = {pod: n for pod, n in world.aggregate.pods(SERVICE, world.now_s).items() if n}
        assert counts == {pod: running.count(pod) for pod in set(running)}
