"""What a service quotes, and how that is graded."""

import pytest

from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Limits, SlotUse
from autoscaler.gateway.quotes.quotes import FRESH_S, Basis, Grade, Quotes, quantile


class Service:
    """A dispatcher and its quotes; a request is its number."""

    def __init__(self, concurrency=1, cold_starts_s=()):
        self.dispatcher = Dispatcher(Limits(concurrency, queue_timeout_s=1e6))
        self.quotes = Quotes(self.dispatcher.outlook, cold_starts_s)

    def start_pod(self, name, since_s, ready_s):
        self.quotes.pod_starting(name, since_s)
        self.quotes.pod_ready(name, ready_s)
        return self.dispatcher.add_backend(name, ready_s)

    def measure_services(self, takes_s, times=20):
        """Let a pod run requests that all take as long, and go."""
        self.dispatcher.add_backend("before", 0.0)
        for number in range(times):
            self.dispatcher.arrive(f"before-{number}", number * takes_s)
            self.dispatcher.finish(f"before-{number}", (number + 1) * takes_s)
        self.dispatcher.remove_backend("before", times * takes_s)
        self.quotes.pods_changed()
        return times * takes_s


def test_nothing_is_quoted_before_a_pod_starts_and_before_a_start_was_measured():
    service = Service()
    service.dispatcher.arrive(1, 0.0)
    assert service.quotes.quote(1, 0.0) is None
    service.quotes.pod_starting("a", 0.0)
    assert service.quotes.quote(1, 0.0) is None


def test_the_policys_cold_start_stands_for_one_until_a_start_was_measured():
    service = Service(cold_starts_s=(40.0,))
    service.dispatcher.arrive(1, 0.0)
    service.quotes.pod_starting("a", 0.0)
    quote = service.quotes.quote(1, 0.0)
    assert (quote.position, quote.basis) == (1, Basis.CONFIGURED)
    assert 40.0 <= quote.p50_s <= quote.p90_s
    service.start_pod("a", 0.0, 25.0)
    service.dispatcher.arrive(2, 25.0)
    service.quotes.pod_starting("b", 25.0)
    quote = service.quotes.quote(2, 25.0)
    assert quote.basis is Basis.MEASURED
    assert 25.0 <= quote.p50_s < 40.0


def test_a_quote_follows_the_age_of_a_pod_that_starts_and_the_service_times_before_the_request():
    service = Service()
    now_s = service.measure_services(10.0)
    for number in range(20):
        service.start_pod(f"gone-{number}", now_s - 30.0, now_s)
        service.dispatcher.remove_backend(f"gone-{number}", now_s)
    service.quotes.pod_starting("a", now_s - 12.0)
    for number in range(3):
        service.dispatcher.arrive(number, now_s)
    quotes = [service.quotes.quote(number, now_s) for number in range(3)]
    assert [quote.position for quote in quotes] == [1, 2, 3]
    assert [round(quote.p50_s, 6) for quote in quotes] == [18.0, 28.0, 38.0]
    assert [round(quote.p90_s, 6) for quote in quotes] == [18.0, 28.0, 38.0]
    assert service.quotes.next(now_s).position == 4
    assert round(service.quotes.next(now_s).p50_s, 6) == 48.0


def test_a_quote_counts_down_while_it_is_fresh():
    service = Service(cold_starts_s=(40.0,))
    service.dispatcher.arrive(1, 0.0)
    service.quotes.pod_starting("a", 0.0)
    first = service.quotes.quote(1, 0.0)
    assert service.quotes.quote(1, FRESH_S / 2) == first.after(FRESH_S / 2)


def test_requests_that_arrive_while_a_run_is_fresh_stand_behind_the_others():
    service = Service()
    now_s = service.measure_services(10.0)
    service.start_pod("a", now_s - 30.0, now_s)
    for number in range(5):
        service.dispatcher.arrive(number, now_s)
        if number:
            quote = service.quotes.quote(number, now_s)
            assert (quote.position, round(quote.p50_s, 6)) == (number, number * 10.0)


def test_a_pass_request_waits_for_the_first_pod_only():
    service = Service(cold_starts_s=(40.0,))
    for number in range(5):
        service.dispatcher.arrive(number, 0.0)
    service.dispatcher.arrive("page", 0.0, SlotUse.PASS)
    service.quotes.pod_starting("a", 0.0)
    first = service.quotes.quote(0, 0.0)
    assert service.quotes.quote("page", 0.0, takes_slot=False) == first


def test_a_promise_is_kept_if_the_request_starts_no_later_than_the_first_p90():
    for late_s, grade in ((0.0, Grade(1, 0)), (0.001, Grade(0, 1))):
        service = Service(cold_starts_s=(40.0,))
        service.dispatcher.arrive(1, 0.0)
        service.quotes.pod_starting("a", 0.0)
        promised_s = service.quotes.quote(1, 0.0).p90_s
        service.quotes.quote(1, 30.0)
        service.quotes.started(1, promised_s + late_s)
        service.quotes.started(1, promised_s + 10.0)
        assert service.quotes.grade == grade


@pytest.mark.parametrize(("late_s", "grade"), [(-1.0, Grade(0, 0)), (1.0, Grade(0, 1))])
def test_a_request_that_gives_up_counts_only_if_its_time_is_over(late_s, grade):
    service = Service(cold_starts_s=(40.0,))
    service.dispatcher.arrive(1, 0.0)
    service.quotes.pod_starting("a", 0.0)
    promised_s = service.quotes.quote(1, 0.0).p90_s
    service.quotes.gave_up(1, promised_s + late_s)
    assert service.quotes.grade == grade


def test_what_is_looked_at_without_being_given_is_no_promise():
    service = Service(cold_starts_s=(40.0,))
    service.dispatcher.arrive(1, 0.0)
    service.quotes.pod_starting("a", 0.0)
    service.quotes.estimate(1, 0.0)
    service.quotes.started(1, 1e6)
    assert service.quotes.grade == Grade(0, 0)


def test_a_quantile_is_what_one_more_value_does_not_exceed_with_its_probability():
    values = [float(number) for number in range(1, 10)]
    assert quantile(values, 0.5) == 5.0
    assert quantile(values, 0.9) == 9.0
    assert quantile([1.0], 0.9) == 1.0
