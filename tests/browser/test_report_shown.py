"""A report in a browser: a file, without a network, for everybody."""

import pytest
from browser_kit import NARROW, PHONE

from autoscaler.testing import policy
from simulations import Candidate, compare, html_report

pytestmark = [pytest.mark.real_time, pytest.mark.program]

HOSTILE = "<img src=x onerror=alert(1)>"
CHARTS = "[...document.querySelectorAll('section.chart')]"
DRAWN = "[...document.querySelectorAll('.plot')].filter(each => each.querySelector('canvas'))"
NARROWEST = "Math.min(...[...document.querySelectorAll('tbody th')].map(each => each.offsetWidth).filter(Boolean))"
EMPTY = """
  [...document.querySelectorAll('.plot canvas')].filter(canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return new Set(new Uint32Array(data.buffer)).size < 8
  }).length
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The report of two policies, one of which has a name that must not become an element."""
    small, large = policy("default/small", maxReplicas=2), policy("default/large", maxReplicas=8)
    results = compare("demo", [Candidate(HOSTILE, small), Candidate("large", large)], replications=2)
    written = tmp_path_factory.mktemp("report") / "report.html"
    written.write_text(html_report(results, "autoscaler simulate demo"), encoding="utf-8")
    return written


def opened(tab, file, **options):
    shown = tab(offline=True, **options)
    shown.page.goto(file.as_uri())
    return shown


def test_a_report_is_drawn_without_a_network_and_everybody_can_use_it(tab, file):
    shown = opened(tab, file)
    sections = len(shown.texts("section.chart"))
    shown.until(f"{DRAWN}.length === {sections}")
    assert sections >= 6
    assert shown.page.evaluate(EMPTY) == 0
    assert HOSTILE in shown.texts("h2")
    assert shown.page.evaluate("document.images.length") == 0
    assert shown.violations() == []
    assert shown.look(scheme="dark").violations() == []
    assert shown.look(size=PHONE).violations() == []
    assert shown.page.evaluate(NARROWEST) >= 90
    shown.look(size=NARROW)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


def test_the_keys_read_the_values_of_a_chart_and_hide_a_line(tab, file):
    shown = opened(tab, file)
    shown.until(f"{DRAWN}.length > 0")
    shown.page.evaluate(f"{CHARTS}.find(each => each.textContent.includes('waited at most')).id = 'waits'")
    shown.page.focus("#waits .plot")
    shown.page.keyboard.press("End")
    shown.until("document.querySelector('#waits [role=status]').textContent.includes('100')")
    values = shown.texts("#waits .keys b")
    assert values == ["100", "100"]
    shown.page.evaluate("document.querySelector('#waits .keys button').click()")
    assert shown.page.evaluate("document.querySelector('#waits .keys button').getAttribute('aria-pressed')") == "false"


def test_a_report_is_readable_without_scripts(tab, file):
    shown = opened(tab, file, script=False)
    tables = shown.page.locator("section.chart table")
    assert all(tables.nth(number).is_visible() for number in range(tables.count()))
    assert shown.page.locator("noscript").first.inner_text().startswith("Charts need JavaScript")
