"""The part of a chart from before this process comes from a Prometheus, if one answers in time."""

import asyncio

import pytest

from autoscaler.page.past import AT_ONCE, KEPT_S, MOST_KEPT, PATIENCE_S, Past
from autoscaler.sources.prometheus_past import PastCounts

SERVICE = "default/sd"
NOTHING = (None, None, None, None)


def counts(*values):
    return [PastCounts(15.0 * step, *each) for step, each in enumerate(values)]


class Prometheus:
    """Answers after a time; it counts what it was asked."""

    def __init__(self, found=(), *, after_s=0.0):
        self.found, self.after_s = found, after_s
        self.asked, self.open, self.most_open = [], 0, 0

    async def __call__(self, service, since_s, until_s):
        self.asked.append((service, since_s, until_s))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(self.after_s)
        finally:
            self.open -= 1
        return self.found


def past(prometheus):
    return Past(prometheus, asyncio.get_running_loop().time)


async def test_what_it_has_is_rows_from_the_first_count_on_and_each_change_once():
    prometheus = Prometheus(counts(NOTHING, (1.0, 0.0, 1, 1), (1.0, 0.0, 1, 1), NOTHING, (2.0, 3.0, 5, 2)))
    found = await past(prometheus).samples(SERVICE, 0.0, 600.0)
    assert [(each.at_s, each.running, each.queued, each.average, each.asked, each.ready) for each in found] == [
        (15.0, 1.0, 0.0, None, 1, 1),
        (45.0, None, None, None, None, None),
        (60.0, 2.0, 3.0, None, 5, 2),
    ]


async def test_only_what_lies_before_this_process_is_taken():
    prometheus = Prometheus(counts(*[(float(step), 0.0, 1, 1) for step in range(9)]))
    assert [each.at_s for each in await past(prometheus).samples(SERVICE, 30.0, 60.0)] == [30.0, 45.0]


async def test_one_that_hangs_leaves_a_gap_and_its_late_answer_is_for_the_next_viewer():
    prometheus = Prometheus(counts((1.0, 0.0, 1, 1)), after_s=10.0)
    asked = past(prometheus)
    assert await asked.samples(SERVICE, 0.0, 600.0) == []
    assert asyncio.get_running_loop().time() == PATIENCE_S
    await asyncio.sleep(10.0)
    assert len(await asked.samples(SERVICE, 0.0, 600.0)) == 1
    assert len(prometheus.asked) == 1


@pytest.mark.parametrize("found", ["it refuses", []])
async def test_a_refusal_is_no_row_and_is_asked_again_after_a_while(found):
    prometheus = Prometheus(found)
    asked = past(prometheus)
    for _ in range(5):
        assert await asked.samples(SERVICE, 0.0, 600.0) == []
    assert len(prometheus.asked) == 1
    await asyncio.sleep(KEPT_S + 1)
    await asked.samples(SERVICE, 0.0, 600.0)
    assert len(prometheus.asked) == 2


async def test_viewers_of_one_service_ask_once():
    prometheus = Prometheus(counts((1.0, 0.0, 1, 1)), after_s=1.0)
    asked = past(prometheus)
    found = await asyncio.gather(*(asked.samples(SERVICE, 0.0, 600.0) for _ in range(20)))
    assert [len(each) for each in found] == [1] * 20
    assert len(prometheus.asked) == 1


async def test_questions_are_bounded_and_so_is_what_is_kept():
    prometheus = Prometheus(counts((1.0, 0.0, 1, 1)), after_s=0.01)
    asked = past(prometheus)
    await asyncio.gather(*(asked.samples(f"default/s{number}", 0.0, 600.0) for number in range(2 * MOST_KEPT)))
    assert prometheus.most_open <= AT_ONCE
    assert len(asked._questions) == MOST_KEPT
    await asked.close()


async def test_nothing_is_asked_for_a_moment():
    prometheus = Prometheus()
    assert await past(prometheus).samples(SERVICE, 590.0, 600.0) == []
    assert prometheus.asked == []


async def test_at_the_end_nothing_is_asked_any_more():
    prometheus = Prometheus(after_s=1000.0)
    asked = past(prometheus)
    await asked.samples(SERVICE, 0.0, 600.0)
    await asked.close()
    assert prometheus.open == 0
