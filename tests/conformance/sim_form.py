"""What a golden file of the simulator may say: anything else is refused before the first run."""

from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any

from golden import BadGoldenError, Document
from sim_models import law

Case = Mapping[str, Any]

WAITS = "rho ES ES2 ES3 p_wait sigma Wq W Lq L p_wait_gt_1 Wq_sd wait_p90 wait_p99 P_wait_le"
SETUPS = f"{WAITS} extra_from_setup p_busy mean_busy p_setup mean_setup p_off setups_per_s p_no_queue"
CLOSED = "throughput response wait utilisation L Lq p_wait"

FORMS: Mapping[str, tuple[str, str]] = {
    "M/M/c": ("c lam mu", WAITS),
    "M/D/1": ("lam D", WAITS),
    "M/D/c": ("c lam D", WAITS),
    "M/G/1": ("lam service", WAITS),
    "D/M/1": ("interarrival mu", WAITS),
    "M/G/c/c": ("c offered_load", "rho p_block throughput_per_mean_service mean_busy"),
    "M/M/c/K": ("c K lam mu", "rho p_block throughput L Lq Wq_accepted W_accepted p_wait_accepted utilisation"),
    "M/M/c+M": ("c lam mu theta", "rho p_wait p_abandon Lq L Wq_all throughput"),
    "closed machine-repair": (
        "clients c think_mean service_mean",
        f"{CLOSED} mva_X mva_R mva_Q {' '.join(f'mva_{name}' for name in CLOSED.split())}",
    ),
    "M/G/1/setup": ("lam service setup", SETUPS),
    "M/M/inf/setup": ("lam mu alpha", SETUPS),
    "M/M/k/setup": ("k lam mu alpha", SETUPS),
    "exact FIFO trace": ("servers arrivals service", "start end makespan mean_wait n_waited integral_in_system"),
    "scripted_scale_up": (
        "initial_pods concurrency cold_start tick desired_by_tick arrivals service",
        "start end makespan mean_wait n_waited integral_in_system",
    ),
}
"""Of each model the parameters, all of which a case gives, and the names of which it expects some."""

LAWS = {
    "exponential": "mean",
    "deterministic": "mean",
    "constant": "mean",
    "lognormal": "mean sigma",
    "uniform": "low high",
    "gamma": "shape scale",
    "hyperexp2": "p mean1 mean2",
}
COUNTS = {"c", "k", "K", "clients", "servers", "concurrency"}
FROM_ZERO = {"think_mean", "initial_pods", "cold_start", "low", "p"}
LISTS = {"arrivals", "service", "desired_by_tick"}
OF_A_TRACE = {"exact FIFO trace", "scripted_scale_up"}
INSIDE = {"note"}


def check(document: Document) -> None:
    """Check all cases of a file; raises BadGoldenError with key, value and what is legal."""
    known("file", document, {"format", "set", "cases", "note"})
    seen: set[str] = set()
    for number, case in enumerate(document["cases"]):
        where = f"cases[{number}]"
        need(where, case, isinstance(case, dict), "an object")
        complete(where, case, {"id", "model", "params", "expect"})
        need(f"{where}.id", case["id"], isinstance(case["id"], str) and case["id"] not in seen, "a name of its own")
        seen.add(case["id"])
        check_case(f"case {case['id']}", case)


def check_case(where: str, case: Case) -> None:
    """Check one case."""
    model, params, expect = case["model"], case["params"], case["expect"]
    need(f"{where}: model", model, model in FORMS if isinstance(model, str) else False, f"one of {', '.join(FORMS)}")
    given, named = FORMS[model]
    need(f"{where}: params", params, isinstance(params, dict), "an object")
    complete(f"{where}: params", params, set(given.split()))
    for key, value in params.items():
        if key not in INSIDE:
            parameter(f"{where}: params.{key}", model, key, value)
    need(f"{where}: expect", expect, isinstance(expect, dict) and len(expect) > 0, "an object that is not empty")
    known(f"{where}: expect", expect, set(named.split()))
    for key, value in expect.items():
        expected(f"{where}: expect.{key}", key, value, model)
    fits(where, case)


def parameter(where: str, model: str, key: str, value: object) -> None:
    """Check one parameter."""
    if key in LISTS and model in OF_A_TRACE:
        numbers(where, value)
    elif key in {"service", "setup"}:
        check_law(where, value)
    else:
        number(where, key, value)


def number(where: str, key: str, value: object) -> None:
    """Check a number by the kind that its name says it is."""
    real = is_number(value)
    if key in COUNTS:
        need(where, value, real and value >= 1 and value == int(value), "a whole number from 1")
    elif key in FROM_ZERO:
        need(where, value, real and value >= 0, "a number from 0")
    else:
        need(where, value, real and value > 0, "a number above 0")


def numbers(where: str, value: object) -> None:
    need(where, value, isinstance(value, list) and len(value) > 0, "a list that is not empty")
    for place, each in enumerate(value):
        need(f"{where}[{place}]", each, is_number(each) and each >= 0, "a number from 0")


def check_law(where: str, said: object) -> None:
    """Check a service or setup time."""
    need(where, said, isinstance(said, dict), "an object with kind")
    need(f"{where}.kind", said.get("kind"), said.get("kind") in LAWS, f"one of {', '.join(LAWS)}")
    complete(where, said, {"kind", *LAWS[said["kind"]].split()})
    for key, value in said.items():
        if key not in INSIDE | {"kind"}:
            number(f"{where}.{key}", key, value)
    if said["kind"] == "uniform":
        need(f"{where}.high", said["high"], said["high"] >= said["low"], f"at least low, {said['low']}")
    if said["kind"] == "hyperexp2":
        need(f"{where}.p", said["p"], said["p"] <= 1, "a number from 0 to 1")


def expected(where: str, key: str, value: object, model: str) -> None:
    """Check one expected value."""
    if key in {"start", "end"} and model in OF_A_TRACE:
        numbers(where, value)
    elif key == "P_wait_le":
        need(where, value, isinstance(value, dict) and len(value) > 0, "an object from times to probabilities")
        for time, probability in value.items():
            need(f"{where}: time", time, is_time(time), "a number from 0")
            need(
                f"{where}.{time}", probability, is_number(probability) and 0 <= probability <= 1, "a number from 0 to 1"
            )
    else:
        need(where, value, is_number(value) and value >= 0, "a number from 0")


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_time(text: str) -> bool:
    try:
        return 0 <= float(text) < inf
    except ValueError:
        return False


def fits(where: str, case: Case) -> None:
    """Check what two values must be to each other."""
    model, p, expect = case["model"], case["params"], case["expect"]
    if model in OF_A_TRACE:
        count = len(p["arrivals"])
        for key, values in (("params.service", p["service"]), ("expect.start", expect.get("start"))):
            need(f"{where}: {key}", values, values is None or len(values) == count, f"{count} numbers, as arrivals")
        need(f"{where}: params.arrivals", p["arrivals"], p["arrivals"] == sorted(p["arrivals"]), "times in order")
        need(f"{where}: expect", expect, "end" in expect and len(expect["end"]) == count, f"end with {count} numbers")
    elif model == "M/M/c/K":
        need(f"{where}: params.K", p["K"], p["K"] >= p["c"], f"at least c, {p['c']}")
    elif model not in {"M/G/c/c", "M/M/c+M", "closed machine-repair"}:
        need(f"{where}: load per server", load_of(case), load_of(case) < 1, "below 1, or nothing is stationary")


def load_of(case: Case) -> float:
    """Give the load per server that a case offers; 0 where its clients wait for answers."""
    p = case["params"]
    servers = p.get("c", p.get("k", inf if case["model"] == "M/M/inf/setup" else 1))
    return LOADS.get(case["model"], lambda _p: 0.0)(p) / servers


LOADS: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    **dict.fromkeys(("M/M/c", "M/M/c/K", "M/M/c+M", "M/M/inf/setup", "M/M/k/setup"), lambda p: p["lam"] / p["mu"]),
    **dict.fromkeys(("M/D/1", "M/D/c"), lambda p: p["lam"] * p["D"]),
    **dict.fromkeys(("M/G/1", "M/G/1/setup"), lambda p: p["lam"] * law(p["service"]).expected()),
    "D/M/1": lambda p: 1 / (p["interarrival"] * p["mu"]),
    "M/G/c/c": lambda p: p["offered_load"],
}


def complete(where: str, said: Mapping[str, Any], keys: set[str]) -> None:
    """Refuse what lacks one of these keys, or has another."""
    for key in sorted(keys - said.keys()):
        raise BadGoldenError(f"{where}.{key}: is missing")
    known(where, said, keys)


def known(where: str, said: Mapping[str, Any], keys: set[str]) -> None:
    """Refuse a key that means nothing here; a note says nothing."""
    for key, value in said.items():
        need(f"{where}.{key}", value, key in keys | INSIDE, f"a known key, which are {', '.join(sorted(keys))}")


def need(where: str, value: object, fulfilled: bool, legal: str) -> None:  # noqa: FBT001 - the rule itself
    """Refuse a value that is not legal."""
    if not fulfilled:
        raise BadGoldenError(f"{where}: {value!r:.200}: must be {legal}")
