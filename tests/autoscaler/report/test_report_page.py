"""The page of a report: it needs nothing else, says everything without scripts, and no text breaks out of it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.report import page
from autoscaler.report.markup import plain
from autoscaler.report.page import MOST_ROWS, NO_CHARTS, report_page, values
from autoscaler.report.parts import Chart, Code, Section, Series, Table, Text

CHART = Chart("Replicas", [0.0, 2.5, 90.0], [Series("asked", [0, 1, None]), Series("ready", [0, 0, 1.25])])
BREAKING = [
    "</script>",
    "</style><script>alert(1)</script>",
    '"onload="x',
    "<!--",
    "]]>",
    "&amp;",
    "\u2028",
    "\0",
    "\ud800",
]
TEXTS = st.one_of(st.sampled_from(BREAKING), st.text(st.characters(), max_size=12))


class Read(HTMLParser):
    """Read a page: its elements with the names of their attributes, and all of its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.policy = [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *(name for name, _ in attrs)))
        if dict(attrs).get("http-equiv"):
            self.policy = dict(attrs)["content"]

    def handle_endtag(self, tag):
        self.elements.append(tag)

    def handle_data(self, text):
        self.texts.append(text)


@pytest.fixture(params=[True, False], ids=["with uPlot", "without"])
def installed(request, monkeypatch, tmp_path):
    """An installation with uPlot, or without."""
    if request.param:
        (tmp_path / "vendor").mkdir()
        (tmp_path / "vendor" / "uPlot.iife.min.js").write_text("var uPlot;")
        (tmp_path / "vendor" / "uPlot.min.css").write_text(".uplot{}")
    (tmp_path / "style.css").write_text("body { margin: 0; }")
    monkeypatch.setattr(page, "PAGE_ASSETS", tmp_path)
    page._style.cache_clear()
    page._scripts.cache_clear()
    yield request.param
    page._style.cache_clear()
    page._scripts.cache_clear()


def with_texts(one, other):
    """Make a page that has two texts in each place where a text can be."""
    chart = Chart(
        one, [1, 2], [Series(other, [1, 2]), Series("points", [1, 2], "points")], one, "", other, one, [one, other]
    )
    parts = [Text(one), Code(one, other), Table(one, [one, other], [[other, one]], other), chart]
    return report_page(
        one,
        [Section(other, parts), Section(one, [])],
        answer=other,
        second=one,
        figures=[(one, other, one)],
        origin={one: other},
    )


def chart_data(html):
    return json.loads(re.search(r'<script type="application/json" id=charts>(.*?)</script>', html, re.DOTALL)[1])


@given(one=TEXTS, other=TEXTS)
def test_no_text_makes_an_element_or_an_attribute_or_is_lost(one, other):
    one, other = f"a{one}z", f"b{other}y"  # an empty title is another page
    html = with_texts(one, other)
    assert html.encode()
    assert Read(html).elements == Read(with_texts("harmless", "words")).elements
    assert {plain(one), plain(other)} <= set(Read(html).texts)
    (chart,) = chart_data(html)
    written = (chart["title"], chart["series"][0]["name"], *chart["names"])
    assert [*map(plain, written)] == [plain(each) for each in (one, other, one, other)]


def test_the_policy_of_the_page_allows_its_own_scripts_and_style_and_nothing_else(installed):
    html = report_page("t", [Section("s", [CHART])])
    inline = re.findall(r"<(script|style)>(.*?)</\1>", html, re.DOTALL)
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for _, text in inline}
    allowed = dict(part.strip().split(" ", 1) for part in Read(html).policy.split(";"))
    assert hashes == set(allowed.pop("script-src").split()) - {"'none'"} | {allowed.pop("style-src")}
    assert len(hashes) == (3 if installed else 1)
    assert allowed == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    assert not re.findall(r"""(?:src|href)=(?!["']?(?:#|data:))""", html.partition("<script")[0])


def test_a_page_without_charts_has_no_script(installed):
    assert "<script" not in report_page("t", [Section("s", [Text("words")])])


def test_an_installation_without_uplot_says_so_and_shows_the_tables(installed):
    html = report_page("t", [Section("s", [CHART])])
    assert (NO_CHARTS in html) is not installed
    assert "<td class=n>1.25</td>" in html


def test_the_same_input_gives_the_same_page():
    assert with_texts("one", "other") == with_texts("one", "other")


def test_the_values_of_a_chart_stand_in_a_table_with_what_is_unknown():
    assert values(CHART) == ([["0 s", "0", "0"], ["2.5 s", "1", "0"], ["1 min 30 s", "?", "1.25"]], 3)


def test_a_table_of_a_long_chart_has_only_changes_and_says_how_many_there_are():
    x = [float(second) for second in range(1000)]
    rows, changes = values(Chart("long", x, [Series("steps", [second // 5 for second in range(1000)])]))
    assert (len(rows), changes) == (MOST_ROWS, 200)
    assert (rows[0], rows[-1]) == (["0 s", "0"], ["16 min 35 s", "199"])
    html = report_page("t", [Section("s", [Chart("long", x, [Series("steps", x)])])])
    assert "60 of 1,000 rows are shown." in html


def test_a_screen_reader_hears_the_range_of_each_series_and_its_end():
    (chart,) = chart_data(report_page("t", [Section("s", [CHART])]))
    assert chart["says"] == "asked: 0 to 1. ready: 0 to 1.25, at last 1.25."
