"""No answer of the page has a word of a policy that may be a secret."""

import asyncio
import json

from page_records import SERVICE, record

from autoscaler.page import html
from autoscaler.page.board import Board
from autoscaler.page.live import Facts, Live
from autoscaler.ports import Fleet, Replica
from autoscaler.testing import policy

PLANTED = "s3cr3t-planted"


def with_secrets():
    """Make a policy that has one wherever a policy may have words of its own, except for names and queries."""
    path = f"/{PLANTED}"
    return policy(
        SERVICE,
        annotations={"kubectl.kubernetes.io/last-applied-configuration": PLANTED, "example.com/token": PLANTED},
        scaleTargetRef={"name": "sd"},
        metrics={"prometheus": {"serverAddress": f"http://{PLANTED}.example:9090/{PLANTED}"}},
        traffic={
            "hosts": [f"{PLANTED}.example"],
            "health": {"readyPath": path},
            "warmUp": {"method": "POST", "path": path, "body": PLANTED},
            "busy": {"path": path, "jsonPointers": [path]},
            "onAbort": "Interrupt",
            "interruptPath": path,
            "probes": [PLANTED],
            "cors": {"origins": [f"https://{PLANTED}.example"], "headers": [PLANTED]},
            "affinity": {"cookie": {"name": PLANTED}},
            "priority": {
                "classes": [
                    {"name": "first", "match": [{"header": {"name": "X-Key", "value": PLANTED}}]},
                    {"name": "rest"},
                ],
            },
            "fairness": {"by": "header", "name": PLANTED},
            "paths": [{"match": [path], "class": "Pass"}],
        },
    )


async def test_no_secret_of_a_policy_is_in_any_answer():
    loop, planted = asyncio.get_running_loop(), with_secrets()
    assert json.dumps(planted.model_dump(mode="json")).count(PLANTED) > 12
    live = Live(lambda: 1e9 + loop.time())
    board = Board(live, Facts(lambda: [SERVICE], lambda _service: planted))
    for running, desired in ((None, 2), (9.0, 10), (0.0, 0)):
        made = record(live.now(), running=running, replicas=2, ready=1, desired=desired, reasons=("maxReplicas",))
        pods = (Replica("a", ready=True, running=1, age_s=9.0), Replica("b", ready=False, running=0, age_s=1.0))
        live.observed({SERVICE: (made.observation, Fleet(2, pods))})
        live(made)
        await asyncio.sleep(2)
    fleet, service = await board.fleet(), await board.service(SERVICE)
    said = [json.dumps(fleet), json.dumps(service), html.fleet_page(fleet), html.service_page(service)]
    for name in ("", SERVICE):
        async with board.streams.viewer(name, 0.0) as viewer:
            said.append((await anext(aiter(viewer.events()))).decode())
    assert all(SERVICE in each for each in said)
    assert not [each for each in said if PLANTED in each]
