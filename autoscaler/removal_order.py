"""Which replicas go when their number falls, whatever they run on."""

from collections.abc import Sequence

from autoscaler.ports import Replica, ScaleRequest, removal_order


def replicas_to_remove(order: ScaleRequest, replicas: Sequence[Replica]) -> tuple[str, ...]:
    """Give the names of those that have to go: never more than there are too many.

    An order was made for the replicas of a moment ago. Those it names go first, in its order; one that is gone already
    is passed over, and where too few are left, others follow in the order in which replicas should go.
    """
    here = {replica.name for replica in replicas}
    named = [name for name in dict.fromkeys(order.leaving) if name in here]
    others = removal_order([replica for replica in replicas if replica.name not in order.leaving])
    return (*named, *others)[: max(len(replicas) - order.replicas, 0)]
