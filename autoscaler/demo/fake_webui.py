"""The HTTP API of a fake Stable Diffusion web UI, with a random duration in place of the GPU's work.

Rules:
1. A job goes on when its client disconnects, as in the real web UI; only `/sdapi/v1/interrupt` ends it early.
2. One process may be many pods: the local address of a connection selects the pod.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiohttp import web

from autoscaler.demo.fake_gpu import OverloadError, Pod
from autoscaler.demo.pictures import png, png_text

LARGEST_REQUEST = 64 * 2**20
"""Bytes; img2img carries pictures."""
OPTIONS = {"samples_format": "png", "sd_model_checkpoint": "v1-5-pruned-emaonly.safetensors"}
STEPS = 20
"""Sampling steps of a request that names none: the web UI's default."""

Body = dict[str, Any]


class Pods(defaultdict[str, Pod]):
    """The pods of one process, by address; a new address is a new pod."""

    def __init__(self, concurrency: int, draw: Callable[[], float]) -> None:
        super().__init__(lambda: Pod(concurrency, draw))

    def of(self, request: web.Request) -> Pod:
        """Give the pod that the client connected to."""
        address = request.get_extra_info("sockname")
        return self[address[0] if address else ""]

    def reports(self) -> dict[str, dict[str, float]]:
        """Give every pod's report, by address."""
        return {address: pod.report()._asdict() for address, pod in self.items()}

    async def idle(self) -> None:
        """Wait until no pod runs a job."""
        for pod in list(self.values()):
            await pod.idle()


PODS = web.AppKey("pods", Pods)
OPTIONS_NOW = web.AppKey("options", dict[str, Any])


def application(pods: Pods) -> web.Application:
    """Build the API over pods."""
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app[PODS] = pods
    app[OPTIONS_NOW] = dict(OPTIONS)
    app.add_routes([web.post(path, _job(answer)) for path, answer in JOBS.items()])
    app.add_routes([web.get(path, _file(body, kind)) for path, (body, kind) in FILES.items()])
    app.add_routes(
        [
            web.get("/sdapi/v1/progress", _progress),
            web.post("/sdapi/v1/interrupt", _interrupt),
            web.get("/sdapi/v1/options", _options),
            web.post("/sdapi/v1/options", _set_options),
            web.get("/standin/report", _report),
            web.get("/standin/reports", _reports),
        ]
    )
    return app


# Responses of the jobs.


def _pictures(body: Body) -> Body:
    prompt = str(body.get("prompt", ""))
    info = {"prompt": prompt, "all_prompts": [prompt], "steps": body.get("steps", STEPS), "job_timestamp": "0"}
    parameters = {"prompt": prompt, "steps": STEPS, "width": 512, "height": 512} | body
    return {"images": [png_text(prompt)], "parameters": parameters, "info": json.dumps(info)}


def _upscaled(body: Body) -> Body:
    return {"html_info": "", "image": png_text(str(body.get("image", "")))}


def _caption(_body: Body) -> Body:
    return {"caption": "a pretty dog"}


def _predicted(body: Body) -> Body:
    return {"data": [png_text(json.dumps(body.get("data")))], "is_generating": False}


JOBS: dict[str, Callable[[Body], Body]] = {
    "/sdapi/v1/txt2img": _pictures,
    "/sdapi/v1/img2img": _pictures,
    "/sdapi/v1/extra-single-image": _upscaled,
    "/sdapi/v1/interrogate": _caption,
    "/run/predict": _predicted,
}
"""Requests that use the GPU, and their responses."""

FILES = {
    "/": (b"<!doctype html><title>Stable Diffusion</title><script src=/assets/index.js></script>", "text/html"),
    "/assets/index.js": (b'console.log("stand-in");\n', "text/javascript"),
    "/assets/index.css": (b"body { margin: 0 }\n", "text/css"),
    "/favicon.ico": (png("favicon"), "image/png"),
    "/robots.txt": (b"User-agent: *\nDisallow: /\n", "text/plain"),
}


# The routes.

Handler = Callable[[web.Request], Any]


def _job(answer: Callable[[Body], Body]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            await request.app[PODS].of(request).work()
        except OverloadError as overload:
            raise web.HTTPTooManyRequests(text=f"overloaded: {overload}\n") from overload
        return web.json_response(answer(body))

    return handle


async def _body(request: web.Request) -> Body:
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPUnprocessableEntity(text=f"the body is no JSON: {error}\n") from error
    if not isinstance(body, dict):
        raise web.HTTPUnprocessableEntity(text="the body is no JSON object\n")
    return body


async def _progress(request: web.Request) -> web.Response:
    pod = request.app[PODS].of(request)
    progress, eta_s = pod.progress()
    state = {
        "skipped": False,
        "interrupted": any(job.interrupted.is_set() for job in pod.jobs),
        "job": "scripts_txt2img" if pod.jobs else "",
        "job_count": len(pod.jobs),
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": int(progress * STEPS),
        "sampling_steps": STEPS,
    }
    answer = {"progress": progress, "eta_relative": eta_s, "state": state, "current_image": None, "textinfo": None}
    return web.json_response(answer)


async def _interrupt(request: web.Request) -> web.Response:
    request.app[PODS].of(request).interrupt()
    return web.json_response({})


async def _options(request: web.Request) -> web.Response:
    return web.json_response(request.app[OPTIONS_NOW])


async def _set_options(request: web.Request) -> web.Response:
    request.app[OPTIONS_NOW].update(await _body(request))
    return web.json_response(None)


async def _report(request: web.Request) -> web.Response:
    return web.json_response(request.app[PODS].of(request).report()._asdict())


async def _reports(request: web.Request) -> web.Response:
    return web.json_response(request.app[PODS].reports())


def _file(body: bytes, kind: str) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind)

    return handle
