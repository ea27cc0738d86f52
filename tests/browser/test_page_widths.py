"""The page of a service in many widths: nothing of it is cut off, and charts beside each other begin at one height."""

import pytest
from browser_kit import PHONE, Scene, pods
from page_records import record

from algorithms.types import Average, Reason, Recommendation
from autoscaler.ports import Fleet

pytestmark = [pytest.mark.real_time, pytest.mark.program]

SERVICE = "default/knative-sd-demo"
WIDTHS = (PHONE[0], 720, 1010, 1276, 1280, 1440, 1920)


@pytest.fixture(scope="module")
def address(background):
    """A service that goes to zero, as in the reference run: a rule with a long name changes half of the numbers."""
    scene = Scene()
    scene.add(SERVICE, candidates=[{"name": "short-window", "algorithm": {"concurrency": {"stableWindow": "30s"}}}])
    for number in range(24):
        scene.now_s += 2.0
        asked = max(5 - number // 3, 1)
        average = max(4.92 - number / 4, 0.0)
        made = record(scene.now_s, service=SERVICE, running=float(number < 12), replicas=asked, ready=asked)
        recommended = Recommendation(0 if average < 1 else asked, "why", (Average("stable", average, 60.0, 60.0),), 1.0)
        delayed = (Reason("scaleDown.toZeroDelay", 0, asked, "why"),) if average < 1 and number % 2 else ()
        scene.live.observed({SERVICE: (made.observation, Fleet(asked, tuple(pods(SERVICE, [1] * asked))))})
        scene.live(made._replace(decision=made.decision._replace(recommendation=recommended, reasons=delayed)))
    with scene.served(background) as served:
        yield served


def test_in_each_width_the_decisions_fit_the_page_and_charts_beside_each_other_begin_at_one_height(tab, address):
    shown = tab(f"{address}/services/{SERVICE}")
    shown.until("document.querySelectorAll('.quality .plot').length === 4")
    assert "scaleDown.toZeroDelay in" in shown.text("#decisions")
    for width in WIDTHS:
        shown.look(size=(width, 900))
        hidden = "(each => each.scrollWidth - each.clientWidth)(document.querySelector('#decisions .wide'))"
        assert shown.page.evaluate(hidden) <= 0, width
        tops = shown.page.evaluate(
            "[...document.querySelectorAll('.quality .chart')].map(chart => "
            "[chart, ...chart.querySelectorAll('h2, .plot')].map(each => each.getBoundingClientRect().top))"
        )
        assert len({tuple(each) for each in tops}) == len({chart for chart, *_ in tops}), width
