"""Slots of pods that tell what they work on: never too few are taken, and none for long."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Grant, Granted, Limits

POD = "pod"


class Working(RuleBasedStateMachine):
    """A server whose jobs may go on behind their responses, and others that use it too."""

    @initialize(cap=st.integers(1, 4), before=st.integers(0, 3))
    def start(self, cap, before):
        self.cap = cap
        self.dispatcher = Dispatcher(Limits(concurrency=cap))
        self.came = 0
        self.open, self.behind, self.of_others = set(), 0, before
        self.asked = None
        self.dispatcher.add_backend(POD, 0, jobs=before)

    @property
    def jobs(self):
        return len(self.open) + self.behind + self.of_others

    def take(self, grants):
        self.open |= {grant.request for grant in grants}
        if grants:
            # What others do is not known before the pod is asked.
            assert len(self.open) + self.behind <= self.cap

    @rule()
    def a_request_comes(self):
        self.came += 1
        answer = self.dispatcher.arrive(self.came, 0)
        if isinstance(answer, Granted):
            self.take([Grant(self.came, POD)])

    @precondition(lambda self: self.open)
    @rule(goes_on=st.booleans())
    def a_response_comes(self, goes_on):
        request = min(self.open)
        self.open.discard(request)
        self.behind += goes_on
        self.take(self.dispatcher.finish(request, 0))

    @precondition(lambda self: self.behind)
    @rule()
    def a_job_ends(self):
        self.behind -= 1

    @rule(jobs=st.integers(0, 2))
    def others_come_and_go(self, jobs):
        self.of_others = jobs

    @rule()
    def the_pod_is_asked(self):
        self.asked = (self.jobs, self.dispatcher.newest_granted(POD))

    @precondition(lambda self: self.asked)
    @rule()
    def the_pod_answers(self):
        (jobs, newest), self.asked = self.asked, None
        self.take(self.dispatcher.report_jobs(POD, jobs, newest, 0))

    @invariant()
    def never_fewer_are_taken_than_there_are_of_ours(self):
        assert self.dispatcher.running_on(POD) >= len(self.open)
        assert self.dispatcher.running == self.dispatcher.running_on(POD)

    def teardown(self):
        if hasattr(self, "open"):
            self.the_pod_is_asked()
            jobs, newest = self.asked
            grants = self.dispatcher.report_jobs(POD, jobs, newest, 0)
            assert self.dispatcher.running_on(POD) == jobs + len(grants)


TestWorking = Working.TestCase
TestWorking.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def with_jobs(jobs, concurrency=1):
    dispatcher = Dispatcher(Limits(concurrency=concurrency))
    dispatcher.add_backend(POD, 0, jobs=jobs)
    return dispatcher


def test_a_job_behind_its_response_keeps_its_slot_until_the_pod_says_that_it_is_done():
    dispatcher = with_jobs(0)
    dispatcher.arrive("first", 0)
    dispatcher.arrive("second", 0)
    assert dispatcher.finish("first", 1) == []
    assert dispatcher.report_jobs(POD, 1, dispatcher.newest_granted(POD), 2) == []
    assert (dispatcher.running, dispatcher.idle) == (1, ())
    assert dispatcher.report_jobs(POD, 0, dispatcher.newest_granted(POD), 3) == [Grant("second", POD)]


def test_a_request_that_the_pod_counts_too_is_counted_once():
    dispatcher = with_jobs(0, concurrency=4)
    for n in range(3):
        dispatcher.arrive(n, 0)
    dispatcher.report_jobs(POD, 3, dispatcher.newest_granted(POD), 1)
    assert dispatcher.running == 3


def test_an_answer_that_is_older_than_a_request_does_not_free_its_slot():
    dispatcher = with_jobs(0)
    newest = dispatcher.newest_granted(POD)
    dispatcher.arrive("first", 0)
    dispatcher.finish("first", 1)
    dispatcher.report_jobs(POD, 0, newest, 2)
    assert dispatcher.running == 1


def test_a_request_that_was_refused_leaves_no_trace():
    dispatcher = with_jobs(0)
    dispatcher.arrive("first", 0)
    dispatcher.put_back("first", 1)
    dispatcher.abandon("first", 1)
    assert (dispatcher.running, dispatcher.idle) == (0, (POD,))


def test_the_jobs_of_a_pod_that_leaves_count_until_they_are_done_and_those_of_one_that_is_gone_do_not():
    dispatcher = with_jobs(2)
    dispatcher.drain_backend(POD, 1)
    assert (dispatcher.running, dispatcher.backends) == (2, (POD,))
    dispatcher.report_jobs(POD, 0, 0, 2)
    assert (dispatcher.running, dispatcher.backends) == (0, ())
    dispatcher = with_jobs(2)
    dispatcher.remove_backend(POD, 1)
    assert (dispatcher.running, dispatcher.seconds_total(10)) == (0, 2)


def test_a_pod_that_reports_no_more_counts_by_its_requests():
    dispatcher = with_jobs(2)
    dispatcher.arrive("waits", 0)
    assert dispatcher.report_jobs(POD, None, 0, 1) == [Grant("waits", POD)]
    assert dispatcher.running == 1
