"""Names that are looked up: once for all who ask, each by itself, and never by more threads than there may be."""

import asyncio
import socket
import threading

import pytest
from gateway_kit import in_time, until

from autoscaler.gateway.http import resolver as module
from autoscaler.gateway.http.resolver import MOST_LOOKUPS, Names

pytestmark = pytest.mark.real_time


class Resolver:
    """Answers as `getaddrinfo` does; names that begin with `slow` wait until the test lets them go."""

    def __init__(self):
        self.addresses = {}
        self.asked = []
        self.go_on = threading.Event()
        self._lock = threading.Lock()
        self.waiting = 0

    def __call__(self, host, _port, *, type):  # noqa: A002
        with self._lock:
            self.asked.append(host)
            self.waiting += host.startswith("slow")
        if host.startswith("slow"):
            self.go_on.wait(30)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in self.addresses[host]]


@pytest.fixture
def resolver():
    made = Resolver()
    yield made
    made.go_on.set()


async def test_many_who_ask_at_once_and_soon_after_are_one_lookup(resolver):
    resolver.addresses["pod.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
    names = Names(resolver)
    for _ in range(2):
        found = await asyncio.gather(*(names.addresses("pod.test") for _ in range(100)))
        assert set(found) == {("127.0.0.1", "127.0.0.2")}
    assert resolver.asked == ["pod.test"]


async def test_a_name_is_looked_up_again_after_a_while_and_when_it_is_forgotten(resolver, monkeypatch):
    resolver.addresses["pod.test"] = ["127.0.0.1"]
    names = Names(resolver)
    await names.addresses("pod.test")
    resolver.addresses["pod.test"] = ["127.0.0.2"]
    assert await names.addresses("pod.test") == ("127.0.0.1",)
    names.forget("pod.test")
    assert await names.addresses("pod.test") == ("127.0.0.2",)
    monkeypatch.setattr(module, "GOOD_FOR_S", 0.0)
    names.forget("pod.test")
    await names.addresses("pod.test")
    await names.addresses("pod.test")
    assert len(resolver.asked) == 4


async def test_names_that_hang_delay_no_other_and_take_no_more_threads_than_there_may_be(resolver):
    resolver.addresses["quick.test"] = ["127.0.0.1"]
    names = Names(resolver)
    for _ in range(10):
        for number in range(MOST_LOOKUPS - 1):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await names.addresses(f"slow{number}.test")
    assert await in_time(names.addresses("quick.test")) == ("127.0.0.1",)
    assert resolver.waiting == MOST_LOOKUPS - 1
    more = [asyncio.ensure_future(names.addresses(f"slow{number}.more")) for number in range(10)]
    await until(lambda: resolver.waiting == MOST_LOOKUPS)
    resolver.go_on.set()
    assert all(isinstance(found, OSError) for found in await asyncio.gather(*more, return_exceptions=True))


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "", "a\0b", "unknown.test"])
async def test_what_is_no_name_has_no_address_and_is_an_error_of_the_network(host):
    def lookup(name, port, *, type):  # noqa: A002
        if name == "unknown.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return socket.getaddrinfo(name or "\0", port, type=type)

    with pytest.raises(OSError, match="cannot be looked up"):
        await Names(lookup).addresses(host)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_an_address_is_not_looked_up(address, resolver):
    assert await Names(resolver).addresses(address) == (address,)
    assert resolver.asked == []
