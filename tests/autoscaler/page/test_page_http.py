"""The page's port: what it answers, what it refuses, and what no viewer can do to others."""

import asyncio
import gzip
import json
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from page_records import SERVICE, record

from autoscaler.page import events, http
from autoscaler.page.address import PageAddress
from autoscaler.page.board import Board
from autoscaler.page.http import HEADERS, serve_page
from autoscaler.page.live import Facts, Live
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.testing import policy

pytestmark = pytest.mark.real_time
API = f"/api/v1/services/{SERVICE}"
PATHS = ["/", f"/services/{SERVICE}", "/api/v1/fleet", API, "/assets/style.css"]
TOKEN = "0123456789abcdef-a-token"  # noqa: S105 - of this test


@pytest.fixture
async def live():
    loop = asyncio.get_running_loop()
    made = Live(lambda: 1e9 + loop.time())
    made(record(made.now(), running=1.0, replicas=1, ready=1))
    return made


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    folder = tmp_path / "assets"
    (folder / "vendor").mkdir(parents=True)
    (folder / "style.css").write_text("body { color: black }\n" * 100)
    (folder / "vendor" / "app.js").write_text("export {}\n")
    (tmp_path / "secret").write_text("secret\n")
    monkeypatch.setattr(http, "ASSETS", folder)


@asynccontextmanager
async def served(live, host="127.0.0.1", tokens=None, services=(SERVICE,)):
    board = Board(live, Facts(lambda: services, {SERVICE: policy(SERVICE)}.get))
    async with (
        serve_page(board, PageAddress(host, 0), tokens) as address,
        aiohttp.ClientSession(f"http://127.0.0.1:{address.rpartition(':')[2]}", auto_decompress=False) as session,
    ):
        yield session


@pytest.fixture
async def page(live):
    async with served(live) as session:
        yield session


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_forbids_what_a_page_does_not_need(page, path):
    async with page.get(path) as answer:
        assert answer.status == 200
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "Set-Cookie" not in answer.headers
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/services/a/b", 404), (f"{API}?seconds=x", 400)])
async def test_so_does_every_refusal(page, path, status):
    async with page.get(path, headers={"Accept": "text/html"}) as answer:
        assert (answer.status, answer.content_type) == (status, "text/html")
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_nothing_can_be_changed(page, method):
    async with page.request(method, "/api/v1/fleet") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8090", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8090", 200),
        ("[::1]:8090", 200),
        ("10.1.2.3", 200),
        ("evil.example", 421),
        ("evil.example:8090", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/fleet", "/api/v1/fleet/events", "/assets/style.css", "/nothing"])
async def test_a_site_that_points_its_name_here_reads_nothing(page, path, host, status):
    async with page.get(path, headers={"Host": host}) as answer:
        assert answer.status == status or (status == 200 and answer.status == 404)
        if status == 421:
            assert SERVICE not in (await answer.read()).decode()


@pytest.mark.parametrize("name", ["default/none", "a%0ab/c%0d", "<b>/'", "a%2fb/c"])
async def test_a_service_that_is_unknown_is_named_with_those_that_there_are(page, name):
    for path in (f"/api/v1/services/{name}", f"/api/v1/services/{name}/events", f"/api/v1/services/{name}/why-not"):
        async with page.get(
            aiohttp.client.URL(f"http://{page._base_url.authority}{path}?replicas=1", encoded=True)
        ) as answer:
            assert (answer.status, answer.content_type) == (404, "application/json")
            assert f"There are: {SERVICE}." in (await answer.json())["error"]


async def test_why_not_another_number_is_answered_in_sentences(page):
    async with page.get(f"{API}/why-not?replicas=4") as answer:
        found = await answer.json()
    assert (found["service"], found["replicas"]) == (SERVICE, 4)
    assert all(each.endswith(".") for each in found["sentences"])


@pytest.mark.parametrize("number", ["", "-1", "1.5", "nan", "inf", "x", "1e400"])
async def test_a_number_of_replicas_is_a_whole_number(page, number):
    async with page.get(f"{API}/why-not?replicas={number}") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("replicas: must be")


async def test_figures_are_json_and_are_kept_by_nobody(page):
    async with page.get("/api/v1/fleet") as answer:
        assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/json", "no-store")
        assert json.loads(await answer.read())["services"][0]["name"] == SERVICE


async def test_what_is_large_is_zipped_for_those_who_can_read_it(page):
    async with page.get("/assets/style.css", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        zipped = await answer.read()
    async with page.get("/assets/style.css", headers={"Accept-Encoding": "identity"}) as answer:
        assert gzip.decompress(zipped) == await answer.read()
        assert answer.headers["Vary"] == "Accept-Encoding"


async def test_an_asset_is_sent_again_only_if_it_has_changed(page):
    async with page.get("/assets/vendor/app.js") as answer:
        assert (answer.status, answer.content_type) == (200, "text/javascript")
        tag = answer.headers["ETag"]
    async with page.get("/assets/vendor/app.js", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


@pytest.mark.parametrize("path", ["/assets/../secret", "/assets/%2e%2e/secret", "/assets//etc/passwd", "/assets/"])
async def test_no_file_but_the_assets_is_read(page, path):
    async with page.get(aiohttp.client.URL(f"http://{page._base_url.authority}{path}", encoded=True)) as answer:
        assert answer.status == 404


async def read_event(answer):
    lines = []
    while line := (await answer.content.readline()).decode().rstrip("\n"):
        lines.append(line)
    return dict(line.split(": ", 1) for line in lines)


async def test_events_begin_where_the_last_ones_ended(page, live):
    async with page.get(f"{API}/events") as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        first = await read_event(answer)
    assert first["event"] == "service"
    async with page.get("/api/v1/fleet") as answer:
        now_s = json.loads(await answer.read())["now"]
    async with page.get("/api/v1/fleet/events", headers={"Last-Event-ID": str(now_s)}) as answer:
        assert json.loads((await read_event(answer))["data"])["services"] == []


async def test_who_comes_when_all_places_are_taken_is_told_so(page, monkeypatch):
    monkeypatch.setattr(events, "MOST_VIEWERS", 1)
    async with page.get("/api/v1/fleet/events") as answer:
        await read_event(answer)
        async with page.get(f"{API}/events") as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    async with asyncio.timeout(10):
        await a_place(page)


async def test_a_viewer_that_does_not_read_is_disconnected_and_nobody_waits(live, monkeypatch):
    monkeypatch.setattr(events, "SHORTEST_S", 0.001)
    monkeypatch.setattr(events, "LONGEST_S", 0.002)
    monkeypatch.setattr(events, "MOST_VIEWERS", 2)
    monkeypatch.setattr(http, "_SLOWEST_WRITE_S", 0.2)
    for number in range(300):
        live(record(live.now(), running=float(number), replicas=number, ready=1, desired=number + 1))
    async with served(live) as page:
        host, port = page._base_url.host, page._base_url.port
        loop = asyncio.get_running_loop()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)  # noqa: FBT003 - its name
            await loop.sock_connect(slow, (host, port))
            await loop.sock_sendall(slow, f"GET {API}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            async with asyncio.timeout(20), page.get("/api/v1/fleet/events") as answer:
                for _ in range(50):
                    await read_event(answer)
                await a_place(page)


async def a_place(page):
    """Wait until a viewer has given its place back, and take it."""
    while (answer := await page.get(f"{API}/events")).status == 503:
        answer.close()
    answer.close()


async def test_elsewhere_than_on_this_machine_a_token_is_needed_if_there_are_some(live, tmp_path, caplog):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n")
    async with served(live, "0.0.0.0", BearerTokens(file)) as page:  # noqa: S104 - this is what is tested
        for path in [*PATHS, "/api/v1/fleet/events", "/nothing"]:
            async with page.get(path) as answer:
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        async with page.get("/api/v1/fleet", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
    assert "everybody" not in caplog.text


async def test_without_tokens_the_log_warns_that_everybody_can_read(live, caplog):
    async with served(live, "0.0.0.0") as page, page.get("/api/v1/fleet") as answer:  # noqa: S104 - as above
        assert answer.status == 200
    assert "everybody who can reach" in caplog.text


async def test_on_this_machine_no_token_is_needed(live, tmp_path, caplog):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n")
    async with served(live, tokens=BearerTokens(file)) as page, page.get("/api/v1/fleet") as answer:
        assert answer.status == 200
    assert "everybody" not in caplog.text
