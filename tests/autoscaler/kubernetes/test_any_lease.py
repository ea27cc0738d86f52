"""Whatever a Lease says, the election goes on: in virtual time, by an API server that keeps what it is sent."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.lease import Election, Times
from autoscaler.testing import VirtualTimeLoop

TIMES = Times()
JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=4)
ODD = JSON | st.lists(JSON, max_size=2) | st.dictionaries(st.text(max_size=3), JSON, max_size=2)
FIELDS = ("holderIdentity", "leaseDurationSeconds", "leaseTransitions", "renewTime", "acquireTime")
SPECS = ODD | st.fixed_dictionaries({}, optional={name: ODD | st.integers(0, 30) for name in FIELDS})
LEASES = ODD | st.fixed_dictionaries({"metadata": ODD}, optional={"spec": SPECS})


class Api:
    """Has one Lease, whatever it is."""

    def __init__(self, lease):
        self.lease = lease

    async def get(self, _path):
        if self.lease is None:
            raise ApiError(404, "NotFound", "no such lease")
        return self.lease

    async def create(self, _path, lease):
        self.lease = lease
        return lease

    async def replace(self, _path, lease):
        self.lease = lease
        return lease


@asynccontextmanager
async def standing(lease):
    api, told = Api(lease), []
    rng, now = random.Random(1), asyncio.get_running_loop().time  # noqa: S311
    election = Election(api, "own", "controller", "a", now=now, rng=rng, on_change=told.append)
    task = asyncio.create_task(election.run())
    try:
        yield api, election
        assert not task.done(), "the election has ended"
    finally:
        task.cancel()
        await asyncio.wait([task])
        await election.release()


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"spec": None},
        {"spec": {}},
        {"spec": []},
        {"spec": "garbled"},
        {"spec": {"holderIdentity": None}},
        {"spec": {"holderIdentity": ""}},
        {"spec": {"leaseTransitions": "many"}},
    ],
)
async def test_a_lease_that_names_no_holder_is_free(spec):
    async with standing({"metadata": {"name": "controller"}, **spec}) as (api, election):
        await asyncio.sleep(TIMES.retry_s)
        assert election.leads()
        assert api.lease["spec"]["holderIdentity"] == "a"
        assert api.lease["metadata"] == {"name": "controller"}


@pytest.mark.parametrize("lasts", [None, "15", [], -1, True, float("nan"), float("inf"), 10**400])
async def test_a_holder_that_does_not_say_for_how_long_has_as_long_as_our_own(lasts):
    lease = {"metadata": {}, "spec": {"holderIdentity": "b", "leaseDurationSeconds": lasts}}
    async with standing(lease) as (_api, election):
        await asyncio.sleep(TIMES.lease_s - TIMES.retry_s)
        assert not election.leads()
        await asyncio.sleep(3 * TIMES.retry_s)
        assert election.leads()


@given(LEASES)
@example({"metadata": {"name": "made ahead"}})
def test_no_lease_ends_the_election_and_any_that_nobody_renews_is_taken(lease):
    async def stand():
        async with standing(lease) as (api, election):
            await asyncio.sleep(30 + TIMES.lease_s)
            if not election.leads():
                assert not isinstance(lease, dict), "it is an object of another kind, as long as somebody serves it"
                api.lease = None
                await asyncio.sleep(3 * TIMES.retry_s)
            assert election.leads()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(stand())
