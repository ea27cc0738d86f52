"""Beside a gateway that knows no peers nobody serves."""

import asyncio
import logging

import pytest

from autoscaler.app.older_gateways import older_gateways_gone
from autoscaler.kubernetes.client import ApiError


def pod(name, *ports, phase="Running"):
    container = {"name": "gateway", "ports": [{"name": each} for each in ports]}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}, "status": {"phase": phase}}


OLD, NEW, ENDED = pod("old", "http", "metrics"), pod("new", "http", "peer"), pod("ended", phase="Succeeded")


class Api:
    """Has the gateways' pods, or fails."""

    def __init__(self, *pods):
        self.pods = pods

    async def get(self, path, query):
        assert (path, query) == (
            "/api/v1/namespaces/own/pods",
            {"labelSelector": "app.kubernetes.io/name=inflight-gateway"},
        )
        if isinstance(self.pods, ApiError):
            raise self.pods
        return {"items": self.pods}


@pytest.mark.parametrize("pods", [(), (NEW,), (NEW, ENDED)])
async def test_without_an_older_gateway_nothing_is_waited_for(pods):
    async with asyncio.timeout(0.1):
        await older_gateways_gone(Api(*pods), "own")


@pytest.mark.parametrize("found", [(NEW, OLD), ApiError(0, "", "cannot tell: old may be there")])
async def test_an_older_gateway_is_waited_for_and_named_once(found, caplog):
    api = Api(NEW)
    api.pods = found
    waiting = asyncio.create_task(older_gateways_gone(api, "own"))
    await asyncio.sleep(600)
    assert not waiting.done()
    (said,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert "old" in said
    api.pods = (NEW,)
    await waiting
