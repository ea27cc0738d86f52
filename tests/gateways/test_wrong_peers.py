"""Whoever may not take part: another key, another's name, a name that nobody knows, and noise."""

import asyncio
import os

import pytest
from fault_kit import until
from gateways_kit import several_gateways

pytestmark = [pytest.mark.real_time, pytest.mark.program]

UPGRADE = b"GET /v1/peer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: inflight-peer\r\n\r\n"
HELLO = b'{"t":"hello","v":[1,1],"name":"a","life":"1","epoch":1,"nonce":"00"}\n'
NOISE = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "another request": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "no JSON": UPGRADE + b"{{{\n",
    "no end of a line": UPGRADE + b"x" * (1 << 20),
    "claims without a proof": UPGRADE
    + HELLO
    + b'{"t":"proof","mac":"00"}\n{"t":"join","peer":"127.0.0.1:1","own":true}\n',
}


async def test_noise_on_the_port_of_the_peers_disturbs_nobody(tmp_path):
    async with several_gateways(tmp_path, names="ab") as it:
        await it.start("a", "b")
        await it.agree("a", "b")
        before, noisy = it.roster, []
        async with it.load("web", 6):
            for name in "ab":
                for noise in NOISE.values():
                    _, writer = await asyncio.open_connection("127.0.0.1", it[name].peer_port)
                    writer.write(noise)
                    noisy.append(writer)
            await it.answered(100)
        for writer in noisy:
            writer.transport.abort()
        assert it.roster == before
        it.settle()
        assert set(it.statuses()) == {200}


async def test_a_gateway_with_another_key_becomes_no_member_and_the_logs_say_why(tmp_path):
    async with several_gateways(tmp_path, names="abc") as it:
        await it.start("a", "b")
        await it.agree("a", "b")
        other_key = tmp_path / "other-key"
        other_key.write_text(os.urandom(32).hex() + "\n")
        it["c"].also(f"--peer-key={other_key}")
        it["c"].start()
        async with it.load("web", 6):
            await until(lambda: "key" in it["a"].log.read_text(), "a line about the key")
            await it.answered(50)
        assert set(it.roster.members) == {"a", "b"}
        it.settle()


async def test_a_second_gateway_of_a_name_does_not_start(tmp_path):
    async with several_gateways(tmp_path, names="ab") as it:
        await it.start("a")
        it["b"].also("--name=a")
        it["b"].start()
        assert await it["b"].status() == 2
        assert f"{it.roster_file}.a.lock" in it["b"].log.read_text()


async def test_a_gateway_whose_name_is_not_in_its_list_of_peers_does_not_start(tmp_path):
    async with several_gateways(tmp_path, names="ab") as it:
        it["b"].also("--name=x")
        it["b"].start()
        assert await it["b"].status() == 2
        said = it["b"].log.read_text()
        assert str(it["b"].peers_file) in said
        assert "it names b, a" in said
