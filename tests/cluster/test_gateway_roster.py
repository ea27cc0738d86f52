"""The roster of the gateways in a Lease of a real API server."""

import asyncio

import pytest
from cluster_kit import Cluster

from autoscaler.app.roster_lease import LeaseRoster, new_life
from autoscaler.gateway.peers.roster import Member, Roster
from autoscaler.kubernetes.client import connected

pytestmark = [pytest.mark.program, pytest.mark.real_time]

SLEEPER = {"spec": {"containers": [{"name": "gateway", "image": "none"}]}}


async def test_of_gateways_that_write_at_once_one_is_first_and_a_pod_that_is_gone_is_dead(
    control_plane, namespace, monkeypatch
):
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    cluster = Cluster(control_plane, namespace)
    pod = await cluster.ask("create", cluster.pods, {"metadata": {"name": "gw-0"}, **SLEEPER})
    life = new_life(pod["metadata"]["uid"])
    async with connected() as api:
        stores = [LeaseRoster(api, namespace) for _ in range(4)]
        assert await stores[0].read() is None
        firsts = [Roster.first(f"gw-{number}", Member(f"10.0.0.{number}:9091", life)) for number in range(4)]

        created = await asyncio.gather(*(store.write(first, 0) for store, first in zip(stores, firsts, strict=True)))

        assert sum(created) == 1
        roster = await stores[0].read()
        assert roster == firsts[created.index(True)]
        nexts = [roster.joined(f"new-{number}", Member(f"10.0.1.{number}:9091", life)) for number in range(4)]

        replaced = await asyncio.gather(*(store.write(after, 1) for store, after in zip(stores, nexts, strict=True)))

        assert sum(replaced) == 1
        assert await stores[1].read() == nexts[replaced.index(True)]
        assert not await stores[0].write(nexts[0], 1)
        assert not await stores[0].is_dead("gw-0", life)
        assert await stores[0].is_dead("gw-0", new_life("another-uid"))
        await cluster.ask("delete", f"{cluster.pods}/gw-0")
        await cluster.ask("wait", cluster.pods, lambda pods: "gw-0" not in pods)
        assert await stores[0].is_dead("gw-0", life)
