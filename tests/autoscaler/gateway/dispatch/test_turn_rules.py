"""Which class a request is in, and which client it is of."""

import pytest

from autoscaler.gateway.dispatch.turn_rules import (
    Asking,
    ClassMatch,
    Fairness,
    Identity,
    PriorityClass,
    TurnRules,
)
from autoscaler.gateway.dispatch.types import ANY_TURN

GOLD = PriorityClass("gold", (ClassMatch(header=("X-Tier", "gold")),))
CHAT = PriorityClass("chat", (ClassMatch(paths=("/v1/chat/*",)),))
OTHERS = PriorityClass("others")
BATCH = PriorityClass("batch", (ClassMatch(paths=("/v1/batch*",)), ClassMatch(hosts=("*.batch.example.com",))))
KEY = b"k" * 32


def asking(target="/", host="a.example.com", address="192.0.2.1", *, trusted=True, **values):
    named = {name.replace("_", "-").encode(): [each.encode() for each in given] for name, given in values.items()}
    return Asking(host, target, named, address, trusted=trusted)


def level(classes, request):
    return TurnRules("default/sd", classes, None, KEY).turn(request).level


def client(request, by="address", name="", service="default/sd", key=KEY):
    return TurnRules(service, (), Fairness(Identity(by), name), key).turn(request).client


ALL = (GOLD, CHAT, OTHERS, BATCH)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (asking(x_tier=["gold"]), "gold"),
        (asking("/v1/batch", x_tier=["gold"]), "gold"),
        (asking(x_tier=["Gold"]), "others"),
        (asking(x_tier=["gold", "gold"]), "others"),
        (asking(x_tier=["gold"], trusted=False), "others"),
        (asking("/v1/chat/completions?stream=1"), "chat"),
        (asking("/v1/chat"), "others"),
        (asking("/v1/batch/7"), "batch"),
        (asking(host="x.batch.example.com"), "batch"),
        (asking(host="batch.example.com"), "others"),
        (asking("*"), "others"),
    ],
)
def test_the_first_class_with_a_condition_that_holds_has_the_request(request_, name):
    assert ALL[level(ALL, request_)].name == name


@pytest.mark.parametrize(
    "target",
    [
        "//v1/batch",
        "/v1/%62atch",
        "/V1/Batch",
        "/v1;x=1/batch",
        "/v1/chat/../batch",
        "/v1/chat/%2e%2e/batch",
        "/v1/chat/..%2fbatch",
        "\\v1\\batch",
        "/x/./../v1/batch/",
        "/v1/batch#/../chat/",
    ],
)
def test_no_spelling_of_a_path_has_a_higher_class_than_the_path(target):
    assert ALL[level(ALL, asking(target))].name == "batch"


def test_all_conditions_of_a_match_must_hold():
    strict = ClassMatch(("X-Tier", "gold"), ("/v1/chat/*",), ("a.example.com",))
    classes = (PriorityClass("strict", (strict,)), OTHERS)
    whole = asking("/v1/chat/x", x_tier=["gold"])
    assert level(classes, whole) == 0
    for less in (whole._replace(target="/"), whole._replace(host="b.example.com"), whole._replace(values={})):
        assert level(classes, less) == 1


def test_without_rules_every_request_has_the_same_turn():
    assert TurnRules("default/sd", (), None, KEY).turn(asking(x_tier=["gold"])) is ANY_TURN


def test_a_client_is_told_by_its_cookie_or_its_address():
    one = asking(cookie=["a=1; id=7"])
    other = asking(cookie=["id=8"])
    by_cookie = [client(each, "cookie", "id") for each in (one, one._replace(address="192.0.2.9"), other)]
    assert by_cookie[0] == by_cookie[1] != by_cookie[2]
    assert client(asking(cookie=["a=1"]), "cookie", "id") == client(asking())
    assert client(asking(cookie=["id="]), "cookie", "id") == client(asking())


def test_a_client_is_told_by_a_header_of_a_trusted_proxy_only():
    acme, other = asking(x_tenant=["acme"]), asking(x_tenant=["other"])
    assert client(acme, "header", "X-Tenant") != client(other, "header", "X-Tenant")
    assert client(acme._replace(trusted=False), "header", "X-Tenant") == client(acme)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("unknown", "unknown", True),
        ("unknown", "hidden", False),
    ],
)
def test_an_address_is_one_client_and_so_is_a_network_of_ipv6(one, other, same):
    assert (client(asking(address=one)) == client(asking(address=other))) == same


def test_what_stands_for_a_client_has_no_word_of_it_and_differs_by_service_and_key():
    known = client(asking(cookie=["id=secret"]), "cookie", "id")
    assert len(known) == 16
    assert "secret" not in known
    assert known != client(asking(cookie=["id=secret"]), "cookie", "id", service="default/other")
    assert known != client(asking(cookie=["id=secret"]), "cookie", "id", key=b"other")


def test_a_cookie_cannot_stand_for_an_address():
    cookies = [f"address={part}" for part in ("192.0.2.1", "\xc0\x00\x02\x01")]
    clients = {client(asking(cookie=[f"id={value}"]), "cookie", "id") for value in cookies}
    assert client(asking(address="192.0.2.1")) not in clients
