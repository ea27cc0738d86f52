"""A browser that opens a page which has to wait: it gets a page at once, keeps its place, and enters by itself."""

import asyncio
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from gateway_kit import HOST, NAME, PASS_ALL, answer_ok, service, until
from hypothesis import given
from hypothesis import strategies as st
from peers_kit import TakerKit
from waiting_kit import Quote, Quotes, curl

from autoscaler.gateway.config import Affinity, WaitingOptions
from autoscaler.gateway.counts import RequestOutcome
from autoscaler.gateway.http.headers import read_request, values_by_name
from autoscaler.gateway.waiting.navigation import Navigation, harmless_query, is_navigation, new_place, without_token
from autoscaler.gateway.waiting.page import HEADERS, Wait, too_late_page, waiting_page
from autoscaler.gateway.waiting.place_tokens import PlaceToken

PAGE = WaitingOptions(page_keeps_s=15.0)
NAVIGATES = (
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
)
OF_THE_CLUSTER = re.compile(r"\b(replica|pod|queue|kubernetes|cluster|node)s?\b", re.IGNORECASE)


def paged(**changes):
    limits = {
        key: changes.pop(key) for key in ("queue_timeout_s", "queue_length", "paths", "affinity") if key in changes
    }
    return replace(service(**limits), waiting=PAGE, display_name="Stable <Diffusion>", **changes)


def outcomes(gateway):
    return {outcome: n for outcome, n in gateway.proxies[NAME].counts.outcomes.items() if n}


async def browse(kit, gateway, target="/"):
    return await (await kit.client(gateway)).get(target, *NAVIGATES).response()


def refresh_of(answer):
    """Return where the page leads to, as a browser reads it."""
    seconds, _, url = answer.get(b"Refresh").decode().partition("; url=")
    assert seconds == "1", "a browser replaces the page in its history up to a second only"
    return url


@pytest.mark.real_time
async def test_b107_a_page_comes_at_once_its_place_is_kept_over_refreshes_and_the_pod_gets_one_plain_request(kit):
    records = []
    gateway = await kit.gateway(paged(), on_ended=records.append)
    dispatcher = gateway.dispatcher(NAME)
    first = await browse(kit, gateway, "/app?seed=1&x=%20")
    assert (first.status, dispatcher.queued) == (202, 1)
    back = asyncio.ensure_future(browse(kit, gateway, "/app" + refresh_of(first)))
    await until(lambda: not len(gateway.proxies[NAME].places))
    assert dispatcher.queued == 1, "it is the same request"
    pod = await kit.pod()
    gateway.set_backends(NAME, {"p0": pod.address})
    job = await pod.next()
    assert job.target == "/app?seed=1&x=%20"
    job.reply()
    assert (await back).status == 200
    assert outcomes(gateway) == {RequestOutcome.WAITING_PAGE: 1, RequestOutcome.SERVED: 1}
    assert gateway.proxies[NAME].counts.arrived == 1
    page, served = records
    assert served.arrival == pytest.approx(page.arrival, abs=0.01), "it arrived when its client came first"
    assert served.wait_s > 0


@pytest.mark.real_time
async def test_b108_a_browser_that_closes_a_refresh_keeps_its_place_before_those_that_came_later(kit):
    gateway = await kit.gateway(paged())
    dispatcher = gateway.dispatcher(NAME)
    first = await browse(kit, gateway, "/first")
    later = (await kit.client(gateway)).get("/later")
    await until(lambda: dispatcher.queued == 2)
    gone = (await kit.client(gateway)).get("/first" + refresh_of(first), *NAVIGATES)
    await until(lambda: not len(gateway.proxies[NAME].places))
    gone.close()
    await until(lambda: len(gateway.proxies[NAME].places))
    assert dispatcher.queued == 2
    back = asyncio.ensure_future(browse(kit, gateway, "/first" + refresh_of(first)))
    await until(lambda: not len(gateway.proxies[NAME].places))
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await back).status == (await later.response()).status == 200
    assert pod.seen == ["/first", "/later"]
    assert outcomes(gateway)[RequestOutcome.ABANDONED_QUEUED] == 1


@pytest.mark.real_time
async def test_b108_another_gateway_knows_the_place_by_its_age(kit):
    keys = (b"k" * 32,)
    one, two = [await kit.gateway(paged(), keys=keys) for _ in range(2)]
    first = await browse(kit, one, "/first")
    later = (await kit.client(two)).get("/later")
    await until(lambda: two.dispatcher(NAME).queued == 1)
    back = asyncio.ensure_future(browse(kit, two, "/first" + refresh_of(first)))
    await until(lambda: two.dispatcher(NAME).queued == 2)
    pod = await kit.pod(answer_ok)
    two.set_backends(NAME, {"p0": pod.address})
    assert (await back).status == (await later.response()).status == 200
    assert pod.seen == ["/first", "/later"]
    assert two.proxies[NAME].counts.arrived == 1, "its first gateway has counted it"


@pytest.mark.real_time
async def test_b108_a_gateway_that_asks_the_owner_keeps_places_too():
    kit = TakerKit()
    try:
        gateway = await kit.gateway(paged())
        first = await browse(kit, gateway, "/first")
        back = asyncio.ensure_future(browse(kit, gateway, "/first" + refresh_of(first)))
        await until(lambda: not len(gateway.proxies[NAME].places))
        pod = await kit.pod(answer_ok)
        gateway.set_backends(NAME, {"p0": pod.address})
        assert (await back).status == 200
        assert pod.seen == ["/first"]
    finally:
        await kit.close()


@pytest.mark.real_time
async def test_b108_a_place_nobody_comes_back_for_frees_its_slot_for_the_next(kit):
    gateway = await kit.gateway(paged())
    await browse(kit, gateway, "/gone")
    later = (await kit.client(gateway)).get("/later")
    await until(lambda: gateway.dispatcher(NAME).queued == 2)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await later.response()).status == 200
    assert pod.seen == ["/later"]
    await until(lambda: not gateway.dispatcher(NAME).running)


@pytest.mark.real_time
async def test_b108_a_copied_token_is_no_second_place(kit):
    gateway = await kit.gateway(paged(queue_length=1))
    first = await browse(kit, gateway)
    held = asyncio.ensure_future(browse(kit, gateway, "/" + refresh_of(first)))
    await until(lambda: not len(gateway.proxies[NAME].places))
    copy = await (await kit.client(gateway)).get("/" + refresh_of(first), *NAVIGATES).response()
    assert copy.status == 503
    assert gateway.dispatcher(NAME).queued == 1
    held.cancel()


@pytest.mark.real_time
async def test_b107_a_wait_that_is_too_long_ends_with_a_page_that_offers_another_try(kit):
    gateway = await kit.gateway(paged(queue_timeout_s=0.3))
    first = await browse(kit, gateway, "/app?a=1")
    late = await browse(kit, gateway, "/app" + refresh_of(first))
    assert (late.status, late.all(b"Refresh")) == (504, [])
    assert b"did not open in time" in late.body
    assert b'href="?a=1"' in late.body
    await until(lambda: not gateway.dispatcher(NAME).queued)


@pytest.mark.real_time
@pytest.mark.parametrize(
    "lines",
    [
        ("Accept: text/html", "Sec-Fetch-Mode: cors"),
        ("Accept: application/json", "Sec-Fetch-Mode: navigate"),
        ("Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        ("Accept: text/html",),
    ],
    ids=str,
)
async def test_b107_what_is_no_page_of_its_own_is_held_as_before(kit, lines):
    gateway = await kit.gateway(paged())
    client = (await kit.client(gateway)).get("/", *lines)
    await until(lambda: gateway.dispatcher(NAME).queued)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await client.response()).status == 200


@pytest.mark.real_time
async def test_b107_without_the_policy_a_browser_is_held_and_its_query_is_nobodys_business(kit):
    gateway = await kit.gateway(service())
    client = (await kit.client(gateway)).get("/?inflight-place=x", *NAVIGATES)
    await until(lambda: gateway.dispatcher(NAME).queued)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await client.response()).status == 200
    assert pod.seen == ["/?inflight-place=x"]


@pytest.mark.real_time
async def test_b107_a_page_of_a_path_that_takes_no_slot_waits_for_the_start_too(kit):
    gateway = await kit.gateway(paged(paths=PASS_ALL))
    first = await browse(kit, gateway, "/page")
    assert (first.status, gateway.dispatcher(NAME).holding_pass) == (202, 1)
    pod = await kit.pod(answer_ok)
    gateway.set_backends(NAME, {"p0": pod.address})
    assert (await browse(kit, gateway, "/page" + refresh_of(first))).status == 200


@pytest.mark.real_time
async def test_b107_a_page_of_a_busy_service_waits_for_a_second_before_it_shows_one(kit):
    pod = await kit.pod()
    gateway = await kit.gateway(paged(), pods=[pod])
    gateway.proxies[NAME].quotes.quote = Quotes(Quote(3, 25.0, 34.0)).quote
    (await kit.client(gateway)).get("/runs")
    job = await pod.next()
    shown = await browse(kit, gateway)
    assert shown.status == 202
    assert "is busy" in shown.body.decode()
    assert "<b>3rd in line</b>" in shown.body.decode()
    job.reply()
    quick = asyncio.ensure_future(browse(kit, gateway, "/" + refresh_of(shown)))
    (await pod.next()).reply()
    assert (await quick).status == 200


@pytest.mark.real_time
async def test_b107_curl_sees_a_small_strict_answer_that_no_cache_keeps(kit):
    gateway = await kit.gateway(paged())
    gateway.proxies[NAME].quotes.quote = Quotes(Quote(2, 25.0, 34.0)).quote
    lines = [option for line in NAVIGATES for option in ("--header", line)]
    answer = await curl(gateway, "/app", "--include", *lines)
    assert answer["http_code"] == 202
    assert len(answer["body"]) <= 6 * 1024
    for line in HEADERS.strip().splitlines():
        assert line in answer["body"]
    assert "script" not in answer["body"].partition("\n\n")[2]


# What it says.

WAIT = Wait(
    "Stable Diffusion",
    is_ready=False,
    waited_s=19.0,
    left_s=581.0,
    estimate=Quote(2, 25.0, 34.0),
    request_id="9f2c-1",
    fresh_url="?a=1",
)


def text_of(html):
    texts = []

    class Reader(HTMLParser):
        def handle_data(self, data):
            texts.append(data)

    Reader().feed(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))
    return " ".join("".join(texts).split())


def test_the_page_says_the_place_the_estimate_and_the_progress():
    html = waiting_page(WAIT)
    text = text_of(html)
    assert "You are 2nd in line. It should open in about 25 s, and in 9 of 10 cases within 34 s." in text
    assert "If it has not opened in 9 min 41 s, this page says so. Request 9f2c-1." in text
    assert '<label for="progress">Progress of the start</label>' in html
    assert '<progress id="progress" max="100" value="43">' in html
    assert "Waited 0:19" in text


def test_what_is_unknown_is_left_out():
    text = text_of(waiting_page(WAIT._replace(estimate=None)))
    assert "How long it will take is not known yet." in text
    assert "in line" not in text
    assert "about" not in text


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1st"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_a_place_is_an_ordinal(number, said):
    assert f"{said} in line" in text_of(waiting_page(WAIT._replace(estimate=Quote(number, 1, 2))))


@given(
    st.builds(
        Wait,
        title=st.text(min_size=1, max_size=64),
        is_ready=st.booleans(),
        waited_s=st.floats(0, 1e6),
        left_s=st.floats(-10, 1e5),
        estimate=st.none() | st.builds(Quote, st.integers(1, 10**6), st.floats(0, 86400), st.floats(0, 86400)),
        request_id=st.text(max_size=128),
        fresh_url=st.just("?a=1&b=2"),
    )
)
def test_no_name_and_no_request_id_is_markup_and_the_page_stays_small(wait):
    for html in (waiting_page(wait), too_late_page(wait)):
        plain = (
            waiting_page(wait._replace(title="x", request_id="x")),
            too_late_page(wait._replace(title="x", request_id="x")),
        )
        assert html.count("<") in {each.count("<") for each in plain}
        assert len(html.encode()) + 1024 <= 6 * 1024
        assert "\n<main>" not in html


@pytest.mark.parametrize("is_ready", [True, False])
@pytest.mark.parametrize("estimate", [None, Quote(1, 1, 2)])
def test_a_person_reads_no_word_of_the_cluster(is_ready, estimate):
    wait = WAIT._replace(is_ready=is_ready, estimate=estimate)
    assert not OF_THE_CLUSTER.search(waiting_page(wait) + too_late_page(wait))


# What is repeated of a request.


def head_of(target, lines=NAVIGATES):
    headers = [(b"Host", HOST.encode()), *(tuple(line.encode().split(b": ", 1)) for line in lines)]
    return read_request(b"GET", target, headers, values_by_name(headers))


@given(st.binary(max_size=300).map(lambda query: query.replace(b"\r", b"").replace(b"\n", b"")))
def test_a_query_is_repeated_without_a_character_that_means_something_elsewhere(query):
    head, _ = without_token(head_of(b"/app?" + query))
    url = Navigation(new_place(0.0), is_back=False, query=harmless_query(head)).refresh_url(b"token")
    assert re.fullmatch(r"\?[!$&()*+,;=:@/?%A-Za-z0-9._~-]*", url)
    again, token = without_token(head_of(b"/app" + url.encode()))
    assert token == b"token"
    assert again.target.partition(b"?")[2].decode() == harmless_query(head)


@pytest.mark.parametrize(
    ("target", "kept", "token"),
    [
        (b"/a", b"/a", b""),
        (b"/a?inflight-place=t", b"/a", b"t"),
        (b"/a?x=1&inflight-place=t&y=2", b"/a?x=1&y=2", b"t"),
        (b"/a?inflight-place=t&inflight-place=u", b"/a", b"t"),
        (b"/a?xinflight-place=t", b"/a?xinflight-place=t", b""),
        (b"/inflight-place=t", b"/inflight-place=t", b""),
    ],
)
def test_only_the_gateways_own_parameter_is_taken_out(target, kept, token):
    head, found = without_token(head_of(target))
    assert (head.target, found) == (kept, token)


def test_a_query_that_is_too_long_to_repeat_is_no_navigation():
    assert is_navigation(head_of(b"/a?" + b"x" * 1024))
    assert not is_navigation(head_of(b"/a?" + b"x" * 1025))


@pytest.mark.real_time
async def test_a_client_that_waited_elsewhere_has_all_its_time_at_the_pod_and_a_cookie_of_now(kit):
    pod = await kit.pod()
    config = paged(affinity=Affinity("sd", 60.0))
    gateway = await kit.gateway(config, pods=[pod], keys=(b"k" * 32,))
    proxy = gateway.proxies[NAME]
    token = proxy.tokens.issue(PlaceToken(b"12345678", gateway.now_s() - 300.0), gateway.now_s())
    client = (await kit.client(gateway)).get(f"/?inflight-place={token.decode()}", *NAVIGATES)
    (await pod.next()).reply()
    answer = await client.response()
    assert answer.status == 200, "requestTimeout is 300 s and counts from the grant"
    cookie = answer.get(b"Set-Cookie").partition(b";")[0].partition(b"=")[2]
    assert proxy.cookie.read([cookie], gateway.now_s()) == "p0"
