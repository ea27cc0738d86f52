"""How a pod has started, whether it has a place, and how many GPUs it holds, by what Kubernetes says. No I/O.

The stages end when:

1. `scheduled`: a node was found (condition PodScheduled).
2. `image`: its first container was started. Before that the node mounts volumes, makes the sandbox and pulls an image.
3. `container`: its last container was started. The stage has init containers and their images; without any it is 0.
4. `model`: the pod was ready (condition Ready). The program starts and loads its model.

Kubernetes writes these times in whole seconds, by clocks of several machines: a stage is never below zero. Once a
container was started again, the time of its first start is lost, and the stages that it bounds are unknown.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoscaler.accounts import STAGES, StartTimes
from autoscaler.kubernetes.timestamps import unix_s

Json = Mapping[str, Any]


def start_times(created_s: float, status: Json) -> StartTimes:
    """Give the stages that are over, and the whole if the pod is ready."""
    since = conditions_since(status)
    ready_s = since.get("Ready")
    ends = (since.get("PodScheduled"), *_containers_started_s(status), ready_s)
    return StartTimes(tuple(_stages(created_s, ends)), None if ready_s is None else max(ready_s - created_s, 0.0))


def _stages(begin_s: float | None, ends_s: Sequence[float | None]) -> Iterator[tuple[str, float]]:
    """Give each stage with a known begin and a known end."""
    for stage, end_s in zip(STAGES, ends_s, strict=True):
        if end_s is None or begin_s is None:
            begin_s = end_s
            continue
        yield stage, max(end_s - begin_s, 0.0)
        begin_s = max(begin_s, end_s)


def conditions_since(status: Json) -> dict[str, float]:
    """Give since when each condition holds, of those that hold."""
    return {
        each["type"]: unix_s(each["lastTransitionTime"])
        for each in status.get("conditions") or ()
        if each["status"] == "True" and each.get("lastTransitionTime")
    }


def _containers_started_s(status: Json) -> tuple[float | None, float | None]:
    """Give when the first and the last container were started; None is unknown, or not yet."""
    containers = status.get("containerStatuses") or ()
    all_of_them = (*(status.get("initContainerStatuses") or ()), *containers)
    if not containers or any(each.get("restartCount") for each in all_of_them):
        return None, None
    known = [begun for each in all_of_them if (begun := _started_s(each)) is not None]
    last = [_started_s(each) for each in containers]
    return min(known, default=None), None if None in last else max(filter(None, last))


def _started_s(container: Json) -> float | None:
    state = container.get("state") or {}
    begun = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    return unix_s(begun) if begun else None


def has_place(spec: Json, status: Json) -> bool:
    """Tell whether a node runs the pod, or is about to."""
    return bool(spec.get("nodeName")) or "PodScheduled" in conditions_since(status)


def gpus(spec: Json) -> int | None:
    """Give the GPUs that the containers of a pod ask for together; None if they ask for none by a name of a GPU.

    A GPU is an extended resource such as nvidia.com/gpu, amd.com/gpu, gpu.intel.com/xe, or a slice of one, such as
    nvidia.com/mig-1g.5gb.
    """
    found = 0
    for container in spec.get("containers") or ():
        resources = container.get("resources") or {}
        # Extended resources cannot be overcommitted: their limits are their requests.
        for name, number in {**(resources.get("requests") or {}), **(resources.get("limits") or {})}.items():
            if _is_gpu(name) and re.fullmatch("[0-9]{1,6}", str(number)):
                found += int(number)
    return found or None


def _is_gpu(resource: str) -> bool:
    domain, _, name = resource.partition("/")
    return name.partition(".")[0] == "gpu" or name.startswith("mig-") or domain == "gpu.intel.com"
