"""Behaviours 100 and 101 of docs/reference/gateway.md: what its peers must show, how its keys are replaced."""

import asyncio
import random

import aiohttp
import pytest
from gateway_kit import NAME, answer_ok, service, until

from autoscaler.gateway.affinity import AffinityCookie, read_keys
from autoscaler.gateway.config import Affinity
from autoscaler.gateway.lifecycle import watch_keys
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.sources.gateway_stream import StreamSource

pytestmark = pytest.mark.real_time

SD = Affinity("sd", 1800)
OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "token").write_text(f"{OLD}\n{NEW}\n")
    return BearerTokens(tmp_path / "token")


async def statuses(gateway, **headers):
    async with aiohttp.ClientSession(headers=headers) as session:
        found = {}
        for path in ("/healthz", "/readyz", "/metrics", "/v1/inflight", "/anything"):
            async with session.get(f"http://127.0.0.1:{gateway.metrics_port}{path}") as answer:
                found[path] = answer.status
        return found


async def test_b100_without_a_token_only_probes_are_answered(kit, tokens):
    gateway = await kit.gateway(tokens=tokens)
    open_to_all = {"/healthz": 200, "/readyz": 200}
    closed = dict.fromkeys(("/metrics", "/v1/inflight", "/anything"), 401)
    assert await statuses(gateway) == open_to_all | closed
    assert await statuses(gateway, Authorization=f"Bearer {OLD[1:]}") == open_to_all | closed
    for token in (OLD, NEW):
        served = {"/metrics": 200, "/v1/inflight": 200, "/anything": 404}
        assert await statuses(gateway, Authorization=f"Bearer {token}") == open_to_all | served


async def test_b100_the_controller_hears_the_gateway_by_its_token_and_says_where_one_is_missing(kit, tokens):
    gateway = await kit.gateway(tokens=tokens)
    address = f"127.0.0.1:{gateway.metrics_port}"
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        for shown, why in ((tokens, ""), (None, "it needs a token: give --token-file")):
            async with StreamSource(session, loop.time, random.SystemRandom(), lambda _: None, tokens=shown) as source:
                source.set_gateways([address])
                await until(lambda source=source, why=why: said(source.awaited(0), why))


def said(awaited, why):
    return awaited.endswith(why) if why else not awaited


@pytest.mark.slow
async def test_b101_a_replaced_key_unbinds_no_client(kit, tmp_path, caplog):
    file = tmp_path / "keys"
    file.write_text(f"{OLD}\n")
    a, b = await kit.pod(answer_ok), await kit.pod(answer_ok)
    gateway = await kit.gateway(service(affinity=SD), pods=[a, b], keys=read_keys(file))
    watching = asyncio.ensure_future(watch_keys(gateway, file))
    first = await (await kit.client(gateway)).get("/1").response()
    bound = first.get(b"set-cookie").split(b";")[0].decode()
    file.write_text("short")
    await until(lambda: "cookie keys not read again" in caplog.text)
    assert (await ask(kit, gateway, bound)).get(b"set-cookie") is None
    file.write_text(f"{NEW}\n{OLD}\n")
    signed_anew = await until_signed_anew(kit, gateway)
    assert (await ask(kit, gateway, bound)).get(b"set-cookie") is None, "the old key is still read"
    file.write_text(f"{NEW}\n")
    await until_unbound(kit, gateway, bound)
    assert (await ask(kit, gateway, signed_anew)).get(b"set-cookie") is None
    watching.cancel()


async def ask(kit, gateway, cookie):
    return await (await kit.client(gateway)).get("/2", f"Cookie: {cookie}").response()


async def until_signed_anew(kit, gateway):
    """Ask as a stranger until the cookie that is given is one that the old key alone does not read."""
    old = AffinityCookie([OLD.encode()], NAME, SD)
    old.set_pods(["p0", "p1"])
    while True:
        answer = await (await kit.client(gateway)).get("/3").response()
        cookie = answer.get(b"set-cookie").split(b";")[0]
        if old.read([cookie.removeprefix(b"sd=")], gateway.now_s()) is None:
            return cookie.decode()


async def until_unbound(kit, gateway, cookie):
    while (await ask(kit, gateway, cookie)).get(b"set-cookie") is None:
        pass


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (b"k" * 16, (b"k" * 16,)),
        (b"a" * 64 + b"\n\n" + b"b" * 16 + b"\r\n", (b"a" * 64, b"b" * 16)),
        (b"\x00\n" * 16, (b"\x00\n" * 16,)),
    ],
    ids=["text without an end of line", "a key a line", "bytes are one key"],
)
def test_b101_a_file_has_a_key_a_line_or_is_one_key(tmp_path, content, keys):
    file = tmp_path / "keys"
    file.write_bytes(content)
    assert read_keys(file) == keys


@pytest.mark.parametrize(("content", "number"), [(b"", 1), (b"a" * 16 + b"\nshort", 2), (b"k" * 65, 1)])
def test_b101_a_key_of_another_length_is_refused_by_its_number(tmp_path, content, number):
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"keys: key {number} has \d+ bytes; a cookie key has 16 to 64 bytes"):
        read_keys(file)
