import pytest
from gateway_kit import Kit


@pytest.fixture
async def kit():
    """Gateways, pods and clients for one test, all ended at its end."""
    made = Kit()
    yield made
    await made.close()
