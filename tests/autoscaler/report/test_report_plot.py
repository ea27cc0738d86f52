"""Charts as PNG and SVG: what is drawn is what the charts have."""

import pytest

from autoscaler.report.parts import Chart, Section, Series, Text
from autoscaler.report.plot import charts_in, figure, save

ODD = "_cost in $ of a$b^ <x>"
CHART = Chart(
    ODD,
    [0, 1, 2],
    [Series(ODD, [1, None, 3]), Series("line", [1, 2, 3], "line"), Series("area", [3, 3, 3], "area", "ready")],
)
POINTS = Chart("frontier", [1, 2], [Series("points", [4, 2], "points")], "cost", "", "s")


def test_each_chart_has_its_series_with_their_values():
    drawn = figure([CHART, POINTS])
    upper, lower = drawn.axes
    assert [line.get_ydata().tolist() for line in upper.lines][1] == [1.0, 2.0, 3.0]
    assert [text.get_text() for text in upper.get_legend().get_texts()][1:] == ["line", "area"]
    assert lower.collections[0].get_offsets().tolist() == [[1.0, 4.0], [2.0, 2.0]]
    assert (lower.get_xlabel(), lower.get_ylabel()) == ("cost", "s")


@pytest.mark.parametrize(("ending", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_file_has_the_format_of_its_ending_and_is_the_same_each_time(tmp_path, ending, begins):
    written = []
    for name in ("one", "two"):
        save([CHART, POINTS], tmp_path / f"{name}{ending}")
        written.append((tmp_path / f"{name}{ending}").read_bytes())
    assert written[0].startswith(begins)
    assert written[0] == written[1]


def test_the_charts_of_a_report_are_those_of_its_sections_in_order():
    assert charts_in([Section("a", [CHART, Text("words")]), Section("b", [POINTS])]) == [CHART, POINTS]


def test_no_chart_is_an_empty_figure():
    assert len(figure([]).axes) == 1
