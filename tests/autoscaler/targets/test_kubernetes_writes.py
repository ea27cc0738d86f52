"""What a target writes, and what it leaves as somebody else wrote it, whenever that is heard of."""

import random

import pytest
from api_kit import DEPLOYMENTS, NAMESPACE, ApiServer, heard, workload

from autoscaler.kubernetes.client import ApiError
from autoscaler.kubernetes.scales import NamespacedKind
from autoscaler.ports import ScaleRequest
from autoscaler.targets.kubernetes import KubernetesTarget, Target

WEB = "ns/web"
TARGET = Target(NamespacedKind(NAMESPACE, "apps/v1", "Deployment"), "web", 0.0)
CONFLICT = ApiError(409, "Conflict", "the object has been modified")


class Overtaken(ApiServer):
    """Refuses the next write, for something else has been written just before."""

    def __init__(self, before_us, *, told_first):
        super().__init__()
        self._before_us, self._told_first = [before_us], told_first

    async def patch(self, path, body):
        if not self._before_us:
            return await super().patch(path, body)
        before = self.find(DEPLOYMENTS, "web")
        changed = self._before_us.pop()(before)
        if self._told_first:
            self.put(DEPLOYMENTS, changed)
            await heard()
        else:
            self._objects[DEPLOYMENTS]["web"] = {
                **changed,
                "metadata": {**changed["metadata"], "resourceVersion": str(self._version + 1)},
            }
        raise CONFLICT


def by_hand(item):
    return {**item, "spec": {**item["spec"], "replicas": 5}}


def in_its_status(item):
    return {**item, "status": {"observedGeneration": 7}}


@pytest.mark.parametrize("told_first", [True, False])
@pytest.mark.parametrize(("before_us", "asked", "answer"), [(by_hand, 5, "has written 5"), (in_its_status, 2, "")])
async def test_a_write_that_is_overtaken_leaves_anothers_number_and_is_repeated_after_a_status(
    told_first, before_us, asked, answer
):
    api = Overtaken(before_us, told_first=told_first)
    api.put(DEPLOYMENTS, workload("web", replicas=0))
    rng = random.Random(1)  # noqa: S311
    async with KubernetesTarget(api, lambda: 1_767_229_200.0, rng, running=lambda _service: {}) as target:
        target.set_targets({WEB: TARGET})
        await heard()
        (outcome,) = await target.scale([ScaleRequest(WEB, 2, ())])
        assert answer in outcome.error
        assert bool(outcome.error) == bool(answer)
        assert api.find(DEPLOYMENTS, "web")["spec"]["replicas"] == asked
