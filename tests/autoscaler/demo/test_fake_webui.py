"""The stand-in answers as the web UI's API does, over real connections."""

import asyncio
import base64
import json

import aiohttp
import pytest
from aiohttp import web

from autoscaler.demo.fake_webui import JOBS, Pods, application
from autoscaler.demo.pictures import png

pytestmark = pytest.mark.real_time

FOR_EVER_S = 3600.0
SERVED = {"served": 1, "interrupted": 0, "overlaps": 0, "peak": 1}


class Server:
    """A stand-in on a free port; its jobs take `takes_s`."""

    def __init__(self, concurrency=1, host="127.0.0.1"):
        self.takes_s = 0.0
        self.pods = Pods(concurrency, lambda: self.takes_s)
        self.host = host
        self.port = 0

    async def __aenter__(self):
        self.runner = web.AppRunner(application(self.pods), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, self.host, 0).start()
        self.port = self.runner.addresses[0][1]
        self.session = await aiohttp.ClientSession(raise_for_status=False).__aenter__()
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        for pod in self.pods.values():
            pod.interrupt()
        await self.runner.cleanup()

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    async def post(self, path, body=None, host="127.0.0.1"):
        async with self.session.post(self.url(path, host), json=body if body is not None else {}) as response:
            return response.status, await response.text()

    async def get(self, path, host="127.0.0.1"):
        async with self.session.get(self.url(path, host)) as response:
            return response.status, json.loads(await response.text())

    async def start(self, path="/sdapi/v1/txt2img", body=None, jobs=1):
        """Send a request, and wait until that many jobs run."""
        task = asyncio.create_task(self.post(path, body))
        async with asyncio.timeout(30):
            while len(self.pods["127.0.0.1"].jobs) < jobs:  # noqa: ASYNC110
                await asyncio.sleep(0)
        return task


@pytest.fixture
async def server():
    async with Server() as server:
        yield server


async def test_txt2img_answers_with_the_prompts_picture_the_parameters_and_an_info_that_is_json_in_a_string(server):
    status, text = await server.post("/sdapi/v1/txt2img", {"prompt": "pretty dog", "steps": 30})

    answer = json.loads(text)
    assert status == 200
    assert [base64.b64decode(image) for image in answer["images"]] == [png("pretty dog")]
    assert answer["parameters"]["prompt"] == "pretty dog"
    assert answer["parameters"]["steps"] == json.loads(answer["info"])["steps"] == 30


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/sdapi/v1/img2img", "images"),
        ("/sdapi/v1/extra-single-image", "image"),
        ("/sdapi/v1/interrogate", "caption"),
        ("/run/predict", "data"),
    ],
)
async def test_every_job_answers_in_its_own_form_and_is_counted(server, path, key):
    status, text = await server.post(path, {"prompt": "a"})

    assert status == 200
    assert json.loads(text)[key]
    assert (await server.get("/standin/report"))[1].items() >= SERVED.items()


@pytest.mark.parametrize("path", JOBS)
async def test_a_request_beyond_the_concurrency_is_refused_with_a_clear_text_and_counted(server, path):
    server.takes_s = FOR_EVER_S
    running = await server.start()

    status, text = await server.post(path)

    assert status == 429
    assert text == "overloaded: 1 running, and this pod can do 1 at a time\n"
    assert (await server.get("/standin/report"))[1]["overlaps"] == 1
    await server.post("/sdapi/v1/interrupt")
    assert (await running)[0] == 200


async def test_progress_counts_the_jobs_and_interrupt_ends_them_with_an_answer(server):
    assert (await server.get("/sdapi/v1/progress"))[1]["state"]["job_count"] == 0
    server.takes_s = FOR_EVER_S
    running = await server.start()

    status, busy = await server.get("/sdapi/v1/progress")
    assert status == 200
    assert 0 < busy["progress"] < 1
    assert 0 < busy["eta_relative"] <= FOR_EVER_S
    assert busy["state"]["job_count"] == 1
    assert (await server.post("/sdapi/v1/interrupt")) == (200, "{}")

    assert (await running)[0] == 200
    assert (await server.get("/standin/report"))[1].items() >= {"served": 0, "interrupted": 1}.items()


async def test_a_job_whose_client_has_gone_is_computed_to_its_end(server):
    server.takes_s = 0.2
    running = await server.start()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    (pod,) = server.pods.values()
    await pod.idle()

    assert pod.report().served == 1


async def test_options_are_kept(server):
    assert await server.post("/sdapi/v1/options", {"sd_model_checkpoint": "other"}) == (200, "null")

    assert (await server.get("/sdapi/v1/options"))[1]["sd_model_checkpoint"] == "other"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/assets/index.js", "text/javascript"),
        ("/assets/index.css", "text/css"),
        ("/favicon.ico", "image/png"),
        ("/robots.txt", "text/plain"),
    ],
)
async def test_files_are_served_while_a_job_runs(server, path, kind):
    server.takes_s = FOR_EVER_S
    running = await server.start()

    async with server.session.get(server.url(path)) as response:
        assert response.status == 200
        assert response.content_type == kind
        assert await response.read()
    assert not running.done()
    await server.post("/sdapi/v1/interrupt")
    await running


@pytest.mark.parametrize("body", [b"", b"no json", b"[1, 2]", b'"text"', b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused_before_it_costs_anything(server, body):
    async with server.session.post(server.url("/sdapi/v1/txt2img"), data=body) as response:
        assert response.status == 422
        assert "JSON" in await response.text()

    assert (await server.get("/standin/report"))[1]["peak"] == 0


async def test_one_process_is_as_many_pods_as_it_has_addresses():
    async with Server(host="0.0.0.0") as server:  # noqa: S104  # all of loopback is meant
        server.takes_s = FOR_EVER_S
        running = await server.start()
        server.takes_s = 0

        assert (await server.post("/sdapi/v1/txt2img", host="127.0.0.2"))[0] == 200
        assert (await server.post("/sdapi/v1/txt2img", host="127.0.0.1"))[0] == 429

        reports = (await server.get("/standin/reports", host="127.0.0.3"))[1]
        assert reports["127.0.0.2"].items() >= SERVED.items()
        assert reports["127.0.0.1"].items() >= {"served": 0, "overlaps": 1, "peak": 2}.items()
        await server.post("/sdapi/v1/interrupt", host="127.0.0.1")
        assert (await running)[0] == 200
