"""Who leads, by Leases of a real API server."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from cluster_kit import Cluster, until

from autoscaler.kubernetes.client import connected
from autoscaler.kubernetes.lease import Election, Times

pytestmark = [pytest.mark.program, pytest.mark.real_time]

QUICK = Times(lease_s=4, renew_s=3, retry_s=0.1)
LONG = Times(lease_s=600, renew_s=400, retry_s=0.1)
"""Nobody waits until it has run out."""


class Candidates(Cluster):
    """Candidates of one election, each with connections of its own."""

    def __init__(self, control_plane, namespace):
        super().__init__(control_plane, namespace)
        self.told = []

    @asynccontextmanager
    async def candidate(self, identity, **options):
        async with connected() as api:
            yield Election(
                api,
                self.namespace,
                "controller",
                identity,
                now=asyncio.get_running_loop().time,
                rng=random.Random(1),  # noqa: S311
                on_change=lambda leads: self.told.append((identity, leads)),
                times=options.get("times", QUICK),
            )

    @asynccontextmanager
    async def standing(self, identity, **options):
        async with self.candidate(identity, **options) as election:
            task = asyncio.create_task(election.run())
            try:
                yield election, task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def lease(self):
        return await self.ask("get", f"{self.path('apis/coordination.k8s.io/v1', 'leases')}/controller")


@pytest.fixture
def candidates(control_plane, namespace, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    return Candidates(control_plane, namespace)


async def test_the_first_leads_and_keeps_leading_while_another_stands_by(candidates):
    async with candidates.standing("a") as (a, _):
        await until(a.leads)
        async with candidates.standing("b") as (b, _):
            await until(lambda: b.leader == "a")
            first = (await candidates.lease())["spec"]["renewTime"]
            await asyncio.sleep(QUICK.lease_s + 0.5)
            assert a.leads()
            assert not b.leads()
            assert (await candidates.lease())["spec"]["renewTime"] > first
    assert candidates.told == [("a", True)]


async def test_a_lease_that_is_given_back_is_taken_before_it_would_have_run_out(candidates):
    async with candidates.standing("a", times=LONG) as (a, task):
        await until(a.leads)
        async with candidates.standing("b", times=LONG) as (b, _):
            await until(lambda: b.leader == "a")
            task.cancel()
            await a.release()
            assert not a.leads()
            await until(b.leads)
    assert candidates.told == [("a", True), ("a", False), ("b", True)]


async def test_who_cannot_renew_stops_leading_before_another_one_takes_over(candidates, monkeypatch):
    async with candidates.standing("a") as (a, _):
        await until(a.leads)
        async with candidates.standing("b") as (b, _):
            await until(lambda: b.leader == "a")
            monkeypatch.setattr(a._api, "_account", a._api._account._replace(server="https://127.0.0.1:1"))
            while not b.leads():
                overlapping = a.leads() and b.leads()
                assert not overlapping
                await asyncio.sleep(0.01)
    assert candidates.told[:3] == [("a", True), ("a", False), ("b", True)]
    assert (await candidates.lease())["spec"]["leaseTransitions"] == 1


async def test_who_comes_back_under_its_name_has_not_to_wait(candidates):
    async with candidates.standing("a", times=LONG) as (a, _):
        await until(a.leads)
    async with candidates.standing("a", times=LONG) as (again, _):
        await until(again.leads)
