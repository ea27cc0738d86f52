"""The owner of a service quotes the requests of the other gateways' clients."""

import pytest
from group_kit import SERVICE, Group

from autoscaler.gateway.dispatch.backend import COUNT
from autoscaler.gateway.quotes.quotes import FRESH_S, Grade
from autoscaler.gateway.quotes.service_quotes import ServiceQuotes


class Loop:
    """An event loop, as far as quotes use it: the group's time."""

    def __init__(self, group):
        self.time = lambda: group.now_s


class Held(str):
    """A request that is held."""

    __slots__ = ()
    kind = COUNT
    is_held = True


class Quoting:
    """Two gateways that quote: the first owns the service, and a pod of it runs requests of one second."""

    def __init__(self):
        self.group = Group("a", "b")
        self.group.settle()
        owner, (self.taker,) = self.group.owner, self.group.others()
        self.owner = owner
        self.quotes = {name: ServiceQuotes(Loop(self.group), self.share(name), ()) for name in self.group.peers}
        for number in range(20):
            self.group.arrive(owner, f"before-{number}")
            self.group.wait(1.0)
            self.group.finish(f"before-{number}")
        self.group.settle()

    def share(self, name):
        return self.group.peers[name].shares[SERVICE]

    def ask(self, name, request):
        """Ask twice, a moment apart, as a page does that a client looks at."""
        self.quotes[name].quote(request)
        self.group.settle()
        return self.quotes[name].quote(request)


def test_a_gateway_that_does_not_grant_slots_has_the_owners_quote_when_its_client_asks_again():
    world = Quoting()
    for gateway, request in ((world.owner, "running"), (world.owner, "first"), (world.taker, "second")):
        world.group.arrive(gateway, request)
        world.group.settle()
    assert world.quotes[world.taker].quote(Held("second")) is None
    world.group.settle()
    quote = world.quotes[world.taker].quote(Held("second"))
    assert (quote.position, round(quote.p50_s, 6), round(quote.p90_s, 6)) == (2, 2.0, 2.0)
    assert world.ask(world.taker, None).position == 3
    assert world.quotes[world.owner].quote(Held("first")).position == 1


def test_a_promise_is_graded_where_its_client_is():
    world = Quoting()
    for request in ("running", "waiting"):
        world.group.arrive(world.taker, request)
        world.group.settle()
    assert world.ask(world.taker, Held("waiting")).position == 1
    world.group.now_s += 1.001
    world.quotes[world.taker].started("waiting")
    assert world.quotes[world.taker].grade == Grade(0, 1)
    assert world.quotes[world.owner].grade == Grade(0, 0)


def test_the_owner_is_asked_about_a_request_at_most_once_while_an_answer_is_fresh():
    world = Quoting()
    for request in ("running", "waiting"):
        world.group.arrive(world.taker, request)
        world.group.settle()
    world.group.peers[world.taker].out.take()
    for _ in range(5):
        world.quotes[world.taker].quote(Held("waiting"))
    messages, _, _ = world.group.peers[world.taker].out.take()
    assert [each["t"] for each in messages[world.owner]] == ["ask"]
    world.group.now_s += FRESH_S
    world.quotes[world.taker].quote(Held("waiting"))
    messages, _, _ = world.group.peers[world.taker].out.take()
    assert [each["t"] for each in messages[world.owner]] == ["ask"]


@pytest.mark.parametrize("number", [0, 1, 999, 2**52])
def test_a_lie_about_a_quote_reaches_no_request_but_the_one_that_waits(number):
    world = Quoting()
    world.group.arrive(world.taker, "running")
    world.group.settle()
    lie = {"position": 1, "p50": 1.0, "p90": 1.0, "basis": "measured"}
    message = {"t": "quote", "s": SERVICE, "epoch": world.group.peers[world.owner].epoch, "r": number, **lie}
    world.group.peers[world.taker].received(world.owner, message, world.group.now_s)
    world.quotes[world.taker].started("running")
    assert world.quotes[world.taker].grade == Grade(0, 0)


def test_an_owner_that_never_answers_leaves_the_wait_unknown():
    world = Quoting()
    world.share(world.owner).quote_of = None
    for request in ("running", "waiting"):
        world.group.arrive(world.taker, request)
        world.group.settle()
    assert world.ask(world.taker, Held("waiting")) is None
    world.quotes[world.taker].started("waiting")
    assert world.quotes[world.taker].grade == Grade(0, 0)
