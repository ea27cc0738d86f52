"""The words for replicas that have no place."""

import re

from autoscaler.explain.wording import number_of
from autoscaler.ports import Record

_LACKS = re.compile(r"Insufficient ([\w./-]+\w)")


def no_place(record: Record, missing: int) -> str:
    """Say that replicas have no place, and what they lack if that is known."""
    pods = number_of(missing, "pod")
    waiting = [pool for pool in record.observation.pools if pool.unplaced]
    if waiting and all(pool.refused for pool in waiting):
        return f"Kubernetes has refused to create {pods}"
    lacking = {found[1] for pool in waiting if (found := _LACKS.search(pool.why))}
    if len(lacking) == 1:
        return f"no node has had a free {lacking.pop()} for {pods}"
    return f"no node has had room for {pods}"
