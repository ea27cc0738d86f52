"""One decision opened: observation, recommendation, each rule that changed the number, the others, what was written."""

from typing import NamedTuple

from algorithms.observation import Observation
from algorithms.types import Average, Reason, Recommendation
from autoscaler.explain.causes import requests
from autoscaler.explain.episodes import unplaced
from autoscaler.explain.wording import average, count, number_of, replicas, sentence, span
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Record


class Step(NamedTuple):
    """One line of an opened decision."""

    label: str
    number: int | None
    """The replicas after this step; None if it gives no number."""
    text: str


def steps(record: Record, policy: ScalingPolicy | None = None) -> tuple[Step, ...]:
    """Open a decision; the policy names what the number is written to."""
    decision, drain = record.decision, record.outcome.drain if record.outcome else ()
    found = [
        Step("Observation", None, _observation(record)),
        Step("Recommendation", decision.recommendation.replicas, _recommendation(decision.recommendation)),
        *(_rule(reason) for reason in decision.reasons),
    ]
    if decision.unchanged:
        found.append(Step("Other rules", decision.desired, f"{', '.join(decision.unchanged)} changed nothing."))
    found += [_rule(reason) for reason in drain]
    return (*found, _written(record, policy))


def why(record: Record) -> str:
    """Say why a decision gave its number: the recommendation, then each rule that changed it."""
    decision = record.decision
    rules = (f"{reason.rule}: {_rule(reason).text}" for reason in decision.reasons if reason.before != reason.after)
    return " ".join([_recommendation(decision.recommendation), *rules]).strip()


def _observation(record: Record) -> str:
    observation = record.observation
    parts = [_in_flight(observation), _asked(observation, unplaced(record))]
    if observation.passing:
        parts.append(
            f"{number_of(observation.passing, 'uncounted request needs', 'uncounted requests need')} a replica."
        )
    if observation.hinted:
        announced = number_of(observation.hinted, "request is", "requests are")
        parts.append(f"{announced} announced within {span(observation.hinted_s)}.")
    if observation.problem and observation.inflight is not None:
        parts.append(sentence(f"Only a part of the count is known: {observation.problem}"))
    return " ".join(parts)


def counted(observation: Observation) -> float | None:
    """Give the requests in flight at the time of an observation; None is unknown."""
    if observation.queued is not None and observation.running is not None:
        return observation.queued + observation.running
    return None if observation.inflight is None else max(observation.inflight, observation.latest)


def _in_flight(observation: Observation) -> str:
    total = counted(observation)
    if total is None or observation.inflight is None:
        return sentence(f"The count is unknown{': ' + observation.problem if observation.problem else ''}")
    mean = f"{average(observation.inflight)} on average since the decision before"
    if observation.queued is None or observation.running is None:
        return f"{requests(total)} in flight; {mean}."
    return f"{requests(total)} in flight now{_kinds(observation.queued, observation.running)}; {mean}."


def _kinds(queued: float, running: float) -> str:
    if not queued and not running:
        return ""
    if not queued:
        return ", all running" if running > 1 else ", running"
    if not running:
        return ", all queued" if queued > 1 else ", queued"
    return f", {count(running)} running and {count(queued)} queued"


def _asked(observation: Observation, missing: int) -> str:
    text = f"{replicas(observation.replicas)} asked, {observation.ready} ready"
    if observation.starting:
        text += f", {observation.starting} starting"
    return f"{text}{f', {missing} without a place' if missing else ''}."


def _recommendation(recommendation: Recommendation) -> str:
    used, per = recommendation.averages, recommendation.per_replica
    if not used or per is None:
        why = sentence(recommendation.why)
        return why if recommendation.replicas is not None else f"The number is held. {why}".strip()
    text = f"{average(used[0].value, per)} in flight{_over(used[0])}"
    text += "".join(f", {average(each.value, per)}{_over(each, ' over')}" for each in used[1:])
    return f"{text}; a replica takes {per:g}.{' In panic.' if recommendation.panic else ''}"


def _over(used: Average, over: str = " on average over") -> str:
    if not used.over_s:
        return " now"
    if used.known_s < used.over_s:
        return f"{over} the {span(used.known_s)} that are known of {span(used.over_s)}"
    return f"{over} {span(used.over_s)}"


def _rule(reason: Reason) -> Step:
    change = f"{reason.before} → {reason.after}" if reason.before != reason.after else f"{reason.after} stays"
    return Step(reason.rule, reason.after, sentence(f"{change}: {reason.why}"))


RESULTS = ("written", "unchanged", "dry run", "standby", "failed", "not written")


def result(record: Record) -> str:
    """Say in one of the words of `RESULTS` what became of a decision."""
    if record.outcome is not None:
        if record.outcome.error:
            return "failed"
        return "unchanged" if record.written is None and not _moved(record) else "written"
    if record.unwritten in {"dryRun", "standby"}:
        return {"dryRun": "dry run", "standby": "standby"}[record.unwritten]
    return "unchanged" if record.decision.desired == record.observation.replicas else "not written"


def _moved(record: Record) -> bool:
    """Tell whether replicas were moved between pools, with the same number."""
    return bool(record.observation.pools) and not (record.outcome and record.outcome.drain)


def number_after(record: Record) -> int:
    """Give the number that a decision led to, or would have led to."""
    if record.outcome is not None and record.outcome.drain and not record.outcome.error:
        return record.outcome.drain[-1].after
    return record.decision.desired


def _written(record: Record, policy: ScalingPolicy | None) -> Step:
    before, number = record.observation.replicas, number_after(record)
    texts = {
        "written": f"{before} → {number}{_target(policy)}, accepted.",
        "unchanged": f"Nothing to write: {before} {'was' if before == 1 else 'were'} asked for already.",
        "dry run": f"Not written: in mode DryRun. It would have been {before} → {number}.",
        "standby": f"Not written: another controller leads. Here it would have been {before} → {number}.",
        "failed": sentence(f"{before} → {number} failed: {record.outcome.error if record.outcome else ''}"),
        "not written": f"{before} → {number} was not written.",
    }
    found = result(record)
    return Step("Written" if found in {"written", "unchanged"} else "Not written", number, texts[found])


def _target(policy: ScalingPolicy | None) -> str:
    target = None if policy is None else policy.spec.scale_target_ref
    return "" if target is None else f" to {target.kind} {target.name}"
