"""What does not hold together is refused, with the part and what is legal."""

import pytest

from autoscaler.report.parts import Chart, Section, Series, Table, checked

FINE = Chart("waits", [0, 1, 1, 2], [Series("a", [1, None, 3, 4])])


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Table("costs", ["policy", "cost"], [["a", "1"], ["b"]]), "table 'costs': each row must have 2 cells"),
        (FINE._replace(x=[0, 2, 1, 3]), "chart 'waits': x must be in order"),
        (FINE._replace(x=[0, 1, 2, float("inf")]), "chart 'waits': x must be finite"),
        (FINE._replace(series=[Series("b", [1, 2, 3, float("nan")])]), "'b' must be finite; None is unknown"),
        (FINE._replace(names=["a"]), "chart 'waits': there must be 4 names"),
        (FINE._replace(series=[Series("b", [1])]), "chart 'waits': 'b' must have 4 values"),
        (FINE._replace(series=[Series("b", [1] * 4, "bars")]), "'bars': draw must be one of step, line, area, points"),
        (FINE._replace(series=[Series("b", [1] * 4, color="red")]), "'red': color must be one of running, queued"),
    ],
)
def test_a_part_that_does_not_hold_together_is_refused_by_name(part, said):
    with pytest.raises(ValueError, match=said):
        checked([Section("s", [FINE, part])])


def test_a_part_that_holds_together_is_given_back():
    sections = [Section("s", [FINE])]
    assert checked(sections) is sections
