"""What the contract suites share: programs that run for all of them, and a session to reach peers with."""

import aiohttp
import pytest
from metrics_peers import Prometheus, free_port


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="session")
def prometheus(prometheus_binary, tmp_path_factory):
    """Run a Prometheus that scrapes two gateways; tests share it and use service names of their own."""
    with Prometheus(prometheus_binary, tmp_path_factory.mktemp("prometheus")).running() as prometheus:
        yield prometheus


@pytest.fixture(scope="session")
def half_blind_prometheus(prometheus_binary, tmp_path_factory):
    """Run a Prometheus that should also ask another one, which is gone."""
    gone = f"http://127.0.0.1:{free_port()}/read"
    folder = tmp_path_factory.mktemp("half_blind")
    with Prometheus(prometheus_binary, folder, remote_read=gone).running() as prometheus:
        yield prometheus
