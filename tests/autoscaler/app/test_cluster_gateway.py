"""What a gateway in a cluster serves: each host goes to the policy that owns it, whatever the order of events."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.app.cluster_gateway import ClusterServices
from autoscaler.gateway.host_routes import Routes
from autoscaler.host_claims import NamespaceHostPermissions
from autoscaler.kubernetes.policies import stored_policy
from autoscaler.kubernetes.store import Change

TARGET = {"scaleTargetRef": {"name": "web"}}


def item(service, *hosts, day=1, spec=None, **metadata):
    namespace, name = service.split("/")
    made = {"uid": service, "creationTimestamp": f"2026-01-0{day}T00:00:00Z", "generation": 1}
    given = {**TARGET, "traffic": {"hosts": list(hosts)}} if spec is None else spec
    return {"metadata": {"name": name, "namespace": namespace, **made, **metadata}, "spec": given}


def change(service, *hosts, before=None, **options):
    return Change(service, before, stored_policy(item(service, *hosts, **options)))


def made():
    return ClusterServices(None, random.Random(1))  # noqa: S311 - spreads attempts


@pytest.fixture
def services():
    return made()


def owner(services, host):
    return Routes(services.load(), services.reserved).find(host)


OLD, YOUNG = change("team-a/shop", "shop.example.com"), change("evil/shop", "SHOP.example.com", "evil.com", day=2)


@pytest.mark.parametrize("changes", [(OLD, YOUNG), (YOUNG, OLD)])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_older_policy_is_served_whatever_the_order_of_the_list(services, changes, at_once):
    for some in [changes] if at_once else [[each] for each in changes]:
        services.take(some)
    assert owner(services, "shop.example.com") == "team-a/shop"
    assert owner(services, "evil.com") == "evil/shop"
    assert services.load()["evil/shop"].hosts == ("evil.com",)


def test_when_the_owner_is_gone_or_gives_the_host_up_the_next_is_served(services):
    services.take([OLD, YOUNG])
    services.take([change("team-a/shop", "other.example.com", before=OLD.after)])
    assert owner(services, "shop.example.com") == "evil/shop"
    services.take([change("team-a/shop", "shop.example.com")])
    assert owner(services, "shop.example.com") == "team-a/shop"
    services.take([Change("team-a/shop", OLD.after, None)])
    assert owner(services, "shop.example.com") == "evil/shop"


def test_leave_that_comes_and_goes_is_followed(services):
    services.take([change("team-a/all", "*.shop.example.com"), change("team-b/pay", "pay.shop.example.com", day=2)])
    assert owner(services, "pay.shop.example.com") == "team-a/all"
    services.set_permissions(NamespaceHostPermissions({"team-a": frozenset({"team-b"})}))
    assert owner(services, "pay.shop.example.com") == "team-b/pay"
    services.set_permissions(NamespaceHostPermissions())
    assert owner(services, "pay.shop.example.com") == "team-a/all"


def test_a_conflict_is_logged_once_with_its_owner(services, caplog):
    services.take([OLD, YOUNG])
    for _ in range(3):
        services.load()
    assert caplog.text.count("evil/shop: not routed: shop.example.com belongs to the policy team-a/shop") == 1


def test_a_resource_with_backends_is_not_served_and_keeps_its_host(services):
    spec = {"backends": ["127.0.0.1:9090"], "traffic": {"hosts": ["ssrf.example.com"]}}
    resource = change("evil/ssrf", spec=spec)
    assert "backends: can stand in a file only" in resource.after.resource.problem
    services.take([resource, change("b/late", "ssrf.example.com", day=2)])
    assert "evil/ssrf" not in services.load()
    assert owner(services, "ssrf.example.com") is None


def test_one_that_becomes_illegal_is_served_as_it_was(services):
    services.take([OLD, YOUNG])
    wrong = {"scaleTargetRef": {"name": "web"}, "maxReplicas": -1, "traffic": {"hosts": ["new.example.com"]}}
    services.take([change("team-a/shop", spec=wrong, before=OLD.after)])
    assert owner(services, "shop.example.com") == "team-a/shop"
    assert owner(services, "new.example.com") is None


@pytest.mark.parametrize(
    "spec", [None, [], "x", {}, {"traffic": 1}, {"traffic": {"hosts": 1}}, {"traffic": {"hosts": [1]}}]
)
def test_whatever_an_illegal_resource_says_it_claims_what_can_be_read(spec):
    illegal = {**item("a/p"), "spec": spec}
    assert stored_policy(illegal).resource.hosts == ()


@given(st.permutations(range(4)), st.booleans())
def test_events_in_any_order_come_to_the_same_routes(order, illegal_first):
    wrong = {"traffic": {"hosts": ["a.x.com"]}}
    changes = [
        change("n1/wide", "*.x.com", day=2),
        change("n2/exact", "a.x.com", "b.x.com", day=3),
        change("n3/any", "*.com", day=4),
        change("n0/wrong", spec=wrong, day=1) if illegal_first else change("n0/right", "a.x.com", day=1),
    ]
    services = made()
    for number in order:
        services.take([changes[number]])
    found = [owner(services, host) for host in ("a.x.com", "b.x.com", "y.com")]
    assert found == [None if illegal_first else "n0/right", "n1/wide", "n3/any"]
