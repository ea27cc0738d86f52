"""Who owns a host: the oldest who claims it and may have it, whatever the order in which policies are listed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.host_claims import (
    Claim,
    HostGrants,
    NamespaceHostPermissions,
    covers,
    normal,
    patterns,
    settle,
    settle_ageless,
)

LABELS = ("a", "b", "com")
names = st.lists(st.sampled_from(LABELS), min_size=1, max_size=3).map(".".join)
hosts = st.one_of(st.just("*"), names, names.map("*.{}".format))
namespaces = st.sampled_from(["n1", "n2", "n3"])
leaves = st.one_of(
    st.dictionaries(namespaces, st.frozensets(namespaces)).map(NamespaceHostPermissions),
    st.dictionaries(namespaces, st.lists(hosts, max_size=3).map(tuple)).map(HostGrants),
)


@st.composite
def claim_lists(draw):
    """Policies of a few namespaces, a few hosts and a few ages, so that they meet often."""
    services = draw(st.lists(st.tuples(namespaces, st.sampled_from("pqrs")).map("/".join), unique=True, max_size=6))
    claimed = st.lists(hosts, max_size=3).map(tuple)
    return [Claim(service, draw(claimed), float(draw(st.integers(0, 2)))) for service in services]


def served(ownership, host):
    """Give the policy to which a request for a host goes."""
    return next((ownership.owners[each] for each in patterns(host) if each in ownership.owners), None)


def namespace(service):
    return service.partition("/")[0]


@given(claim_lists(), leaves, st.randoms())
def test_the_order_of_a_list_changes_nothing(claims, leave, rng):
    shuffled = claims[:]
    rng.shuffle(shuffled)
    assert settle(shuffled, leave) == settle(claims, leave)
    assert settle_ageless(shuffled, leave) == settle_ageless(claims, leave)


@given(claim_lists(), st.lists(hosts, max_size=3).map(tuple), leaves)
def test_a_younger_policy_takes_no_host_from_an_older_one(claims, wanted, leave):
    before = settle(claims, leave)
    after = settle([*claims, Claim("n1/younger", wanted, 99.0)], leave)
    assert before.owners.items() <= after.owners.items()
    assert before.conflicts.items() <= after.conflicts.items()


@given(claim_lists(), st.lists(hosts, max_size=3).map(tuple), names)
def test_a_younger_policy_takes_no_request_from_another_namespace_that_gives_no_leave(claims, wanted, host):
    before, after = settle(claims), settle([*claims, Claim("n1/younger", wanted, 99.0)])
    if served(after, host) != served(before, host):
        assert served(after, host) == "n1/younger"
        assert served(before, host) is None or namespace(served(before, host)) == "n1"


@given(claim_lists(), leaves)
def test_each_claim_is_granted_or_told_with_an_owner_or_what_is_legal(claims, leave):
    ownership = settle(claims, leave)
    for claim in claims:
        granted = {host for host, owner in ownership.owners.items() if owner == claim.service}
        refused = {conflict.host for conflict in ownership.conflicts.get(claim.service, ())}
        assert granted | refused == set(map(normal, claim.hosts))
        assert not granted & refused
        for conflict in ownership.conflicts.get(claim.service, ()):
            named = conflict.owner or "--host-claims lets"
            assert named in conflict.why
            assert conflict.host in conflict.why


@given(claim_lists())
def test_a_host_that_an_owner_leaves_behind_is_served_by_another_who_claims_it(claims):
    before = settle(claims)
    for gone in claims:
        rest = [claim for claim in claims if claim is not gone]
        for host in before.owners:
            if any(host in map(normal, claim.hosts) for claim in rest):
                assert served(settle(rest), host) not in {None, gone.service}


@given(
    st.lists(st.tuples(st.integers(0, 2), namespaces, st.sampled_from("pq"), names), unique_by=lambda each: each[1:3])
)
def test_without_wildcards_the_owner_is_the_oldest_who_claims_a_host(made):
    claims = [Claim(f"{space}/{name}", (host,), float(age)) for age, space, name, host in made]
    for host, owner in settle(claims).owners.items():
        assert (owner, host) == min(
            ((claim.created_s, claim.service), (claim.service, host)) for claim in claims if host in claim.hosts
        )[1]


@given(claim_lists(), leaves)
def test_files_without_a_conflict_have_none_at_any_age(claims, leave):
    if settle(claims, leave).conflicts:
        assert settle_ageless(claims, leave).conflicts


@given(hosts, names)
def test_the_patterns_of_a_host_are_those_that_cover_it(pattern, host):
    assert (pattern in patterns(host)) == covers(pattern, host)


def test_the_oldest_keeps_a_host_and_the_next_has_it_when_the_oldest_is_gone():
    old, middle, young = (Claim(f"{n}/p", ("sd.example.com",), s) for n, s in (("z", 1.0), ("b", 2.0), ("a", 3.0)))
    ownership = settle([young, old, middle])
    assert ownership.owners == {"sd.example.com": "z/p"}
    assert [conflict.why for conflict in ownership.conflicts["a/p"]] == ["sd.example.com belongs to the policy z/p"]
    assert settle([young, middle]).owners == {"sd.example.com": "b/p"}


def test_of_the_same_age_the_first_by_namespace_and_name_has_it():
    claims = [Claim(service, ("h",), 7.0) for service in ("prod/shop", "dev/x", "dev/y")]
    assert settle(claims).owners == {"h": "dev/x"}


@pytest.mark.parametrize("host", ["SD.Example.COM", "sd.example.com.", "sd.example.com:8080", "SD.example.com.:80"])
def test_a_host_is_one_however_it_is_written(host):
    assert normal(host) == "sd.example.com"
    claims = [Claim("a/p", ("sd.example.com",), 1.0), Claim("b/p", (host,), 2.0)]
    assert settle(claims).owners == {"sd.example.com": "a/p"}


def test_an_address_keeps_its_colons():
    assert [normal(host) for host in ("[FD00::1]", "[fd00::1]:80", "[::1]")] == ["[fd00::1]", "[fd00::1]", "[::1]"]


@pytest.mark.parametrize("host", ["[0:0:0:0:0:0:0:1]", "[0000::0001]:80", "[::0.0.0.1]", "[0::1]"])
def test_an_address_is_one_however_it_is_written(host):
    assert normal(host) == "[::1]"
    claims = [Claim("a/p", ("[::1]",), 1.0), Claim("b/p", (host,), 2.0)]
    assert settle(claims).owners == {"[::1]": "a/p"}


@pytest.mark.parametrize("host", ["[1:2]", "[:::]", "[1.2.3.4]", "[1:2:3:4:5:6:7:8:9]"])
def test_what_is_no_address_stays_as_it_is(host):
    assert normal(host) == host


def test_a_policy_that_loses_one_host_keeps_its_others():
    ownership = settle([Claim("a/p", ("x",), 1.0), Claim("b/p", ("x", "y", "Y."), 2.0)])
    assert ownership.hosts() == {"a/p": ("x",), "b/p": ("y",)}


@pytest.mark.parametrize("wildcard", ["*.shop.example.com", "*.example.com", "*.com", "*"])
@pytest.mark.parametrize("host", ["pay.shop.example.com", "*.pay.shop.example.com"])
def test_below_a_wildcard_only_its_own_namespace_and_one_with_leave_may_claim(wildcard, host):
    owner = Claim("shop/web", (wildcard,), 1.0)
    assert settle([owner, Claim("shop/pay", (host,), 2.0)]).owners[host] == "shop/pay"
    other = [owner, Claim("evil/pay", (host,), 2.0)]
    (conflict,) = settle(other).conflicts["evil/pay"]
    assert conflict.owner == "shop/web"
    assert "gives evil no leave" in conflict.why
    assert settle(other, NamespaceHostPermissions({"shop": frozenset({"evil"})})).owners[host] == "evil/pay"
    assert settle(other, NamespaceHostPermissions({"evil": frozenset({"evil", "shop"})})).owners.get(host) is None


def test_an_older_name_stays_when_a_wildcard_comes_above_it():
    ownership = settle([Claim("b/exact", ("pay.example.com",), 1.0), Claim("a/all", ("*.example.com",), 2.0)])
    assert not ownership.conflicts
    assert served(ownership, "pay.example.com") == "b/exact"
    assert served(ownership, "other.example.com") == "a/all"


def test_the_nearest_wildcard_decides_who_must_give_leave():
    top = Claim("top/p", ("*.example.com",), 1.0)
    team = Claim("team/p", ("*.team.example.com",), 2.0)
    own = Claim("top/q", ("x.team.example.com",), 3.0)
    leave = NamespaceHostPermissions({"top": frozenset({"team"})})
    assert settle([top, team, own], leave).conflicts.keys() == {"top/q"}


def test_grants_say_what_a_namespace_may_claim_at_all():
    grants = HostGrants({"shop": ("*.shop.example.com", "shop.example.com"), "ops": ("*",)})
    allowed = ("shop.example.com", "a.shop.example.com", "*.shop.example.com", "*.b.shop.example.com")
    refused = ("*", "*.com", "*.example.com", "example.com", "a.ashop.example.com")
    assert settle([Claim("shop/p", allowed)], grants).owners.keys() == set(allowed)
    conflicts = settle([Claim("shop/p", refused)], grants).conflicts["shop/p"]
    assert [conflict.owner for conflict in conflicts] == [None] * len(refused)
    assert "lets the namespace shop claim: *.shop.example.com, shop.example.com" in conflicts[0].why
    assert not settle([Claim("ops/p", (*allowed, *refused))], grants).conflicts
    (conflict,) = settle([Claim("nobody/p", ("x",))], grants).conflicts["nobody/p"]
    assert conflict.why.endswith("claim: nothing")


def test_a_grant_gives_leave_below_a_wildcard_only_if_it_is_itself_below_it():
    owner = Claim("shop/p", ("*.shop.example.com",), 1.0)
    other = Claim("team/p", ("pay.shop.example.com",), 2.0)
    leave = {"pay.shop.example.com": True, "*.shop.example.com": True, "*": False, "*.com": False}
    for grant, is_leave in leave.items():
        grants = HostGrants({"shop": ("*.shop.example.com",), "team": (grant,)})
        assert (not settle([owner, other], grants).conflicts) == is_leave, grant


@given(st.lists(st.text(max_size=9) | st.text("*.[]:a", max_size=9), max_size=9), leaves)
def test_whatever_a_policy_that_is_not_legal_claims_has_an_owner_or_a_reason(claimed, leave):
    ownership = settle([Claim("n1/p", tuple(claimed)), Claim("n2/q", tuple(claimed))], leave)
    assert ownership.owners.keys() | {each.host for each in ownership.conflicts.get("n1/p", ())} == set(
        map(normal, claimed)
    )


def test_ten_thousand_policies_have_one_owner_for_each_of_their_hosts():
    claims = [Claim(f"n{n % 7}/p{n}", (f"s{n}.example.com",), float(n)) for n in range(10_000)]
    assert len(settle(claims).owners) == 10_000
