"""Names that are looked up: once for all who ask, each by itself, and never by more threads than there may be."""

import asyncio
import socket

import pytest
from gateway_kit import in_time, until

from autoscaler.gateway.http import resolver as module
from autoscaler.gateway.http.resolver import MOST_LOOKUPS, Resolver

pytestmark = pytest.mark.real_time


async def test_many_requests_for_a_name_at_once_and_soon_after_are_one_lookup(name_server):
    name_server.addresses["pod.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
    resolver = Resolver(name_server)
    for _ in range(2):
        found = await asyncio.gather(*(resolver.addresses("pod.test") for _ in range(100)))
        assert set(found) == {("127.0.0.1", "127.0.0.2")}
    assert name_server.asked == ["pod.test"]


async def test_a_name_is_looked_up_again_after_a_while_and_when_it_is_forgotten(name_server, monkeypatch):
    name_server.addresses["pod.test"] = ["127.0.0.1"]
    resolver = Resolver(name_server)
    await resolver.addresses("pod.test")
    name_server.addresses["pod.test"] = ["127.0.0.2"]
    assert await resolver.addresses("pod.test") == ("127.0.0.1",)
    resolver.forget("pod.test")
    assert await resolver.addresses("pod.test") == ("127.0.0.2",)
    monkeypatch.setattr(module, "GOOD_FOR_S", 0.0)
    resolver.forget("pod.test")
    await resolver.addresses("pod.test")
    await resolver.addresses("pod.test")
    assert len(name_server.asked) == 4


async def test_names_that_hang_delay_no_other_and_take_no_more_threads_than_there_may_be(name_server):
    name_server.addresses["quick.test"] = ["127.0.0.1"]
    resolver = Resolver(name_server)
    for _ in range(10):
        for number in range(MOST_LOOKUPS - 1):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await resolver.addresses(f"slow{number}.test")
    assert await in_time(resolver.addresses("quick.test")) == ("127.0.0.1",)
    assert name_server.waiting == MOST_LOOKUPS - 1
    more = [asyncio.ensure_future(resolver.addresses(f"slow{number}.more")) for number in range(10)]
    await until(lambda: name_server.waiting == MOST_LOOKUPS)
    name_server.go_on.set()
    assert all(isinstance(found, OSError) for found in await asyncio.gather(*more, return_exceptions=True))


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "", "a\0b", "unknown.test"])
async def test_what_is_no_name_has_no_address_and_is_an_error_of_the_network(host):
    def lookup(name, port, *, type):  # noqa: A002
        if name == "unknown.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return socket.getaddrinfo(name or "\0", port, type=type)

    with pytest.raises(OSError, match="cannot be looked up"):
        await Resolver(lookup).addresses(host)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_an_address_is_not_looked_up(address, name_server):
    assert await Resolver(name_server).addresses(address) == (address,)
    assert name_server.asked == []
