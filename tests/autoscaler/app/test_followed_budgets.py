"""What is followed of budgets in resources and files: valid, invalid and deleted ones."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from api_kit import ApiServer

from autoscaler.app.controller_settings import ControllerSettings
from autoscaler.app.followed_budgets import FollowedBudgets
from autoscaler.documents.document import DocumentError, to_yaml
from autoscaler.kubernetes.budgets import BUDGETS
from autoscaler.kubernetes.client import ApiError
from autoscaler.runtime.files import CHECK_EVERY_S
from autoscaler.testing import budget_document

COLLECTION = BUDGETS.collection("")


class Kept:
    """Keeps the GPUs of each budget in force."""

    def __init__(self):
        self.gpus = {}

    def set(self, budgets):
        self.gpus = {budget.name: budget.spec.gpus for budget in budgets}


class World:
    def __init__(self, **settings):
        self.api, self.kept = ApiServer(), Kept()
        self.budgets = FollowedBudgets(
            ControllerSettings(own_namespace="own", identity="one", **settings), api=self.api, budgets=self.kept
        )

    @asynccontextmanager
    async def running(self):
        self.budgets.load_files()
        task = asyncio.create_task(self.budgets.run())
        await asyncio.sleep(1)
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def put(self, gpus, name="shared", **more):
        made = budget_document(name, gpus=gpus)
        self.api.put(COLLECTION, made | {"metadata": {"name": name, "namespace": ""}} | more)
        await asyncio.sleep(1)
        return self.kept.gpus


async def test_resources_come_change_and_go():
    async with World().running() as world:
        assert await world.put(4) == {"shared": 4}
        assert await world.put(8) == {"shared": 8}
        world.api.delete(COLLECTION, "shared")
        await asyncio.sleep(1)
        assert world.kept.gpus == {}


async def test_the_last_valid_version_stays_in_force_and_the_log_says_why(caplog):
    async with World().running() as world:
        await world.put(4)
        assert await world.put(-1) == {"shared": 4}
    assert "GpuBudget shared is not valid, its last valid version stays in force: spec.gpus: -1" in caplog.text


async def test_a_written_status_changes_nothing():
    async with World().running() as world:
        await world.put(4)
        world.kept.gpus = "unchanged"
        assert await world.put(4, status={"used": 1}) == "unchanged"


async def test_a_file_is_read_again_and_an_invalid_one_changes_nothing(tmp_path):
    file = tmp_path / "budgets.yaml"
    file.write_text(to_yaml(budget_document(gpus=2)))
    async with World(resources=False, files=(file,)).running() as world:
        assert world.kept.gpus == {"shared": 2}
        file.write_text(to_yaml(budget_document(gpus=-3)))
        await asyncio.sleep(5 * CHECK_EVERY_S)
        assert world.kept.gpus == {"shared": 2}
        file.write_text(to_yaml(budget_document(gpus=30)))
        while world.kept.gpus != {"shared": 30}:  # noqa: ASYNC110 - a thread reads the file
            await asyncio.sleep(CHECK_EVERY_S)


async def test_of_a_resource_and_a_file_with_one_name_the_resource_wins(tmp_path):
    file = tmp_path / "budgets.yaml"
    file.write_text(to_yaml(budget_document(gpus=2)))
    async with World(files=(file,)).running() as world:
        assert await world.put(4) == {"shared": 4}


def test_an_invalid_file_is_refused_at_the_start(tmp_path):
    file = tmp_path / "budgets.yaml"
    file.write_text(to_yaml(budget_document(gpus=-2)))
    with pytest.raises(DocumentError):
        World(files=(file,)).budgets.load_files()


@pytest.mark.parametrize("settings", [{"namespace": "ns"}, {"resources": False}])
async def test_a_controller_of_one_namespace_asks_for_no_resource_of_the_whole_cluster(settings):
    async with World(**settings).running() as world:
        await world.budgets.known()
        assert world.api.asked == []


async def test_without_the_right_to_list_them_there_are_none_and_decisions_go_on():
    world = World()
    world.api.refusals[COLLECTION] = ApiError(403, "Forbidden", "no")
    async with world.running():
        await world.budgets.known()
        assert world.kept.gpus == {}
