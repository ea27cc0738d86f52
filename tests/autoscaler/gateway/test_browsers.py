"""A real browser: a page of another origin sends JSON to a service that sleeps, and a person opens a page of it."""

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from gateway_kit import NAME, service, until

from autoscaler.gateway.config import WaitingOptions
from autoscaler.gateway.cors import Cors
from autoscaler.gateway.counts import RequestOutcome

pytestmark = [pytest.mark.real_time, pytest.mark.program]

A_BROWSERS_PATIENCE_S = 100
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
PAGE = """<script>
fetch("http://localhost:%d/sdapi/v1/txt2img", {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({prompt: "pretty dog"})
}).then(response => response.json()).then(made => made.image, error => "" + error)
  .then(told => fetch("/told", {method: "POST", body: told}))
</script>"""


def answer(body, *lines, kind="application/json"):
    head = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body.encode()


@asynccontextmanager
async def browser(binary, url, tmp_path):
    """A browser with this page, ended with all its processes."""
    log = (tmp_path / "browser.log").open("wb")
    flags = [*FLAGS, f"--user-data-dir={tmp_path / 'browser'}", url]
    process = await asyncio.create_subprocess_exec(binary, *flags, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        log.close()


async def told_by(page_server):
    """What the page was answered, as it tells its own server."""
    async with asyncio.timeout(A_BROWSERS_PATIENCE_S):
        while (request := await page_server.requests.get()).target != "/told":
            request.reply(answer("", kind="text/plain"))
        return (await request.body()).decode()


@pytest.mark.parametrize("answered_by", ["the pod", "the gateway"])
async def test_a_page_of_another_origin_gets_json_from_a_service_that_sleeps(
    kit, chromium_binary, tmp_path, answered_by
):
    allowed = ["Access-Control-Allow-Origin: *", "Access-Control-Allow-Headers: content-type"]
    asked = []

    async def made(request):
        body = await request.body()
        asked.append(request.start.split()[0])
        image = json.loads(body)["prompt"] if body else ""
        request.send(answer(json.dumps({"image": image}), *(allowed if answered_by == "the pod" else [])))

    pod, page_server = await kit.pod(made), await kit.pod()
    cors = None if answered_by == "the pod" else Cors((f"http://127.0.0.1:{page_server.port}",))
    gateway = await kit.gateway(replace(service(hosts=("localhost",)), cors=cors))
    dispatcher = gateway.dispatcher(NAME)
    async with browser(chromium_binary, f"http://127.0.0.1:{page_server.port}/", tmp_path):
        async with asyncio.timeout(A_BROWSERS_PATIENCE_S):
            (await page_server.requests.get()).reply(answer(PAGE % gateway.port, kind="text/html"))
        async with asyncio.timeout(A_BROWSERS_PATIENCE_S):
            await until(lambda: dispatcher.holding_pass or dispatcher.queued)
        assert (dispatcher.holding_pass, dispatcher.queued) == ((1, 0) if cors is None else (0, 1))
        gateway.set_backends(NAME, {"p0": pod.address})
        assert await told_by(page_server) == "pretty dog"
    assert asked == ([b"OPTIONS", b"POST"] if cors is None else [b"POST"])


ENTERED = """<title>entered</title><script>
fetch("/told", {method: "POST", body: document.title + location.pathname + history.length})
</script>"""


async def test_a_browser_gets_the_waiting_page_refreshes_it_without_script_and_enters_by_itself(
    kit, chromium_binary, tmp_path
):
    pod = await kit.pod()
    config = replace(service(hosts=("localhost",)), waiting=WaitingOptions(page_keeps_s=15.0))
    gateway = await kit.gateway(config)
    counts = gateway.proxies[NAME].counts
    async with browser(chromium_binary, f"http://localhost:{gateway.port}/app?seed=1", tmp_path):
        async with asyncio.timeout(A_BROWSERS_PATIENCE_S):
            await until(lambda: counts.outcomes[RequestOutcome.WAITING_PAGE] == 2)
        assert gateway.dispatcher(NAME).queued == 1, "a page and its refresh are one request"
        gateway.set_backends(NAME, {"p0": pod.address})
        async with asyncio.timeout(A_BROWSERS_PATIENCE_S):
            opened = await pod.requests.get()
        assert opened.target == "/app?seed=1"
        opened.reply(answer(ENTERED, kind="text/html"))
        told = await told_by(pod)
    assert told == "entered/app1", "the pages before it are not in the history"
