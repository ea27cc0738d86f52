"""What a candidate wants, and why: in the words of the active policy's own decisions."""

from algorithms.types import Decision
from autoscaler.explain.causes import short_recommended
from autoscaler.explain.rules import Case, said
from autoscaler.explain.sentences import cause
from autoscaler.explain.view import ServiceView


def wants(view: ServiceView, name: str, decision: Decision) -> str:
    """Say what a candidate wants; the view is of the decision that was made at the same time."""
    if view.record is None:
        return f"{name} wants {decision.desired}."
    record = view.record._replace(decision=decision, outcome=None, unwritten="")
    reason = cause(record)
    if reason is not None:
        text = said(Case(view, record, reason, decision.desired)).first
    elif decision.recommendation.replicas is None:
        text = f", held because {decision.recommendation.why}"
    else:
        text = f", because {_because(decision)}"
    return f"{name} wants {decision.desired}{text.rstrip('.')}."


def _because(decision: Decision) -> str:
    """Give the average with its verb, or what the algorithm says."""
    text, used = short_recommended(decision.recommendation), decision.recommendation.averages
    if not used or not used[0].value:
        return text if used == () else f"{text.replace('nothing', 'nothing is')}"
    verb = "is" if not used[0].over_s else "were"
    return text.replace(" in flight", f" {verb} in flight", 1)
