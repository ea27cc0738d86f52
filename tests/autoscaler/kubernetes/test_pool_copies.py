"""Copies of Deployments for pools: made, followed, and removed when they are empty; only by the leader."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from api_kit import DEPLOYMENTS, NAMESPACE, ApiServer

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.pool_copies import PoolCopies
from autoscaler.kubernetes.pool_copy import Copies
from autoscaler.policy.pools import GpuPool

SD = f"{NAMESPACE}/sd"
FORBIDDEN = ApiError(403, "Forbidden", 'deployments.apps is forbidden: User "us" cannot create resource "deployments"')


def pools(*names):
    return tuple(GpuPool.model_validate({"name": name, "instanceTypes": [f"type-of-{name}"]}) for name in names)


class World:
    def __init__(self):
        self.api, self.leading, self.changed = ApiServer(), True, []
        loop = asyncio.get_running_loop()
        self.copies = PoolCopies(
            self.api,
            loop.time,
            random.Random(1),  # noqa: S311
            leads=lambda: self.leading,
            on_change=self.changed.append,
        )

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.copies.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    def put_template(self, image="one", *, replicas=0, ready=0, name="sd"):
        pods = {"metadata": {"labels": {"app": "sd"}}, "spec": {"containers": [{"name": "sd", "image": image}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "sd"}}, "template": pods}
        status = {"replicas": replicas, "readyReplicas": ready}
        self.api.put(DEPLOYMENTS, {"metadata": {"name": name, "uid": f"uid-of-{name}"}, "spec": spec, "status": status})

    async def wants(self, *names, known=(SD,), seconds=3):
        copies = {SD: Copies("sd", "sd", pools(*names))} if names else {}
        self.copies.set_services(copies, known)
        await asyncio.sleep(seconds)

    def names(self):
        return {name for name in self.api.names(DEPLOYMENTS) if name != "sd"}

    def get(self, name):
        return self.api.find(DEPLOYMENTS, name)

    def change(self, name, *, replicas=None, pods=None, ready=None, spec=None):
        found = self.get(name)
        changed = {**found["spec"], **(spec or {}), **({} if replicas is None else {"replicas": replicas})}
        status = {"replicas": pods, "readyReplicas": ready}
        status = {**found.get("status", {}), **{key: value for key, value in status.items() if value is not None}}
        metadata = {**found["metadata"], "managedFields": []}
        self.api.put(DEPLOYMENTS, {**found, "metadata": metadata, "spec": changed, "status": status})

    def writes(self):
        return [each for each in self.api.asked if each[0] not in {"GET", "WATCH"}]


@pytest.fixture
async def world():
    world = World()
    world.put_template()
    async with world.running():
        yield world


def image(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


async def test_each_pool_gets_its_copy_with_no_replicas(world):
    await world.wants("a10", "l20")

    assert world.names() == {"sd-a10", "sd-l20"}
    assert [world.get(name)["spec"]["replicas"] for name in ("sd-a10", "sd-l20")] == [0, 0]
    assert world.copies.problem(f"{SD}#a10") == world.copies.refusal(f"{SD}#a10") == ""


async def test_copies_follow_the_template_and_keep_the_number_that_was_written(world):
    await world.wants("a10")
    world.change("sd-a10", replicas=4)

    world.put_template("two")
    await asyncio.sleep(3)

    assert (image(world.get("sd-a10")), world.get("sd-a10")["spec"]["replicas"]) == ("two", 4)


async def test_a_change_by_somebody_else_is_undone_and_what_is_so_already_is_not_written_again(world):
    await world.wants("a10")
    world.change(
        "sd-a10", spec={"paused": True, "template": {"metadata": {}, "spec": {"containers": [{"image": "x"}]}}}
    )
    await asyncio.sleep(3)
    assert image(world.get("sd-a10")) == "one"

    before = world.writes()
    world.change("sd-a10", pods=1)
    await asyncio.sleep(120)
    assert world.writes() == before


async def test_a_copy_that_somebody_deletes_is_made_again(world):
    await world.wants("a10")
    world.api.delete(DEPLOYMENTS, "sd-a10")
    await asyncio.sleep(3)
    assert world.get("sd-a10")["spec"]["replicas"] == 0


async def test_a_number_that_is_written_between_making_a_copy_and_the_next_apply_stays(world):
    await world.wants("a10")
    world.api.forget_watches(DEPLOYMENTS)
    world.change("sd-a10", replicas=3)
    world.put_template("two")
    await asyncio.sleep(60)
    assert (image(world.get("sd-a10")), world.get("sd-a10")["spec"]["replicas"]) == ("two", 3)


async def test_the_copy_of_a_pool_that_is_gone_goes_to_zero_and_is_deleted_when_it_has_no_pods(world):
    await world.wants("a10", "l20")
    world.change("sd-l20", replicas=2, pods=2, ready=2)

    await world.wants("a10")
    assert world.get("sd-l20")["spec"]["replicas"] == 0
    await asyncio.sleep(600)
    assert world.names() == {"sd-a10", "sd-l20"}

    world.change("sd-l20", pods=0, ready=0)
    await asyncio.sleep(3)
    assert world.names() == {"sd-a10"}


async def test_a_service_that_has_no_pools_any_more_has_no_copies_and_one_that_is_gone_keeps_them(world):
    await world.wants("a10")
    await world.wants(known=())
    assert world.names() == {"sd-a10"}

    await world.wants("a10")
    await world.wants(known=(SD,))
    assert world.names() == set()
    assert world.api.find(DEPLOYMENTS, "sd")


async def test_who_does_not_lead_writes_nothing_and_writes_when_it_leads(world):
    world.leading = False
    world.put_template(replicas=1)
    await world.wants("a10", seconds=60)
    assert world.writes() == []

    world.leading = True
    await asyncio.sleep(3)
    assert world.names() == {"sd-a10"}
    assert world.get("sd")["spec"]["replicas"] == 0


async def test_a_template_without_ready_pods_goes_to_zero_at_once(world):
    world.put_template(replicas=1)
    await world.wants("a10")
    assert world.get("sd")["spec"]["replicas"] == 0


async def test_a_template_that_serves_stays_until_the_copies_serve_in_its_place(world):
    world.put_template(replicas=2, ready=2)
    await world.wants("a10", seconds=5)
    world.change("sd-a10", replicas=2, pods=2)
    await asyncio.sleep(60)
    assert world.get("sd")["spec"]["replicas"] == 2

    world.change("sd-a10", ready=2)
    await asyncio.sleep(3)
    assert world.get("sd")["spec"]["replicas"] == 0


async def test_a_template_that_serves_stays_until_the_pools_are_decided_on(world):
    world.put_template(replicas=2, ready=2)
    await world.wants("a10", seconds=8)
    assert world.get("sd")["spec"]["replicas"] == 2
    await asyncio.sleep(6)
    assert world.get("sd")["spec"]["replicas"] == 0


async def test_a_missing_right_is_a_problem_that_says_what_to_grant_until_it_is_granted(world):
    world.api.refusals[f"{DEPLOYMENTS}/sd-a10"] = FORBIDDEN
    await world.wants("a10", "l20")

    problem = world.copies.problem(f"{SD}#a10")
    assert problem.startswith("Deployment ns/sd-a10 cannot be applied: deployments.apps is forbidden: ")
    assert problem.endswith(
        "; grant the controller create, patch and delete of deployments: manifests/components/pools"
    )
    assert world.copies.refusal(f"{SD}#a10") == problem
    assert world.copies.problem(f"{SD}#l20") == ""
    assert world.names() == {"sd-l20"}
    assert set(world.changed) == {SD}

    world.api.refusals.clear()
    await asyncio.sleep(30)
    assert world.copies.problem(f"{SD}#a10") == ""
    assert world.names() == {"sd-a10", "sd-l20"}


async def test_a_quota_that_forbids_a_copy_is_no_missing_right(world):
    why = 'deployments.apps "sd-a10" is forbidden: exceeded quota: few'
    world.api.refusals[f"{DEPLOYMENTS}/sd-a10"] = ApiError(403, "Forbidden", why)
    await world.wants("a10")
    assert world.copies.refusal(f"{SD}#a10") == f"Deployment ns/sd-a10 cannot be applied: {why}"


async def test_in_dry_run_nothing_is_written_and_a_pool_without_a_copy_has_no_room(world):
    world.put_template(replicas=1)
    dry = Copies("sd", "sd", pools("a10"), writes=False)
    world.copies.set_services({SD: dry}, (SD,))
    await asyncio.sleep(60)
    assert world.writes() == []
    assert world.copies.refusal(f"{SD}#a10") == "in DryRun no copies are made"
    assert world.copies.problem(f"{SD}#a10") == ""


async def test_a_right_that_is_taken_away_is_a_problem_of_a_pool_that_still_serves(world):
    await world.wants("a10")
    world.api.refusals[f"{DEPLOYMENTS}/sd-a10"] = FORBIDDEN
    world.put_template("two")
    await asyncio.sleep(3)
    assert "forbidden" in world.copies.problem(f"{SD}#a10")
    assert world.copies.refusal(f"{SD}#a10") == ""


async def test_while_the_template_does_not_exist_it_is_said_and_the_copies_stay(world):
    await world.wants("a10")
    world.api.delete(DEPLOYMENTS, "sd")
    await asyncio.sleep(3)
    assert world.copies.problem(f"{SD}#a10") == ("Deployment ns/sd does not exist, and its pools are copies of it")
    assert world.names() == {"sd-a10"}


async def test_a_deployment_of_the_same_name_that_is_not_ours_is_never_written(world):
    world.put_template("theirs", name="sd-a10", replicas=5)
    await world.wants("a10", "l20", seconds=60)

    assert (image(world.get("sd-a10")), world.get("sd-a10")["spec"]["replicas"]) == ("theirs", 5)
    assert "is no copy of ours" in world.copies.problem(f"{SD}#a10")
    assert "sd-l20" in world.names()


async def test_an_error_with_one_policy_stops_no_other(world):
    world.put_template(name="web")
    world.api.refusals[f"{DEPLOYMENTS}/sd-a10"] = RuntimeError("broken")
    web = f"{NAMESPACE}/web"
    world.copies.set_services(
        {SD: Copies("sd", "sd", pools("a10")), web: Copies("web", "web", pools("a10"))}, (SD, web)
    )
    await asyncio.sleep(3)
    assert "web-a10" in world.names()
    assert "broken" in world.copies.problem(f"{SD}#a10")
