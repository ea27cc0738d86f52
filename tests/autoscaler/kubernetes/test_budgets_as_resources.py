"""Budgets as custom resources: what is kept of them, their status, and when it is written."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from api_kit import ApiServer

from autoscaler.controller.budgets import Budgets, Wanted
from autoscaler.kubernetes.budgets import BUDGETS, BudgetReporter, status, stored_budget
from autoscaler.kubernetes.client import ApiError
from autoscaler.policy.budget import BudgetStatus
from autoscaler.ports import Fleet
from autoscaler.testing import budget, budget_document

COLLECTION = BUDGETS.collection("")
SD, LLM = "a/sd", "b/llm"


def item(name="shared", **spec):
    made = budget_document(name, **spec)
    return made | {"metadata": {**made["metadata"], "namespace": "", "uid": "u", "resourceVersion": "5"}}


def divided(gpus, **wanted):
    budgets = Budgets({SD: None, LLM: None}, lambda _service: None)
    budgets.set([budget(gpus=gpus)])
    found = {{"sd": SD, "llm": LLM}[name]: Wanted(count, Fleet(0, ())) for name, count in wanted.items()}
    budgets.limits(found, 0.0)
    return budgets


def test_a_resource_is_read_like_a_document():
    stored = stored_budget(item(gpus=4) | {"status": {"used": 1}})
    assert (stored.budget, stored.problem, stored.status) == (budget(gpus=4), "", {"used": 1})


def test_one_that_is_not_valid_is_kept_with_its_problem():
    stored = stored_budget(item(gpus=-4))
    assert stored.budget is None
    assert stored.problem.startswith("spec.gpus: -4: must be")


def test_the_status_says_who_uses_what_and_who_gets_less_than_it_wants():
    (state,) = divided(4, sd=3, llm=3).states
    assert status(state) == {
        "used": 4,
        "wanted": 6,
        "limited": 2,
        "services": [
            {"service": SD, "wanted": 3, "allowed": 2, "used": 2},
            {"service": LLM, "wanted": 3, "allowed": 2, "used": 2},
        ],
    }
    assert BudgetStatus.model_validate(status(state)).limited == 2


class World:
    def __init__(self):
        self.api, self.leads, self.budgets = ApiServer(), True, divided(4, sd=3, llm=3)
        self.api.put(COLLECTION, item(gpus=4))
        self.reporter = BudgetReporter(
            self.api,
            states=lambda: self.budgets.states,
            stored=lambda: {"shared": stored_budget(self.api.find(COLLECTION, "shared"))},
            leads=lambda: self.leads,
        )

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.reporter.run())
        yield self
        task.cancel()

    def writes(self):
        return len([each for each in self.api.asked if each[0] == "PATCH"])


@pytest.fixture
async def world():
    async with World().running() as world:
        yield world


async def test_a_status_is_written_once_and_again_when_it_changes(world):
    await asyncio.sleep(10)
    assert world.writes() == 1
    assert world.api.find(COLLECTION, "shared")["status"]["used"] == 4
    world.budgets.limits({SD: Wanted(1, Fleet(0, ()))}, 1.0)
    await asyncio.sleep(10)
    assert world.writes() == 2


async def test_only_the_leader_writes(world):
    world.leads = False
    await asyncio.sleep(10)
    assert world.writes() == 0


async def test_a_refused_write_is_tried_again(world):
    path = f"{COLLECTION}/shared/status"
    world.api.refusals[path] = ApiError(403, "Forbidden", "no")
    await asyncio.sleep(5)
    world.api.refusals.clear()
    await asyncio.sleep(3)
    assert world.api.find(COLLECTION, "shared")["status"]["wanted"] == 6
