"""Several gateways in virtual time: joins, claims, hand-overs, leaves and losses."""

import pytest
from group_kit import SERVICE, Group

from autoscaler.gateway.dispatch.types import Turn


def test_the_first_gateway_makes_the_roster_and_members_let_the_others_in():
    group = Group("a", "b", "c")
    group.wait(1)
    assert group.stored is not None
    assert set(group.stored.members) == {"a", "b", "c"}
    assert {peer.epoch for peer in group.peers.values()} == {3}
    assert all(peer.ready and peer.has_permit() for peer in group.peers.values())


def test_requests_at_any_gateway_share_the_slots_in_the_order_of_arrival():
    group = Group("a", "b", "c")
    group.wait(1)
    for number, name in enumerate("abcab"):
        group.arrive(name, f"r{number}")
        group.wait(0.25)
    order = []
    for _ in range(5):
        (running,) = group.on("p0")
        order.append(running)
        group.finish(running)
        group.settle()
    assert order == ["r0", "r1", "r2", "r3", "r4"]


def test_a_newcomer_that_owns_the_service_learns_what_runs_before_it_gives_a_slot():
    group = Group("a")
    group.arrive("a", "running")
    group.arrive("a", "waiting")
    for name in "bcdefgh":
        group.start(name)
        group.wait(2)
        assert group.on("p0") == ["running"]
    assert group.owner != "a"
    group.finish("running")
    group.wait(1)
    assert group.on("p0") == ["waiting"]


def test_a_gateway_that_leaves_hands_its_services_over_and_goes_when_its_clients_are_served():
    group = Group("a", "b", "c")
    group.wait(1)
    owner = group.owner
    other = group.others()[0]
    group.arrive(owner, "running")
    group.arrive(other, "waiting")
    group.wait(1)
    group.peers[owner].leave(group.now_s)
    group.wait(2)
    assert group.owner != owner
    assert not group.peers[owner].may_go
    group.finish("running")
    group.wait(2)
    assert group.on("p0") == ["waiting"]
    assert group.peers[owner].may_go
    assert owner not in group.stored.members
    assert all(not peer.shares[SERVICE].held for peer in group.peers.values())


def test_after_the_death_of_an_owner_only_slots_that_nobody_names_are_held():
    group = Group("a", "b", "c", pods=("p0", "p1"))
    group.wait(1)
    owner, other = group.owner, group.others()[0]
    group.arrive(other, "theirs")
    group.wait(0.25)
    group.arrive(owner, "lost")
    group.wait(0.25)
    group.arrive(other, "next")
    group.kill(owner)
    group.wait(3)
    assert sum(peer.shares[SERVICE].held.get("p1", 0) for peer in group.peers.values()) == 1
    group.finish("theirs")
    group.wait(1)
    assert group.running["next"] == (other, "p0")
    group.running.pop("lost")
    group.arrive(other, "last")
    group.wait(312)
    assert group.running["last"] == (other, "p1")


def test_slots_that_nobody_names_are_held_on_pods_too_that_are_listed_late_and_ran_before():
    group = Group("a", pods=())
    group.wait(1)
    group.kill("a")
    group.start("a")
    group.wait(3)
    share = group.peers["a"].shares[SERVICE]
    share.know_pod("young", "young:80", group.now_s)
    share.know_pod("old", "old:80", group.now_s, served=True)
    for pod in ("young", "old"):
        share.add_backend(pod, group.now_s)
    assert share.held == {"old": 1}
    group.arrive("a", "first")
    group.arrive("a", "second")
    group.wait(290)
    assert (group.on("young"), group.on("old")) == (["first"], [])
    group.wait(30)
    assert group.on("old") == ["second"]
    share.know_pod("late", "late:80", group.now_s, served=True)
    assert share.held == {}


def test_slots_that_nobody_names_are_free_as_soon_as_all_lost_gateways_are_dead_and_their_pods_idle():
    group = Group("a", "b", "c")
    group.wait(1)
    lost, life = group.owner, group.peers[group.owner].life
    group.kill(lost)
    group.wait(3)
    owner = group.peers[group.owner]
    assert owner.shares[SERVICE].held == {"p0": 1}
    assert owner.suspects() == {(lost, life)}
    group.arrive(group.others()[0], "next")
    owner.shares[SERVICE].idle_seen("p0", group.now_s)
    group.settle()
    assert group.on("p0") == []
    owner.known_dead(lost, life, group.now_s)
    owner.shares[SERVICE].idle_seen("p0", group.now_s)
    group.settle()
    assert group.on("p0") == ["next"]


def test_a_gateway_without_a_permit_starts_nothing_and_goes_on_when_it_has_one():
    group = Group("a", "b")
    group.wait(1)
    owner = group.owner
    for one, two in (("a", "b"),):
        group.cut(one, two)
    group.peers[owner].store_failed(group.now_s)
    for _ in range(44):
        group.now_s += 0.25
        group.peers[owner].tick(group.now_s)
        group.peers[owner].out.store.clear()
    assert not group.peers[owner].has_permit()
    group.arrive(owner, "r")
    assert group.on("p0") == []
    group.peers[owner].store_read(group.stored, group.now_s, group.now_s)
    group.settle()
    assert group.on("p0") == ["r"]


@pytest.mark.parametrize("cut", [("a", "b"), ("a", "c"), ("b", "c")], ids="-".join)
def test_while_a_link_between_two_is_cut_the_third_owns_all_and_each_serves_its_clients(cut):
    group = Group("a", "b", "c")
    group.wait(1)
    group.cut(*cut)
    group.wait(5)
    third = next(name for name in group.peers if name not in cut)
    assert {name for name, member in group.stored.members.items() if member.own} == {third}
    assert set(group.stored.members) == {"a", "b", "c"}
    assert all(peer.ready for peer in group.peers.values())
    for name in group.peers:
        group.arrive(name, f"of {name}")
    group.wait(1)
    served = set()
    while running := group.on("p0"):
        served.update(running)
        group.finish(*running)
        group.settle()
    assert served == {"of a", "of b", "of c"}
    group.link(*cut)
    group.wait(15)
    assert all(member.own for member in group.stored.members.values())


def test_if_each_member_is_at_the_end_of_a_cut_link_the_higher_name_still_owns():
    group = Group("a", "b", "c", "d")
    group.wait(1)
    group.cut("a", "b")
    group.cut("c", "d")
    group.wait(5)
    assert {name for name, member in group.stored.members.items() if member.own} == {"b", "d"}
    assert set(group.stored.members) == {"a", "b", "c", "d"}


def test_a_grant_for_a_pod_that_drains_at_the_taker_goes_back_and_another_pod_serves():
    group = Group("a", "b", "c", pods=("p0", "p1"))
    group.wait(1)
    taker = group.others()[0]
    group.peers[taker].shares[SERVICE].drain_backend("p0", group.now_s)
    group.arrive(taker, "r")
    group.settle()
    assert group.running["r"] == (taker, "p1")
    group.arrive(group.owner, "other")
    group.wait(2)
    assert group.running["other"] == (group.owner, "p0")


def test_the_last_gateway_goes_without_a_goodbye_when_it_alone_knows_of_held_slots():
    group = Group("a", "b")
    group.wait(1)
    group.arrive("a", "lost")
    group.settle()
    group.kill("a")
    group.wait(3)
    group.running.clear()
    group.peers["b"].leave(group.now_s)
    group.wait(1)
    assert group.peers["b"].may_go
    group.kill("b")
    group.start("c")
    for name, member in group.stored.members.items():
        group.peers["c"].known_dead(name, member.life, group.now_s)
    group.settle()
    group.arrive("c", "next")
    group.wait(8)
    assert group.on("p0") == []


def test_a_request_of_a_higher_class_goes_first_whichever_gateway_has_it():
    group = Group("a", "b", "c")
    group.wait(1)
    owner, taker = group.owner, group.others()[0]
    group.arrive(owner, "running")
    group.arrive(owner, "lower", Turn(level=1))
    group.arrive(taker, "higher", Turn(level=0))
    group.settle()
    group.finish("running")
    group.settle()
    assert group.on("p0") == ["higher"]
