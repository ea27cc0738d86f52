"""One connection for each pair of gateways, over real sockets: made, kept, replaced, and ended for a reason."""

import asyncio
import socket

import pytest
from links_kit import ENDED, KEY, LOOPBACK, OTHER_KEY, REFUSED, Gateway, RawPeer, connected, gateways

from autoscaler.gateway.peers.connections import links
from autoscaler.gateway.peers.connections.handshake import HandshakeError

pytestmark = pytest.mark.real_time


def free_port():
    with socket.create_server((LOOPBACK, 0)) as server:
        return server.getsockname()[1]


async def test_each_gateway_is_connected_with_each_whoever_dials():
    a, b, c = Gateway("a"), Gateway("b"), Gateway("c")
    async with gateways(a, b, c):
        a.dial(b, c)
        c.dial(b)
        await connected(a, b, c)


async def test_when_both_dial_at_once_both_keep_the_same_connection():
    all_of_them = [Gateway(name) for name in "abcdef"]
    async with gateways(*all_of_them):
        for one in all_of_them:
            one.dial(*all_of_them)
        await connected(*all_of_them)
        for one in all_of_them:
            for other in all_of_them:
                assert one is other or len(one.links._all) == len(all_of_them) - 1


async def test_a_newcomer_with_a_higher_name_that_nobody_knows_gets_in_touch():
    a, z = Gateway("a"), Gateway("z")
    async with gateways(a, z):
        z.dial(a)
        await connected(a, z)


async def test_the_way_of_the_higher_name_is_not_used_while_the_lower_one_dials(caplog):
    a, z = Gateway("a"), Gateway("z")
    async with gateways(a, z):
        a.links.dial({"z": f"{LOOPBACK}:{free_port()}"})
        z.dial(a)
        await z.until_dials(3)
        assert a.told == z.told == []
        a.dial(z)
        await connected(a, z)
    assert "peer a at" not in caplog.text


async def test_who_comes_late_is_dialled_as_soon_as_it_says_that_it_is_there(monkeypatch):
    monkeypatch.setattr(links, "FIRST_PAUSE_S", 1000.0)
    monkeypatch.setattr(links, "LONGEST_PAUSE_S", 1000.0)
    a, z = Gateway("a"), Gateway("z")
    port = free_port()
    async with gateways(a):
        a.links.dial({"z": f"{LOOPBACK}:{port}"})
        await a.until_dials(1)
        await z.links.listen(LOOPBACK, port)
        z.dial(a)
        await connected(a, z)
        await z.links.close()


async def test_messages_come_in_order_and_those_of_one_send_in_one_write():
    a, b = Gateway("a"), Gateway("b")
    async with gateways(a, b):
        a.dial(b)
        await connected(a, b)
        for number in range(50):
            a.links.send("b", [{"t": "n", "n": 3 * number + more} for more in range(3)])
        b.links.send("a", [{"t": "n", "text": "é\n" * 100_000}])
        await b.until(lambda: b.messages("a")[-1].get("n") == 149)
        assert [each["n"] for each in b.messages("a") if each["t"] == "n"] == list(range(150))
        await a.until(lambda: a.messages("b")[-1] == {"t": "n", "text": "é\n" * 100_000})


async def test_what_is_said_when_a_connection_is_made_arrives():
    a, b = Gateway("a"), Gateway("b")
    tell = b._tell

    def greet(*news):
        tell(*news)
        if news[0] == "connected":
            b.links.send("a", [{"t": "report", "text": "x" * 500_000}])

    b._tell = greet
    async with gateways(a, b):
        a.dial(b)
        await a.until(lambda: a.messages("b"))
        assert a.messages("b") == [{"t": "report", "text": "x" * 500_000}]


async def test_nothing_is_sent_to_whom_there_is_no_connection():
    a = Gateway("a")
    async with gateways(a):
        a.links.send("b", [{"t": "lost"}])
        assert a.told == []


async def test_a_message_that_is_too_long_for_a_line_is_an_error_at_its_sender():
    a, b = Gateway("a", longest_line=1000), Gateway("b")
    async with gateways(a, b):
        a.dial(b)
        await connected(a, b)
        with pytest.raises(ValueError, match=r"a message has 20.. bytes; 1000 are legal"):
            a.links.send("b", [{"t": "x" * 2000}])
        a.links.send("b", [{"t": "x" * 400} for _ in range(10)])
        await b.until(lambda: len(b.messages("a")) >= 10)


async def test_a_process_that_is_gone_is_told_of_by_both_sides_of_the_dial():
    a, b, c = Gateway("a"), Gateway("b"), Gateway("c")
    async with gateways(a, b, c):
        for each in (a, b, c):
            each.dial(a, b, c)
        await connected(a, b, c)
        await b.links.close()
        for other in (a, c):
            await other.told_so("disconnected", "b", REFUSED)
            assert [news[2] for news in other.told if news[:2] == ("disconnected", "b")][-2:] == [False, True]
        assert a.is_connected(c)


async def test_a_peer_that_was_never_connected_is_not_told_of():
    a, b = Gateway("a"), Gateway("b")
    async with gateways(a, b):
        a.links.dial({"gone": f"{LOOPBACK}:{free_port()}", "b": b.address})
        await connected(a, b)
        await a.until_dials(3)
        assert not [news for news in a.told if news[1] == "gone"]


async def test_a_new_life_at_the_same_address_is_connected_again():
    a, old = Gateway("a"), Gateway("b", life="old")
    new = Gateway("b", life="new")
    async with gateways(a, old):
        a.dial(old)
        await connected(a, old)
        port = old.links.port
        await old.links.close()
        await a.told_so("disconnected", "b", ENDED)
        await new.links.listen(LOOPBACK, port)
        await connected(a, new)
        await new.links.close()


async def test_a_newer_connection_takes_the_place_of_the_older_one(caplog):
    a = Gateway("a")
    async with gateways(a):
        first, second = await RawPeer.at(a), await RawPeer.at(a)
        await first.meet(a, "b", life="one")
        await a.told_so("connected", "b", "one")
        await second.meet(a, "b", life="two")
        await a.told_so("connected", "b", "two")
        first.writer.write(b'0\n{"t":"late"}\n')
        await first.closed()
        second.writer.write(b'0\n{"t":"now"}\n')
        await a.told_so("message", "b", {"t": "now"})
        assert a.told == [
            ("connected", "b", "one"),
            ("disconnected", "b", False),
            ("connected", "b", "two"),
            ("message", "b", {"t": "now"}),
        ]
        second.writer.close()
    assert "peer b: is connected in another life now" in caplog.text


async def test_no_message_is_delivered_after_the_one_that_was_malformed(caplog):
    a = Gateway("a")
    a.malformed = {"t": "bad"}
    async with gateways(a):
        for _ in range(3):
            peer = await RawPeer.at(a)
            await peer.meet(a, "b")
            peer.writer.write(b'0\n{"t":"good"}\n{"t":"bad"}\n{"t":"after"}\n')
            await peer.closed()
    assert a.messages("b") == [{"t": "good"}] * 3
    assert caplog.text.count("peer b: disconnected: what is that") == 1


async def test_an_error_of_our_own_in_a_message_ends_the_connection_as_well():
    a, errors = Gateway("a"), []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context["exception"]))
    a.links._on_message = lambda _peer, message: message["missing"]
    async with gateways(a):
        peer = await RawPeer.at(a)
        await peer.meet(a, "b")
        peer.writer.write(b'0\n{"t":"any"}\n{"missing":1}\n')
        await peer.closed()
        await a.told_so("disconnected", "b", ENDED)
    assert [type(error) for error in errors] == [KeyError]


@pytest.mark.parametrize(
    ("nonsense", "why"),
    [
        (b"what\n", "JSON is malformed"),
        (b"[1]\n", "lines are missing, or what came is no message"),
        (b"true\n", "lines are missing"),
        (b"\xff\xfe\n", "malformed"),
        (b"[" * 100_000 + b"\n", "recursion"),
        (b"x" * 1_100_000, "a line has more than 1048576 bytes"),
        (b'1\n{"t":"a"}\n', "lines are missing"),
        (b'0\n{"t":"a"}\n{"t":"b"}\n1\n', "lines are missing"),
    ],
)
async def test_a_peer_that_speaks_nonsense_is_disconnected(nonsense, why, caplog):
    a = Gateway("a")
    async with gateways(a):
        peer = await RawPeer.at(a)
        await peer.meet(a, "b")
        peer.writer.write(nonsense)
        await peer.closed()
        await a.told_so("disconnected", "b", ENDED)
    assert why in caplog.text


async def test_unknown_types_and_fields_are_passed_on():
    a = Gateway("a")
    async with gateways(a):
        peer = await RawPeer.at(a)
        await peer.meet(a, "b")
        peer.writer.write(b'{"new":{"er":[1]}}\n1\n{}\n')
        await a.told_so("message", "b", {})
        assert a.messages("b") == [{"new": {"er": [1]}}, {}]
        peer.writer.close()


async def test_a_wrong_key_is_refused_and_each_side_says_so_once(caplog):
    a, b = Gateway("a"), Gateway("b", keys=(OTHER_KEY,))
    async with gateways(a, b):
        a.dial(b)
        await a.until_dials(3)
        assert a.told == b.told == []
        b.links.keys = (KEY, OTHER_KEY)
        await connected(a, b)
    assert caplog.text.count("not connected: it refuses us: 'the proof is not by a key of mine'") == 1
    assert caplog.text.count(f"peer unknown at {LOOPBACK}: it does not prove our --peer-key") == 1
    assert KEY.decode() not in caplog.text


async def test_another_name_than_the_one_dialled_is_refused_and_said_once(caplog):
    a, b = Gateway("a"), Gateway("b")
    async with gateways(a, b):
        a.links.dial({"c": b.address})
        await a.until_dials(3)
        assert a.told == b.told == []
    assert caplog.text.count(f"peer c at {b.address}: not connected: the gateway there is b") == 1


async def test_our_own_name_at_another_address_is_refused_and_said_once(caplog):
    b, twin = Gateway("b"), Gateway("b", life="twin")
    async with gateways(b, twin):
        b.links.dial({"c": twin.address, "b": twin.address})
        await b.until_dials(3)
        assert b.told == twin.told == []
    assert caplog.text.count(f"peer c at {twin.address}: not connected: another gateway has our name, b") == 1


async def test_what_is_no_gateway_is_refused_and_said_once(caplog):
    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    a = Gateway("a")
    async with await asyncio.start_server(answer, LOOPBACK, 0) as server, gateways(a):
        address = f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        a.links.dial({"b": address})
        await a.until_dials(3)
    assert (
        caplog.text.count(f"peer b at {address}: not connected: what answers there is no peer port of a gateway") == 1
    )


async def test_somebody_else_than_a_gateway_gets_an_answer_and_is_closed(caplog):
    a = Gateway("a")
    async with gateways(a):
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"\n", b"x" * 5000):
            peer = await RawPeer.at(a)
            peer.writer.write(request)
            answer = await peer.closed()
            assert answer[:12] in {b"HTTP/1.1 404", b""}
        assert a.told == []
    assert caplog.text.count("peer unknown at") == 2


async def test_silence_ends_a_connection_of_either_side(caplog):
    silent = []

    async def say_nothing(reader, writer):
        silent.append((reader, writer))

    a = Gateway("a", handshake_s=0.1)
    async with await asyncio.start_server(say_nothing, LOOPBACK, 0) as server, gateways(a):
        peer = await RawPeer.at(a)
        assert await peer.closed() == b""
        a.links.dial({"b": f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"})
        await a.until_dials(2)
        for _, writer in silent:
            writer.close()
    assert "does not prove who it is within 0.1 s" in caplog.text
    assert caplog.text.count("not connected: ") == 1


async def test_a_stranger_that_comes_takes_the_place_of_the_oldest_and_not_of_a_peer():
    a, b = Gateway("a", most_strangers=3), Gateway("b")
    async with gateways(a, b):
        b.dial(a)
        await connected(a, b)
        strangers = [await RawPeer.at(a) for _ in range(6)]
        for stranger in strangers[:3]:
            assert await stranger.closed() == b""
        for stranger in strangers[3:]:
            await stranger.meet(a, f"c{strangers.index(stranger)}")
            stranger.writer.close()
        assert a.is_connected(b)


async def test_there_are_no_more_peers_than_a_gateway_can_have():
    a = Gateway("a", most_peers=2)
    async with gateways(a):
        peers = [await RawPeer.at(a) for _ in range(3)]
        await peers[0].meet(a, "b")
        await peers[1].meet(a, "c")
        with pytest.raises(HandshakeError, match="I have too many peers"):
            await peers[2].meet(a, "d")
        peers[0].writer.close()
        await a.told_so("disconnected", "b", ENDED)
        again = await RawPeer.at(a)
        await again.meet(a, "d")
        for peer in (*peers, again):
            peer.writer.close()


async def test_a_peer_that_does_not_read_is_disconnected(caplog):
    a = Gateway("a", most_unread=1_000_000)
    async with gateways(a):
        peer = await RawPeer.at(a)
        await peer.meet(a, "b")
        await a.told_so("connected", "b", "raw")
        peer.writer.transport.pause_reading()
        for _ in range(200):
            a.links.send("b", [{"t": "x" * 100_000}])
        await a.told_so("disconnected", "b", ENDED)
        peer.writer.transport.abort()
    assert "peer b: disconnected: it does not read: 1000000 bytes wait for it" in caplog.text


async def test_a_connection_that_ends_at_once_each_time_is_dialled_ever_less_often():
    met = 0

    def refuse(*news):
        nonlocal met
        met += news[0] == "connected"
        if news[0] == "connected":
            b.links.send("a", [{"t": "bad"}])

    a, b = Gateway("a"), Gateway("b")
    a.malformed = {"t": "bad"}
    tell = b._tell
    b._tell = lambda *news: (tell(*news), refuse(*news))
    async with gateways(a, b):
        a.dial(b)
        began_s = asyncio.get_running_loop().time()
        await b.until(lambda: met == 5)
        assert asyncio.get_running_loop().time() - began_s > 0.025 * (1 + 2 + 4 + 8)


async def test_who_is_dialled_no_more_is_not_dialled_again_and_stays_connected():
    a, b = Gateway("a"), Gateway("b")
    async with gateways(a, b):
        a.dial(b)
        await connected(a, b)
        a.links.dial({})
        await connected(a, b)
        await b.links.close()
        await a.told_so("disconnected", "b", ENDED)
        assert a.links._pairs == {}


async def test_a_changed_address_is_dialled_when_the_connection_has_ended():
    a, old, new = Gateway("a"), Gateway("b", life="old"), Gateway("b", life="new")
    async with gateways(a, old, new):
        a.dial(old)
        await connected(a, old)
        a.dial(new)
        await old.links.close()
        await connected(a, new)


async def test_what_was_sent_before_the_close_arrives():
    a, b = Gateway("a"), Gateway("b")
    async with gateways(a, b):
        a.dial(b)
        await connected(a, b)
        a.links.send("b", [{"t": "x" * 500_000}] * 4)
        a.links.send("b", [{"t": "bye"}])
        told = len(a.told)
        await a.links.close()
        await b.told_so("message", "a", {"t": "bye"})
        await b.told_so("disconnected", "a", ENDED)
        assert len(a.told) == told


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::"])  # noqa: S104
async def test_without_a_key_only_loopback_is_listened_at(host):
    a = Gateway("a", keys=())
    with pytest.raises(ValueError, match="give all of them the same --peer-key FILE, or use an address such as 127"):
        await a.links.listen(host, 0)
    assert a.links.port == 0
    await a.links.close()


async def test_without_a_key_only_loopback_is_dialled(caplog):
    a, b = Gateway("a", keys=()), Gateway("b", keys=())
    async with gateways(a, b):
        a.links.dial({"b": b.address, "c": "192.0.2.1:9091"})
        await connected(a, b)
        await a.until(lambda: a.links._pairs["c"].said)
    assert "peer c at 192.0.2.1:9091: not connected: 192.0.2.1 is not loopback" in caplog.text


async def test_a_port_that_is_taken_is_an_error_that_names_it():
    a, b = Gateway("a"), Gateway("b")
    async with gateways(a):
        with pytest.raises(OSError, match=f"cannot listen on {LOOPBACK} port {a.links.port}"):
            await b.links.listen(LOOPBACK, a.links.port)
    await b.links.close()


async def test_a_name_is_looked_up():
    a, b = Gateway("a"), Gateway("b")
    async with gateways(a, b):
        a.links.dial({"b": f"localhost:{b.links.port}"})
        await connected(a, b)
