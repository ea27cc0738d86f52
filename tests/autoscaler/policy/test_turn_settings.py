"""What a policy may say of classes and clients, and how it is refused."""

import pytest
from pydantic import ValidationError

from autoscaler.policy.traffic import Traffic
from autoscaler.policy.traffic.turns import Fairness, Priority

OTHERS = {"name": "others"}
GOLD = {"name": "gold", "match": [{"header": {"name": "x-tier", "value": "gold"}}]}


def classes(*given):
    return Priority.model_validate({"classes": list(given)})


def test_nothing_of_it_is_on_by_default():
    traffic = Traffic.model_validate({"hosts": ["a"]})
    assert (traffic.priority, traffic.fairness) == (None, None)


def test_a_class_has_a_tenth_of_the_slots_unless_the_policy_says_otherwise():
    gold, others = classes({**GOLD, "share": "60%"}, OTHERS).classes
    assert (gold.share, others.share) == (0.6, 0.1)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([GOLD], "at least 2"),
        ([GOLD, {**GOLD, "name": "b"}], "exactly one must have no match"),
        ([OTHERS, {"name": "b"}], "exactly one must have no match"),
        ([GOLD, {"name": "gold"}], "unique names"),
        ([{**GOLD, "share": "95%"}, OTHERS], "at most 100% together"),
        ([{**GOLD, "share": "101%"}, OTHERS], "must be 0% to 100%"),
        ([{**GOLD, "match": [{}]}, OTHERS], "at least one of header, paths, hosts"),
        ([{**GOLD, "match": []}, OTHERS], "at least 1 item"),
        ([{**GOLD, "name": "Gold"}, OTHERS], "a DNS label"),
        ([{**GOLD, "match": [{"header": {"name": "x tier", "value": "a"}}]}, OTHERS], "pattern"),
        ([{**GOLD, "match": [{"header": {"name": "x", "value": " a"}}]}, OTHERS], "without a space at an end"),
        ([{**GOLD, "match": [{"paths": ["v1"]}]}, OTHERS], "begins with /"),
        ([{"name": f"c{number}", **({"match": GOLD["match"]} if number else {})} for number in range(9)], "at most 8"),
    ],
)
def test_classes_that_make_no_sense_are_refused(given, problem):
    with pytest.raises(ValidationError, match=problem):
        classes(*given)


def test_shares_may_be_all_there_is():
    assert sum(each.share for each in classes({**GOLD, "share": "33.3%"}, {**OTHERS, "share": "66.7%"}).classes) == 1


@pytest.mark.parametrize("given", [{"by": "address"}, {"by": "cookie", "name": "id"}, {"by": "header", "name": "X-A"}])
def test_clients_are_told_apart_in_three_ways(given):
    assert Fairness.model_validate(given).by == given["by"]


@pytest.mark.parametrize(
    "given",
    [{"by": "cookie"}, {"by": "header"}, {"by": "address", "name": "id"}, {"by": "Address"}, {"name": "id"}, {}],
)
def test_a_name_belongs_to_a_cookie_or_a_header(given):
    with pytest.raises(ValidationError, match=r"name: is required|Input should be 'cookie'|Field required"):
        Fairness.model_validate(given)
