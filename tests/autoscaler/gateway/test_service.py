"""Pods come, drain, return, change and are removed in any order: nobody waits for one that is gone."""

import weakref

from gateway_kit import service
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autoscaler.gateway.http.pod_connection import Failure
from autoscaler.gateway.router import Router
from autoscaler.testing import VirtualTimeLoop

NAMES = st.sampled_from(["a", "b", "c"])
ADDRESSES = st.sampled_from(["10.0.0.1:80", "10.0.0.2:80"])
PICK = st.integers(0, 10**6)


async def gate_of(config):
    return Router({config.name: config}).proxies[config.name]


class Waiting:
    """Somebody who waits for something of a pod, as an exchange or a tunnel does."""

    def __init__(self, pod):
        self.pod = pod
        self.failures = []
        pod.open.add(self)

    def failed(self, failure):
        self.failures.append(failure)
        self.pod.open.discard(self)


class Pods(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.loop = VirtualTimeLoop()
        self.proxy = self.loop.run_until_complete(gate_of(service()))
        self.waiting = []
        self.seen = weakref.WeakSet()

    @rule(name=NAMES, address=ADDRESSES)
    def add(self, name, address):
        known = self.proxy.pods.listed.get(name)
        self.proxy.pods.add(name, address)
        self.seen.add(self.proxy.pods.listed[name])
        if known is not None and known.address != address:
            self.all_failed(known.name, but=self.proxy.pods.listed[name])

    @rule(name=NAMES, marked=st.booleans())
    def drain(self, name, marked):
        before = [len(each.failures) for each in self.waiting]
        self.proxy.pods.drain(name, marked=marked)
        assert (name in self.proxy.pods.marked) == marked
        assert before == [len(each.failures) for each in self.waiting]

    @rule(name=NAMES)
    def remove(self, name):
        self.proxy.pods.remove(name)
        assert name not in self.proxy.pods.marked
        self.all_failed(name)

    @rule(names=st.sets(NAMES), address=ADDRESSES)
    def set_all(self, names, address):
        self.proxy.pods.set_all(dict.fromkeys(names, address))
        assert self.proxy.pods.listed.keys() == names

    @precondition(lambda self: self.proxy.pods.listed)
    @rule(pick=PICK)
    def somebody_waits(self, pick):
        pods = list(self.proxy.pods.listed.values())
        self.waiting.append(Waiting(pods[pick % len(pods)]))

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK)
    def somebody_is_done(self, pick):
        done = self.waiting.pop(pick % len(self.waiting))
        done.pod.open.discard(done)

    def all_failed(self, name, but=None):
        for each in self.waiting:
            if each.pod.name == name and each.pod is not but:
                assert each.failures == [Failure.RESET]

    @invariant()
    def who_waits_for_a_pod_that_is_not_gone_waits_on(self):
        for each in self.waiting:
            assert bool(each.failures) == each.pod.gone
            assert (each in each.pod.open) != each.pod.gone

    @invariant()
    def a_pod_that_is_sent_requests_counts_as_unmarked(self):
        assert not self.proxy.pods.marked & self.proxy.pods.listed.keys()

    def teardown(self):
        while self.waiting:
            self.somebody_is_done(0)
        assert set(self.seen) <= set(self.proxy.pods.listed.values()), "pods are remembered for which nobody waits"
        self.proxy.close()
        self.loop.close()


TestPods = Pods.TestCase
TestPods.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
