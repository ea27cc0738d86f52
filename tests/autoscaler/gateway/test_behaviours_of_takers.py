"""The behaviours of a gateway that has another one beside it, which grants it the slots."""

import asyncio

import pytest
from conftest import LONGEST_S, cancel_all
from peers_kit import TakerKit
from test_behaviours_slots import *  # noqa: F403
from test_behaviours_queue import *  # noqa: F403
from test_behaviours_retry import *  # noqa: F403
from test_behaviours_affinity import *  # noqa: F403
from test_behaviours_streaming import *  # noqa: F403
from test_behaviours_operation import *  # noqa: F403
from test_behaviours_pods import *  # noqa: F403
from test_behaviours_health import *  # noqa: F403
from test_behaviours_busy import *  # noqa: F403
from test_behaviours_warm_up import *  # noqa: F403
from test_behaviours_hosts import *  # noqa: F403
from test_behaviours_http import *  # noqa: F403
from test_behaviours_wire import *  # noqa: F403
from test_server import *  # noqa: F403

pytestmark = pytest.mark.real_time


@pytest.fixture
async def kit():
    """As everywhere, but its gateways do not own their service."""
    guard = asyncio.get_running_loop().call_later(LONGEST_S, cancel_all)
    made = TakerKit()
    yield made
    guard.cancel()
    await made.close()
