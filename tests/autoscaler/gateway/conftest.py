import asyncio

import pytest
import uvloop
from gateway_kit import Kit, NameServer
from gateway_program import Programs
from peers_kit import PeersKit

from autoscaler.testing import VirtualTimeLoop

LONGEST_S = 120
"""After which a test that hangs is cancelled."""


def cancel_all():
    for task in asyncio.all_tasks():
        task.cancel()


@pytest.fixture
async def kit():
    """Gateways, pods and clients for one test, all ended at its end."""
    guard = asyncio.get_running_loop().call_later(LONGEST_S, cancel_all)
    made = Kit()
    yield made
    guard.cancel()
    await made.close()


@pytest.fixture
async def peers():
    """Gateways that serve together, pods and clients for one test, all ended at its end."""
    guard = asyncio.get_running_loop().call_later(LONGEST_S, cancel_all)
    made = PeersKit()
    yield made
    guard.cancel()
    await made.close()


@pytest.fixture
def name_server():
    """Answers look-ups as the test says; at the end it lets go those that wait."""
    made = NameServer()
    yield made
    made.go_on.set()


@pytest.fixture
async def programs(tmp_path, kit):
    """Gateways as processes of their own, all ended at the test's end."""
    made = Programs(tmp_path)
    yield made
    await made.close()


def pytest_asyncio_loop_factories(config, item):
    """Run what talks to sockets on the loop of the gateway's command, some on asyncio's too, as the demo does."""
    if not item.get_closest_marker("real_time"):
        return {"virtual time": VirtualTimeLoop}
    uv = {"uvloop": uvloop.new_event_loop}
    return {"real time": asyncio.SelectorEventLoop, **uv} if item.path.name == "test_server.py" else uv
