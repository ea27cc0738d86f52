"""The reference run as a program of its own: it prints where it is, and sends the load when it gets a line."""

import asyncio
import json
import sys
from pathlib import Path

from autoscaler.commands.demo import POLICY
from autoscaler.demo.load import Load
from autoscaler.demo.load import run as send
from autoscaler.demo.plan import Plan, faster
from autoscaler.demo.stage import staged
from autoscaler.page.address import PageAddress
from autoscaler.policy.loading import read_policies


async def run(folder, speed):
    plan = faster(Plan(read_policies([POLICY])[0]), speed)
    async with staged(plan, folder, 0, PageAddress("127.0.0.1", 0)) as stage:
        tell({"page": stage.page, "metrics": stage.metrics})
        await asyncio.to_thread(sys.stdin.readline)
        load = Load(f"{stage.address}/sdapi/v1/txt2img", timeout_s=120.0, host=plan.policy.spec.traffic.hosts[0])
        tell([answer.status for answer in (await send(load)).answers])
        await asyncio.to_thread(sys.stdin.readline)


def tell(what):
    print(json.dumps(what), flush=True)  # noqa: T201 - this is what its parent reads


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), float(sys.argv[2])))
