import asyncio

import pytest
from gateway_kit import Kit

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
