"""A gateway's stream falls silent, is garbled, and comes from a gateway that was killed and started again.

Of two services Prometheus counts one as well: that one is followed on, only not as fast. Of the other one nothing is
known meanwhile, and its number is held.
"""

import asyncio

import pytest
from fault_kit import Prometheus, installed, known, together, unknown
from fault_proxy import Garbled, Silent

pytestmark = [pytest.mark.program, pytest.mark.real_time]

CLIENTS = 2
UNKNOWN_S = 8
"""Longer than the window of 6 s after which a count of zero would have ended every pod."""
COUNTED, UNCOUNTED = "Prometheus counts it too", "only the stream counts it"
FAULTS = {"falls silent": (Silent(), "no line for 3 s"), "is garbled": (Garbled(), "a line that is not of this format")}
KILLED = "comes from a gateway that was killed"


async def story(control_plane, folder, binary):
    """Give the ledgers, and for each fault how the replicas went from its beginning to its end."""
    async with installed(control_plane, folder, [COUNTED, UNCOUNTED]) as it:
        (gateway,), services = it.gateways, it.services.values()
        prometheus = Prometheus(binary, folder / "prometheus", gateway.scraped)
        async with prometheus.started():
            await it[COUNTED].install(prometheus=prometheus.url)
            await it[UNCOUNTED].install()
            await all_served(it)
            went = {fault: await watched(it, deaf(it, *FAULTS[fault])) for fault in FAULTS}
            gateway.stream.heal()
            gateway.stream.drop()
            await together(service.replicas_are(0) for service in services)
            await all_served(it)
            went[KILLED] = await watched(it, killed(it))
            await together(service.replicas_are(0) for service in services)
    return {name: service.ledger for name, service in it.services.items()}, went


async def all_served(it):
    for service in it.services.values():
        service.start_load(CLIENTS)
    await together(service.serves(CLIENTS) for service in it.services.values())
    await together(service.answered(CLIENTS) for service in it.services.values())


async def watched(it, fault):
    """Give how the replicas of each service go during a fault."""
    seen = {name: len(service.ledger.replicas) - 1 for name, service in it.services.items()}
    await fault
    return {name: service.ledger.replicas[seen[name] :] for name, service in it.services.items()}


async def deaf(it, act, words):
    """Spoil the stream, and end the load; the service that Prometheus counts goes to zero, and up again."""
    it.gateways[0].stream.heal()
    it.gateways[0].stream.does(act)

    def for_this_reason(record):
        return unknown(record) and words in record["observation"]["problem"]

    await it[UNCOUNTED].decided(for_this_reason)
    await together(service.stop_load() for service in it.services.values())
    await together([it[COUNTED].replicas_are(0), it[UNCOUNTED].decided(for_this_reason, UNKNOWN_S)])
    await it[COUNTED].one()


async def killed(it):
    """Kill the gateway under load, and start it again at the same place; its clients come back."""
    it.gateways[0].kill()
    await it[UNCOUNTED].decided(unknown)
    it.gateways[0].start()
    await together(service.answered(2 * CLIENTS) for service in it.services.values())
    await together(service.decided(known, UNKNOWN_S) for service in it.services.values())
    went = [list(service.ledger.replicas) for service in it.services.values()]
    assert [replicas[-1] for replicas in went] == [CLIENTS, CLIENTS]
    await together(service.stop_load() for service in it.services.values())


@pytest.fixture(scope="module")
def told(control_plane, tmp_path_factory, prometheus_binary):
    return asyncio.run(story(control_plane, tmp_path_factory.mktemp("gateway"), prometheus_binary))


def test_every_request_is_accounted_for_and_every_change_of_replicas_explained(told):
    ledgers, _ = told
    for ledger in ledgers.values():
        ledger.settle((0, "broken"))
        broken = [request for request in ledger.requests if request.status == 0]
        assert broken, "the gateway was killed while it served"
        assert all(len(ledger.runs[request.name]) <= 1 for request in broken)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_only_the_stream_counts_is_held_while_it(told, fault):
    ledgers, went = told
    assert went[fault][UNCOUNTED] == [CLIENTS]
    problems = {record["observation"]["problem"] for record in ledgers[UNCOUNTED].records if unknown(record)}
    assert any(FAULTS[fault][1] in problem for problem in problems), problems


@pytest.mark.parametrize("fault", FAULTS)
def test_what_prometheus_counts_goes_to_zero_and_wakes_while_the_stream(told, fault):
    _, went = told
    assert went[fault][COUNTED][-2:] == [0, 1]


@pytest.mark.parametrize("service", [COUNTED, UNCOUNTED])
def test_nothing_falls_while_a_gateway_is_killed_and_started_again_and_counts_from_nothing(told, service):
    _, went = told
    assert went[KILLED][service][0] == CLIENTS
    assert min(went[KILLED][service]) == CLIENTS
