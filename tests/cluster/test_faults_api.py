"""The API server refuses, fails, falls silent and breaks off, each for a service of its own, all at the same time.

First while requests wait at zero, then while load runs and ends, and the number should fall: what could not be written,
or was written and never confirmed, is made good when the fault is over, and nobody else is suspected.
"""

import asyncio
import json

import pytest
from fault_kit import installed, known, together
from fault_proxy import Answers, Halves, Hangs

pytestmark = [pytest.mark.program, pytest.mark.real_time]

CLIENTS = 2


def refusal(code, reason, **headers):
    """Give the API server's way of saying no."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
    body = json.dumps({**status, "message": f"{reason} by a fault"}).encode()
    return Answers(code, body, **{"Content-Type": "application/json", **headers})


FAULTS = {
    "refuses with 409": (refusal(409, "Conflict"), "changes faster than it can be written"),
    "refuses with 429": (refusal(429, "TooManyRequests", **{"Retry-After": "1"}), "TooManyRequests by a fault"),
    "fails with 500": (refusal(500, "InternalError"), "InternalError by a fault"),
    "does not answer": (Hangs(), "did not answer in time"),
    "does it and does not answer": (Hangs(after=True), "did not answer in time"),
    "does it and breaks off in its answer": (Halves(), "Response payload is not completed"),
    "writes a number and tells nobody": (Halves(), "Response payload is not completed"),
}
"""What it does to every request about a namespace, and the words by which a decision tells of it."""
DROPPED = "breaks every watch off"


def about(service):
    """Choose all requests about a service; for some faults only those to write a scale, and the watch of it."""
    place = f"/namespaces/{service.namespace}/"

    def is_written(request):
        return place in request.path and request.path.endswith("/scale") and request.method == "PATCH"

    return {
        "refuses with 409": is_written,
        "writes a number and tells nobody": lambda request: (
            is_written(request) or request.path.endswith(f"{place}deployments")
        ),
    }.get(service.name, lambda request: place in request.path)


async def story(control_plane, folder):
    async with installed(control_plane, folder, [*FAULTS, DROPPED]) as it:
        services = it.services.values()
        await together(service.install() for service in services)
        await together(service.decided(known) for service in services)
        await hurt(it)
        waking = [asyncio.create_task(service.one(CLIENTS)) for service in services]
        await together(it[name].fails(words) for name, (_, words) in FAULTS.items())
        it.api.heal()
        it.api.drop()
        await together(waking)

        for service in services:
            service.start_load(CLIENTS)
        await together(service.answered(CLIENTS) for service in services)
        await hurt(it)
        await together(service.stop_load() for service in services)
        await together(it[name].fails(words) for name, (_, words) in FAULTS.items())
        it.api.heal()
        it.api.drop()
        await together(service.replicas_are(0) for service in services)
        await together(service.serves(0) for service in services)
        await together(service.decided(known) for service in services)
    return {name: service.ledger for name, service in it.services.items()}


async def hurt(it):
    for name, (act, _) in FAULTS.items():
        it[name].mark()
        it.api.does(act, about(it[name]))
    it.api.drop()


@pytest.fixture(scope="module")
def told(control_plane, tmp_path_factory):
    return asyncio.run(story(control_plane, tmp_path_factory.mktemp("api")))


@pytest.mark.parametrize("fault", [*FAULTS, DROPPED])
def test_every_request_is_answered_and_the_number_follows_when_the_api_server(told, fault):
    ledger = told[fault]
    ledger.settle()
    assert max(ledger.replicas) == CLIENTS
    assert ledger.replicas[-1] == 0


@pytest.mark.parametrize("fault", [*FAULTS, DROPPED])
def test_nobody_else_is_taken_for_the_writer_when_the_api_server(told, fault):
    rules = {reason["rule"] for record in told[fault].records for reason in record["reasons"]}
    assert "foreignWriter" not in rules
